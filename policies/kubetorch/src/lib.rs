//! Scales like Kubetorch (`kubetorch` 0.5.1), which is the pod autoscaler of Knative.
//!
//! Kubetorch itself only has options: `.autoscale()` checks them and turns them into annotations
//! of a Knative service. The decisions are those of the crate `knative`. Its client also
//! describes distributed services; that part (`compute`, `distribution`) has no effect on scaling
//! and is here so that the whole can be compared with the original.

mod compute;
mod config;
mod conformance;
mod distribution;
mod options;
mod python;

use knative::Kpa;
use samovar_sdk::{Conformance, Decision, Observation, Policy, export_policy};

pub use compute::{Compute, LAUNCH_TIMEOUT_S};
pub use config::Config;
pub use distribution::{Framework, Place, environment, supervisor};
pub use options::{Autoscaling, OPTIONS, Refusal};

/// The state for one deployment.
pub struct Kubetorch(Kpa);

export_policy!(Kubetorch, conformance);

impl Policy for Kubetorch {
    const NAME: &'static str = "kubetorch";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Self(Kpa::new(config.settings()?)?))
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        self.0.scale(seen)
    }
}

impl Conformance for Kubetorch {
    fn answer(question: &str) -> Result<String, String> {
        conformance::answer(question)
    }
}
