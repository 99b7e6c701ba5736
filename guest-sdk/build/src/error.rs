//! What can go wrong between a guest's source and its component.

use std::{fmt, io, path::PathBuf};

/// Why no toolchain was found, or why a guest did not build.
#[derive(Debug)]
pub enum Error {
    /// A program could not be run at all.
    Run { program: String, source: io::Error },
    /// A file or folder could not be used.
    File { path: PathBuf, source: io::Error },
    /// The road variable names no road.
    UnknownRoad { value: String },
    /// No road led to a toolchain. `tried` has one line per road with the reason.
    NoToolchain { tried: Vec<String> },
    /// cargo ended with an error; it has already said why on standard error.
    Build { manifest_dir: PathBuf, status: String },
    /// The build went well and made no component: the crate has no `cdylib` or binary target.
    NoComponent { manifest_dir: PathBuf },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Run { program, .. } => write!(out, "cannot run `{program}`"),
            Error::File { path, .. } => write!(out, "cannot use {}", path.display()),
            Error::UnknownRoad { value } => write!(
                out,
                "{}={value} is not one of installed, rustup, distribution",
                crate::ROAD_VARIABLE
            ),
            Error::NoToolchain { tried } => {
                writeln!(out, "no toolchain for {} guests. Tried:", crate::TARGET)?;
                for line in tried {
                    writeln!(out, "  - {line}")?;
                }
                write!(
                    out,
                    "Run `rustup target add {}` where rustup can download. On Debian and its \
                     descendants install rustc-web and rust-web-src (of the same version, not \
                     older than the guest asks for) and wasi-libc with a {} folder \
                     (bookworm-backports or newer).",
                    crate::TARGET,
                    crate::TARGET
                )
            }
            Error::Build { manifest_dir, status } => {
                write!(
                    out,
                    "cargo could not build the guest in {} ({status})",
                    manifest_dir.display()
                )
            }
            Error::NoComponent { manifest_dir } => write!(
                out,
                "the crate in {} made no component: its Cargo.toml needs [lib] crate-type = \
                 [\"cdylib\"]",
                manifest_dir.display()
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Run { source, .. } | Error::File { source, .. } => Some(source),
            Error::UnknownRoad { .. }
            | Error::NoToolchain { .. }
            | Error::Build { .. }
            | Error::NoComponent { .. } => None,
        }
    }
}
