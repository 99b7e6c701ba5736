//! Checks of the source, tests, benchmarks.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{
    guests::{self, Wanted},
    ui::step,
    workspace::{Workspace, cargo, run, works},
};

const LIGHTNING_VECTORS: &str = "policies/lightning/tests/lightning.json";

/// Everything CI checks. The cheap checks come first.
pub fn test(workspace: &Workspace) -> Result<()> {
    step("formatting", || format(workspace))?;
    guests::build(workspace, Wanted::AllLanguages)?;
    // Programs and tests in one go: a build without the tests' dependencies would be another one.
    step("build", || workspace.cargo_hosts(&["build", "--release", "--all-targets"], &[]))?;
    step("clippy", || clippy(workspace))?;
    step("tests", || workspace.cargo_hosts(&["test", "--release", "--no-fail-fast"], &[]))?;
    step("tests of policies", || {
        run(cargo(&workspace.root).args(["test", "--release", "--package", "lightning"]))
    })?;
    step("recorded decisions", || recorded(workspace, "lightning", LIGHTNING_VECTORS))?;
    println!("all checks and tests passed");
    Ok(())
}

pub fn lint(workspace: &Workspace) -> Result<()> {
    step("formatting", || format(workspace))?;
    step("clippy", || clippy(workspace))
}

fn format(workspace: &Workspace) -> Result<()> {
    run(cargo(&workspace.root).args(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    workspace.cargo_hosts(
        &["clippy", "--release", "--all-targets", "--quiet"],
        &["--", "-D", "warnings"],
    )
}

/// Builds the server, the guests that are measured and the benchmarks, and runs them with `args`.
pub fn bench(workspace: &Workspace, args: &[String]) -> Result<()> {
    guests::build(workspace, Wanted::Rust)?;
    step("build", || workspace.build_hosts())?;
    let mut bench = Command::new(workspace.target.join("release/bench"));
    run(bench.args(args).current_dir(&workspace.root).stdin(Stdio::null()))
}

/// Replays recorded decisions of another system against the policy that copies it.
pub fn vectors(workspace: &Workspace, args: &[String]) -> Result<()> {
    let [system, file] = args else { bail!("usage: cargo xtask vectors SYSTEM FILE") };
    step("build", || workspace.build_hosts())?;
    recorded(workspace, system, file)
}

fn recorded(workspace: &Workspace, system: &str, file: &str) -> Result<()> {
    let mut samovar = Command::new(workspace.samovar());
    run(samovar.args(["policy-vectors", "--system", system, file]).current_dir(&workspace.root))
}

pub fn deny(workspace: &Workspace) -> Result<()> {
    if !works("cargo-deny", &["--version"]) {
        bail!("cargo-deny is not installed: `cargo install --locked cargo-deny` installs it");
    }
    run(cargo(&workspace.root).args(["deny", "check"])).context("see deny.toml")
}
