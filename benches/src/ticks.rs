//! Thousands of deployments that tick once a second: what that costs, and how late ticks come.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use samovar_tests::{Samovar, component, status};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    bars::Bars, many, memory::Memory, numbers::milliseconds, policies::BUILTIN, process::cpu_time,
};

/// Of one core.
const CPU_PERCENT_MAX: f64 = 10.0;
/// The first ticks after a deployment was made are not measured.
const SETTLE: Duration = Duration::from_secs(5);
/// Deployments whose decision logs are read.
const SAMPLES: usize = 50;
const INTERVAL_MS: u64 = 1000;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub deployments: usize,
    pub duration: Duration,
}

/// Makes the deployments, lets them tick, and measures the process from outside.
pub async fn run(settings: Settings) -> Result<Bars> {
    let Settings { deployments, duration } = settings;
    let samovar = Samovar::start().await;
    let digest = samovar.upload(component("hello")).await;
    let started = Instant::now();
    let spec = move |index: usize| {
        json!({
            "component": digest, "replicas": "0..1", "idle_ttl": "off",
            "scaling": {"policy": BUILTIN[index % BUILTIN.len()]},
        })
    };
    many::make(&samovar.admin, deployments, spec).await?;
    let made = started.elapsed();
    sleep(SETTLE).await;
    let memory_before = Memory::of(samovar.pid())?.resident_mib();
    let (from, before) = (Instant::now(), cpu_time(samovar.pid())?);
    sleep(duration).await;
    let (passed, used) = (from.elapsed(), cpu_time(samovar.pid())? - before);
    let percent = 100.0 * used.as_secs_f64() / passed.as_secs_f64();
    let sampled = sample(&samovar, deployments, passed).await?;
    let memory_after = Memory::of(samovar.pid())?.resident_mib();
    println!("{deployments} deployments, made in {:.1} s", made.as_secs_f64());
    println!("memory: {memory_before:.0} MiB, then {memory_after:.0} MiB");
    println!("CPU time: {percent:.1} % of a core over {:.0} s", passed.as_secs_f64());
    println!("a tick of all: {:.1} µs CPU", percent * 1e4 / deployments as f64);
    println!("ticks per second and deployment: {:.3}", sampled.per_second);
    println!("a tick comes this late after the one before: {}", milliseconds(sampled.late_us));
    println!("a policy takes, wall time: {}", milliseconds(sampled.took_us));
    samovar.stop().await;
    let mut bars = Bars::default();
    let what = format!("{deployments} deployments ticking each second, CPU of one core");
    bars.at_most(what, percent, CPU_PERCENT_MAX, " %");
    Ok(bars)
}

struct Sampled {
    /// Beyond the interval.
    late_us: Vec<u32>,
    took_us: Vec<u32>,
    per_second: f64,
}

/// Decisions of some deployments, of the last `passed`.
async fn sample(samovar: &Samovar, deployments: usize, passed: Duration) -> Result<Sampled> {
    let (mut late_us, mut took_us, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    // A step that is no multiple of the number of policies meets all of them.
    let step = (deployments / SAMPLES).max(1) | 1;
    for index in (0..deployments).step_by(step) {
        let log = samovar.decisions(&many::name(index)).await;
        let at = |decision: &Value| status::number(decision, "/at_ms");
        let newest = log.last().map(at).context("a deployment does not tick")?;
        let recent = |one: &&Value| newest.saturating_sub(at(one)) <= passed.as_millis() as u64;
        let recent: Vec<&Value> = log.iter().filter(recent).collect();
        ensure!(recent.len() > 1, "{} ticked once in {passed:?}", many::name(index));
        for pair in recent.windows(2) {
            let distance = at(pair[1]).saturating_sub(at(pair[0]));
            late_us.push(distance.saturating_sub(INTERVAL_MS) as u32 * 1000);
        }
        took_us.extend(recent.iter().map(|one| status::number(one, "/took_us") as u32));
        let span_ms = newest - at(recent[0]);
        rates.push((recent.len() - 1) as f64 * 1000.0 / span_ms as f64);
    }
    let per_second = rates.iter().sum::<f64>() / rates.len() as f64;
    Ok(Sampled { late_us, took_us, per_second })
}
