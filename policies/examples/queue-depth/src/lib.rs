//! As many replicas as the waiting requests need, and never fewer than are busy.

use samovar_sdk::{Decision, Observation, Policy, export_policy};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Waiting requests that are worth one more replica.
    waiting_per_replica: f64,
}

struct QueueDepth(Config);
export_policy!(QueueDepth);

impl Policy for QueueDepth {
    const NAME: &'static str = "queue-depth";
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        if config.waiting_per_replica > 0.0 {
            return Ok(Self(config));
        }
        Err("`waiting_per_replica` must be above 0".into())
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        let waiting = f64::from(seen.queued) / self.0.waiting_per_replica;
        let busy = f64::from(seen.ongoing) / f64::from(seen.limits.concurrency);
        Decision::replicas(busy + waiting).because(format!("{} wait", seen.queued))
    }
}

#[cfg(test)]
mod tests;
