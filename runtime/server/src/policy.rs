//! Scaling policies: loading them, asking them, and never letting them disturb anything else.

pub mod convert;
pub mod host;
mod sandbox;
mod worker;

pub use host::{PolicyHost, Program, Scaler};

/// The bindings of `samovar:policy`; the WIT file documents them.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../../guest-sdk/wit",
        world: "policy",
    });
}
