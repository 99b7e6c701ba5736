//! Whether the simulator tells the truth: the same requests live and simulated.
//!
//! Each built-in policy scales a handler that serves one request at a time and one that serves
//! several, all on one server. The client sends at the times of the trace, whatever becomes of the
//! requests before. The simulator is then given the same settings, the trace as it was sent, and
//! how long the handlers take as measured. Its clock begins with a tick, so the trace is placed by
//! each deployment's live ticks.

mod live;
mod plan;
mod simulated;

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use samovar_tests::{Samovar, paths};
use serde_json::json;

use crate::{
    bars::Bars,
    numbers::{milliseconds, quantile},
    process,
};
use live::{Played, Sample};
use plan::{LEAD, Subject};
use simulated::Simulated;

/// Moments at which the numbers of replicas are at most one apart.
const WITHIN_ONE_PERCENT_MIN: f64 = 95.0;
/// Between the 95 % quantiles of the latency, of the live one.
const P95_APART_PERCENT_MAX: f64 = 15.0;

/// Ticks this far from their beat see another load than they would have seen.
const STALL_US: u32 = 250_000;

/// One deployment, live and simulated.
struct Compared {
    subject: Subject,
    played: Played,
    simulated: Simulated,
}

/// Replays `total` of requests live, then simulates them.
pub async fn run(total: Duration) -> Result<Bars> {
    process::raise_file_limit();
    let samovar = Samovar::start().await;
    let timings = live::timings(&samovar).await?;
    for (handler, timing) in &timings {
        println!(
            "{}: {:.2} ms per request, {:.2} ms more at zero replicas",
            handler.world,
            timing.service.as_secs_f64() * 1e3,
            timing.start_up.as_secs_f64() * 1e3
        );
    }
    let (subjects, times) = (Subject::all(), plan::times(total));
    eprintln!("replaying {} requests to each of {} deployments", times.len(), subjects.len());
    let played = live::play(&samovar, &subjects, &times, total).await?;
    samovar.stop().await;
    let simulated = simulated::run(&subjects, total, &timings, &played)?;
    let both = subjects.into_iter().zip(played).zip(simulated);
    let all: Vec<Compared> = both
        .map(|((subject, played), simulated)| Compared { subject, played, simulated })
        .collect();
    print(&all, times.len());
    write(&all)?;
    Ok(bars(&all))
}

impl Compared {
    /// Live and simulated, at each moment from the start of the requests on.
    fn pairs(&self) -> impl Iterator<Item = (&Sample, &Sample)> {
        let both = self.played.samples.iter().zip(&self.simulated.samples);
        both.skip(plan::ticks(LEAD) as usize)
    }

    /// Of 100 moments, those at which a number is at most `most` apart.
    fn within(&self, most: u64, number: fn(&Sample) -> u64) -> f64 {
        let is_near = |(live, simulated): &(&Sample, &Sample)| {
            number(live).abs_diff(number(simulated)) <= most
        };
        let (near, all) = (self.pairs().filter(is_near).count(), self.pairs().count());
        100.0 * near as f64 / all as f64
    }

    fn live_ms(&self, share: f64) -> f64 {
        f64::from(quantile(&self.played.latencies_us, share)) / 1000.0
    }

    fn p95_apart_percent(&self) -> f64 {
        let live = self.live_ms(0.95);
        100.0 * (self.simulated.p95_ms - live).abs() / live
    }
}

fn print(all: &[Compared], requests: usize) {
    println!("{requests} requests to each deployment\n");
    println!(
        "| policy | handler | replicas, most | within one | equal | targets equal | p50 ms, live \
         and simulated | p95 ms, live and simulated |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for one in all {
        let most = one.played.samples.iter().map(|sample| sample.replicas).max().unwrap_or(0);
        println!(
            "| {} | {} | {most} | {:.1} % | {:.1} % | {:.1} % | {:.0}, {:.0} | {:.0}, {:.0} |",
            one.subject.policy,
            one.subject.handler.world,
            one.within(1, |sample| sample.replicas),
            one.within(0, |sample| sample.replicas),
            one.within(0, |sample| sample.target),
            one.live_ms(0.5),
            one.simulated.p50_ms,
            one.live_ms(0.95),
            one.simulated.p95_ms,
        );
    }
    println!();
    for one in all {
        let (name, failed) = (one.subject.name(), &one.played.failed);
        if let Some(first) = failed.first() {
            println!("{name}: {} live requests failed, the first one: {first}", failed.len());
        }
        if one.simulated.failed > 0 {
            println!("{name}: {} simulated requests failed", one.simulated.failed);
        }
    }
    let sent = all.iter().map(|one| &one.played.late_us);
    println!("requests were sent this late: {}", milliseconds(sent.flatten().copied().collect()));
    let off: Vec<u32> = all.iter().flat_map(|one| one.played.ticks.off_us.clone()).collect();
    let worst_us = off.iter().copied().max().unwrap_or(0);
    println!("ticks were this far from their beat: {}", milliseconds(off));
    if worst_us > STALL_US {
        println!(
            "the machine stood still meanwhile, of which the simulator knows nothing: measure \
             again when it is quiet"
        );
    }
}

fn bars(all: &[Compared]) -> Bars {
    let mut bars = Bars::default();
    for one in all {
        let name = format!("{}, {}", one.subject.policy, one.subject.handler.world);
        let near = one.within(1, |sample| sample.replicas);
        bars.at_least(format!("{name}: within one replica"), near, WITHIN_ONE_PERCENT_MIN, " %");
        let apart = one.p95_apart_percent();
        bars.at_most(format!("{name}: p95 apart"), apart, P95_APART_PERCENT_MAX, " %");
        let failed = one.played.failed.len() as f64;
        bars.at_most(format!("{name}: failed requests"), failed, 0.0, "");
    }
    bars
}

/// All moments, for those who want to see where the two differ.
fn write(all: &[Compared]) -> Result<()> {
    let series = |samples: &[Sample], number: fn(&Sample) -> u64| -> Vec<u64> {
        samples.iter().map(number).collect()
    };
    let both = |one: &Compared, number: fn(&Sample) -> u64| {
        json!({
            "live": series(&one.played.samples, number),
            "simulated": series(&one.simulated.samples, number),
        })
    };
    let deployment = |one: &Compared| {
        json!({
            "name": one.subject.name(),
            "sent_s": one.played.sent.iter().map(Duration::as_secs_f64).collect::<Vec<_>>(),
            "phase_ms": one.played.ticks.phase.as_secs_f64() * 1e3,
            "replicas": both(one, |sample| sample.replicas),
            "targets": both(one, |sample| sample.target),
        })
    };
    let report = json!({
        "lead_s": LEAD.as_secs(),
        "deployments": all.iter().map(deployment).collect::<Vec<_>>(),
    });
    let folder = paths::workspace().join("target/bench");
    fs::create_dir_all(&folder).context("make target/bench")?;
    fs::write(folder.join("truth.json"), format!("{report}\n")).context("write truth.json")?;
    println!("written to target/bench/truth.json");
    Ok(())
}
