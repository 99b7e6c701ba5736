//! What a request costs a server that is under full load.

use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Pid;

use crate::{loadgen::Load, numbers::quantile, process::cpu_time};

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
pub struct Round {
    /// CPU time per request.
    pub cpu_us: f64,
    pub per_second: f64,
    pub p50_us: u32,
    pub p99_us: u32,
}

/// Puts `load` on a server for `duration` and counts the CPU time of the process `pid`.
///
/// # Errors
///
/// When a request fails, or the process has gone.
pub async fn measure(name: &str, pid: Pid, load: &Load, duration: Duration) -> Result<Round> {
    load.clone().run(WARM_UP).await;
    let before = cpu_time(pid)?;
    let report = load.clone().run(duration).await;
    let used = cpu_time(pid)? - before;
    if let Some(failure) = &report.first_failure {
        bail!("{name}: {} requests failed, the first one: {failure}", report.failed);
    }
    Ok(Round {
        cpu_us: used.as_secs_f64() * 1e6 / report.answered as f64,
        per_second: report.per_second(),
        p50_us: quantile(&report.latencies_us, 0.5),
        p99_us: quantile(&report.latencies_us, 0.99),
    })
}
