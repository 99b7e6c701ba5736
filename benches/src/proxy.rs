//! What a request costs that Samovar forwards to a process: CPU time, then latency.
//!
//! The yardstick is the CPU time of a minimal reverse proxy made of hyper's parts. All proxies
//! stand in front of one and the same process, a bare hyper server that Samovar started as a
//! replica, and only their own CPU time counts, not that of the process. They are loaded one after
//! the other, round by round, so that a machine that slows down slows all of them.

mod latency;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rustix::process::Pid;
use samovar_tests::{Http, Samovar, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    baselines::{self, Baseline},
    cost::{self, Round, Settings},
    loadgen::Load,
    numbers::Spread,
    report,
};

/// Most CPU time per request, against the minimal proxy.
const RATIO_MAX: f64 = 2.0;
/// Most milliseconds that the p99 may grow by at half load.
const P99_ADDED_MS_MAX: f64 = 1.0;
const ECHO_BYTES: usize = 64 << 10;
const DEPLOYMENT: &str = "bare";
/// The bare server takes any path; Samovar routes this one to it.
const PATH: &str = "/bare";

const MINIMAL: &str = "minimal hyper proxy";
const SAMOVAR: &str = "samovar";

/// A proxy under load.
struct Server {
    name: &'static str,
    address: SocketAddr,
    pid: Pid,
}

/// What is sent and comes back.
struct Workload {
    name: &'static str,
    body: Bytes,
}

impl Workload {
    fn load(&self, address: SocketAddr, settings: &Settings) -> Load {
        let get = Load::get(address, PATH, settings.connections);
        Load { body: self.body.clone(), ..get }
    }
}

/// Measures, prints tables and writes `target/bench/proxy.json`.
pub async fn run(settings: &Settings) -> Result<Bars> {
    let samovar = Samovar::start().await;
    let replica = deploy(&samovar, settings).await?;
    let minimal = Baseline::proxy("minimal-proxy", replica)?;
    let pooled = Baseline::proxy("pooled-proxy", replica)?;
    let of = |name, proxy: &Baseline| Server { name, address: proxy.address, pid: proxy.pid() };
    let (address, pid) = (samovar.http.address(), samovar.pid());
    let servers = [
        of(MINIMAL, &minimal),
        of("crate samovar-proxy alone", &pooled),
        Server { name: SAMOVAR, address, pid },
    ];
    let addresses = servers.iter().map(|server| server.address).chain([replica]);
    for address in addresses {
        check(address).await?;
    }
    let workloads = [
        Workload { name: "hello", body: Bytes::new() },
        Workload { name: "64 KiB echo", body: Bytes::from(vec![b'x'; ECHO_BYTES]) },
    ];
    let mut rows = Vec::new();
    for workload in &workloads {
        rows.extend(costs(workload, &servers, settings).await?);
    }
    print_table(&rows);
    let full = find(&rows, "hello").per_second.median;
    let hello = &workloads[0];
    let loads: Vec<_> = [("the process itself", replica)]
        .into_iter()
        .chain(servers.iter().map(|server| (server.name, server.address)))
        .map(|(name, address)| (name, hello.load(address, settings)))
        .collect();
    let half = latency::measure(&loads, full / 2.0, settings).await?;
    half.print_table();
    write(&rows, &half, settings)?;
    samovar.stop().await;
    Ok(bars(&rows, &half, &workloads))
}

/// The address of the only replica.
async fn deploy(samovar: &Samovar, settings: &Settings) -> Result<SocketAddr> {
    let program = baselines::beside("bare-hyper")?;
    let spec = json!({
        "process": {"command": program, "listen": "port"},
        "route": PATH,
        "replicas": {"min": 1, "max": 1},
        "concurrency": settings.connections,
    });
    let path = format!("/v1/deployments/{DEPLOYMENT}");
    let reply = samovar.admin.put_json(&path, &spec).await;
    ensure!(matches!(reply.status, 200 | 201), "deploy the bare server: {}", reply.text());
    samovar.wait_status(DEPLOYMENT, "its replica", |seen| status::ready(seen) == 1).await;
    let view = samovar.admin.get(&format!("{path}/replicas")).await.expect(200).json();
    let address = view.pointer("/replicas/0/address").and_then(Value::as_str);
    address.and_then(parse_address).with_context(|| format!("no address of a replica in {view}"))
}

/// The address in a text such as `http://127.0.0.1:1234`.
fn parse_address(text: &str) -> Option<SocketAddr> {
    text.trim_start_matches("http://").trim_end_matches('/').parse().ok()
}

/// A ratio means little unless all do the same work.
async fn check(address: SocketAddr) -> Result<()> {
    let client = Http::new(address);
    let reply = client.get(PATH).await;
    ensure!(reply.text() == "Hello from Samovar!\n", "{address} answers {}", reply.text());
    // All bytes there are, in an order that shows when pieces change places.
    let sent: Vec<u8> = (0..ECHO_BYTES).map(|at| (at % 251) as u8).collect();
    let reply = client.post(PATH, sent.clone()).await;
    ensure!(reply.status == 200 && reply.body == sent, "{address} answers with other bytes");
    Ok(())
}

