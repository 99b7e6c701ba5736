//! Scaling policies: loading them, asking them, and never letting them disturb anything else.

pub mod convert;
pub mod host;
mod port;
mod sandbox;
mod worker;

pub use host::{Local, PolicyHost, Program, Scaler};
pub use port::Port;

/// The bindings of `samovar:policy`; the WIT file documents them.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "../../guest-sdk/wit",
        world: "policy",
    });
}

/// The bindings of what a port of another system's policy exports besides.
mod port_bindings {
    wasmtime::component::bindgen!({
        path: "../../guest-sdk/wit",
        world: "port",
    });
}
