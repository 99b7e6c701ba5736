//! The whole policy on observations, and its configuration.

use kubetorch::{Config, Kubetorch};
use samovar_sdk::{Decision, Limits, Observation, Policy, Wish, parse_config};

const LIMITS: Limits = Limits { min: 0, max: 50, concurrency: 100, queue_max: 1_000 };

fn policy(config: &str) -> Kubetorch {
    Kubetorch::new(parse_config(config).unwrap()).unwrap()
}

fn refused(config: &str) -> String {
    match parse_config::<Config>(config).and_then(Kubetorch::new) {
        Ok(_) => panic!("{config} passes"),
        Err(error) => error,
    }
}

/// A pool that is as large as the newest wish says, and has served before.
struct Pool {
    policy: Kubetorch,
    now_ms: u64,
    replicas: u32,
}

impl Pool {
    fn new(config: &str, replicas: u32) -> Self {
        Self { policy: policy(config), now_ms: 1_000_000, replicas }
    }

    fn tick(&mut self, since_ms: u64, requests: f64) -> Decision {
        self.now_ms += since_ms;
        let decision = self.policy.scale(&Observation {
            now_ms: self.now_ms,
            since_ms,
            limits: LIMITS,
            ready: self.replicas,
            target: self.replicas,
            ongoing: requests.ceil() as u32,
            ongoing_average: (since_ms > 0).then_some(requests),
            queued_average: (since_ms > 0).then_some(0.0),
            last_used_ms: Some(1),
            created_ms: 0,
            ..Observation::default()
        });
        if let Wish::Replicas(count) = decision.wish {
            self.replicas = count as u32;
        }
        assert!(decision.reason.len() <= samovar_sdk::REASON_BYTES_MAX, "{}", decision.reason);
        decision
    }

    /// Ticks once a second; the replicas after each.
    fn run(&mut self, seconds: usize, requests: f64) -> Vec<u32> {
        let step = |_| {
            self.tick(1_000, requests);
            self.replicas
        };
        (0..seconds).map(step).collect()
    }
}

