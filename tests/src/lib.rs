//! What the system tests share: a real `samovar` process, an HTTP client, components, and waiting.
//!
//! Nothing here is a stand-in for the product. Every test starts the binary on port 0 with a data
//! folder of its own, so tests can run side by side. Waiting is polling with a deadline; no test
//! measures absolute time.

pub mod cli;
pub mod components;
pub mod crowd;
pub mod csv;
pub mod files;
pub mod frames;
pub mod http;
pub mod load;
pub mod native;
pub mod paths;
pub mod pictures;
pub mod policies;
pub mod raw;
pub mod server;
pub mod sites;
pub mod status;
pub mod usage;
pub mod wait;
pub mod workers;

pub use cli::Cli;
pub use components::{component, tiny_handler, unique};
pub use http::{Http, Reply};
pub use load::Load;
pub use native::Native;
pub use server::{Options, Samovar};
pub use wait::{eventually, within};
