//! What batches bring a handler that takes a fixed time per batch, and what they cost in latency.
//!
//! The same pools, without batches and with batches of several settings, under a closed loop of 64
//! clients: throughput. Then each pool with batches at half of its own throughput, at a constant
//! rate: the p99, which must stay below what a request may wait for company and two service times:
//! that of the batch before its own, and that of its own.

mod service;

use std::fmt;

use anyhow::{Context, Result};
use bytes::Bytes;
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    cost::{Pace, Settings},
    loadgen::Load,
    numbers::Spread,
    report,
    turns::{self, Row, Turn, ratio},
};

const GUEST: &str = "batch";
const CLIENTS: usize = 64;
/// What the handler waits per batch, whatever its size.
const FIXED_MS: u64 = 5;
const QUESTION: &[u8] = br#"{"text": "The kettle sings on the stove."}"#;
/// Sizes of the pools.
const REPLICAS: [u32; 2] = [1, 2];
const UNBATCHED: Batching = Batching { size: 1, timeout_ms: 0 };
const BATCHED: [Batching; 4] = [
    Batching { size: 8, timeout_ms: 2 },
    Batching { size: 8, timeout_ms: 10 },
    Batching { size: 32, timeout_ms: 2 },
    RECOMMENDED,
];
/// For a handler like this one: half the clients fill a batch, and the time is the default.
const RECOMMENDED: Batching = Batching { size: 32, timeout_ms: 10 };
/// Least throughput of the recommended setting, against the same pool without batches.
const RATIO_MIN: f64 = 6.0;

/// `max_batch_size` and `timeout_batching`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batching {
    size: u32,
    timeout_ms: u64,
}

/// A pool with its setting, and its deployment.
#[derive(Clone, Copy, Debug)]
struct Pool {
    replicas: u32,
    batching: Batching,
}

/// Measures, prints tables and writes `target/bench/batching.json`.
pub async fn run(settings: &Settings) -> Result<Bars> {
    let samovar = Samovar::start().await;
    let pools: Vec<Pool> = REPLICAS.into_iter().flat_map(Pool::all).collect();
    for pool in &pools {
        deploy(&samovar, &pool.deployment(), pool.replicas, pool.batching).await;
    }
    let settings = Settings { connections: CLIENTS, ..settings.clone() };
    let full = measure(&samovar, &pools, |_| Pace::Full, &settings).await?;
    let batched: Vec<Pool> = pools.iter().copied().filter(Pool::is_batched).collect();
    let rate = |pool: &Pool| find(&full, *pool).row.per_second().median / 2.0;
    let half = measure(&samovar, &batched, |pool| Pace::PerSecond(rate(pool)), &settings).await?;
    let mut late = Vec::new();
    for outcome in &half {
        let size = outcome.figures.size().floor().max(1.0) as u32;
        let name = format!("alone-{}", outcome.pool.deployment());
        let service_us = service::alone(&samovar, &name, size).await?;
        late.push(Late { pool: outcome.pool, size, service_us, p99_us: outcome.row.p99_us() });
    }
    samovar.stop().await;
    print_table("64 clients, each sends when it has its answer", &full);
    print_ratios(&full);
    print_table("Half of that, at a constant rate", &half);
    print_late(&late);
    write(&full, &half, &late, &settings)?;
    Ok(bars(&full, &late))
}

/// A handler with a fixed time per batch; waits until its replicas are ready.
async fn deploy(samovar: &Samovar, name: &str, replicas: u32, batching: Batching) {
    let spec = json!({
        "replicas": {"min": replicas, "max": replicas},
        "config": {"batch_ms": FIXED_MS.to_string()},
        "batching": {
            "max_batch_size": batching.size,
            "timeout_batching": format!("{}ms", batching.timeout_ms),
        },
    });
    samovar.deploy(name, GUEST, spec).await;
    let is_warm = |seen: &Value| status::ready(seen) == u64::from(replicas);
    samovar.wait_status(name, "all its replicas", is_warm).await;
}

fn load(samovar: &Samovar, deployment: &str, clients: usize) -> Load {
    let get = Load::get(samovar.http.address(), format!("/{deployment}"), clients);
    Load { body: Bytes::from_static(QUESTION), ..get }
}

/// What a pool came to.
struct Outcome {
    pool: Pool,
    row: Row,
    figures: Figures,
}

async fn measure(
    samovar: &Samovar,
    pools: &[Pool],
    pace: impl Fn(&Pool) -> Pace,
    settings: &Settings,
) -> Result<Vec<Outcome>> {
    let turn = |pool: &Pool| Turn {
        name: pool.to_string(),
        load: load(samovar, &pool.deployment(), settings.connections),
        pace: pace(pool),
    };
    let turns: Vec<Turn> = pools.iter().map(turn).collect();
    let before = figures(samovar, pools).await?;
    let rows = turns::measure(samovar.pid(), &turns, settings).await?;
    let after = figures(samovar, pools).await?;
    let all = pools.iter().zip(rows).zip(after.iter().zip(&before));
    let outcome = |((pool, row), (after, before)): ((&Pool, Row), (&Figures, &Figures))| Outcome {
        pool: *pool,
        row,
        figures: after.since(before),
    };
    Ok(all.map(outcome).collect())
}