#[test]
fn burst_makes_it_panic_and_the_delay_keeps_the_peak() {
    let mut pool = Pool::new(r#"{"target": 10, "scale_down_delay": "1m"}"#, 1);
    pool.tick(0, 1.0);
    pool.run(60, 1.0);
    assert_eq!(pool.replicas, 1);
    // 35 at once over 7 per replica: the panic window (6 s) fills up two seconds at a time.
    let growth = pool.run(8, 35.0);
    assert!(growth.is_sorted() && growth.last() == Some(&5), "{growth:?}");
    let calm = pool.run(240, 1.0);
    let first_fall = calm.iter().position(|&replicas| replicas < 5).unwrap();
    // Panic lasts for a stable window after its last threshold, the delay for a minute more.
    assert!((100..=140).contains(&first_fall), "{first_fall}");
    assert_eq!(pool.replicas, 1);
}

#[test]
fn reason_has_the_numbers() {
    let mut pool = Pool::new(r#"{"target": 10}"#, 1);
    pool.tick(0, 35.0);
    pool.tick(1_000, 35.0);
    let decision = pool.tick(1_000, 35.0);
    assert_eq!(
        decision.reason,
        "concurrency 35.00, panic 35.00, target 7: 5 in panic; excess burst -196"
    );
    assert_eq!(pool.tick(1_000, 35.0).reason, "sampled, decides every 2 s");
}

#[test]
fn last_replica_stays_for_the_retention_period() {
    let config = r#"{"scale_to_zero_pod_retention_period": "2m", "scale_down_delay": "0s"}"#;
    let mut pool = Pool::new(config, 1);
    pool.tick(0, 5.0);
    pool.run(120, 5.0);
    let idle = pool.run(300, 0.0);
    let zero = idle.iter().position(|&replicas| replicas == 0).unwrap();
    // A minute until the window is empty, then the two minutes.
    assert!((178..=184).contains(&zero), "{zero}");
}

#[test]
fn by_default_the_last_replica_stays_for_twelve_minutes() {
    let mut pool = Pool::new("{}", 1);
    pool.tick(0, 5.0);
    pool.run(200, 5.0);
    let idle = pool.run(900, 0.0);
    let zero = idle.iter().position(|&replicas| replicas == 0).unwrap();
    // The window, the delay and the retention period.
    assert!((714..=724).contains(&zero), "{zero}");
}

#[test]
fn only_three_options_count_as_deployed_since_0_4() {
    let config = r#"{"target": 10, "metric": "rps", "target_utilization": 100, "concurrency": 1}"#;
    let intended = parse_config::<Config>(config).unwrap();
    let deployed = Config { as_deployed_since_0_4: true, ..intended.clone() };
    let (intended, deployed) = (intended.settings().unwrap(), deployed.settings().unwrap());
    assert_eq!((intended.metric.name(), intended.target().target), ("rps", 10.0));
    assert_eq!((deployed.metric.name(), deployed.target().target), ("concurrency", 7.0));
    assert!(intended.scale_down_delay.is_some() && deployed.scale_down_delay.is_none());
    assert_eq!(deployed.container_concurrency, 0);
}

#[test]
fn everything_is_passed_on() {
    let config = r#"{
        "target": 5, "window": "30s", "metric": "concurrency", "target_utilization": 80,
        "min_scale": 1, "max_scale": 9, "initial_scale": 2, "concurrency": 4,
        "scale_to_zero_pod_retention_period": "1m5s", "scale_down_delay": "15m",
        "autoscaler_class": "kpa.autoscaling.knative.dev", "launch_timeout": 2000,
        "panicWindowPercentage": 20, "panic-threshold-percentage": "150",
        "target-burst-capacity": -1, "activation-scale": 3,
        "metric-aggregation-algorithm": "weighted-exponential",
        "cluster": {"max-scale-down-rate": 3, "stable-window": "45s", "enable-scale-to-zero": false}
    }"#;
    let settings = parse_config::<Config>(config).unwrap().settings().unwrap();
    let seconds = |span: Option<std::time::Duration>| span.unwrap().as_secs();
    assert_eq!((settings.target().target, settings.target().total), (3.2, 4.0));
    assert_eq!(settings.stable_window().as_secs(), 30);
    assert_eq!(settings.panic_window().as_secs(), 6);
    assert_eq!((settings.min_scale, settings.max_scale), (Some(1), Some(9)));
    assert_eq!((settings.initial_scale(), settings.activation_scale), (2, Some(3)));
    assert_eq!(seconds(settings.scale_to_zero_pod_retention_period), 65);
    assert_eq!(seconds(settings.scale_down_delay), 900);
    assert_eq!(seconds(settings.progress_deadline), 2_400);
    assert_eq!(settings.algorithm, knative::Algorithm::WeightedExponential);
    let spec = settings.spec();
    assert_eq!((spec.panic_threshold, spec.burst, spec.max_down), (1.5, -1.0, 3.0));
    assert!(!settings.cluster.enable_scale_to_zero);
    assert_eq!(settings.cluster.stable_window.as_secs(), 45);
}

#[test]
fn delays_are_those_kubetorch_sets_itself() {
    let settings = Config::default().settings().unwrap();
    assert_eq!(settings.scale_down_delay.unwrap().as_secs(), 60);
    assert_eq!(settings.scale_to_zero_pod_retention_period.unwrap().as_secs(), 600);
    assert_eq!(settings.progress_deadline.unwrap().as_secs(), 1_080);
    assert_eq!((settings.min_scale, settings.max_scale), (None, None));
}

#[test]
fn kubetorch_refuses_first() {
    for (config, error) in [
        (
            r#"{"min_scale": 5, "max_scale": 2}"#,
            "AutoScalingError: min_scale cannot be greater than max_scale: 5 > 2",
        ),
        (r#"{"window": "60"}"#, "AutoScalingError: window must end with s, m, or h: \"60\""),
        (
            r#"{"target_utilization": 101}"#,
            "AutoScalingError: target_utilization must be between 1 and 100: 101.0",
        ),
        (
            r#"{"scale_down_delay": "1.5m"}"#,
            "AutoScalingError: scale_down_delay must be a valid duration (e.g., '15m', '1h'): \
             \"1.5m\"",
        ),
        (
            r#"{"autoscaler_class": "other"}"#,
            "AutoScalingError: autoscaler_class must be 'kpa.autoscaling.knative.dev' or \
             'hpa.autoscaling.knative.dev': \"other\"",
        ),
    ] {
        assert_eq!(refused(config), error);
    }
}

#[test]
fn knative_refuses_what_kubetorch_lets_through() {
    for (config, error) in [
        (r#"{"window": "lots"}"#, "window: invalid value: lots"),
        (r#"{"window": "5s"}"#, "window: expected 6s <= 5s <= 3600s"),
        (r#"{"min_scale": -1}"#, "min_scale: invalid value: -1"),
        (r#"{"target": 0}"#, "target: target 0 should be at least 0.01"),
        (r#"{"metric": "cpu"}"#, "metric: invalid value: cpu"),
        (r#"{"target_utilization": 0.5}"#, "target_utilization: expected 1 <= 0.5 <= 100"),
        (r#"{"scale_down_delay": "2h"}"#, "scale_down_delay: expected 0s <= 7200s <= 3600s"),
        (r#"{"concurrency": 1001}"#, "concurrency: expected 0 <= 1001 <= 1000"),
        (r#"{"activation-scale": 1}"#, "activation-scale: 1 must be greater than 1"),
        (r#"{"initial_scale": 0}"#, "initial_scale: 0 not allowed by cluster, expected at least 1"),
        (
            r#"{"autoscaler_class": "hpa.autoscaling.knative.dev", "metric": "cpu"}"#,
            "autoscaler_class: hpa.autoscaling.knative.dev scales on CPU and memory, which the \
             host does not measure",
        ),
        (
            r#"{"cluster": {"max-scale-up-rate": 1}}"#,
            "cluster: max-scale-up-rate = 1, must be greater than 1.0",
        ),
        (r#"{"cluster": {"stable-window": 60}}"#, "cluster: stable-window: invalid value: 60"),
    ] {
        assert_eq!(refused(config), error);
    }
}

#[test]
fn mistyped_keys_are_named() {
    let error = refused(r#"{"min_replicas": 1}"#);
    assert!(error.starts_with("unknown field `min_replicas`, expected one of"), "{error}");
    assert_eq!(
        refused(r#"{"cluster": {"stable_window": "60s"}}"#),
        "cluster: unknown key `stable_window` of the cluster"
    );
    assert_eq!(
        refused(r#"{"max_scale": "3"}"#),
        "`max_scale`: invalid type: string \"3\", expected i64"
    );
}

#[test]
fn schema_names_every_key() {
    let schema: serde_json::Value = serde_json::from_str(Kubetorch::CONFIG_SCHEMA).unwrap();
    let error = refused(r#"{"?": 1}"#);
    let (_, names) = error.split_once("expected one of ").unwrap();
    for name in names.split(", ").map(|name| name.trim_matches('`')) {
        let is_old_spelling = name.contains(char::is_uppercase);
        assert!(is_old_spelling || schema["properties"].get(name).is_some(), "{name}");
    }
    for (key, text) in schema["properties"]["cluster"]["properties"].as_object().unwrap() {
        let config = serde_json::json!({"cluster": {key: text["default"]}});
        Config::settings(&parse_config(&config.to_string()).unwrap()).unwrap();
    }
}
