//! A scaling policy: one replica for every so many requests, and a short memory of the peak.
//!
//! A policy is a pure function of what it is told. It has no clock: times come with the
//! observations. Before it goes live it is fed the last minutes, so its memory is never empty.

use std::collections::VecDeque;

use samovar_sdk::{Decision, Observation, Policy, export_policy};

/// The settings, from `--set KEY=VALUE`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Requests, waiting or being served, that one replica is for.
    requests_per_replica: f64,
    /// The peak of this time decides, so that a short lull removes nothing.
    memory_ms: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config { requests_per_replica: 1.0, memory_ms: 10_000 }
    }
}

/// The state for one deployment.
pub struct Scaler {
    config: Config,
    /// When, and how many replicas were wanted then; oldest first.
    wanted: VecDeque<(u64, f64)>,
}

export_policy!(Scaler);

impl Policy for Scaler {
    const NAME: &'static str = "{{name}}";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Config = Config;

    fn new(config: Config) -> Result<Scaler, String> {
        if config.requests_per_replica > 0.0 {
            return Ok(Scaler { config, wanted: VecDeque::new() });
        }
        Err("requests_per_replica must be above 0".to_owned())
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        let requests = f64::from(seen.queued) + f64::from(seen.ongoing);
        self.wanted.push_back((seen.now_ms, requests / self.config.requests_per_replica));
        let oldest_ms = seen.now_ms.saturating_sub(self.config.memory_ms);
        while self.wanted.front().is_some_and(|(at_ms, _)| *at_ms < oldest_ms) {
            self.wanted.pop_front();
        }
        let peak = self.wanted.iter().map(|(_, wanted)| *wanted).fold(0.0, f64::max);
        // The host rounds up and keeps the bounds of the deployment.
        Decision::replicas(peak).because(format!("{requests} requests, peak asks for {peak}"))
    }
}

#[cfg(test)]
mod tests {
    use samovar_sdk::Wish;

    use super::*;

    #[test]
    fn peak_is_remembered_for_a_while() {
        let mut scaler = Scaler::new(Config::default()).unwrap();
        let mut wish = |now_ms, queued| {
            scaler.scale(&Observation { now_ms, queued, ..Observation::default() }).wish
        };
        assert_eq!(wish(0, 4), Wish::Replicas(4.0));
        assert_eq!(wish(10_000, 1), Wish::Replicas(4.0));
        assert_eq!(wish(10_001, 1), Wish::Replicas(1.0));
    }
}
