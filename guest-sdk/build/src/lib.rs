//! Finds a WebAssembly toolchain on this machine and builds guest crates with it.
//!
//! A guest is a Rust crate for `wasm32-wasip2`. Its standard library is not part of every Rust
//! installation, so [`Toolchain::find`] tries these roads, cheapest first:
//!
//! 1. the standard library of the target is installed: nothing to do;
//! 2. the pieces of road 4 are there from an earlier run;
//! 3. `rustup target add wasm32-wasip2`;
//! 4. the packages of a Debian-like distribution, which bring the library's source and a libc, so
//!    that cargo compiles the standard library itself (about a minute, once per target folder).
//!
//! When none works the error says what to install. The variable [`ROAD_VARIABLE`] forces one road.
//! All roads build the same components from the same sources.
//!
//! ```no_run
//! # fn main() -> Result<(), samovar_guest_build::Error> {
//! use samovar_guest_build::{GuestBuild, Toolchain};
//!
//! let toolchain = Toolchain::find("plugins/hello".as_ref(), &mut |line| eprintln!("{line}"))?;
//! for component in toolchain.build(&GuestBuild::new("plugins/hello"))? {
//!     println!("{}", component.display());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! This crate depends on nothing but `std`, because build scripts and tools wait for it.

mod artifacts;
mod distro;
mod environment;
mod error;
mod guest;
mod toolchain;

pub use error::Error;
pub use guest::GuestBuild;
pub use toolchain::{ROAD_VARIABLE, Road, Toolchain};

/// The compilation target of all guests.
pub const TARGET: &str = "wasm32-wasip2";
