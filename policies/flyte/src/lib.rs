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

mod app;
pub mod config;
mod conformance;
mod live;
pub mod pool;
pub mod reuse;
pub mod scaling;

use knative::Kpa;
use samovar_sdk::{Decision, Observation, Policy, export_policy};

pub use config::Config;
use config::Kind;

/// The state for one deployment.
pub struct Flyte(State);

enum State {
    Pool(live::Pool),
    App(Box<Kpa>),
    /// An app that is to have no replica.
    Off,
}

export_policy!(Flyte, conformance);

impl Policy for Flyte {
    const NAME: &'static str = "flyte";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");
    const NEEDS_REPLICAS: bool = true;
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Self(match config.kind {
            Kind::Pool => State::Pool(live::Pool::new(config)),
            Kind::App if config.is_off() => State::Off,
            Kind::App => State::App(Box::new(Kpa::new(app::settings(&config))?)),
        }))
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        match &mut self.0 {
            State::Pool(pool) => pool.scale(seen),
            State::App(kpa) => kpa.scale(seen),
            State::Off => Decision::replicas(0.0).because("replicas is 0"),
        }
    }
}
