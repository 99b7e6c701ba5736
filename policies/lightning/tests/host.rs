//! What the original has no word for: the host's bounds, replay, and our extensions.

use lightning::{Config, Lightning};
use samovar_sdk::{Decision, Limits, Observation, Policy, Sample, Wish, parse_config};

fn policy(config: &str) -> Lightning {
    Lightning::new(parse_config(config).unwrap()).unwrap()
}

fn busy(now_ms: u64, ready: u32) -> Observation {
    let limits = Limits { min: 0, max: 2, concurrency: 1, queue_max: 10 };
    Observation { now_ms, ready, queued: 100, limits, ..Observation::default() }
}

fn wish(decision: &Decision) -> Option<f64> {
    match decision.wish {
        Wish::Hold => None,
        Wish::Replicas(count) => Some(count),
    }
}

#[test]
fn bounds_that_are_not_configured_are_the_deployments() {
    let mut policy = policy("{}");
    let decision = policy.scale(&busy(60_000, 2));
    assert_eq!(wish(&decision), None);
    assert_eq!(decision.reason, "load 50.00, in below 2, out from 8: 2 will do, limited");
}

#[test]
fn pool_older_than_the_interval_changes_at_once() {
    let seen = Observation { created_ms: 1_000, ..busy(11_001, 0) };
    assert_eq!(wish(&policy("{}").scale(&seen)), Some(1.0));
    let seen = Observation { created_ms: 1_001, ..busy(11_001, 0) };
    assert_eq!(wish(&policy("{}").scale(&seen)), None);
}

#[test]
fn start_at_once_frees_only_the_first_change() {
    let mut policy = policy(r#"{"start_at_once": true}"#);
    assert_eq!(wish(&policy.scale(&busy(0, 0))), Some(1.0));
    let waiting = policy.scale(&busy(10_000, 1));
    assert_eq!(wish(&waiting), None);
    assert_eq!(
        waiting.reason,
        "load 100.00, in below 2, out from 8: wants 2; 10 s since the last change, \
         needs more than 10 s"
    );
    assert_eq!(wish(&policy.scale(&busy(10_001, 1))), Some(2.0));
}

#[test]
fn series_that_is_no_number_holds() {
    let custom = vec![Sample { name: "want".into(), value: f64::NAN }];
    let seen = Observation { custom, ..busy(60_000, 1) };
    assert_eq!(wish(&policy(r#"{"target_series": "want"}"#).scale(&seen)), None);
}

#[test]
fn mistyped_keys_are_named() {
    let error = parse_config::<Config>(r#"{"max_replica": 3}"#).unwrap_err();
    assert!(error.starts_with("unknown field `max_replica`, expected one of"), "{error}");
    let error = parse_config::<Config>(r#"{"max_replicas": "3"}"#).unwrap_err();
    assert_eq!(error, r#"`max_replicas`: invalid type: string "3", expected i64"#);
}

#[test]
fn schema_is_json() {
    serde_json::from_str::<serde_json::Value>(Lightning::CONFIG_SCHEMA).unwrap();
}
