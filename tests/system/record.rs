//! `samovar record`: the requests of deployments as a trace, which `samovar simulate` reads.

use std::fs;

use samovar_tests::load::at_once;
use samovar_tests::status::number;
use samovar_tests::{Load, Samovar, csv};
use serde_json::json;

use crate::support::{BEHAVE, fixed, with};

/// A request of a trace.
#[derive(Debug)]
struct Recorded {
    at_s: f64,
    deployment: String,
    /// None if no replica worked on it.
    service_ms: Option<f64>,
}

/// The trace `name` in the test's folder.
fn trace(samovar: &Samovar, name: &str) -> Vec<Recorded> {
    let text = fs::read_to_string(samovar.folder().join(name)).expect("it was written");
    assert!(text.starts_with("at_s,deployment,service_ms\n"), "{text:.80}");
    let rows = csv::rows(&text);
    let recorded = rows.iter().map(|row| Recorded {
        at_s: row["at_s"].parse().expect("a number"),
        deployment: row["deployment"].to_owned(),
        service_ms: Some(row["service_ms"])
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.parse().expect("a number")),
    });
    let recorded: Vec<_> = recorded.collect();
    assert!(recorded.is_sorted_by_key(|request| request.at_s), "in the order of time");
    recorded
}

#[tokio::test]
async fn requests_are_recorded_with_their_times() {
    const EACH: usize = 8;
    let samovar = Samovar::start().await;
    samovar.deploy("left", BEHAVE, fixed(1)).await;
    samovar.deploy("right", BEHAVE, fixed(1)).await;
    samovar.deploy("other", BEHAVE, fixed(1)).await;
    samovar.http.get("/left/ok").await.expect(200); // Too early.
    let cli = samovar.cli();
    let recording = cli.spawn(&["record", "left", "right", "--for", "8s", "--to", "busy.csv"]);
    recording.listens_to_interrupts().await;
    let started = tokio::time::Instant::now();
    let left = at_once(&samovar.http, "/left/sleep?ms=40", EACH);
    for answer in left.answers().await {
        answer.expect(200);
    }
    let took_ms = started.elapsed().as_secs_f64() * 1000.0;
    for _ in 0..EACH {
        samovar.http.get("/right/sleep?ms=10").await.expect(200);
        samovar.http.get("/other/ok").await.expect(200);
    }
    let ended = recording.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "wrote 16 requests to busy.csv\n");
    assert_eq!(ended.stderr, "");

    let trace = trace(&samovar, "busy.csv");
    let (left, right): (Vec<_>, Vec<_>) = trace.iter().partition(|row| row.deployment == "left");
    assert_eq!((left.len(), right.len()), (EACH, EACH));
    assert!(right.iter().all(|row| row.deployment == "right"), "{right:?}");
    let service = |row: &&Recorded| row.service_ms.expect("a replica worked on it");
    assert!(left.iter().map(service).all(|service| service >= 40.0), "{left:?}");
    assert!(right.iter().map(service).all(|service| service >= 10.0), "{right:?}");
    // One after the other on one replica: with the time they waited it would be far more.
    let all: f64 = left.iter().map(service).sum();
    assert!(all < 2.0 * took_ms, "{all} ms in {took_ms} ms");
    // The first of the right one came after all of the left ones.
    let last = left.iter().map(|row| row.at_s).fold(0.0, f64::max);
    assert!(right[0].at_s > last, "{trace:?}");
}

#[tokio::test]
async fn request_without_a_replica_has_no_service_time() {
    let samovar = Samovar::start().await;
    let spec = with(fixed(1), json!({"queue": {"max": 1}}));
    samovar.deploy("full", BEHAVE, spec).await;
    let recording = samovar.cli().spawn(&["record", "full", "--for", "6s"]);
    recording.listens_to_interrupts().await;
    let answers = at_once(&samovar.http, "/full/sleep?ms=300", 6).answers().await;
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert!((1..6).contains(&refused), "{refused}");
    let ended = recording.ended().await;
    assert_eq!(ended.stdout, "wrote 6 requests to trace.csv\n", "{ended:?}");
    let trace = trace(&samovar, "trace.csv");
    assert_eq!(trace.iter().filter(|row| row.service_ms.is_none()).count(), refused, "{trace:?}");
}

