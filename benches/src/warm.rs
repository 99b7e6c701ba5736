//! What a request costs when replicas are warm.
//!
//! All servers run side by side and are loaded one after the other, round by round (A B C A B C),
//! so that a machine that slows down slows all of them. A ratio compares values of one round.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use rustix::process::Pid;
use samovar_tests::{Samovar, paths, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    baselines::{self, Baseline, Wasmtime},
    cost::{self, Round, Settings},
    loadgen::Load,
    numbers::median,
    report,
};

/// Servers of ours with the most CPU time per request they may take, against bare hyper.
const RATIOS_MAX: [(&str, f64); 2] = [(OLD, 2.0), (NEW, 3.0)];
const OLD: &str = "samovar, WASI 0.2";
const NEW: &str = "samovar, WASI 0.3";

/// One server under load.
struct Target {
    name: &'static str,
    address: SocketAddr,
    path: &'static str,
    pid: Pid,
    rounds: Vec<Round>,
}

/// Measures, prints a table and writes `target/bench/warm.json`.
pub async fn run(settings: &Settings) -> Result<Bars> {
    let samovar = Samovar::start().await;
    deploy(&samovar, settings).await;
    let hyper = Baseline::hyper()?;
    let peers = peers()?;
    let of_samovar = |name, path| Target {
        name,
        address: samovar.http.address(),
        path,
        pid: samovar.pid(),
        rounds: Vec::new(),
    };
    let of_baseline = |name, server: &Baseline| Target {
        name,
        address: server.address,
        path: "/",
        pid: server.pid(),
        rounds: Vec::new(),
    };
    let mut targets = vec![
        of_baseline("bare hyper", &hyper),
        of_samovar(OLD, "/hello"),
        of_samovar(NEW, "/hello-async"),
    ];
    targets.extend(peers.iter().map(|(name, server)| of_baseline(name, server)));
    for round in 1..=settings.rounds {
        for target in &mut targets {
            eprintln!("round {round} of {}: {}", settings.rounds, target.name);
            let measured = measure(target, settings).await?;
            target.rounds.push(measured);
        }
    }
    let rows = rows(&targets);
    print_table(&rows);
    write(&rows, settings)?;
    samovar.stop().await;
    let mut bars = Bars::default();
    for (name, most) in RATIOS_MAX {
        let row = rows.iter().find(|row| row.name == name).expect("it was measured");
        let what = format!("{name}, CPU per request against bare hyper");
        bars.at_most(what, row.ratio, most, " ×");
    }
    Ok(bars)
}

/// As many replicas as connections: a 0.2 handler serves one request at a time.
async fn deploy(samovar: &Samovar, settings: &Settings) {
    let fixed = |replicas: usize| json!({"min": replicas, "max": replicas});
    let spec = json!({"replicas": fixed(settings.connections), "concurrency": 1});
    samovar.deploy("hello", "hello", spec).await;
    let concurrency = 16;
    let replicas = settings.connections.div_ceil(concurrency);
    let spec = json!({"replicas": fixed(replicas), "concurrency": concurrency});
    samovar.deploy("hello-async", "hello-async", spec).await;
    for (name, replicas) in [("hello", settings.connections), ("hello-async", replicas)] {
        let is_warm = |seen: &Value| status::ready(seen) == replicas as u64;
        samovar.wait_status(name, "all its replicas", is_warm).await;
    }
}

/// `wasmtime serve`, if it is installed.
fn peers() -> Result<Vec<(&'static str, Baseline)>> {
    let Some(program) = baselines::wasmtime() else {
        eprintln!("no wasmtime in WASMTIME or on the path: `wasmtime serve` is left out");
        return Ok(Vec::new());
    };
    let start = |(variant, guest): (Wasmtime, &str)| {
        let server = Baseline::wasmtime(&program, variant, &paths::component(guest));
        let name = variant.name();
        server.map(|server| (name, server)).with_context(|| format!("start {name}"))
    };
    let variants = [
        (Wasmtime::Default02, "hello"),
        (Wasmtime::Reuse02, "hello"),
        (Wasmtime::Default03, "hello-async"),
    ];
    variants.into_iter().map(start).collect()
}

async fn measure(target: &Target, settings: &Settings) -> Result<Round> {
    let load = Load::get(target.address, target.path, settings.connections);
    cost::measure(target.name, target.pid, &load, settings.duration).await
}

/// The medians of one server.
struct Row {
    name: &'static str,
    cpu_us: f64,
    ratio: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

fn rows(targets: &[Target]) -> Vec<Row> {
    let yardstick = &targets[0].rounds;
    let row = |target: &Target| {
        let of = |value: fn(&Round) -> f64| median(target.rounds.iter().map(value));
        let pairs = target.rounds.iter().zip(yardstick);
        Row {
            name: target.name,
            cpu_us: of(|round| round.cpu_us),
            ratio: median(pairs.map(|(round, bare)| round.cpu_us / bare.cpu_us)),
            per_second: of(|round| round.per_second),
            p50_us: of(|round| f64::from(round.p50_us)),
            p99_us: of(|round| f64::from(round.p99_us)),
        }
    };
    targets.iter().map(row).collect()
}

fn print_table(rows: &[Row]) {
    println!("| server | µs CPU per request | against bare hyper | requests/s | p50 µs | p99 µs |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for Row { name, cpu_us, ratio, per_second, p50_us, p99_us } in rows {
        println!(
            "| {name} | {cpu_us:.1} | {ratio:.2} | {per_second:.0} | {p50_us:.0} | {p99_us:.0} |"
        );
    }
}

fn write(rows: &[Row], settings: &Settings) -> Result<()> {
    let row = |row: &Row| {
        json!({
            "name": row.name, "cpu_us_per_request": row.cpu_us, "ratio_to_bare_hyper": row.ratio,
            "requests_per_second": row.per_second, "p50_us": row.p50_us, "p99_us": row.p99_us,
        })
    };
    let report = json!({
        "rounds": settings.rounds,
        "seconds": settings.duration.as_secs_f64(),
        "connections": settings.connections,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    });
    report::write("warm", &report)
}
