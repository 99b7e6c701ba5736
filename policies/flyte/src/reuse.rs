//! The options of `flyte.ReusePolicy`, checked with the original's rules and words.

use serde::Deserialize;

/// Shortest TTL that the original takes, in seconds.
const TTL_MIN: f64 = 30.0;

/// A `ReusePolicy` that passed the checks of `flyte/_reusable_environment.py` of Flyte 2.12.1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReusePolicy {
    /// Fewest and most replicas.
    pub replicas: (i64, i64),
    /// Idle seconds of the whole pool after which it goes.
    pub idle_ttl: f64,
    /// Tasks that one replica runs at a time.
    pub concurrency: i64,
    /// Idle seconds of one replica after which it goes.
    pub scaledown_ttl: f64,
}

/// How widely a pool may be shared. Concerns Ray clusters only, so nothing here looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One pool for all runs.
    #[default]
    Global,
    /// One pool per run.
    Run,
}

impl Default for ReusePolicy {
    fn default() -> Self {
        Self { replicas: (2, 2), idle_ttl: TTL_MIN, concurrency: 1, scaledown_ttl: TTL_MIN }
    }
}

impl ReusePolicy {
    /// Checks the values. The types are checked where they are read.
    ///
    /// # Errors
    ///
    /// What the original refuses with a `ValueError`, and its text.
    pub fn check(&self, allow_short_ttls: bool) -> Result<(), String> {
        let (min, max) = self.replicas;
        for (label, value) in [("min", min), ("max", max)] {
            if value < 0 {
                return Err(format!(
                    "replicas {label} must be greater than or equal to 0, got {value}"
                ));
            }
        }
        if min > max {
            return Err(format!("replicas min ({min}) must be less than or equal to max ({max})"));
        }
        if self.concurrency < 1 {
            return Err(format!("concurrency must be at least 1, got {}", self.concurrency));
        }
        check_ttl("idle_ttl", self.idle_ttl, allow_short_ttls)?;
        check_ttl("scaledown_ttl", self.scaledown_ttl, allow_short_ttls)
    }

    /// Tasks that the largest pool runs at a time.
    pub fn capacity(&self) -> i64 {
        self.replicas.1.saturating_mul(self.concurrency)
    }

    /// Whether a task that waits for another one of the pool may wait for ever. The original warns
    /// for a single replica with a single place only.
    pub fn may_starve(&self) -> bool {
        self.replicas.1 == 1 && self.concurrency == 1
    }
}

fn check_ttl(name: &str, seconds: f64, allow_short: bool) -> Result<(), String> {
    match allow_short {
        false if seconds < TTL_MIN => Err(format!(
            "{name} must be at least 30 seconds, got {seconds}; `allow_short_ttls` permits less"
        )),
        true if seconds < 1.0 => Err(format!("{name} must be at least 1 second, got {seconds}")),
        _ => Ok(()),
    }
}
