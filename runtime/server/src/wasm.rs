//! WebAssembly handlers: engines, compilation, instances.

mod ahead;
pub mod bindings;
pub mod calling;
mod capabilities;
pub mod compile;
pub mod component;
pub mod engine;
mod fetching;
pub mod guest;
pub mod inspect;
pub mod memory;
pub mod replica;
pub mod surroundings;
mod tidy_http;
