//! All servers side by side: what a request costs, how many there can be, and how long they take.
//!
//! For each workload all servers that can do it are started, loaded one after the other, round by
//! round (A B C A B C), and ended. So a machine that slows down slows all of them, and a ratio
//! compares values of one round. Each server runs for one workload alone, so that its memory is
//! that of this workload.

pub mod contender;
pub mod measure;
pub mod own_time;
pub mod plot;
pub mod server;
pub mod summary;
pub mod tree;
pub mod workload;

use anyhow::{Context, Result};
use serde_json::json;

use crate::{bars::Bars, cost::Settings, process, report, turns::settings_json};

use contender::{Contender, Programs};
use measure::LeftOut;
use server::{Server, Wanted};
use summary::Summary;
use workload::Workload;

/// Measures `workloads`, prints tables, and writes `target/bench/compare.json` and `compare.svg`.
///
/// # Errors
///
/// When Samovar or bare hyper fails a request. A server of somebody else is left out then.
pub async fn run(settings: &Settings, workloads: &[Workload]) -> Result<Bars> {
    process::raise_file_limit();
    let programs = Programs::find();
    for (name, how) in programs.missing() {
        println!("{name} is left out: it is not installed ({how})");
    }
    let (mut bars, mut left_out, mut summaries) = (Bars::default(), Vec::new(), Vec::new());
    for workload in workloads {
        let servers = start(*workload, &programs, settings, &mut left_out).await?;
        let outcomes = measure::run(servers, workload.name(), settings, &mut left_out).await?;
        let own_time = match workload {
            Workload::Thumbnail => Some(own_time::measure(&programs, settings).await?),
            _ => None,
        };
        let summary = Summary { workload: *workload, outcomes, own_time };
        summary.print();
        summary.add_bars(&mut bars);
        summaries.push(summary);
    }
    println!();
    for LeftOut { name, workload, why } in &left_out {
        println!("{name} is left out of {workload}: {why}");
    }
    write(&summaries, &programs, &left_out, settings)?;
    Ok(bars)
}

/// All that can do `workload` and are there.
async fn start(
    workload: Workload,
    programs: &Programs,
    settings: &Settings,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for contender in Contender::ALL {
        let wanted = Wanted::new(contender, programs, workload, settings.connections);
        let is_there = wanted.program.is_some() || !contender.is_peer();
        if !is_there || !contender.serves(workload) {
            continue;
        }
        eprintln!("{}, starting: {}", workload.name(), contender.name());
        match Server::start(wanted).await {
            Ok(server) => servers.push(server),
            Err(error) if contender.is_peer() => {
                left_out.push(LeftOut::of(contender, workload.name(), &error));
            }
            Err(error) => return Err(error).with_context(|| contender.name()),
        }
    }
    Ok(servers)
}

fn write(
    summaries: &[Summary],
    programs: &Programs,
    left_out: &[LeftOut],
    settings: &Settings,
) -> Result<()> {
    let left_out = left_out
        .iter()
        .map(|one| json!({"name": one.name, "workload": one.workload, "why": one.why}));
    let missing = programs.missing();
    let report = json!({
        "settings": settings_json(settings),
        "workloads": summaries.iter().map(Summary::to_json).collect::<Vec<_>>(),
        "not_installed": missing.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "left_out": left_out.collect::<Vec<_>>(),
    });
    report::write("compare", &report)?;
    let panels: Vec<_> = summaries.iter().map(plot::Panel::of).collect();
    report::write_file("compare.svg", &plot::svg(&panels)?)
}
