//! What is replayed: the deployments and the times of their requests.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use crate::policies::BUILTIN;

/// How long a handler sleeps on each request.
pub const SLEEP: Duration = Duration::from_millis(800);
/// From the first tick of a deployment to the start of its requests: whole ticks without any.
pub const LEAD: Duration = Duration::from_secs(5);
/// Time between two ticks.
pub const INTERVAL: Duration = Duration::from_secs(1);
const REPLICAS_MAX: u32 = 40;
const SEED: u64 = 1;

/// The rate in requests per second at parts of the whole time, straight lines between them.
const RATES: [(f64, f64); 18] = [
    (0.0, 0.0),
    (0.2, 36.0),
    (0.3, 24.0),
    (0.3, 4.0),
    (0.4, 4.0),
    (0.4, 36.0),
    (0.44, 36.0),
    (0.44, 6.0),
    (0.5, 6.0),
    (0.5, 36.0),
    (0.54, 36.0),
    (0.54, 6.0),
    (0.6, 6.0),
    (0.6, 0.0),
    (0.75, 0.0),
    (0.9, 30.0),
    (0.95, 30.0),
    (1.0, 5.0),
];
const RATE_MAX: f64 = 36.0;

/// A handler that sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The guest.
    pub guest: &'static str,
    /// What it is built for, for the reader.
    pub world: &'static str,
    /// Requests that one replica serves at a time.
    pub concurrency: u32,
}

/// Both kinds of handlers.
pub const HANDLERS: [Handler; 2] = [
    Handler { guest: "fixture-behave", world: "WASI 0.2", concurrency: 1 },
    Handler { guest: "fixture-behave-async", world: "WASI 0.3", concurrency: 4 },
];

/// A policy with a handler.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub policy: &'static str,
    pub handler: Handler,
}

impl Subject {
    /// Every built-in policy with every handler.
    pub fn all() -> Vec<Subject> {
        let of = |handler| BUILTIN.map(|policy| Subject { policy, handler });
        HANDLERS.into_iter().flat_map(of).collect()
    }

    /// Name of its deployment.
    pub fn name(&self) -> String {
        format!("{}-{}", self.policy, self.handler.concurrency)
    }

    /// The settings that live and simulated deployments share.
    pub fn spec(&self) -> Value {
        json!({
            "replicas": {"min": 0, "max": REPLICAS_MAX},
            "concurrency": self.handler.concurrency,
            "idle_ttl": "off",
            "scaledown_ttl": "2500ms",
            "queue": {"max": 100_000, "timeout": "120s"},
            "scaling": {
                "policy": self.policy,
                "config": self.config(),
                "interval": format!("{}us", INTERVAL.as_micros()),
            },
        })
    }

    /// Settings under which much happens within minutes. Where a time may have a fraction, it ends
    /// between two ticks: at a whole number of ticks, a clock's microseconds would decide.
    fn config(&self) -> Value {
        let at_once = self.handler.concurrency;
        match self.policy {
            "lightning" => json!({
                "scale_out_interval": 2.5, "scale_in_interval": 2.5, "max_batch_size": 2 * at_once,
            }),
            "vast" => {
                let per_second = f64::from(at_once) / SLEEP.as_secs_f64();
                json!({
                    "workload_per_request": 100, "max_perf": 100.0 * per_second, "min_load": 0,
                    "cold_mult": 1.2, "forecast_half_life": 5, "forecast_horizon": 5,
                    "target_queue_time": 2,
                })
            }
            "flyte" => json!({
                "scaledown_ttl": 5, "idle_ttl": 10, "allow_short_ttls": true,
                "zero_minimum": "zero",
            }),
            "kubetorch" => json!({
                "target": at_once, "target_utilization": 90, "window": "15s",
                "scale_down_delay": "5s", "scale_to_zero_pod_retention_period": "5s",
            }),
            "ray-serve" => json!({
                "target_ongoing_requests": at_once, "look_back_period_s": 9.5,
                "upscale_delay_s": 3.5, "downscale_delay_s": 10.5,
            }),
            other => unreachable!("`{other}` is not built in"),
        }
    }
}

/// Whole ticks in this time.
pub fn ticks(time: Duration) -> u32 {
    (time.as_nanos() / INTERVAL.as_nanos()) as u32
}

/// The path of a request to the deployment `name`.
pub fn path(name: &str) -> String {
    format!("/{name}/sleep?ms={}", SLEEP.as_millis())
}

/// The bytes of a request to the deployment `name`.
pub fn request(address: SocketAddr, name: &str) -> Vec<u8> {
    crate::loadgen::get(address, &path(name))
}

/// When requests come, from the start of the requests: the same for all deployments, independent
/// of each other under the rate.
pub fn times(total: Duration) -> Vec<Duration> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut at, mut times) = (0.0, Vec::new());
    loop {
        at += -(1.0 - random.f64()).ln() / RATE_MAX;
        if at >= total.as_secs_f64() {
            return times;
        }
        // Drawn at the highest rate, and thinned out where the rate is lower.
        if random.f64() * RATE_MAX < rate(at / total.as_secs_f64()) {
            times.push(Duration::from_micros((at * 1e6) as u64));
        }
    }
}

/// The rate at a part of the whole time; at a step, the one after it.
fn rate(part: f64) -> f64 {
    let next = RATES.partition_point(|(at, _)| *at <= part).min(RATES.len() - 1);
    let ((from, low), (to, high)) = (RATES[next - 1], RATES[next]);
    low + (high - low) * (part - from) / (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_follows_the_lines() {
        let at = [0.0, 0.1, 0.25, 0.3, 0.42, 0.7, 1.0].map(|part| rate(part).round());
        assert_eq!(at, [0.0, 18.0, 30.0, 4.0, 36.0, 0.0, 5.0]);
    }

    #[test]
    fn requests_are_as_many_as_the_rate_says_and_in_order() {
        let total = Duration::from_secs(1000);
        let times = times(total);
        assert!(times.is_sorted());
        assert_eq!(times, super::times(total));
        let steps = (0..1000).map(|step| rate((f64::from(step) + 0.5) / 1000.0));
        let expected: f64 = steps.sum();
        let seen = times.len() as f64;
        assert!((seen - expected).abs() < 4.0 * expected.sqrt(), "{seen} instead of {expected}");
    }

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = Subject::all().iter().map(Subject::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 10);
    }
}
