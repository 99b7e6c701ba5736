use samovar_sdk::blocks::{Buckets, SlidingMax};
use samovar_sdk::{Decision, Observation, Policy, export_policy};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    requests_per_replica: f64,
}

/// Averages over ten seconds, and believes that fewer are enough after a minute.
pub struct Calm {
    config: Config,
    requests: Buckets,
    wanted: SlidingMax<u32>,
}
export_policy!(Calm);

impl Policy for Calm {
    const NAME: &'static str = "calm";
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        if config.requests_per_replica <= 0.0 {
            return Err("`requests_per_replica` must be above 0".into());
        }
        Ok(Self { config, requests: Buckets::linear(10_000, 1_000), wanted: SlidingMax::new(60) })
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        self.requests.record(seen.now_ms, f64::from(seen.requests()));
        let average = self.requests.average(seen.now_ms);
        let wanted = (average / self.config.requests_per_replica).ceil() as u32;
        let peak = self.wanted.record(seen.now_ms / 1000, wanted);
        Decision::replicas(peak).because(format!("{average:.1} requests want {wanted}"))
    }
}
