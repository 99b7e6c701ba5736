//! WebAssembly handlers: engines, compilation, instances.

pub mod compile;
pub mod component;
pub mod engine;
pub mod guest;
pub mod inspect;
pub mod memory;
pub mod replica;
