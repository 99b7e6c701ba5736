//! `samovar-guest-build [--profile P] [--target-dir DIR] [--locked] CRATE_DIR...`
//!
//! Builds guest crates and prints the paths of their components, one per line.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::{error::Error, path::PathBuf, process::ExitCode};

use samovar_guest_build::{GuestBuild, Toolchain};

const USAGE: &str =
    "usage: samovar-guest-build [--profile NAME] [--target-dir DIR] [--locked] CRATE_DIR...";

fn main() -> ExitCode {
    let Some((template, dirs)) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    for dir in dirs {
        if let Err(error) = build(GuestBuild { manifest_dir: dir, ..template.clone() }) {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprintln!("  caused by: {inner}");
                cause = inner.source();
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn build(guest: GuestBuild) -> Result<(), samovar_guest_build::Error> {
    let toolchain = Toolchain::find(&guest.manifest_dir, &mut |line| eprintln!("{line}"))?;
    for component in toolchain.build(&guest)? {
        println!("{}", component.display());
    }
    Ok(())
}

/// The settings shared by all builds, and the crates. `None` when the arguments make no sense.
fn parse(mut arguments: impl Iterator<Item = String>) -> Option<(GuestBuild, Vec<PathBuf>)> {
    let mut template = GuestBuild::new("");
    template.profile = "guest".into();
    template.target_dir = Some("target/guests".into());
    let mut dirs = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--profile" => template.profile = arguments.next()?,
            "--target-dir" => template.target_dir = Some(arguments.next()?.into()),
            "--locked" => template.locked = true,
            flag if flag.starts_with('-') => return None,
            dir => dirs.push(PathBuf::from(dir)),
        }
    }
    (!dirs.is_empty()).then_some((template, dirs))
}
