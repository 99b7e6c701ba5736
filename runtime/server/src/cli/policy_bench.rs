//! `samovar policy-bench`: what one decision costs, call after call.
//!
//! A server asks a policy once a second, and most of that call's time is caches that went cold
//! meanwhile. Here the calls follow each other, so that what is measured is the host's path and the
//! policy's work.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use samovar_core::replica::{ReplicaId, ReplicaView, State};

use super::policy_vectors::{observation, start};
use crate::policy::Scaler;

/// Measure a built-in policy
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct PolicyBench {
    /// Name of the policy
    #[arg(long, default_value = "lightning")]
    policy: String,
    /// Replicas in each observation, listed one by one
    #[arg(long, default_value_t = 10)]
    replicas: u32,
    /// Calls to measure
    #[arg(long, default_value_t = 20_000)]
    calls: u64,
}

impl PolicyBench {
    /// Prints one line of JSON: the quantiles in microseconds.
    pub async fn run(self) -> anyhow::Result<()> {
        let program = start(&self.policy)?;
        let (scaler, _) = Scaler::create(&program, "{}".to_owned(), Arc::default()).await?;
        let mut took = Vec::new();
        for call in 0..self.calls.max(1) {
            let mut seen = observation(call * 1000, self.replicas, 20);
            seen.replicas = (0..self.replicas).map(|id| replica(id.into())).collect();
            took.push(scaler.scale(seen).await?.took);
        }
        took.sort_unstable();
        let at = |quantile: f64| {
            let index = ((took.len() - 1) as f64 * quantile).round() as usize;
            took[index].as_secs_f64() * 1e6
        };
        let line = serde_json::json!({
            "policy": self.policy, "replicas": self.replicas, "calls": took.len(),
            "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1.0),
        });
        writeln!(std::io::stdout(), "{line}")?;
        Ok(())
    }
}

fn replica(id: u64) -> ReplicaView {
    let age = Duration::from_secs(60);
    ReplicaView { id: ReplicaId(id), state: State::Ready, ongoing: 1, idle: None, age }
}
