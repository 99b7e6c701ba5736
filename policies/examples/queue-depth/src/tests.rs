//! The policy in a deployment that starts replicas in two seconds.

use samovar_sdk::harness::{Trace, seconds};
use samovar_sdk::{Policy, parse_config};

use super::QueueDepth;

fn made(json: &str) -> Result<QueueDepth, String> {
    QueueDepth::new(parse_config(json)?)
}

fn policy() -> QueueDepth {
    made(r#"{"waiting_per_replica": 4}"#).unwrap()
}

fn deployment() -> Trace {
    Trace::new().limits(0..=8).concurrency(2).startup(seconds(2))
}

#[test]
fn a_burst_is_met_with_a_replica_for_every_four_that_wait() {
    let run = deployment().requests(seconds(10), 12).quiet(seconds(5)).run(&mut policy());
    // Twelve wait: 12 / 4 = 3. At 2 s those three serve six and six wait: 3 + 6 / 4, so 5. At 4 s
    // five serve ten and two wait: 5 + 2 / 4, so 6, which then serve all twelve.
    assert_eq!(run.course(), "3@0s 5@2s 6@4s 0@10s");
    assert_eq!(run.at(seconds(0)).decision.reason, "12 wait");
    run.assert_replays(policy);
}

#[test]
fn busy_replicas_are_kept() {
    let trace = deployment().fixed(3).requests(seconds(1), 6).requests(seconds(1), 5);
    assert_eq!(trace.run(&mut policy()).targets(), [3, 3]);
}

#[test]
fn steady_arrivals_settle() {
    let trace = deployment().service_time(seconds(0.5)).arrivals(seconds(120), 10);
    let run = trace.run(&mut policy());
    // Ten per second of half a second each keep five places busy: two and a half replicas.
    run.assert_settles_at(3, seconds(20));
    run.assert_replays(policy);
}

#[test]
fn settings_are_checked() {
    let error = made(r#"{"waiting_per_replica": 0}"#).err().unwrap();
    assert_eq!(error, "`waiting_per_replica` must be above 0");
    let error = made(r#"{"waiting": 1}"#).err().unwrap();
    assert_eq!(error, "unknown field `waiting`, expected `waiting_per_replica`");
}
