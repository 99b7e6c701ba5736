//! The policy decides like the original.
//!
//! `lightning.json` was recorded by running `lightning-app` 2.3.0 with a virtual clock. The modes
//! `scale`, `trace` and `config` concern the policy; the others test its load balancer.

use lightning::{Config, Lightning};
use samovar_sdk::{Limits, Observation, Policy, Sample, Wish, parse_config};
use serde_json::{Value, json};

/// The original's own defaults, which are the deployment's bounds here.
const LIMITS: Limits = Limits { min: 1, max: 4, concurrency: 1, queue_max: 1000 };
const SERIES: &str = "target";

fn vectors(mode: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("lightning.json")).unwrap();
    let all = file["vectors"].as_array().unwrap();
    let chosen: Vec<_> = all.iter().filter(|v| v["request"]["mode"] == mode).cloned().collect();
    assert!(!chosen.is_empty(), "no vectors of mode {mode}");
    chosen
}

#[test]
fn rule_answers_like_the_original() {
    for vector in vectors("scale") {
        let request = &vector["request"];
        let batch = request["max_batch_size"].as_i64().unwrap();
        let number = |case: &Value, key| case[key].as_i64().unwrap();
        let cases = request["cases"].as_array().unwrap().iter();
        let answers: Vec<i64> = cases
            .map(|case| {
                lightning::scale(
                    number(case, "replicas"),
                    number(case, "pending_requests"),
                    number(case, "pending_works"),
                    batch,
                )
            })
            .collect();
        assert_eq!(json!(answers), vector["expected"]["targets"], "{}", vector["id"]);
    }
}

#[test]
fn loop_changes_replicas_when_the_original_does() {
    for vector in vectors("trace") {
        let (changes, last) = replay(&vector["request"]);
        let expected = &vector["expected"];
        assert_eq!(json!(last), expected["final"], "{}", vector["id"]);
        assert_eq!(json!(changes), expected["changes"], "{}", vector["id"]);
        assert_eq!(json!(actions(&changes)), expected["actions"], "{}", vector["id"]);
    }
}

/// Plays the steps with a host that carries out every decision at once.
fn replay(request: &Value) -> (Vec<(f64, u32)>, u32) {
    let mut config = request["config"].clone();
    config["target_series"] = SERIES.into();
    let config: Config = serde_json::from_value(config).unwrap();
    let mut policy = Lightning::new(config).unwrap();
    let (mut now_ms, mut replicas, mut changes) = (0_u64, 0_u32, Vec::new());
    for step in request["steps"].as_array().unwrap() {
        for _ in 0..step["repeat"].as_u64().unwrap_or(1) {
            now_ms += (step["dt"].as_f64().unwrap_or(1.0) * 1000.0).round() as u64;
            let starting = step["pending_works"].as_u64().unwrap_or(0) as u32;
            let custom = step["target"].as_f64();
            let seen = Observation {
                now_ms,
                limits: LIMITS,
                starting,
                ready: replicas.checked_sub(starting).expect("pending works are works"),
                queued: step["pending_requests"].as_u64().unwrap() as u32,
                custom: custom
                    .map(|value| Sample { name: SERIES.into(), value })
                    .into_iter()
                    .collect(),
                ..Observation::default()
            };
            let before = replicas;
            match policy.scale(&seen).wish {
                Wish::Hold => {}
                Wish::Replicas(wanted) => replicas = wanted as u32,
            }
            if replicas != before {
                changes.push((now_ms as f64 / 1000.0, replicas));
            }
        }
    }
    (changes, replicas)
}

/// The works that were added (`+index`) and removed (`-index`), from the highest index down.
fn actions(changes: &[(f64, u32)]) -> Vec<String> {
    let mut replicas = 0;
    let mut actions = Vec::new();
    for &(_, wanted) in changes {
        actions.extend((replicas..wanted).map(|index| format!("+{index}")));
        actions.extend((wanted..replicas).rev().map(|index| format!("-{index}")));
        replicas = wanted;
    }
    actions
}

#[test]
fn configuration_is_checked_like_in_the_original() {
    for vector in vectors("config") {
        let (expected, id) = (&vector["expected"], &vector["id"]);
        let config = parse_config::<Config>(&vector["request"]["config"].to_string()).unwrap();
        let made = Lightning::new(config.clone()).map(drop);
        assert_eq!(json!(made.is_ok()), expected["ok"], "{id}");
        if let Err(error) = made {
            assert_eq!(json!(error), expected["error"], "{id}");
            continue;
        }
        assert_eq!(json!(config.endpoint_path()), expected["endpoint"], "{id}");
        assert_eq!(
            json!(config.min_replicas.unwrap_or(LIMITS.min.into())),
            expected["min"],
            "{id}"
        );
        assert_eq!(
            json!(config.max_replicas.unwrap_or(LIMITS.max.into())),
            expected["max"],
            "{id}"
        );
    }
}
