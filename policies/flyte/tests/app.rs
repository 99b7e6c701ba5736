//! Apps, which Knative's autoscaler decides about.

use flyte::Flyte;
use samovar_sdk::{Limits, Observation, Policy, Wish, parse_config};

const LIMITS: Limits = Limits { min: 0, max: 20, concurrency: 100, queue_max: 1000 };

/// Holds `ongoing` requests inside for some seconds, and `per_s` that arrive in each. The host
/// carries out every decision at once. Gives the replicas after each second.
struct World {
    policy: Flyte,
    now_s: u64,
    replicas: u32,
    used: bool,
    reason: String,
}

impl World {
    fn new(config: &str) -> Self {
        let policy = Flyte::new(parse_config(config).unwrap()).unwrap();
        Self { policy, now_s: 0, replicas: 0, used: false, reason: String::new() }
    }

    fn run(&mut self, seconds: u64, requests: u32, per_s: u64) -> Vec<u32> {
        let mut history = Vec::new();
        for _ in 0..seconds {
            self.now_s += 1;
            self.used |= requests > 0 || per_s > 0;
            let (queued, ongoing) = if self.replicas == 0 { (requests, 0) } else { (0, requests) };
            let decision = self.policy.scale(&Observation {
                now_ms: self.now_s * 1000,
                since_ms: 1000,
                limits: LIMITS,
                ready: self.replicas,
                target: self.replicas,
                queued,
                ongoing,
                queued_average: Some(queued.into()),
                ongoing_average: Some(ongoing.into()),
                arrived: per_s,
                completed: per_s,
                last_used_ms: self.used.then_some(self.now_s * 1000),
                ..Observation::default()
            });
            if let Wish::Replicas(count) = decision.wish {
                self.replicas = (count.ceil() as u32).clamp(LIMITS.min, LIMITS.max);
                self.reason = decision.reason;
            }
            history.push(self.replicas);
        }
        history
    }

    fn settle(&mut self, requests: u32, per_s: u64) -> u32 {
        *self.run(120, requests, per_s).last().unwrap()
    }
}

#[test]
fn concurrency_of_ten_scales_at_seven() {
    let mut world = World::new(r#"{"kind": "app", "metric": {"Concurrency": 10}}"#);
    assert_eq!(world.settle(70, 0), 10);
    let mut world = World::new(
        r#"{"kind": "app", "metric": {"Concurrency": 10}, "target_utilization_percentage": 100}"#,
    );
    assert_eq!(world.settle(70, 0), 7);
}

#[test]
fn request_rate_counts_arrivals() {
    let mut world = World::new(r#"{"kind": "app", "metric": {"RequestRate": 10}}"#);
    assert_eq!(world.settle(1, 35), 5);
}

#[test]
fn without_a_metric_a_replica_takes_seventy() {
    let mut world = World::new(r#"{"kind": "app"}"#);
    assert_eq!(world.settle(141, 0), 3);
}

#[test]
fn range_is_kept_and_a_fixed_number_never_changes() {
    let mut world = World::new(
        r#"{"kind": "app", "replicas": [2, 4], "metric": {"Concurrency": 1},
            "scaledown_after": 6}"#,
    );
    assert_eq!(world.settle(100, 0), 4);
    assert_eq!(world.settle(0, 0), 2);
    let mut world = World::new(r#"{"kind": "app", "replicas": 3, "metric": {"Concurrency": 1}}"#);
    assert_eq!((world.settle(100, 0), world.settle(0, 0)), (3, 3));
}

#[test]
fn app_goes_to_zero_after_window_and_grace_and_comes_back() {
    let config = r#"{"kind": "app", "replicas": [0, 1], "scaledown_after": 10}"#;
    let mut world = World::new(config);
    assert_eq!(world.settle(5, 0), 1);
    let history = world.run(120, 0, 0);
    let lasted = history.iter().take_while(|&&replicas| replicas == 1).count();
    assert!((10..=50).contains(&lasted), "{lasted}");
    assert_eq!(history.last(), Some(&0));
    assert_eq!(world.run(3, 5, 0).last(), Some(&1));
}

#[test]
fn always_on_never_goes_to_zero() {
    let mut world = World::new(r#"{"kind": "app", "replicas": [1, 1]}"#);
    assert_eq!((world.settle(5, 0), world.settle(0, 0), world.settle(0, 0)), (1, 1, 1));
}

#[test]
fn zero_replicas_are_no_limit_unless_repaired() {
    let metric = r#""metric": {"Concurrency": 10}"#;
    let mut world = World::new(&format!(r#"{{"kind": "app", "replicas": 0, {metric}}}"#));
    assert_eq!(world.settle(70, 0), 10);
    let repaired = r#""zero_maximum": "zero""#;
    let mut world =
        World::new(&format!(r#"{{"kind": "app", "replicas": 0, {metric}, {repaired}}}"#));
    assert_eq!(world.settle(70, 0), 0);
}

#[test]
fn window_slows_growth_and_a_delay_does_not() {
    let grows = |scaledown_as: &str| {
        let mut world = World::new(&format!(
            r#"{{"kind": "app", "replicas": [1, 20], "metric": {{"Concurrency": 10}},
                "scaledown_after": 600, "scaledown_as": "{scaledown_as}"}}"#
        ));
        // The start is panic, which lasts for a whole window.
        world.run(1500, 60, 0);
        // Less than twice the load, so there is no panic.
        let history = world.run(900, 100, 0);
        history.iter().position(|&replicas| replicas == 15).unwrap()
    };
    let (window, delay) = (grows("window"), grows("delay"));
    assert!(delay <= 62 && window > 300, "{delay} and {window}");
}

#[test]
fn delay_keeps_replicas_for_that_long() {
    let lasts = |config: &str| {
        let mut world = World::new(config);
        world.settle(70, 0);
        world.run(900, 7, 0).iter().take_while(|&&replicas| replicas == 10).count()
    };
    let plain = lasts(r#"{"kind": "app", "metric": {"Concurrency": 10}}"#);
    let delayed = lasts(
        r#"{"kind": "app", "metric": {"Concurrency": 10}, "scaledown_after": 300,
            "scaledown_as": "delay"}"#,
    );
    assert!(plain < 100 && (300..500).contains(&delayed), "{plain} and {delayed}");
}
