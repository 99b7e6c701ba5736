//! Scales like the app replicas and the reusable containers of Flyte 2.
//!
//! Two unrelated mechanisms of Flyte, chosen by the key `kind`:
//!
//! * `pool`, the default: `ReusePolicy`, a pool of warm replicas that grows by one replica for each
//!   request that has to wait, and shrinks by what was idle for long enough.
//! * `app`: `Scaling`, which the original hands to Knative's pod autoscaler.
//!
//! How the original's words map to the host's:
//!
//! | original | here |
//! | --- | --- |
//! | environment | the deployment's pool, from its first request until `idle_ttl` |
//! | worker, pod | a replica; the original's orphaned ones are none |
//! | task offered and not cleaned up | a request, waiting or being served |
//! | task new to the waiting list | a request that arrived since the last tick and waits |
//! | replicas and concurrency of the policy | the deployment's, unless configured |

pub mod config;
mod conformance;
mod live;
pub mod pool;
pub mod reuse;
pub mod scaling;

use samovar_sdk::{Decision, Observation, Policy, export_policy};

pub use config::Config;

/// The state for one deployment.
pub struct Flyte(live::Pool);

export_policy!(Flyte, conformance);

impl Policy for Flyte {
    const NAME: &'static str = "flyte";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = "";
    const NEEDS_REPLICAS: bool = true;
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Self(live::Pool::new(config)))
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        self.0.scale(seen)
    }
}