/// What the server counted of a deployment's batches, warm-ups included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Figures {
    batches: f64,
    requests: f64,
    waited_s: f64,
}

async fn figures(samovar: &Samovar, pools: &[Pool]) -> Result<Vec<Figures>> {
    let text = samovar.admin.get("/metrics").await.expect(200).text();
    pools.iter().map(|pool| Figures::read(&text, &pool.deployment())).collect()
}

impl Figures {
    fn read(text: &str, deployment: &str) -> Result<Self> {
        let label = format!("deployment=\"{deployment}\"");
        let of = |name: &str| {
            let value = status::metric(text, name, &[&label]);
            value.with_context(|| format!("no {name} of {deployment}"))
        };
        Ok(Self {
            batches: of("samovar_batch_size_count")?,
            requests: of("samovar_batch_size_sum")?,
            waited_s: of("samovar_batch_wait_seconds_sum")?,
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            batches: self.batches - before.batches,
            requests: self.requests - before.requests,
            waited_s: self.waited_s - before.waited_s,
        }
    }

    /// The mean; NaN when there were no batches.
    fn size(&self) -> f64 {
        self.requests / self.batches
    }

    /// From the arrival of a request until its batch left, the mean.
    fn wait_ms(&self) -> f64 {
        self.waited_s * 1000.0 / self.requests
    }

    fn to_json(self) -> Value {
        json!({"batches": self.batches, "mean_size": self.size(), "mean_wait_ms": self.wait_ms()})
    }
}

/// The p99 of a pool at half load, and what it must stay below.
struct Late {
    pool: Pool,
    /// Mean size of the batches, rounded down.
    size: u32,
    /// Of a batch of that size with no other work.
    service_us: Spread,
    p99_us: Spread,
}

impl Late {
    fn bar_us(&self) -> f64 {
        self.pool.batching.timeout_ms as f64 * 1000.0 + 2.0 * self.service_us.median
    }

    fn to_json(&self) -> Value {
        json!({
            "pool": self.pool.to_string(), "size": self.size,
            "service_us": self.service_us.to_json(), "p99_us": self.p99_us.to_json(),
            "p99_us_max": self.bar_us(),
        })
    }
}

impl Pool {
    fn all(replicas: u32) -> impl Iterator<Item = Self> {
        let settings = [UNBATCHED].into_iter().chain(BATCHED);
        settings.map(move |batching| Self { replicas, batching })
    }

    fn is_batched(&self) -> bool {
        self.batching != UNBATCHED
    }

    fn is_recommended(&self) -> bool {
        self.batching == RECOMMENDED
    }

    fn deployment(&self) -> String {
        let Self { replicas, batching: Batching { size, timeout_ms } } = self;
        format!("r{replicas}-s{size}-t{timeout_ms}")
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replicas, batching: Batching { size, timeout_ms } } = self;
        let plural = if *replicas == 1 { "" } else { "s" };
        write!(f, "{replicas} replica{plural}, ")?;
        match self.is_batched() {
            true => write!(f, "batches of {size}, {timeout_ms} ms"),
            false => write!(f, "no batches"),
        }
    }
}

fn find(outcomes: &[Outcome], pool: Pool) -> &Outcome {
    let is_it = |outcome: &&Outcome| outcome.pool.deployment() == pool.deployment();
    outcomes.iter().find(is_it).expect("it was measured")
}

/// Throughput of a pool against the same one without batches.
fn gain(outcomes: &[Outcome], pool: Pool) -> Spread {
    let unbatched = Pool { batching: UNBATCHED, ..pool };
    let (own, other) = (&find(outcomes, pool).row, &find(outcomes, unbatched).row);
    own.against(other, |round| round.per_second, ratio)
}

fn print_table(what: &str, outcomes: &[Outcome]) {
    println!("\n{what}; medians of the rounds, with the least and the most:\n");
    println!(
        "| pool | requests/s | p50 µs | p99 µs | µs CPU per request | mean size | mean wait ms |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for Outcome { pool, row, figures } in outcomes {
        let (per_second, p50_us, p99_us) = (row.per_second(), row.p50_us(), row.p99_us());
        let (cpu_us, size, wait_ms) = (row.cpu_us(), figures.size(), figures.wait_ms());
        println!(
            "| {pool} | {per_second:.0} | {p50_us:.0} | {p99_us:.0} | {cpu_us:.0} | {size:.1} \
             | {wait_ms:.2} |"
        );
    }
}