/// Of one server under one workload.
struct Row {
    workload: &'static str,
    server: &'static str,
    cpu_us: Spread,
    ratio: Spread,
    per_second: Spread,
    p50_us: Spread,
    p99_us: Spread,
}

async fn costs(workload: &Workload, servers: &[Server], settings: &Settings) -> Result<Vec<Row>> {
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 1..=settings.rounds {
        for (server, rounds) in servers.iter().zip(&mut rounds) {
            eprintln!("{} {round} of {}: {}", workload.name, settings.rounds, server.name);
            let load = workload.load(server.address, settings);
            rounds.push(cost::measure(server.name, server.pid, &load, settings.duration).await?);
        }
    }
    let row = |(server, own): (&Server, &Vec<Round>)| row(workload, server, own, &rounds[0]);
    Ok(servers.iter().zip(&rounds).map(row).collect())
}

/// Ratios compare values of one round.
fn row(workload: &Workload, server: &Server, rounds: &[Round], minimal: &[Round]) -> Row {
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let pairs = rounds.iter().zip(minimal);
    Row {
        workload: workload.name,
        server: server.name,
        cpu_us: of(|round| round.cpu_us),
        ratio: Spread::of(pairs.map(|(round, minimal)| round.cpu_us / minimal.cpu_us)),
        per_second: of(|round| round.per_second),
        p50_us: of(|round| f64::from(round.p50_us)),
        p99_us: of(|round| f64::from(round.p99_us)),
    }
}

/// That of Samovar.
fn find<'rows>(rows: &'rows [Row], workload: &str) -> &'rows Row {
    let found = rows.iter().find(|row| row.workload == workload && row.server == SAMOVAR);
    found.expect("it was measured")
}

fn print_table(rows: &[Row]) {
    println!("Medians of the rounds, with the least and the most:\n");
    println!(
        "| workload | proxy | µs CPU per request | against the minimal one | requests/s | p50 µs \
         | p99 µs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for Row { workload, server, cpu_us, ratio, per_second, p50_us, p99_us } in rows {
        println!(
            "| {workload} | {server} | {cpu_us:.1} | {ratio:.2} | {per_second:.0} | {p50_us:.0} \
             | {p99_us:.0} |"
        );
    }
}

fn bars(rows: &[Row], half: &latency::Latency, workloads: &[Workload]) -> Bars {
    let mut bars = Bars::default();
    for Workload { name, .. } in workloads {
        let what = format!("{name} through samovar, CPU per request against the minimal proxy");
        bars.at_most(what, find(rows, name).ratio.median, RATIO_MAX, " ×");
    }
    let added_ms = half.p99_added_us(SAMOVAR).median / 1000.0;
    bars.at_most("p99 that samovar adds at half load", added_ms, P99_ADDED_MS_MAX, " ms");
    bars
}

fn write(rows: &[Row], half: &latency::Latency, settings: &Settings) -> Result<()> {
    let row = |row: &Row| {
        json!({
            "workload": row.workload, "proxy": row.server,
            "cpu_us_per_request": row.cpu_us.to_json(),
            "ratio_to_minimal_proxy": row.ratio.to_json(),
            "requests_per_second": row.per_second.to_json(),
            "p50_us": row.p50_us.to_json(), "p99_us": row.p99_us.to_json(),
        })
    };
    let report = json!({
        "rounds": settings.rounds,
        "seconds": settings.duration.as_secs_f64(),
        "connections": settings.connections,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
        "half_load": half.to_json(),
    });
    report::write("proxy", &report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(cpu_us: f64) -> Round {
        Round { cpu_us, per_second: 1e6 / cpu_us, p50_us: 10, p99_us: 20, p999_us: 30 }
    }

    #[test]
    fn ratios_compare_values_of_one_round() {
        let workload = Workload { name: "hello", body: Bytes::new() };
        let address = parse_address("http://127.0.0.1:1234").unwrap();
        let server = Server { name: SAMOVAR, address, pid: rustix::process::getpid() };
        // The machine slows down: three times, then ten times.
        let minimal = [1.0, 3.0, 10.0].map(round);
        let own = [1.5, 4.5, 20.0].map(round);
        let row = row(&workload, &server, &own, &minimal);
        assert_eq!(row.ratio, Spread { median: 1.5, least: 1.5, most: 2.0 });
        assert_eq!(find(&[row], "hello").cpu_us.median, 4.5);
    }

    #[test]
    fn addresses_of_replicas_are_read() {
        let expected = Some("127.0.0.1:1234".parse().unwrap());
        assert_eq!(parse_address("http://127.0.0.1:1234"), expected);
        assert_eq!(parse_address("127.0.0.1:1234"), expected);
        assert_eq!(parse_address("unix:/run/a.sock"), None);
    }
}
