//! The pool on the host's observations, and the configuration of both kinds.

use flyte::{Config, Flyte};
use samovar_sdk::{
    Decision, Limits, Observation, Policy, REASON_BYTES_MAX, Replica, ReplicaKind, ReplicaState,
    Wish, parse_config,
};

const LIMITS: Limits = Limits { min: 1, max: 8, concurrency: 2, queue_max: 100 };

fn policy(config: &str) -> Flyte {
    Flyte::new(parse_config(config).unwrap()).unwrap()
}

fn refusal(config: &str) -> String {
    match parse_config::<Config>(config) {
        Ok(config) => Flyte::new(config).err().expect("a refusal"),
        Err(error) => error,
    }
}

fn wish(decision: &Decision) -> Option<f64> {
    match decision.wish {
        Wish::Hold => None,
        Wish::Replicas(count) => Some(count),
    }
}

/// A pool whose replicas have been idle for so many seconds each; busy where that is none.
fn pool(now_s: u64, idle_s: &[Option<u64>]) -> Observation {
    let replica = |(id, idle): (usize, &Option<u64>)| Replica {
        id: id as u64,
        kind: ReplicaKind::Wasm,
        state: ReplicaState::Ready,
        ongoing: u32::from(idle.is_none()),
        idle_ms: idle.map(|seconds| seconds * 1000),
        age_ms: now_s * 1000,
        load: None,
        max_perf: None,
    };
    Observation {
        now_ms: now_s * 1000,
        since_ms: 1000,
        limits: LIMITS,
        ready: idle_s.len() as u32,
        ongoing: idle_s.iter().filter(|idle| idle.is_none()).count() as u32,
        replicas: idle_s.iter().enumerate().map(replica).collect(),
        ..Observation::default()
    }
}

fn waiting(now_s: u64, ready: usize, queued: u32, arrived: u64) -> Observation {
    Observation { queued, arrived, ..pool(now_s, &vec![None; ready]) }
}

