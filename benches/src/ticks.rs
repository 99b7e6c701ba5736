//! Thousands of deployments that tick once a second: what that costs, and how late ticks come.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::Pid;
use samovar_tests::{Http, Samovar, component, status};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{bars::Bars, numbers::milliseconds, policies::BUILTIN, process::cpu_time};

/// Of one core.
const CPU_PERCENT_MAX: f64 = 10.0;
/// Requests to the admin API under way at once.
const CLIENTS: usize = 16;
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
    make(&samovar.admin, &digest, deployments).await?;
    let made = started.elapsed();
    sleep(SETTLE).await;
    let memory_before = resident_mib(samovar.pid())?;
    let (from, before) = (Instant::now(), cpu_time(samovar.pid())?);
    sleep(duration).await;
    let (passed, used) = (from.elapsed(), cpu_time(samovar.pid())? - before);
    let percent = 100.0 * used.as_secs_f64() / passed.as_secs_f64();
    let sampled = sample(&samovar, deployments, passed).await?;
    println!("{deployments} deployments, made in {:.1} s", made.as_secs_f64());
    println!("memory: {memory_before:.0} MiB, then {:.0} MiB", resident_mib(samovar.pid())?);
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

fn name(index: usize) -> String {
    format!("d{index:05}")
}

async fn make(admin: &Http, digest: &str, deployments: usize) -> Result<()> {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} deployments, {eta} left");
    let bar = ProgressBar::new(deployments as u64);
    bar.set_style(style.context("the template")?);
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (admin, bar, next) = (admin.clone(), bar.clone(), Arc::clone(&next));
        let digest = digest.to_owned();
        clients.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= deployments {
                    return Ok(());
                }
                let spec = json!({
                    "component": digest, "replicas": "0..1", "idle_ttl": "off",
                    "scaling": {"policy": BUILTIN[index % BUILTIN.len()]},
                });
                let path = format!("/v1/deployments/{}", name(index));
                let reply = admin.put_json(&path, &spec).await;
                ensure!(reply.status == 201, "PUT {path}: {} {}", reply.status, reply.text());
                bar.inc(1);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.context("a client panicked")??;
    }
    bar.finish_and_clear();
    Ok(())
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
        let log = samovar.decisions(&name(index)).await;
        let at = |decision: &Value| status::number(decision, "/at_ms");
        let newest = log.last().map(at).context("a deployment does not tick")?;
        let recent = |one: &&Value| newest.saturating_sub(at(one)) <= passed.as_millis() as u64;
        let recent: Vec<&Value> = log.iter().filter(recent).collect();
        ensure!(recent.len() > 1, "{} ticked once in {passed:?}", name(index));
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

/// Memory of the process that is in use now.
fn resident_mib(pid: Pid) -> Result<f64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    Ok(kib.with_context(|| format!("{path} has another shape"))? / 1024.0)
}
