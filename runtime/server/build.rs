//! Builds the policies that are part of the binary, and finds out which wasmtime it is built with.

use samovar_guest_build::{GuestBuild, Toolchain};
use std::error::Error;
use std::path::{Path, PathBuf};

/// The policies inside; each is a crate in `policies/`.
const BUILTINS: &[&str] = &["flyte", "kubetorch", "lightning", "ray-serve", "vast"];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest.join("../..").canonicalize()?;
    println!("cargo::rustc-env=SAMOVAR_WASMTIME_VERSION={}", wasmtime_version(&workspace)?);
    let mut log = |line: &str| println!("{line}");
    let toolchain = Toolchain::find(&workspace, &mut log)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for watched in ["guest-sdk/src", "guest-sdk/wit", "policies"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    let build = GuestBuild {
        packages: BUILTINS.iter().map(|name| (*name).to_owned()).collect(),
        profile: "guest".to_owned(),
        target_dir: Some(guest_target(&workspace)),
        ..GuestBuild::new(&workspace)
    };
    let built = toolchain.build(&build)?;
    for name in BUILTINS {
        let file = name.replace('-', "_");
        let component =
            built.iter().find(|path| path.file_stem().is_some_and(|stem| *stem == *file));
        let component = component.ok_or_else(|| format!("no component came out of `{name}`"))?;
        std::fs::copy(component, out.join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Where guests are built, also by hand and by the tests.
fn guest_target(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), PathBuf::from)
        .join("guests")
}

/// The full version of wasmtime in the workspace's lock file.
fn wasmtime_version(workspace: &Path) -> Result<String, Box<dyn Error>> {
    let lock = workspace.join("Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let text = std::fs::read_to_string(&lock)?;
    let mut lines = text.lines().skip_while(|line| *line != "name = \"wasmtime\"");
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \""));
    Ok(version.ok_or("wasmtime is not in Cargo.lock")?.trim_end_matches('"').to_owned())
}
