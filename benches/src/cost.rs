//! What a request costs a server that is under load.

use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Pid;

use crate::{
    loadgen::{Load, Report},
    numbers::quantile,
    paced,
    process::cpu_time,
};

/// Before every measurement, not counted.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// How to measure servers in turn.
#[derive(Clone, Debug)]
pub struct Settings {
    pub rounds: usize,
    /// Of each server in a round.
    pub duration: Duration,
    pub connections: usize,
}

/// One measurement of one server.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// CPU time per request.
    pub cpu_us: f64,
    pub per_second: f64,
    pub p50_us: u32,
    pub p99_us: u32,
    pub p999_us: u32,
}

/// How fast a load sends.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Every connection as soon as it has its answer.
    Full,
    /// All connections together so many requests per second, whatever the server does.
    PerSecond(f64),
}

/// Puts `load` on a server for `duration` and counts the CPU time of the process `pid`.
///
/// # Errors
///
/// When a request fails, or the process has gone.
pub async fn measure(name: &str, pid: Pid, load: &Load, duration: Duration) -> Result<Round> {
    measure_at(Pace::Full, name, pid, load, duration).await
}

/// The same at any pace.
///
/// # Errors
///
/// When a request fails, or the process has gone.
pub async fn measure_at(
    pace: Pace,
    name: &str,
    pid: Pid,
    load: &Load,
    duration: Duration,
) -> Result<Round> {
    measure_counted(pace, name, || cpu_time(pid), load, duration).await
}

/// The same with CPU time that is counted by `used`, which says how much it was so far.
///
/// # Errors
///
/// When a request fails, or `used` does.
pub async fn measure_counted(
    pace: Pace,
    name: &str,
    mut used: impl FnMut() -> Result<Duration>,
    load: &Load,
    duration: Duration,
) -> Result<Round> {
    send(pace, load, WARM_UP).await;
    let before = used()?;
    let report = send(pace, load, duration).await;
    let used = used()?.saturating_sub(before);
    if let Some(failure) = &report.first_failure {
        bail!("{name}: {} requests failed, the first one: {failure}", report.failed);
    }
    Ok(Round {
        cpu_us: used.as_secs_f64() * 1e6 / report.answered as f64,
        per_second: report.per_second(),
        p50_us: quantile(&report.latencies_us, 0.5),
        p99_us: quantile(&report.latencies_us, 0.99),
        p999_us: quantile(&report.latencies_us, 0.999),
    })
}

async fn send(pace: Pace, load: &Load, duration: Duration) -> Report {
    match pace {
        Pace::Full => load.clone().run(duration).await,
        Pace::PerSecond(rate) => paced::run(load.clone(), rate, duration).await,
    }
}
