//! What the recorded vectors have no word for: the host's observations and bounds, and repairs.

use ray_serve::{Config, RayServe};
use samovar_sdk::{
    Decision, Limits, Observation, Policy, REASON_BYTES_MAX, Sample, Wish, parse_config,
};

const LIMITS: Limits = Limits { min: 0, max: 20, concurrency: 10, queue_max: 100 };

fn policy(config: &str) -> RayServe {
    RayServe::new(parse_config(config).unwrap()).unwrap()
}

fn refusal(config: &str) -> String {
    match parse_config::<Config>(config) {
        Ok(config) => RayServe::new(config).map(drop).unwrap_err(),
        Err(error) => error,
    }
}

/// A tick a second after the one before, with as many replicas as there should be.
fn tick(second: u64, replicas: u32, ongoing: f64) -> Observation {
    Observation {
        now_ms: 1_000_000 + second * 1_000,
        since_ms: 1_000,
        limits: LIMITS,
        ready: replicas,
        target: replicas,
        ongoing: ongoing as u32,
        ongoing_average: Some(ongoing),
        queued_average: Some(0.0),
        ..Observation::default()
    }
}

fn wish(decision: &Decision) -> Option<f64> {
    match decision.wish {
        Wish::Hold => None,
        Wish::Replicas(count) => Some(count),
    }
}

/// Obeys the policy at once and lists when it changed the number of replicas, and to what.
fn changes(
    policy: &mut RayServe,
    start: u32,
    seconds: std::ops::Range<u64>,
    ongoing: impl Fn(u64) -> f64,
) -> Vec<(u64, u32)> {
    let (mut replicas, mut changes) = (start, Vec::new());
    for second in seconds {
        let decision = policy.scale(&tick(second, replicas, ongoing(second)));
        if let Some(count) = wish(&decision) {
            replicas = count as u32;
            changes.push((second, replicas));
        }
    }
    changes
}

#[test]
fn more_is_wanted_for_the_delay_and_then_had_at_once() {
    let mut policy = policy("{}");
    assert_eq!(changes(&mut policy, 1, 0..40, |_| 14.0), [(30, 7)]);
}

#[test]
fn load_is_the_mean_over_the_look_back() {
    let mut policy = policy(r#"{"upscale_delay_s": 0, "look_back_period_s": 10}"#);
    // 20 requests from second 10 on: after 5 of 10 s the mean is 10, five replicas' worth.
    let came = changes(&mut policy, 1, 0..16, |second| if second > 10 { 20.0 } else { 0.0 });
    assert_eq!(came, [(12, 2), (13, 3), (14, 4), (15, 5)]);
}

#[test]
fn maximum_over_the_look_back_forgets_in_time() {
    let config = r#"{"aggregation_function": "MAX", "look_back_period_s": 5, "min_replicas": 1,
        "upscale_delay_s": 0, "downscale_delay_s": 0}"#;
    let spike = |second| if second == 3 { 8.0 } else { 1.0 };
    // The spike held from second 2 to 3, so it is out of sight from second 8 on.
    assert_eq!(changes(&mut policy(config), 1, 0..20, spike), [(3, 4), (8, 1)]);
}

#[test]
fn one_replica_is_left_before_none() {
    let config = r#"{"downscale_delay_s": 3, "downscale_to_zero_delay_s": 5}"#;
    assert_eq!(changes(&mut policy(config), 4, 0..20, |_| 0.0), [(3, 1), (9, 0)]);
}

