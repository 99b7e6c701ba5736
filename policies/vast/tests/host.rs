//! The whole path of the policy on observations, as the host gives them.

use samovar_sdk::{
    Decision, Limits, Observation, Policy, Replica, ReplicaKind, ReplicaState, Wish, Work,
    parse_config,
};
use vast::{Config, Vast};

fn policy(config: &str) -> Vast {
    Vast::new(parse_config(config).unwrap()).unwrap()
}

/// A policy without reserve, so that numbers are easy to follow.
fn lean(more: &str) -> Vast {
    policy(&format!(r#"{{"cold_mult": 1, "target_util": 1, "min_load": 0 {more}}}"#))
}

const LIMITS: Limits = Limits { min: 0, max: 20, concurrency: 1, queue_max: 100 };

/// One second later, with `arrived` requests and as many replicas as wanted.
fn second(tick: u64, arrived: u64, target: u32) -> Observation {
    Observation {
        now_ms: tick * 1000,
        since_ms: 1000,
        limits: LIMITS,
        ready: target,
        target,
        arrived,
        last_used_ms: (arrived > 0).then_some(tick * 1000),
        ..Observation::default()
    }
}

/// The target after a decision that the host carries out at once.
fn target(decision: &Decision, before: u32) -> u32 {
    match decision.wish {
        Wish::Hold => before,
        Wish::Replicas(count) => {
            assert!(count.fract() == 0.0 && count >= 0.0, "{count}");
            count as u32
        }
    }
}

/// Targets after each of some seconds with so many requests.
fn targets(policy: &mut Vast, arrivals: impl IntoIterator<Item = u64>) -> Vec<u32> {
    let (mut count, mut last_used_ms, mut tick) = (0, None, 0);
    let arrivals = arrivals.into_iter();
    arrivals
        .map(|arrived| {
            tick += 1;
            let mut seen = second(tick, arrived, count);
            last_used_ms = seen.last_used_ms.or(last_used_ms);
            seen.last_used_ms = last_used_ms;
            count = target(&policy.scale(&seen), count);
            count
        })
        .collect()
}

fn replica(id: u64, max_perf: Option<f64>, ongoing: u32) -> Replica {
    Replica {
        id,
        kind: ReplicaKind::Process,
        state: ReplicaState::Ready,
        ongoing,
        idle_ms: (ongoing == 0).then_some(1000 * id),
        age_ms: 60_000,
        load: None,
        max_perf,
    }
}

#[test]
fn requests_are_work_and_workers_are_added_for_it() {
    // 5 requests of 100 units per second, 100 units per second and worker.
    let counts = targets(&mut lean(""), [5; 60]);
    assert_eq!(counts[0], 5, "the first second is all that is known");
    assert_eq!(counts[59], 5);
    assert_eq!(*targets(&mut policy("{}"), [5; 60]).last().unwrap(), 18, "6 at 90 %, times 3");
}

#[test]
fn load_that_goes_is_remembered_for_a_while() {
    let mut policy = lean("");
    let counts = targets(&mut policy, [10; 120].into_iter().chain([0; 500]));
    let falling = &counts[120..];
    assert!(falling.is_sorted_by(|one, next| one >= next), "never up again: {falling:?}");
    assert!(falling[5] >= 9 && falling[40] >= 4, "{falling:?}");
    assert_eq!(falling[499], 0);
}

#[test]
fn small_changes_of_the_load_do_not_flap() {
    let mut policy = lean("");
    let counts = targets(&mut policy, (0..600).map(|tick| if tick % 2 == 0 { 9 } else { 10 }));
    let changes = counts[60..].windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 1, "{changes} changes");
}

#[test]
fn zero_waits_for_the_inactivity_timeout() {
    let idle = |config: &str, idle_s: u64| {
        let mut policy = lean(config);
        targets(&mut policy, [2; 100].into_iter().chain(vec![0; idle_s as usize]))
            .last()
            .copied()
            .unwrap()
    };
    let gate = r#", "inactivity_timeout": 60"#;
    assert_eq!([idle(gate, 59), idle(gate, 60)], [1, 0]);
    assert_eq!(idle(r#", "inactivity_timeout": -1"#, 2000), 1);
    assert_eq!(idle(r#", "inactivity_timeout": 0"#, 2000), 0);
    assert_eq!(idle("", 2000), 0);
    let floor = r#", "inactivity_timeout": 60, "min_workers": 2"#;
    assert_eq!(idle(floor, 2000), 2, "cold workers stay");
    let mut busy = policy(r#"{"cold_mult": 1, "inactivity_timeout": 60}"#);
    assert_eq!(*targets(&mut busy, [0; 2000]).last().unwrap(), 1, "min_load is 1");
}

#[test]
fn waiting_work_above_the_target_is_load() {
    let mut policy = lean("");
    let seen = Observation { queued: 15, queued_average: Some(15.0), ..second(1, 1, 1) };
    // 1500 units wait for 100 units per second, 15 s: 150 more per second.
    assert_eq!(policy.scale(&seen).wish, Wish::Replicas(3.0));
    let seen = Observation { queued: 9, queued_average: None, ..second(1, 1, 1) };
    assert_eq!(lean("").scale(&seen).wish, Wish::Hold, "9 s are no reason");
    let seen = Observation { queued: 1, ..second(1, 0, 0) };
    assert_eq!(lean("").scale(&seen).wish, Wish::Replicas(1.0), "nobody serves");
}

#[test]
fn reported_work_and_performance_come_before_assumptions() {
    let work = Work { offered: 900.0, served: 0.0, cancelled: 100.0, ..Work::default() };
    let seen = Observation { work: Some(work), ..second(1, 1, 0) };
    assert_eq!(lean("").scale(&seen).wish, Wish::Replicas(8.0));
    let capacity = Work { capacity: Some(400.0), ..work };
    let seen = Observation { work: Some(capacity), ..second(1, 1, 2) };
    assert_eq!(lean("").scale(&seen).wish, Wish::Replicas(4.0), "200 each");
    let replicas = vec![replica(1, Some(300.0), 1), replica(2, Some(100.0), 0)];
    let seen = Observation { work: Some(work), replicas, ..second(1, 1, 2) };
    assert_eq!(lean("").scale(&seen).wish, Wish::Replicas(4.0), "300 + 100 + 2 of 200");
}

#[test]
fn performance_is_measured_where_nobody_reports_it() {
    let mut policy = lean("");
    let mut seen = Observation::default();
    for tick in 1..=60 {
        // Two busy workers do 8 requests a second, four times what is assumed of them.
        let busy = Some(2.0);
        seen = Observation { completed: 8, ongoing_average: busy, ..second(tick, 8, 8) };
        policy.scale(&seen);
    }
    let decision = policy.scale(&Observation { now_ms: 61_000, ..seen });
    assert!(decision.reason.contains("400.0 per worker"), "{}", decision.reason);
    assert_eq!(decision.wish, Wish::Replicas(3.0), "two and a reserve for 10 % more");
}

#[test]
fn worst_idle_workers_go_first() {
    let mut policy = lean(r#", "max_workers": 1"#);
    let replicas = vec![
        replica(1, Some(50.0), 0),
        replica(2, None, 0),
        replica(3, Some(10.0), 1),
        replica(4, Some(20.0), 0),
        Replica { state: ReplicaState::Draining, ..replica(5, Some(1.0), 0) },
    ];
    let decision = policy.scale(&Observation { replicas, ..second(1, 1, 4) });
    assert_eq!(decision.wish, Wish::Replicas(1.0));
    assert_eq!(decision.remove_first, [4, 2, 1], "20, about 27, 50; the busy one stays");
}

#[test]
fn bounds_are_the_deployments_unless_configured() {
    let crowd = || second(1, 1000, 3);
    assert_eq!(lean("").scale(&crowd()).wish, Wish::Replicas(20.0));
    assert_eq!(lean(r#", "max_workers": 7"#).scale(&crowd()).wish, Wish::Replicas(7.0));
    let limits = Limits { min: 2, ..LIMITS };
    let quiet = Observation { limits, ..second(1, 0, 0) };
    assert_eq!(lean("").scale(&quiet).wish, Wish::Replicas(2.0));
}

#[test]
fn nothing_goes_before_there_is_a_load_to_judge_by() {
    let first = Observation { since_ms: 0, ..second(0, 0, 9) };
    let decision = lean("").scale(&first);
    assert_eq!(decision.wish, Wish::Hold);
    assert_eq!(decision.reason, "load 0.0, 100.0 per worker, 0 active, 0 in all: 9 will do");
}

#[test]
fn late_ticks_and_bad_numbers_do_no_harm() {
    let mut policy = lean("");
    targets(&mut policy, [5; 60]);
    let work = Work {
        offered: f64::NAN,
        served: f64::INFINITY,
        rejected: f64::NAN,
        cancelled: -5.0,
        capacity: Some(f64::NAN),
    };
    let replicas = vec![replica(1, Some(f64::NAN), 0), replica(2, Some(-1.0), 0)];
    let mut seen = Observation { work: Some(work), replicas, ..second(60, 5, 5) };
    for (since_ms, average) in [(1, f64::NAN), (600_000, f64::INFINITY), (0, -3.0)] {
        seen.since_ms = since_ms;
        seen.now_ms += since_ms;
        seen.queued_average = Some(average);
        seen.ongoing_average = Some(average);
        let decision = policy.scale(&seen);
        target(&decision, 5);
        assert!(decision.reason.len() <= 200 && !decision.reason.contains("NaN"));
    }
    // Ten seconds in one observation count like ten observations of a second.
    let (mut one, mut ten) = (lean(""), lean(""));
    for tick in 1..=10 {
        ten.scale(&second(tick, 3, 3));
        one.scale(&second(tick, 3, 3));
    }
    let late = Observation { since_ms: 10_000, ..second(20, 120, 3) };
    let late = one.scale(&late);
    let last = (11..=20).map(|tick| ten.scale(&second(tick, 12, 3))).last().unwrap();
    assert_eq!(late, last);
}

#[test]
fn same_observations_lead_to_the_same_decisions() {
    let (mut one, mut other) = (policy("{}"), policy("{}"));
    let mut seed = 1_u64;
    for tick in 1..500 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let seen = Observation {
            queued: (seed >> 60) as u32,
            ongoing: (seed >> 59) as u32 % 9,
            completed: seed >> 61,
            ..second(tick, seed >> 58, (seed >> 60) as u32)
        };
        let decision = one.scale(&seen);
        assert!(target(&decision, 0) <= LIMITS.max);
        assert_eq!(decision, other.scale(&seen));
    }
}

#[test]
fn wrong_values_are_refused_with_what_is_allowed() {
    let refused = |config: &str| Vast::new(parse_config(config).unwrap()).err();
    let error = |text: &str| Some(text.to_owned());
    let config = r#"{"target_util": 1.5}"#;
    assert_eq!(refused(config), error("target_util is 1.5, must be above 0 and at most 1"));
    assert!(refused(r#"{"target_util": 0}"#).is_some());
    assert_eq!(refused(r#"{"min_load": -1}"#), error("min_load is -1, must be at least 0"));
    let config = r#"{"target_queue_time": 0}"#;
    assert_eq!(refused(config), error("target_queue_time is 0, must be above 0"));
    let config = r#"{"min_workers": 5, "max_workers": 2}"#;
    assert_eq!(refused(config), error("max_workers is 2, must be at least cold_workers = 5"));
    assert_eq!(refused(r#"{"inactivity_timeout": -1, "cold_mult": 0}"#), None);
}

#[test]
fn mistyped_keys_are_named() {
    let error = parse_config::<Config>(r#"{"cold_worker": 3}"#).unwrap_err();
    assert!(error.starts_with("unknown field `cold_worker`, expected one of"), "{error}");
    let error = parse_config::<Config>(r#"{"cold_workers": 3, "min_workers": 3}"#).unwrap_err();
    assert_eq!(error, "duplicate field `cold_workers`");
    let error = parse_config::<Config>(r#"{"max_workers": -3}"#).unwrap_err();
    assert_eq!(error, "`max_workers`: invalid value: integer `-3`, expected u32");
}

#[test]
fn schema_names_every_parameter() {
    let schema: serde_json::Value = serde_json::from_str(Vast::CONFIG_SCHEMA).unwrap();
    for (key, parameter) in schema["properties"].as_object().unwrap() {
        let default = parameter.get("default").cloned().unwrap_or_default();
        let config = serde_json::json!({key: default});
        assert!(parse_config::<Config>(&config.to_string()).is_ok(), "{key}");
        let made = Vast::new(parse_config(&config.to_string()).unwrap());
        assert!(made.is_ok(), "{key}: the default is refused");
    }
    let error = parse_config::<Config>(r#"{"x": 1}"#).unwrap_err();
    for name in error.split('`').skip(3).step_by(2) {
        assert!(schema["properties"].get(name).is_some(), "{name} is not in the schema");
    }
}
