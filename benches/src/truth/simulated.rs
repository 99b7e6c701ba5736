//! The replay in the simulator: `samovar simulate` with a scenario and a trace.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    live::{Played, Sample, Timing},
    plan::{Handler, INTERVAL, LEAD, Subject},
};
use crate::policies::{json_of, samovar};

/// What the simulator says of one deployment.
pub struct Simulated {
    /// At the same moments as the live ones.
    pub samples: Vec<Sample>,
    pub p50_ms: f64,
    pub p95_ms: f64,
    /// Requests that were not answered.
    pub failed: u64,
}

/// Simulates all deployments, with the times measured live.
pub fn run(
    subjects: &[Subject],
    total: Duration,
    timings: &[(Handler, Timing)],
    played: &[Played],
) -> Result<Vec<Simulated>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let (trace, scenario) = (folder.path().join("trace.csv"), folder.path().join("truth.json"));
    write_trace(&trace, subjects, played).context("write the trace")?;
    let deployments = subjects.iter().map(|subject| {
        let found = timings.iter().find(|(handler, _)| *handler == subject.handler);
        let (_, timing) = found.context("every handler was measured")?;
        Ok(deployment(subject, timing))
    });
    let text = json!({
        "duration": seconds(LEAD + total),
        // A row lies in the middle between two ticks, and one on each tick.
        "interval": micros(INTERVAL / 2),
        "deployments": deployments.collect::<Result<Vec<_>>>()?,
    });
    std::fs::write(&scenario, text.to_string()).context("write the scenario")?;
    let mut command = samovar();
    command.arg("simulate").arg("--scenario").arg(&scenario).arg("--trace").arg(&trace);
    let report = json_of(command.args(["--json", "-"]))?;
    let all = report.pointer("/runs/0/deployments").and_then(Value::as_array);
    let all = all.context("the report tells of no deployments")?;
    subjects.iter().map(|subject| read(all, &subject.name())).collect()
}

/// The live deployment's settings, with how long things took there.
fn deployment(subject: &Subject, timing: &Timing) -> Value {
    let mut spec = subject.spec();
    spec["name"] = json!(subject.name());
    spec["service"] = json!(micros(timing.service));
    spec["start_up"] = json!(micros(timing.start_up));
    spec
}

/// The requests as they were sent: what the client was late by is not the simulator's fault. Its
/// ticks are on their beat from the first one on.
fn write_trace(file: &Path, subjects: &[Subject], played: &[Played]) -> std::io::Result<()> {
    let mut rows = Vec::new();
    for (subject, played) in subjects.iter().zip(played) {
        let name = subject.name();
        let start = LEAD - played.ticks.phase;
        rows.extend(played.sent.iter().map(|sent| (start + *sent, name.clone())));
    }
    rows.sort_unstable();
    let mut out = BufWriter::new(File::create(file)?);
    writeln!(out, "at_s,deployment")?;
    for (at, name) in rows {
        writeln!(out, "{:.6},{name}", at.as_secs_f64())?;
    }
    out.flush()
}

fn read(all: &[Value], name: &str) -> Result<Simulated> {
    let found = all.iter().find(|one| one["name"] == name);
    let found = found.with_context(|| format!("the report does not tell of {name}"))?;
    let count = |at: &str| found.pointer(at).and_then(Value::as_u64).with_context(|| at.to_owned());
    let time = |at: &str| found.pointer(at).and_then(Value::as_f64).with_context(|| at.to_owned());
    let rows = found["rows"].as_array().context("a deployment without rows")?;
    // Every other row, from the first one on: half a second after a tick.
    let samples = rows.iter().step_by(2).map(|row| {
        let count = |key: &str| row[key].as_u64().with_context(|| format!("a row without {key}"));
        Ok(Sample { replicas: count("starting")? + count("ready")?, target: count("target")? })
    });
    Ok(Simulated {
        samples: samples.collect::<Result<_>>()?,
        p50_ms: time("/summary/latency/p50_ms")?,
        p95_ms: time("/summary/latency/p95_ms")?,
        failed: count("/summary/failed")? + count("/summary/rejected")?,
    })
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

fn micros(time: Duration) -> String {
    format!("{}us", time.as_micros())
}
