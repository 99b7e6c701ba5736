//! `samovar policy-bench`: what decisions cost, call after call, and what a scaler takes of memory.
//!
//! A server asks a policy once a second, and most of that call's time is caches that went cold
//! meanwhile. Here the calls follow each other, so that what is measured is the host's path and the
//! policy's work.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use samovar_core::observation::Observation;
use samovar_core::replica::{ReplicaId, ReplicaKind, ReplicaView, State};
use samovar_core::time::Timestamp;
use serde_json::json;
use wasmtime::component::Component;

use crate::library::{BUILTINS, Builtin};
use crate::policy::{Local, PolicyHost};
use crate::wasm::engine;

/// Scalers that are made to find out what one takes.
const SCALERS: u64 = 1000;
/// Ticks each of them sees: more than any window of a built-in policy's default settings.
const TICKS: u64 = 700;

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
    /// Prints one line of JSON: quantiles in microseconds, bytes of memory.
    pub fn run(self) -> anyhow::Result<()> {
        let mut policy = start(&self.policy)?;
        let scaler = policy.create("{}")?;
        let mut took = Vec::new();
        for call in 0..self.calls.max(1) {
            took.push(policy.scale(scaler, &self.observation(call))?.took);
        }
        took.sort_unstable();
        let at = |quantile: f64| {
            let index = ((took.len() - 1) as f64 * quantile).round() as usize;
            took[index].as_secs_f64() * 1e6
        };
        let line = json!({
            "policy": self.policy, "replicas": self.replicas, "calls": took.len(),
            "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1.0),
            "scaler_bytes": self.scaler_bytes()?,
        });
        writeln!(std::io::stdout(), "{line}")?;
        Ok(())
    }

    /// How much the memory of a policy grows per scaler whose windows are full.
    fn scaler_bytes(&self) -> anyhow::Result<u64> {
        let mut policy = start(&self.policy)?;
        let first = policy.create("{}")?;
        for tick in 0..TICKS {
            policy.scale(first, &self.observation(tick))?;
        }
        let one = policy.memory_bytes();
        for _ in 0..SCALERS {
            let scaler = policy.create("{}")?;
            for tick in 0..TICKS {
                policy.scale(scaler, &self.observation(tick))?;
            }
        }
        Ok((policy.memory_bytes() - one) as u64 / SCALERS)
    }

    /// A deployment with some traffic, a second after the tick before.
    fn observation(&self, tick: u64) -> Observation {
        let load = 20.0 + (tick % 7) as f64;
        Observation {
            now: Timestamp::from_millis(tick * 1000),
            since: Duration::from_secs(1),
            min: 0,
            max: self.replicas.max(1) * 2,
            concurrency: 4,
            queue_max: 1000,
            starting: 0,
            ready: self.replicas,
            draining: 0,
            target: self.replicas,
            queued: 5,
            ongoing: 15,
            queued_average: Some(load * 0.25),
            ongoing_average: Some(load * 0.75),
            arrived: 100,
            completed: 100,
            failed: 0,
            rejected: 0,
            oldest_wait: Some(Duration::from_millis(3)),
            latency: None,
            last_used: Some(Timestamp::from_millis(tick * 1000)),
            created: Timestamp::ZERO,
            work: None,
            custom: Vec::new(),
            replicas: (0..self.replicas).map(|id| replica(id.into())).collect(),
        }
    }
}

/// A built-in policy by its name.
pub(super) fn builtin(name: &str) -> anyhow::Result<&'static Builtin> {
    let mut all = BUILTINS.iter();
    all.find(|builtin| builtin.name == name)
        .with_context(|| format!("there is no built-in policy `{name}`"))
}

/// Starts a built-in policy as the server does, but compiled in this process and on this thread.
fn start(name: &str) -> anyhow::Result<Local> {
    let host = PolicyHost::new(engine::policies()?)?;
    let component = Component::new(host.engine(), builtin(name)?.wasm)?;
    Ok(host.local(&component)?)
}

fn replica(id: u64) -> ReplicaView {
    let age = Duration::from_secs(60);
    ReplicaView {
        id: ReplicaId(id),
        kind: ReplicaKind::Wasm,
        state: State::Ready,
        ongoing: 1,
        idle: None,
        age,
        load: None,
        max_perf: None,
    }
}