#[test]
fn first_request_brings_the_minimum_at_once() {
    let mut policy = policy(r#"{"replicas": [3, 8]}"#);
    let quiet = policy.scale(&pool(1, &[]));
    assert_eq!(wish(&quiet), None);
    assert_eq!(quiet.reason, "no request yet, or none since all went");
    let first = policy.scale(&waiting(2, 0, 1, 1));
    assert_eq!(wish(&first), Some(3.0));
    assert_eq!(first.reason, "first of 1 requests, minimum 3: 3");
}

#[test]
fn request_that_came_and_went_between_ticks_brings_the_minimum() {
    let mut policy = policy(r#"{"replicas": [3, 8]}"#);
    policy.scale(&pool(1, &[]));
    let seen = Observation { arrived: 1, ..pool(2, &[Some(0)]) };
    assert_eq!(wish(&policy.scale(&seen)), Some(3.0));
}

#[test]
fn each_request_that_newly_waits_asks_for_one_replica() {
    let mut policy = policy("{}");
    policy.scale(&pool(1, &[None]));
    // 1 ongoing and 1 waiting fit into the 2 places of one replica.
    assert_eq!(wish(&policy.scale(&waiting(2, 1, 1, 1))), None);
    let grown = policy.scale(&waiting(3, 1, 9, 3));
    assert_eq!(wish(&grown), Some(4.0));
    assert_eq!(grown.reason, "10 requests, places for 2, minimum 1: 1 to 4");
    // The same ones, still waiting, do not ask again.
    let seen = Observation { starting: 3, target: 4, ..waiting(4, 1, 9, 0) };
    assert_eq!(wish(&policy.scale(&seen)), None);
    // Demand for 5 replicas, and 100 that ask: it stops at what is needed.
    let seen = Observation { starting: 3, target: 4, ..waiting(6, 1, 9, 100) };
    assert_eq!(wish(&policy.scale(&seen)), Some(5.0));
}

#[test]
fn check_asks_again_for_one() {
    let mut policy = policy("{}");
    policy.scale(&pool(1, &[None]));
    assert_eq!(wish(&policy.scale(&waiting(4, 1, 9, 0))), None);
    assert_eq!(wish(&policy.scale(&waiting(5, 1, 9, 0))), Some(2.0));
}

#[test]
fn maximum_is_never_passed() {
    let mut policy = policy(r#"{"replicas": [1, 3]}"#);
    policy.scale(&pool(1, &[None]));
    assert_eq!(wish(&policy.scale(&waiting(2, 1, 90, 90))), Some(3.0));
    assert_eq!(wish(&policy.scale(&waiting(3, 3, 90, 90))), None);
}

#[test]
fn replicas_that_are_to_be_started_again_count() {
    let mut policy = policy("{}");
    policy.scale(&pool(1, &[None]));
    let seen = Observation { target: 6, ..waiting(2, 1, 7, 7) };
    assert_eq!(wish(&policy.scale(&seen)), None);
}

#[test]
fn missing_ones_below_the_minimum_come_back_at_the_next_check() {
    let mut policy = policy(r#"{"replicas": [4, 8]}"#);
    assert_eq!(wish(&policy.scale(&pool(1, &[Some(1), Some(1)]))), None);
    assert_eq!(wish(&policy.scale(&pool(4, &[Some(1), Some(1)]))), None);
    assert_eq!(wish(&policy.scale(&pool(5, &[Some(1), Some(1)]))), Some(4.0));
}

#[test]
fn longest_idle_replicas_go_down_to_the_minimum() {
    let mut policy = policy(r#"{"replicas": [2, 8], "scaledown_ttl": 60, "idle_ttl": 300}"#);
    policy.scale(&pool(1, &[Some(0)]));
    let idle = [Some(70), Some(90), Some(61), None, Some(80)];
    assert_eq!(wish(&policy.scale(&pool(101, &idle))), None);
    let gone = policy.scale(&pool(105, &idle));
    assert_eq!(wish(&gone), Some(2.0));
    assert_eq!(gone.remove_first, [1, 4, 0]);
    assert_eq!(gone.reason, "3 idle for more than 60 s: to 2");
}

#[test]
fn exactly_the_ttl_in_whole_seconds_stays() {
    let mut policy = policy(r#"{"replicas": [1, 8]}"#);
    policy.scale(&pool(1, &[None]));
    let mut seen = pool(100, &[None, Some(30)]);
    seen.replicas[1].idle_ms = Some(30_999);
    assert_eq!(wish(&policy.scale(&seen)), None);
    seen.replicas[1].idle_ms = Some(31_000);
    assert_eq!(wish(&policy.scale(&seen)), Some(1.0));
}

#[test]
fn pool_goes_as_a_whole_and_comes_back_with_its_minimum() {
    let mut policy = policy(r#"{"replicas": [2, 8], "idle_ttl": 60}"#);
    policy.scale(&pool(1, &[Some(0); 2]));
    assert_eq!(wish(&policy.scale(&pool(60, &[Some(60), Some(60)]))), None);
    assert_eq!(wish(&policy.scale(&pool(65, &[Some(65), Some(60)]))), None);
    // A long request keeps the others.
    assert_eq!(wish(&policy.scale(&pool(70, &[None, Some(70)]))), None);
    let gone = policy.scale(&pool(75, &[Some(61), Some(75)]));
    assert_eq!(wish(&gone), Some(0.0));
    assert_eq!(gone.reason, "idle for 61 s, more than 60 s: all go");
    // The host may let them live for longer; the pool is gone all the same.
    assert_eq!(wish(&policy.scale(&pool(80, &[Some(66), Some(80)]))), None);
    let seen = Observation { arrived: 1, ..pool(81, &[None, Some(81)]) };
    assert_eq!(wish(&policy.scale(&seen)), Some(2.0));
}

#[test]
fn starting_replica_counts_from_its_order() {
    let mut policy = policy(r#"{"replicas": [1, 8]}"#);
    policy.scale(&waiting(1, 0, 1, 1));
    let mut seen = waiting(30, 1, 1, 0);
    seen.replicas[0] = Replica {
        state: ReplicaState::Starting,
        ongoing: 0,
        age_ms: 29_000,
        ..seen.replicas[0].clone()
    };
    (seen.starting, seen.ready, seen.ongoing) = (1, 0, 0);
    assert_eq!(wish(&policy.scale(&seen)), None);
    // As in the original: nothing was used for more than the TTL, though a request waits.
    (seen.now_ms, seen.replicas[0].age_ms) = (35_000, 34_000);
    assert_eq!(wish(&policy.scale(&seen)), Some(0.0));
    seen.now_ms = 36_000;
    assert_eq!(wish(&policy.scale(&seen)), Some(1.0));
}

#[test]
fn minimum_of_zero_means_the_maximum_unless_repaired() {
    let start = waiting(2, 0, 1, 1);
    let mut faithful = policy(r#"{"replicas": [0, 5]}"#);
    assert_eq!(wish(&faithful.scale(&start)), Some(5.0));
    let mut repaired = policy(r#"{"replicas": [0, 5], "zero_minimum": "zero"}"#);
    assert_eq!(wish(&repaired.scale(&start)), Some(1.0));
    let idle = repaired.scale(&pool(40, &[Some(31), Some(20)]));
    assert_eq!((wish(&idle), idle.remove_first), (Some(1.0), vec![0]));
}

#[test]
fn bounds_and_concurrency_default_to_the_deployments() {
    let limits = Limits { min: 2, max: 3, concurrency: 10, queue_max: 100 };
    let mut policy = policy("{}");
    let seen = Observation { limits, ..waiting(1, 0, 10, 10) };
    assert_eq!(wish(&policy.scale(&seen)), Some(2.0));
    let seen = Observation { limits, ..waiting(2, 2, 18, 1) };
    assert_eq!(wish(&policy.scale(&seen)), None);
    let seen = Observation { limits, ..waiting(3, 2, 19, 9) };
    assert_eq!(wish(&policy.scale(&seen)), Some(3.0));
}

#[test]
fn late_tick_is_checked_once_and_the_first_not_at_all() {
    let mut policy = policy(r#"{"replicas": [1, 8]}"#);
    let first = Observation { since_ms: 0, ..pool(100, &[Some(50), None]) };
    assert_eq!(wish(&policy.scale(&first)), None);
    let late = Observation { since_ms: 13_000, ..pool(113, &[Some(63), None]) };
    assert_eq!(wish(&policy.scale(&late)), Some(1.0));
    let soon = Observation { since_ms: 500, ..pool(114, &[Some(64), None]) };
    assert_eq!(wish(&policy.scale(&soon)), None);
}

#[test]
fn ttls_below_30_s_need_permission() {
    let text = "idle_ttl must be at least 30 seconds, got 29; `allow_short_ttls` permits less";
    assert_eq!(refusal(r#"{"idle_ttl": 29}"#), text);
    assert!(refusal(r#"{"scaledown_ttl": 0}"#).starts_with("scaledown_ttl must be at least 30"));
    let mut short = policy(r#"{"replicas": [1, 8], "scaledown_ttl": 2, "allow_short_ttls": true}"#);
    short.scale(&pool(1, &[None]));
    assert_eq!(wish(&short.scale(&pool(5, &[None, Some(3)]))), Some(1.0));
    let error = refusal(r#"{"idle_ttl": 0, "allow_short_ttls": true}"#);
    assert_eq!(error, "idle_ttl must be at least 1 second, got 0");
}

#[test]
fn wrong_values_are_named() {
    let cases = [
        (r#"{"replica": 3}"#, "unknown field `replica`, expected one of"),
        (r#"{"kind": "actor"}"#, "`kind`: unknown variant `actor`, expected `pool` or `app`"),
        (r#"{"metric": {"Concurrency": 1}}"#, "`metric` belongs to kind \"app\""),
        (r#"{"kind": "app", "idle_ttl": 60}"#, "`idle_ttl` belongs to kind \"pool\""),
        (
            r#"{"replicas": "2"}"#,
            "`replicas`: invalid type: string \"2\", expected an int or a list of two ints",
        ),
        (r#"{"replicas": [1, 2, 3]}"#, "`replicas`: invalid length 3"),
        (r#"{"replicas": [1]}"#, "`replicas`: invalid length 1"),
        (r#"{"replicas": 2.5}"#, "`replicas`: invalid type: floating point `2.5`"),
        (r#"{"replicas": -1}"#, "replicas min must be greater than or equal to 0, got -1"),
        (r#"{"replicas": [5, 2]}"#, "replicas min (5) must be less than or equal to max (2)"),
        (r#"{"concurrency": 0}"#, "concurrency must be at least 1, got 0"),
        (r#"{"idle_ttl": 30.5}"#, "`idle_ttl`: invalid type: floating point `30.5`"),
        (r#"{"scope": "task"}"#, "`scope`: unknown variant `task`"),
        (r#"{"kind": "app", "replicas": -1}"#, "replicas must be greater than or equal to 0"),
        (r#"{"kind": "app", "replicas": [-1, 2]}"#, "min_replicas must be greater than or equal"),
        (r#"{"kind": "app", "replicas": [0, 0]}"#, "max_replicas must be greater than or equal"),
        (
            r#"{"kind": "app", "metric": {"Concurrency": 0}}"#,
            "Concurrency must be greater than or equal to 1, got 0",
        ),
        (r#"{"kind": "app", "metric": {"RequestRate": 1.5}}"#, "metric must be a whole number"),
        (r#"{"kind": "app", "metric": {"Latency": 5}}"#, "`metric.Latency`: unknown variant"),
        (
            r#"{"kind": "app", "metric": "Concurrency"}"#,
            "`metric`: invalid type: string \"Concurrency\", expected {\"Concurrency\": number} or",
        ),
        (r#"{"kind": "app", "metric": {"Concurrency": 1, "RequestRate": 1}}"#, "`metric`: "),
        (r#"{"kind": "app", "metric": {"Concurrency": "10"}}"#, "`metric.Concurrency`: invalid"),
        (
            r#"{"kind": "app", "scaledown_after": 5}"#,
            "scaledown_after must be 0, or 6 to 3600 s as a window, got 5",
        ),
        (
            r#"{"kind": "app", "scaledown_after": 3601, "scaledown_as": "delay"}"#,
            "scaledown_after must be 0, or 1 to 3600 s as a delay, got 3601",
        ),
        (
            r#"{"kind": "app", "target_utilization_percentage": 0}"#,
            "target_utilization_percentage must be 1 to 100, got 0",
        ),
    ];
    for (config, text) in cases {
        let error = refusal(config);
        assert!(error.starts_with(text), "{config}: {error}");
    }
}

/// Numbers that look random and are the same in every run.
fn noise(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Plays a deployment whose host carries out every decision at once.
fn play(seconds: u64, seed: u64, mut each: impl FnMut(&Observation) -> Decision) {
    let mut noise = noise(seed);
    let mut idle: Vec<Option<u64>> = Vec::new();
    for now_s in 1..seconds {
        let arrived = if now_s / 100 % 2 == 0 { noise(4) } else { 0 };
        let busy = arrived.min(idle.len() as u64) as usize;
        for (at, idle) in idle.iter_mut().enumerate() {
            *idle = if at < busy { None } else { Some(idle.unwrap_or(0) + 1) };
        }
        let queued = (arrived - busy as u64) as u32;
        let seen = Observation { queued, arrived, ..pool(now_s, &idle) };
        if let Wish::Replicas(count) = each(&seen).wish {
            let count = count.clamp(0.0, 8.0) as usize;
            idle.sort();
            idle.resize(count, Some(0));
        }
    }
}

#[test]
fn answers_keep_their_bounds_whatever_happens() {
    for seed in 0..20 {
        let mut policy = policy(r#"{"replicas": [1, 6], "concurrency": 1}"#);
        let mut changes = 0;
        play(2000, seed, |seen| {
            let decision = policy.scale(seen);
            assert!(decision.reason.len() <= REASON_BYTES_MAX && !decision.reason.is_empty());
            if let Some(count) = wish(&decision) {
                assert!((0.0..=6.0).contains(&count), "{count} at {}", seen.now_ms);
                changes += 1;
            }
            decision
        });
        assert!(changes > 10, "{changes} changes");
    }
}

#[test]
fn replayed_scaler_decides_like_the_one_it_replaces() {
    let config = r#"{"replicas": [1, 6], "concurrency": 1}"#;
    let mut old = policy(config);
    let mut all: Vec<(Observation, Decision)> = Vec::new();
    play(2000, 7, |seen| {
        let decision = old.scale(seen);
        all.push((seen.clone(), decision.clone()));
        decision
    });
    for start in (0..1300).step_by(50) {
        let mut new = policy(config);
        for (at, (seen, decision)) in all[start..].iter().enumerate() {
            let replayed = new.scale(seen);
            assert!(at < 600 || replayed == *decision, "from {start}, at {at}: {replayed:?}");
        }
    }
}

#[test]
fn schema_names_every_key() {
    let schema: serde_json::Value = serde_json::from_str(Flyte::CONFIG_SCHEMA).unwrap();
    let named: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let error = refusal(r#"{"?": 1}"#);
    let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert!(known.len() > 5, "{error}");
    assert_eq!(named.len(), known.len());
    assert!(known.iter().all(|key| named.iter().any(|name| name == key)), "{known:?}");
}
