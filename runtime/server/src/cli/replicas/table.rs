//! The table of single replicas.

use std::io::{self, Write};

use super::super::human;
use super::super::table::{Table, write_fields};
use crate::api;

const HEAD: [&str; 11] = [
    "REPLICA", "KIND", "STATE", "ONGOING", "AGE", "PID", "MEMORY", "CPU", "DEVICES", "LOAD", "NOTE",
];
/// What stands where nothing is known.
const NOTHING: &str = "-";
/// Replicas shown in a status.
const SHOWN_MAX: usize = 50;
/// Failures shown.
const FAILURES_MAX: usize = 3;

/// Writes the replicas that are no instances, one line each, and the last failures, below other
/// text.
pub fn write_native(out: &mut dyn Write, list: &api::ReplicaList) -> io::Result<()> {
    let native = |replica: &&api::Replica| replica.kind != api::ReplicaKind::Wasm;
    let count = list.replicas.iter().filter(native).count();
    if count > 0 {
        writeln!(out)?;
        write_table(out, list.replicas.iter().filter(native).take(SHOWN_MAX))?;
    }
    if count > SHOWN_MAX {
        writeln!(out, "... and {} more; `samovar replicas list` shows all", count - SHOWN_MAX)?;
    }
    write_failures(out, &list.failures)
}

/// Writes all replicas, one line each, and the last failures.
pub fn write_all(out: &mut dyn Write, list: &api::ReplicaList) -> io::Result<()> {
    match list.replicas.as_slice() {
        [] => writeln!(out, "no replicas")?,
        replicas => write_table(out, replicas)?,
    }
    write_failures(out, &list.failures)
}

/// Writes one replica, a line for each thing that is known of it.
pub fn write_one(out: &mut dyn Write, replica: &api::Replica) -> io::Result<()> {
    writeln!(out, "replica {} of revision {}", replica.id, replica.revision)?;
    let cells = row(replica).into_iter().zip(HEAD).skip(1);
    let known = cells.filter(|(cell, _)| cell != NOTHING);
    let labels: Vec<(String, String)> =
        known.map(|(cell, label)| (label.to_lowercase(), cell)).collect();
    let fields: Vec<(&str, String)> =
        labels.iter().map(|(label, cell)| (label.as_str(), cell.clone())).collect();
    write_fields(out, &fields)
}

fn write_table<'a>(
    out: &mut dyn Write,
    replicas: impl IntoIterator<Item = &'a api::Replica>,
) -> io::Result<()> {
    let mut table = Table::new(HEAD);
    replicas.into_iter().for_each(|replica| table.row(row(replica)));
    table.write(out)
}

fn write_failures(out: &mut dyn Write, failures: &[api::ReplicaFailure]) -> io::Result<()> {
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
    let dash = || NOTHING.to_owned();
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