#[test]
fn waiting_requests_start_the_first_replica_at_once() {
    let seen = Observation { queued: 3, queued_average: Some(0.5), ..tick(0, 0, 0.0) };
    for era in ["2.9", "2.47", "2.60"] {
        let decision = policy(&format!(r#"{{"era": "{era}"}}"#)).scale(&seen);
        assert_eq!(wish(&decision), Some(1.0), "{era}");
        assert!(decision.reason.ends_with("waiting, none running: 0 to 1 at once"), "{decision:?}");
    }
    let mut policy = policy("{}");
    assert_eq!(policy.scale(&tick(0, 0, 0.0)).reason, "0.00 waiting, none running: 0 will do");
}

#[test]
fn requests_of_replicas_that_are_gone_do_not_start_new_ones() {
    let mut policy = policy("{}");
    policy.scale(&tick(0, 1, 5.0));
    assert_eq!(wish(&policy.scale(&tick(1, 0, 0.0))), None);
}

#[test]
fn slowed_step_up_lowers_the_target_while_replicas_start() {
    let seen = Observation { ready: 2, starting: 8, target: 10, ..tick(0, 2, 20.0) };
    let config = r#"{"upscaling_factor": 0.5, "upscale_delay_s": 0, "downscale_delay_s": 0"#;
    let decision = policy(&format!("{config}}}")).scale(&seen);
    assert_eq!(wish(&decision), Some(6.0));
    assert_eq!(decision.reason, "20.00 requests, target 2, 2 running: 10 to 6");
    let repaired =
        policy(&format!(r#"{config}, "keep_target_while_starting": true}}"#)).scale(&seen);
    assert_eq!(wish(&repaired), None);
    assert_eq!(repaired.reason, "20.00 requests, target 2, 2 running: 10 will do");
}

#[test]
fn float_noise_costs_a_replica_unless_ignored() {
    let seen = tick(0, 7, 29.0);
    let config = r#"{"target_ongoing_requests": 1, "max_replicas": 50, "upscale_delay_s": 0"#;
    assert_eq!(wish(&policy(&format!("{config}}}")).scale(&seen)), Some(30.0));
    let config = format!(r#"{config}, "ignore_float_noise": true}}"#);
    assert_eq!(wish(&policy(&config).scale(&seen)), Some(29.0));
}

#[test]
fn queued_requests_count_except_in_the_legacy_era() {
    let seen = Observation { queued: 6, queued_average: Some(6.0), ..tick(0, 1, 2.0) };
    let scaled = |config: &str| wish(&policy(config).scale(&seen));
    assert_eq!(scaled(r#"{"upscale_delay_s": 0}"#), Some(4.0));
    assert_eq!(scaled(r#"{"era": "2.47", "upscale_delay_s": 0}"#), Some(4.0));
    assert_eq!(scaled(r#"{"era": "2.9", "upscale_delay_s": 0}"#), Some(2.0));
    let repaired = r#"{"era": "2.9", "upscale_delay_s": 0, "count_queued": true}"#;
    assert_eq!(scaled(repaired), Some(8.0));
}

#[test]
fn turns_of_the_control_loop_are_a_tenth_of_a_second() {
    for era in ["2.9", "2.47"] {
        let config = format!(r#"{{"era": "{era}", "upscale_delay_s": 3"#);
        let came = changes(&mut policy(&format!("{config}}}")), 1, 0..40, |_| 4.0);
        assert_eq!(came.first().map(|change| change.0), Some(3), "{era}");
        let counted = format!(r#"{config}, "count_ticks": true}}"#);
        let came = changes(&mut policy(&counted), 1, 0..40, |_| 4.0);
        assert_eq!(came.first().map(|change| change.0), Some(30), "{era}");
    }
}

#[test]
fn legacy_start_from_zero_passes_the_bounds_unless_clamped() {
    let seen = Observation { queued: 1, queued_average: Some(1.0), ..tick(0, 0, 0.0) };
    let config = r#"{"era": "2.9", "max_replicas": 2, "smoothing_factor": 5"#;
    assert_eq!(wish(&policy(&format!("{config}}}")).scale(&seen)), Some(5.0));
    let config = format!(r#"{config}, "clamp_cold_start": true}}"#);
    assert_eq!(wish(&policy(&config).scale(&seen)), Some(2.0));
}

#[test]
fn legacy_factor_sticks_unless_unstuck() {
    let config = r#"{"era": "2.9", "smoothing_factor": 0.3, "downscale_delay_s": 0"#;
    let seen = tick(0, 2, 1.0);
    assert_eq!(wish(&policy(&format!("{config}}}")).scale(&seen)), None);
    let config = format!(r#"{config}, "unstick_downscale": true}}"#);
    assert_eq!(wish(&policy(&config).scale(&seen)), Some(1.0));
}

#[test]
fn late_ticks_count_for_the_time_they_stand_for() {
    for era in ["2.9", "2.47", "2.60"] {
        let mut policy = policy(&format!(r#"{{"era": "{era}"}}"#));
        assert_eq!(wish(&policy.scale(&tick(0, 1, 4.0))), None);
        let late = Observation { since_ms: 60_000, ..tick(60, 1, 4.0) };
        let expected = if era == "2.9" { 4.0 } else { 2.0 };
        assert_eq!(wish(&policy.scale(&late)), Some(expected), "{era}");
    }
}

#[test]
fn missing_averages_are_the_present_values() {
    let seen = Observation { ongoing_average: None, queued_average: None, ..tick(0, 1, 6.0) };
    assert_eq!(wish(&policy(r#"{"upscale_delay_s": 0}"#).scale(&seen)), Some(3.0));
}

#[test]
fn bounds_are_the_deployments_unless_configured() {
    let seen = tick(0, 1, 1_000.0);
    let scaled = |config: &str| wish(&policy(config).scale(&seen));
    assert_eq!(scaled(r#"{"upscale_delay_s": 0}"#), Some(20.0));
    assert_eq!(scaled(r#"{"upscale_delay_s": 0, "max_replicas": 5}"#), Some(5.0));
    assert_eq!(scaled(r#"{"upscale_delay_s": 0, "target_capacity": 25}"#), Some(5.0));
    let grown = r#"{"initial_replicas": 8, "target_capacity": 50, "upscale_delay_s": 99,
        "target_capacity_direction": "UP"}"#;
    assert_eq!(scaled(grown), Some(4.0));
}

#[test]
fn gangs_come_whole() {
    let config = r#"{"gang_size": 4, "upscale_delay_s": 0, "downscale_delay_s": 1}"#;
    assert_eq!(wish(&policy(config).scale(&tick(0, 4, 10.0))), Some(8.0));
    let idle = changes(&mut policy(config), 8, 100..110, |_| 0.0);
    assert_eq!(idle, [(101, 4), (103, 0)]);
}

#[test]
fn series_speaks_for_the_user_under_rays_rules() {
    let config = r#"{"desired_series": "want", "upscaling_factor": 0.5, "upscale_delay_s": 1}"#;
    let mut policy = policy(config);
    let wanting = |second, value| {
        let custom = vec![Sample { name: "want".into(), value }];
        Observation { custom, ..tick(second, 1, 0.0) }
    };
    let waits = policy.scale(&wanting(0, 11.0));
    assert_eq!(waits.reason, "series want = 11, 1 running: wants 6, for 0.0 s of 1 s");
    assert_eq!(wish(&policy.scale(&wanting(1, 11.0))), Some(6.0));
    let held = policy.scale(&wanting(2, f64::NAN));
    assert_eq!((wish(&held), held.reason.as_str()), (None, "series want is NaN"));
    // Without a value the rule itself speaks.
    assert!(policy.scale(&tick(3, 1, 2.0)).reason.ends_with("1 will do"));
}

#[test]
fn new_pool_begins_with_initial_replicas() {
    let mut policy = policy(r#"{"initial_replicas": 3}"#);
    let first = Observation { since_ms: 0, ..tick(0, 0, 0.0) };
    let decision = policy.scale(&first);
    assert_eq!(wish(&decision), Some(3.0));
    assert_eq!(decision.reason, "a new pool begins with initial_replicas = 3");
    assert_eq!(wish(&policy.scale(&tick(1, 3, 0.0))), None);
}

#[test]
fn replayed_policy_decides_like_the_old_one() {
    for era in ["2.9", "2.47", "2.60"] {
        let config = format!(r#"{{"era": "{era}", "downscale_delay_s": 60}}"#);
        let load = |second: u64| ((second / 45) % 4 * 5) as f64;
        let (mut old, mut replicas, mut seen) = (policy(&config), 1, Vec::new());
        for second in 0..900 {
            seen.push(tick(second, replicas, load(second)));
            if let Some(count) = wish(&old.scale(&seen[second as usize])) {
                replicas = count as u32;
            }
        }
        let mut new = policy(&config);
        for past in &seen[300..] {
            new.scale(past);
        }
        for second in 900..1_200 {
            let seen = tick(second, replicas, load(second));
            let (one, other) = (old.scale(&seen), new.scale(&seen));
            assert_eq!(one, other, "{era} at {second}");
            replicas = wish(&one).map_or(replicas, |count| count as u32);
        }
    }
}

#[test]
fn whatever_is_seen_the_answer_is_a_number_within_bounds() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..300 {
        let era = ["2.9", "2.47", "2.60"][round % 3];
        let config = format!(
            r#"{{"era": "{era}", "min_replicas": {}, "max_replicas": {}, "smoothing_factor": {},
            "upscale_delay_s": {}, "downscale_delay_s": {}, "look_back_period_s": {}}}"#,
            random(3),
            random(9) + 3,
            0.1 + random(30) as f64 / 10.0,
            random(4),
            random(4),
            1 + random(40),
        );
        let mut policy = policy(&config);
        let (mut now_ms, mut target) = (random(1 << 40), 4);
        for _ in 0..60 {
            let since_ms = random(3_000);
            now_ms += since_ms;
            let seen = Observation {
                now_ms,
                since_ms,
                limits: LIMITS,
                ready: random(13) as u32,
                target,
                queued: random(50) as u32,
                ongoing: random(50) as u32,
                ongoing_average: (random(9) > 0).then(|| random(1_000) as f64 / 7.0),
                queued_average: (random(9) > 0).then(|| random(1_000) as f64 / 7.0),
                ..Observation::default()
            };
            let decision = policy.scale(&seen);
            assert!((1..=REASON_BYTES_MAX).contains(&decision.reason.len()), "{decision:?}");
            if let Some(count) = wish(&decision) {
                let may_pass = era == "2.9" && seen.ready == 0;
                assert!(may_pass || (0.0..=12.0).contains(&count), "{config} {seen:?} {count}");
                target = (count as u32).min(12);
            }
        }
    }
}

#[test]
fn huge_numbers_keep_reasons_short() {
    let custom = vec![Sample { name: "ü".repeat(300), value: 1e300 }];
    let config = format!(r#"{{"desired_series": "{}"}}"#, "ü".repeat(300));
    let decision = policy(&config).scale(&Observation { custom, ..tick(0, 1, 0.0) });
    assert!(decision.reason.len() <= REASON_BYTES_MAX, "{}", decision.reason.len());
}

#[test]
fn mistyped_keys_are_named() {
    let error = refusal(r#"{"look_pack_period_s": 10}"#);
    assert!(error.starts_with("unknown field `look_pack_period_s`, expected one of"), "{error}");
    let error = refusal(r#"{"max_replicas": 2.5}"#);
    assert!(error.starts_with("`max_replicas`: invalid type: floating point"), "{error}");
    assert!(refusal(r#"{"era": "2.8"}"#).contains("unknown variant `2.8`"));
}

#[test]
fn values_out_of_range_are_named_with_what_is_allowed() {
    let cases = [
        (
            r#"{"target_ongoing_requests": 0}"#,
            "`target_ongoing_requests` should be greater than 0, is 0",
        ),
        (
            r#"{"upscale_delay_s": -1}"#,
            "`upscale_delay_s` should be greater than or equal to 0, is -1",
        ),
        (
            r#"{"min_replicas": 5, "max_replicas": 2}"#,
            "max_replicas (2) must be greater than or equal to min_replicas (5)!",
        ),
        (
            r#"{"min_replicas": 5, "initial_replicas": 2}"#,
            "min_replicas (5) must be less than or equal to initial_replicas (2)!",
        ),
        (
            r#"{"initial_replicas": 9, "max_replicas": 5}"#,
            "max_replicas (5) must be greater than or equal to initial_replicas (9)!",
        ),
        (
            r#"{"aggregation_function": "p95"}"#,
            "`aggregation_function` is 'p95', which is not a valid AggregationFunction; \
          allowed are mean, max and min",
        ),
        (r#"{"target_capacity": 101}"#, "`target_capacity` should be between 0 and 100, is 101"),
        (r#"{"gang_size": 0}"#, "`gang_size` should be greater than 0, is 0"),
    ];
    for (config, expected) in cases {
        assert_eq!(refusal(config), expected);
    }
    assert!(refusal(r#"{"policy": {}}"#).starts_with("`policy` names Python code"));
}

#[test]
fn names_of_other_eras_are_refused_unless_ignored() {
    assert_eq!(
        refusal(r#"{"target_num_ongoing_requests_per_replica": 7}"#),
        "`target_num_ongoing_requests_per_replica` has no effect in era 2.60: use \
         target_ongoing_requests, choose another `era`, or set `ignore_other_eras`"
    );
    assert!(
        refusal(r#"{"era": "2.9", "upscaling_factor": 2}"#).contains("upscale_smoothing_factor")
    );
    assert!(refusal(r#"{"era": "2.47", "downscale_to_zero_delay_s": 2}"#).contains("era 2.47"));
    assert!(refusal(r#"{"count_queued": true}"#).contains("has no effect in era 2.60"));
    let ignored = r#"{"target_num_ongoing_requests_per_replica": 7, "ignore_other_eras": true,
        "upscale_delay_s": 0}"#;
    assert_eq!(wish(&policy(ignored).scale(&tick(0, 1, 7.0))), Some(4.0));
}

#[test]
fn schema_lists_every_key_with_its_default() {
    let schema: serde_json::Value = serde_json::from_str(RayServe::CONFIG_SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let defaults: serde_json::Map<_, _> = properties
        .iter()
        .map(|(key, property)| (key.clone(), property["default"].clone()))
        .collect();
    let mut config = serde_json::Value::Object(defaults);
    config["ignore_other_eras"] = true.into();
    policy(&config.to_string());
    // `policy` is there to be refused.
    let keys = refusal(r#"{"x": 1}"#);
    let keys = keys.split('`').skip(3).step_by(2).filter(|key| *key != "policy");
    let described = |key: &&str| properties.get(*key).is_some_and(|p| p["description"].is_string());
    assert_eq!(keys.clone().find(|key| !described(key)), None);
    assert_eq!(keys.count(), properties.len());
}
