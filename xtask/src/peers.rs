//! Installs the servers that `bench compare` measures Samovar against, into `target/peers`.
//!
//! Those that package registries have: workerd from npm, Ray Serve and LitServe from PyPI, and
//! `wasmtime` from crates.io if it is asked for, because building it takes long. Which versions,
//! `benches/peers` says.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    guests, ui, venv,
    workspace::{Workspace, cargo, run, works},
};

/// Where the scripts of peers are, and the versions to install.
const FOLDER: &str = "benches/peers";

/// As in docs/benchmarks.md.
const WASMTIME: [&str; 7] = [
    "install",
    "wasmtime-cli",
    "--version",
    "48.0.8",
    "--locked",
    "--no-default-features",
    "--features",
];
const WASMTIME_FEATURES: &str = "run,serve,component-model,component-model-async,cranelift,\
    pooling-allocator,parallel-compilation,gc,gc-copying,wasi-http,wasi-config,wasi-keyvalue,\
    logging";

/// Installs all, and says how to get the others. What is there in the wanted version is left alone.
pub fn install(workspace: &Workspace, args: &[String]) -> Result<()> {
    let builds_wasmtime = match args {
        [] => false,
        [flag] if flag == "--wasmtime" => true,
        _ => bail!("usage: cargo xtask peers [--wasmtime]"),
    };
    let folder = workspace.target.join("peers");
    fs::create_dir_all(&folder).context("make target/peers")?;
    ui::step("workerd", || npm(workspace, &folder.join("npm")))?;
    ui::step("Ray Serve and LitServe", || {
        let requirements = format!("{FOLDER}/requirements.txt");
        venv::prepare_in(workspace, &folder.join("venv"), &requirements)
    })?;
    let root = folder.to_string_lossy().into_owned();
    if builds_wasmtime {
        ui::step("wasmtime", || {
            let mut cargo = cargo(&workspace.root);
            run(cargo.args(WASMTIME).arg(WASMTIME_FEATURES).args(["--root", &root]))
        })?;
    } else {
        println!("`cargo xtask peers --wasmtime` also builds wasmtime, which takes ten minutes:");
        println!("    cargo {} {WASMTIME_FEATURES} --root {root}", WASMTIME.join(" "));
    }
    println!("Spin is in no registry: https://spinframework.dev says how to install it.");
    println!("`cargo xtask bench compare` finds them.");
    Ok(())
}

/// The packages of `package.json`, unless they are there.
fn npm(workspace: &Workspace, folder: &Path) -> Result<()> {
    let wanted = workspace.root.join(FOLDER).join("package.json");
    let wanted = fs::read(&wanted).with_context(|| format!("read {}", wanted.display()))?;
    // Written last, so that it stands for a complete folder.
    let installed = folder.join("installed.json");
    if fs::read(&installed).ok().as_deref() == Some(&wanted) {
        println!("    unchanged");
        return Ok(());
    }
    if !works("npm", &["--version"]) {
        guests::install("npm")?;
    }
    fs::create_dir_all(folder).context("make a folder for npm")?;
    fs::write(folder.join("package.json"), &wanted).context("write package.json")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(folder);
    run(npm.stdin(Stdio::null())).context("install workerd")?;
    fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))
}
