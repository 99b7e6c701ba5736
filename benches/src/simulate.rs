//! How fast simulations run.

use std::{
    fmt::Write as _,
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    bars::Bars,
    policies::{BUILTIN, samovar},
    process::cpu_time,
};

const REQUESTS_PER_SECOND_MIN: f64 = 1e6;
const MANY_SECONDS_MAX: f64 = 300.0;

/// The difference between the two runs is what is measured, so that the start, which compiles the
/// policy, does not count.
const SHORT: &str = "2m";
const LONG: &str = "30m";
const RATE: &str = "20000/s";

const MANY: usize = 1000;
const WORKLOADS: [&str; 4] = [
    "diurnal:mean=1/s,peak=3/s,period=1h",
    "bursts:base=0.5/s,burst=10.5/s,every=60s,for=3s",
    "poisson:1/s",
    "ramp:0/s..2/s@1h",
];

/// One simulation from outside.
struct Run {
    /// Those that were answered.
    requests: f64,
    cpu: Duration,
    wall: Duration,
}

/// One busy deployment with each policy, then many deployments for an hour.
pub fn run() -> Result<Bars> {
    let mut bars = Bars::default();
    println!("| policy | requests | CPU s | wall s | requests per CPU second | per wall second |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for policy in BUILTIN {
        let (short, long) = (one(policy, SHORT)?, one(policy, LONG)?);
        let requests = long.requests - short.requests;
        let cpu = (long.cpu.saturating_sub(short.cpu)).as_secs_f64();
        let wall = (long.wall.saturating_sub(short.wall)).as_secs_f64();
        println!(
            "| {policy} | {requests:.0} | {cpu:.1} | {wall:.1} | {:.0} | {:.0} |",
            requests / cpu,
            requests / wall
        );
        let what = format!("simulated requests of {policy} per second of a core");
        bars.at_least(what, requests / cpu, REQUESTS_PER_SECOND_MIN, "/s");
    }
    let many = many()?;
    println!(
        "\n{MANY} deployments for an hour: {:.0} requests, {:.1} s CPU, {:.1} s wall",
        many.requests,
        many.cpu.as_secs_f64(),
        many.wall.as_secs_f64()
    );
    let what = format!("{MANY} deployments for an hour, wall time");
    bars.at_most(what, many.wall.as_secs_f64(), MANY_SECONDS_MAX, " s");
    Ok(bars)
}

fn one(policy: &str, duration: &str) -> Result<Run> {
    let arrivals = format!("poisson:{RATE}");
    let mut command = samovar();
    command.args(["simulate", "--policy", policy, "--arrivals", &arrivals, "--for", duration]);
    // Enough replicas from the start: a request that is refused costs less than one that is served.
    command.args(["--service", "50ms", "--concurrency", "10", "--replicas", "120..200"]);
    command.args(["--json", "-"]);
    watch(&mut command)
}

fn many() -> Result<Run> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("many.toml");
    std::fs::write(&file, scenario()).context("write the scenario")?;
    let mut command = samovar();
    command.args(["simulate", "--json", "-", "--scenario"]).arg(&file);
    watch(&mut command)
}

/// About a request per second for each deployment, the policies in turn.
fn scenario() -> String {
    let mut text = "duration = \"1h\"\nseed = 1\ninterval = \"1m\"\n".to_owned();
    for index in 0..MANY {
        let policy = BUILTIN[index % BUILTIN.len()];
        let workload = WORKLOADS[index / BUILTIN.len() % WORKLOADS.len()];
        write!(
            text,
            "\n[[deployments]]\nname = \"d{index:04}\"\nreplicas = {{ min = 0, max = 10 }}\n\
             service = \"exp:200ms\"\nscaling = {{ policy = \"{policy}\" }}\n\
             load = {{ open = \"{workload}\" }}\n"
        )
        .expect("a text takes all");
    }
    text
}

/// Runs a simulation, and reads what it cost before it is gone.
fn watch(command: &mut Command) -> Result<Run> {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("run {command:?}"))?;
    let mut report = Vec::new();
    let mut output = child.stdout.take().expect("stdout was asked for as a pipe");
    output.read_to_end(&mut report).context("read the report")?;
    let pid = Pid::from_child(&child);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(pid), options).context("wait for the simulation")?;
    let (wall, cpu) = (started.elapsed(), cpu_time(pid)?);
    let status = child.wait().context("wait for the simulation")?;
    ensure!(status.success(), "{command:?}: {status}");
    let report: Value = serde_json::from_slice(&report).context("read the report")?;
    let deployments = report.pointer("/runs/0/deployments").and_then(Value::as_array);
    let completed = |one: &Value| one.pointer("/summary/completed").and_then(Value::as_f64);
    let requests: Option<f64> = deployments.and_then(|all| all.iter().map(completed).sum());
    Ok(Run { requests: requests.context("the report tells of no requests")?, cpu, wall })
}
