//! Checks of the source, tests, benchmarks.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    guests::{self, Wanted},
    ui::step,
    venv,
    workspace::{Workspace, cargo, run, works},
};

/// Answers recorded from other systems, and where they are.
const RECORDED: [(&str, &str); 6] = [
    ("ray", "policies/ray-serve/tests/ray.json"),
    ("lightning", "policies/lightning/tests/lightning.json"),
    ("knative", "policies/kubetorch/tests/knative.json"),
    ("kubetorch", "policies/kubetorch/tests/kubetorch.json"),
    ("flyte", "policies/flyte/tests/flyte.json"),
    ("vast", "policies/vast/tests/vast.json"),
];

/// Packages that are guests or parts of guests and have tests for the host.
const GUEST_TESTS: [&str; 9] = [
    "samovar-sdk",
    "custom-scale",
    "queue-depth",
    "flyte",
    "knative",
    "kubetorch",
    "lightning",
    "ray-serve",
    "vast",
];

/// Random scenarios that every test run simulates, and that a night does.
const SCENARIOS_TEST: &str = "0..500";
const SCENARIOS_NIGHT: &str = "0..10000";
/// Processes that a night starts and drains, and kills of processes and servers.
const LOOPS_NIGHT: &str = "200";
const KILLS_NIGHT: &str = "1000";
/// Loads of a night: connections that come and go, idle connections, seconds of nearly full load.
const LOADS_NIGHT: [(&str, &str); 3] =
    [("SAMOVAR_CONNECTIONS", "100000"), ("SAMOVAR_IDLE", "10000"), ("SAMOVAR_SOAK_SECONDS", "600")];

/// Everything CI checks. The cheap checks come first.
pub fn test(workspace: &Workspace) -> Result<()> {
    step("formatting", || format(workspace))?;
    guests::build(workspace, Wanted::AllLanguages)?;
    step("Python environment", || venv::prepare(workspace))?;
    // Programs and tests in one go: a build without the tests' dependencies would be another one.
    step("build", || workspace.cargo_hosts(&["build", "--release", "--all-targets"], &[]))?;
    step("clippy", || clippy(workspace))?;
    step("tests", || workspace.cargo_hosts(&["test", "--release", "--no-fail-fast"], &[]))?;
    step("tests of policies", || {
        let packages = GUEST_TESTS.iter().flat_map(|package| ["--package", package]);
        let features = ["--features", "samovar-sdk/capabilities,samovar-sdk/handler"];
        run(cargo(&workspace.root).args(["test", "--release"]).args(packages).args(features))
    })?;
    for (system, file) in RECORDED {
        step(&format!("recorded answers of {system}"), || recorded(workspace, system, file))?;
    }
    step("random scenarios", || explore(workspace, SCENARIOS_TEST))?;
    step("instructions per request", || run_bench(workspace, &["instructions", "--subset"]))?;
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
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run_bench(workspace, &args)
}

fn run_bench(workspace: &Workspace, args: &[&str]) -> Result<()> {
    if args.contains(&"instructions") && !works("valgrind", &["--version"]) {
        guests::install("valgrind")?;
    }
    let mut bench = Command::new(workspace.target.join("release/bench"));
    run(bench.args(args).current_dir(&workspace.root).stdin(Stdio::null()))
}

/// Replays recorded decisions of another system against the policy that copies it.
pub fn vectors(workspace: &Workspace, args: &[String]) -> Result<()> {
    let [system, file] = args else { bail!("usage: cargo xtask vectors SYSTEM FILE") };
    let file = std::path::absolute(file).with_context(|| format!("find {file}"))?;
    step("build", || workspace.build_hosts())?;
    recorded(workspace, system, &file)
}

/// Simulates random scenarios with faults and checks them. Unless scenarios are named, it also starts
/// and kills many native processes, and loads the data plane for long.
pub fn nightly(workspace: &Workspace, args: &[String]) -> Result<()> {
    step("build", || workspace.build_hosts())?;
    if let Some(seeds) = args.first() {
        return explore(workspace, seeds);
    }
    step("random scenarios", || explore(workspace, SCENARIOS_NIGHT))?;
    step("processes started and killed", || {
        let mut tests = system_tests(workspace, &["native_loop", "native_kill"]);
        run(tests.env("SAMOVAR_LOOPS", LOOPS_NIGHT).env("SAMOVAR_KILLS", KILLS_NIGHT))
    })?;
    // One at a time, so that the load is theirs, and showing what they measured.
    step("loads", || {
        let modules = ["loads_connections", "loads_idle", "loads_soak"];
        let mut tests = system_tests(workspace, &modules);
        run(tests.args(["--nocapture", "--test-threads", "1"]).envs(LOADS_NIGHT))
    })
}

/// The system tests of some modules.
fn system_tests(workspace: &Workspace, modules: &[&str]) -> Command {
    let mut tests = cargo(&workspace.root);
    tests.args(["test", "--release", "--package", "samovar-tests", "--test", "system", "--"]);
    tests.args(modules);
    tests
}

fn explore(workspace: &Workspace, seeds: &str) -> Result<()> {
    run(Command::new(workspace.samovar()).args(["explore", seeds]))
}

fn recorded(workspace: &Workspace, system: &str, file: impl AsRef<Path>) -> Result<()> {
    let mut samovar = Command::new(workspace.samovar());
    let samovar = samovar.args(["policy-vectors", "--system", system]).arg(file.as_ref());
    run(samovar.current_dir(&workspace.root))
}

pub fn deny(workspace: &Workspace) -> Result<()> {
    if !works("cargo-deny", &["--version"]) {
        bail!("cargo-deny is not installed: `cargo install --locked cargo-deny` installs it");
    }
    run(cargo(&workspace.root).args(["deny", "check"])).context("see deny.toml")
}