#[tokio::test]
async fn interrupted_recording_is_written_and_can_be_simulated() {
    let samovar = Samovar::start().await;
    samovar.deploy("busy", BEHAVE, fixed(2)).await;
    let cli = samovar.cli();
    let recording = cli.spawn(&["record", "busy", "--for", "1h", "--to", "early.csv"]);
    recording.listens_to_interrupts().await;
    let load = Load::start(&samovar.http, "/busy/sleep?ms=5", 4);
    load.serve_more(200).await;
    recording.interrupt();
    let ended = recording.ended().await;
    let served = load.stop_without_failure().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let trace = trace(&samovar, "early.csv");
    let count = trace.len() as u64;
    assert_eq!(ended.stdout, format!("wrote {count} requests to early.csv\n"));
    assert!((1..=served).contains(&count), "{count} of {served}");
    let report = ["--trace", "early.csv", "--policy", "lightning", "--json", "-"];
    let report = cli.ok(&[&["simulate"], &report[..]].concat()).await;
    let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
    let simulated = &report["runs"][0]["deployments"][0];
    assert_eq!(simulated["name"], "busy");
    assert_eq!(number(simulated, "/summary/arrived"), count);
    assert_eq!(number(simulated, "/summary/completed"), count);
    // Those that had not ended take the time that is assumed without a trace, 100 ms.
    let known: f64 = trace.iter().map(|row| row.service_ms.unwrap_or(100.0)).sum();
    let busy = simulated["summary"]["busy_seconds"].as_f64().expect("a number") * 1000.0;
    assert!((busy - known).abs() < 1.0, "{busy} ms, not {known} ms");
}

#[tokio::test]
async fn recording_ends_with_its_deployment() {
    let samovar = Samovar::start().await;
    samovar.deploy("gone", BEHAVE, fixed(1)).await;
    let recording = samovar.cli().spawn(&["record", "gone", "--for", "1h"]);
    recording.listens_to_interrupts().await;
    for _ in 0..5 {
        samovar.http.get("/gone/ok").await.expect(200);
    }
    samovar.admin.delete("/v1/deployments/gone").await.expect(204);
    let ended = recording.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "wrote 5 requests to trace.csv\n"));
    assert_eq!(ended.stderr, "warning: the deployments are gone: the recording ends here\n");
    assert_eq!(trace(&samovar, "trace.csv").len(), 5);
}

#[tokio::test]
async fn recording_slows_nobody_and_ends_with_its_reader() {
    let samovar = Samovar::start().await;
    samovar.deploy("busy", BEHAVE, fixed(1)).await;
    let recording = samovar.cli().spawn(&["record", "busy", "--for", "1h", "--to", "lost.csv"]);
    recording.listens_to_interrupts().await;
    let load = Load::start(&samovar.http, "/busy/ok", 4);
    load.serve_more(20).await;
    drop(recording); // Killed.
    load.serve_more(20).await;
    load.stop_without_failure().await;
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_at_once() {
    let samovar = Samovar::start().await;
    samovar.deploy("busy", BEHAVE, fixed(1)).await;
    let cli = samovar.cli();
    let complaint = cli.fails(1, &["record", "nobody", "--for", "1h"]).await;
    assert!(complaint.contains("nobody"), "{complaint}");
    let complaint = cli.fails(1, &["record", "busy", "nobody", "--for", "1h"]).await;
    assert!(complaint.contains("nobody"), "{complaint}");
    fs::create_dir(samovar.folder().join("folder")).expect("make a folder");
    for file in ["folder", "nowhere/trace.csv"] {
        let complaint = cli.fails(1, &["record", "busy", "--for", "1h", "--to", file]).await;
        assert!(complaint.starts_with(&format!("error: write {file}: ")), "{complaint}");
    }
    cli.fails(2, &["record"]).await;
    cli.fails(2, &["record", "busy", "--for", "soon"]).await;
    let left = fs::read_dir(samovar.folder()).expect("it is there").flatten();
    let traces = left.filter(|file| file.path().extension().is_some_and(|kind| kind == "csv"));
    assert_eq!(traces.count(), 0, "nothing was recorded");
    // A failed recording does not touch what was there.
    let kept = samovar.folder().join("kept.csv");
    fs::write(&kept, "at_s\n1\n").expect("write a file");
    cli.fails(1, &["record", "nobody", "--for", "1h", "--to", "kept.csv"]).await;
    assert_eq!(fs::read_to_string(&kept).expect("it is there"), "at_s\n1\n");
    samovar.admin.get("/v1/deployments/nobody/requests").await.refused(404, "not-found");
}
