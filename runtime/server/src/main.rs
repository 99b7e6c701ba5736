//! The binary `samovar`: a server and its command line.

mod admin;
mod api;
mod calls;
mod cli;
mod client;
mod clock;
mod config;
mod control;
mod daemon;
mod deployment;
mod dispatch;
mod driver;
mod ingress;
mod keyvalue;
mod library;
mod logs;
mod native;
mod policy;
mod priority;
mod slots;
mod store;
mod warm_pool;
mod wasm;

use samovar_spec as spec;

/// The running program, even if its file was replaced since it was started.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Requests make many small allocations on many threads; this one is faster at them than the
/// system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