fn print_ratios(full: &[Outcome]) {
    println!("\n| pool | throughput against no batches |\n| --- | --- |");
    for outcome in full.iter().filter(|outcome| outcome.pool.is_batched()) {
        println!("| {} | {:.1} |", outcome.pool, gain(full, outcome.pool));
    }
}

fn print_late(late: &[Late]) {
    println!("\n| pool | p99 µs at half load | at most | one batch alone, µs | of |");
    println!("| --- | --- | --- | --- | --- |");
    for one in late {
        let Late { pool, size, service_us, p99_us } = one;
        println!("| {pool} | {p99_us:.0} | {:.0} | {service_us:.0} | {size} |", one.bar_us());
    }
    println!();
}

/// "Never" is meant of every round.
fn bars(full: &[Outcome], late: &[Late]) -> Bars {
    let mut bars = Bars::default();
    for outcome in full.iter().filter(|outcome| outcome.pool.is_recommended()) {
        let what = format!("{}: throughput against no batches", outcome.pool);
        bars.at_least(what, gain(full, outcome.pool).median, RATIO_MIN, " ×");
    }
    for one in late.iter().filter(|one| one.pool.is_recommended()) {
        let what = format!("{}: p99 at half load, worst round", one.pool);
        bars.at_most(what, one.p99_us.most / 1000.0, one.bar_us() / 1000.0, " ms");
    }
    bars
}

fn write(full: &[Outcome], half: &[Outcome], late: &[Late], settings: &Settings) -> Result<()> {
    let outcome = |outcome: &Outcome| {
        json!({
            "pool": outcome.pool.to_string(), "load": outcome.row.to_json(),
            "batches": outcome.figures.to_json(),
        })
    };
    let gain = |outcome: &Outcome| {
        let ratio = gain(full, outcome.pool).to_json();
        json!({"pool": outcome.pool.to_string(), "ratio": ratio})
    };
    let report = json!({
        "settings": turns::settings_json(settings),
        "full_load": full.iter().map(outcome).collect::<Vec<_>>(),
        "throughput_against_no_batches": full.iter().map(gain).collect::<Vec<_>>(),
        "half_load": half.iter().map(outcome).collect::<Vec<_>>(),
        "p99": late.iter().map(Late::to_json).collect::<Vec<_>>(),
    });
    report::write("batching", &report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::tests::row;

    /// A pool of two replicas that answers requests of these CPU times, one after the other.
    fn outcome(batching: Batching, cpu_us: &[f64]) -> Outcome {
        let pool = Pool { replicas: 2, batching };
        Outcome { pool, row: row(cpu_us), figures: Figures::default() }
    }

    #[test]
    fn gain_compares_with_the_same_pool_without_batches() {
        let slow = outcome(UNBATCHED, &[100.0, 200.0, 1000.0]);
        let fast = outcome(RECOMMENDED, &[10.0, 25.0, 250.0]);
        let pool = fast.pool;
        let mut other = outcome(UNBATCHED, &[1.0, 1.0, 1.0]);
        other.pool.replicas = 1;
        let full = [other, slow, fast];
        let ratios = gain(&full, pool);
        assert!((ratios.median - 8.0).abs() < 1e-9, "{ratios}");
        bars(&full, &[]).verdict().unwrap();
    }

    #[test]
    fn lateness_is_judged_by_the_worst_round() {
        let late = |most| Late {
            pool: Pool { replicas: 1, batching: RECOMMENDED },
            size: 20,
            service_us: Spread::of([6000.0, 6500.0, 9000.0]),
            p99_us: Spread { median: 12_000.0, least: 10_000.0, most },
        };
        // 10 ms and twice 6.5 ms.
        assert_eq!(late(0.0).bar_us(), 23_000.0);
        assert!(bars(&[], &[late(23_000.0)]).verdict().is_ok());
        assert!(bars(&[], &[late(23_001.0)]).verdict().is_err());
    }

    #[test]
    fn figures_are_those_between_two_readings() {
        let text = |batches: u32, requests: u32, waited_s: f64| {
            format!(
                "samovar_batch_size_count{{deployment=\"a\"}} {batches}\n\
                 samovar_batch_size_sum{{deployment=\"a\"}} {requests}\n\
                 samovar_batch_wait_seconds_sum{{deployment=\"a\"}} {waited_s}\n\
                 samovar_batch_size_count{{deployment=\"ab\"}} 99\n"
            )
        };
        let before = Figures::read(&text(2, 10, 0.5), "a").unwrap();
        let after = Figures::read(&text(6, 30, 0.75), "a").unwrap();
        let between = after.since(&before);
        assert_eq!((between.size(), between.wait_ms()), (5.0, 12.5));
        assert!(Figures::read(&text(1, 1, 1.0), "b").is_err());
        assert!(Figures::default().size().is_nan());
    }
}
