//! The table of single replicas in `samovar status`.

use std::io::{self, Write};

use super::human;
use super::table::Table;
use crate::api;

/// Replicas shown; a pool of instances can have thousands.
const SHOWN_MAX: usize = 50;
/// Failures shown.
const FAILURES_MAX: usize = 3;

/// Writes the replicas that are no instances, one line each, and the last failures.
pub fn write_replicas(out: &mut dyn Write, list: &api::ReplicaList) -> io::Result<()> {
    let native = |replica: &&api::Replica| replica.kind != api::ReplicaKind::Wasm;
    let count = list.replicas.iter().filter(native).count();
    if count > 0 {
        writeln!(out)?;
        let head = [
            "REPLICA", "KIND", "STATE", "ONGOING", "AGE", "PID", "MEMORY", "CPU", "DEVICES",
            "LOAD", "NOTE",
        ];
        let mut table = Table::new(head);
        for replica in list.replicas.iter().filter(native).take(SHOWN_MAX) {
            table.row(row(replica));
        }
        table.write(out)?;
    }
    if count > SHOWN_MAX {
        writeln!(out, "... and {} more; --output json shows all", count - SHOWN_MAX)?;
    }
    let failures = &list.failures;
    if !failures.is_empty() {
        writeln!(out, "\nlast failures")?;
    }
    for failure in failures.iter().rev().take(FAILURES_MAX) {
        let (when, message) = (human::time_of_day(failure.at_ms), &failure.message);
        writeln!(out, "  {when}  replica {}: {message}", failure.replica)?;
    }
    Ok(())
}

fn row(replica: &api::Replica) -> [String; 11] {
    let dash = || "-".to_owned();
    let pids = match replica.pids.as_slice() {
        [] => dash(),
        [pid] => pid.to_string(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    };
    let devices: Vec<String> = replica
        .devices
        .iter()
        .map(|held| match held.share {
            1.0 => held.id.clone(),
            share => format!("{} ({:.0} %)", held.id, share * 100.0),
        })
        .collect();
    let load = match (replica.load, replica.max_perf) {
        (Some(load), Some(most)) => format!("{load:.1} of {most:.1}"),
        (Some(load), None) => format!("{load:.1}"),
        (None, Some(most)) => format!("? of {most:.1}"),
        (None, None) => dash(),
    };
    [
        format!("{}/{}", replica.revision, replica.id),
        replica.kind.as_str().to_owned(),
        replica.state.as_str().to_owned(),
        replica.ongoing.to_string(),
        human::seconds(replica.age_ms),
        pids,
        replica.memory_bytes.map_or_else(dash, human::size),
        replica.cpu_ms.map_or_else(dash, |cpu| human::micros(cpu.saturating_mul(1000))),
        if devices.is_empty() { dash() } else { devices.join(",") },
        load,
        replica.message.clone().or_else(|| replica.address.clone()).unwrap_or_else(dash),
    ]
}
