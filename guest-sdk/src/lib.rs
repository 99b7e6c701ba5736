//! Write scaling policies and HTTP handlers for Samovar in Rust.
//!
//! # Policies
//!
//! A policy decides how many replicas a deployment should have. It is asked about once a second,
//! is told what the host measured, and answers with a [`Decision`]. It has no clock, no randomness
//! and no I/O, so the same observations always lead to the same decisions; that is how the host
//! can replay the last minutes into a new or rebuilt policy before it goes live.
//!
//! Implement [`Policy`] and name the type in [`export_policy!`]:
//!
//! ```
//! use samovar_sdk::{Decision, Observation, Policy, export_policy};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {
//!     requests_per_replica: f64,
//! }
//!
//! pub struct Proportional(Config);
//!
//! impl Policy for Proportional {
//!     const NAME: &'static str = "proportional";
//!     type Config = Config;
//!
//!     fn new(config: Config) -> Result<Self, String> {
//!         if config.requests_per_replica <= 0.0 {
//!             return Err("requests_per_replica must be above 0".into());
//!         }
//!         Ok(Self(config))
//!     }
//!
//!     fn scale(&mut self, seen: &Observation) -> Decision {
//!         let wanted = f64::from(seen.requests()) / self.0.requests_per_replica;
//!         Decision::replicas(wanted).because(format!("{} requests", seen.requests()))
//!     }
//! }
//!
//! export_policy!(Proportional);
//!
//! // Policies are ordinary Rust, so they are tested without a host.
//! let mut policy = Proportional::new(Config { requests_per_replica: 2.0 })?;
//! let seen = Observation { queued: 3, ongoing: 2, ..Observation::default() };
//! assert_eq!(policy.scale(&seen).wish, samovar_sdk::Wish::Replicas(2.5)); // The host rounds up.
//! # Ok::<(), String>(())
//! ```
//!
//! The crate needs `crate-type = ["cdylib"]` and is built for `wasm32-wasip2`.
//!
//! A rule that is one function of numbers is shorter as a [`SimplePolicy`]. [`blocks`] has the
//! windows, pauses and averages that most policies need, and [`harness`] plays a host around a
//! policy in tests.
//!
//! # Handlers
//!
//! Handlers speak the standard interfaces, so they need nothing from here: take the crate `wasip2`
//! or `wasip3`. The module [`handler`] has a few short cuts, most of them behind the feature
//! `handler`, which brings `wasip2` with it.
//!
//! A handler of many requests at once implements [`batch::BatchHandler`]. [`mod@lifecycle`] goes
//! with every kind of handler. The feature `capabilities` has what the host offers beside HTTP,
//! from handlers of every kind: `config`, `keyvalue`, `logging` and `metrics`. Their functions work
//! only in a guest; elsewhere they panic.

#[cfg(target_arch = "wasm32")]
mod adapter;
pub mod batch;
pub mod blocks;
#[cfg(feature = "capabilities")]
pub mod config;
mod decision;
#[cfg(target_arch = "wasm32")]
mod exports;
pub mod handler;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
#[cfg(feature = "capabilities")]
mod host;
#[cfg(feature = "capabilities")]
pub mod keyvalue;
pub mod lifecycle;
#[cfg(feature = "capabilities")]
pub mod logging;
#[cfg(feature = "capabilities")]
pub mod metrics;
mod observation;
mod parse_config;
mod policy;
mod simple;

pub use decision::{Decision, REASON_BYTES_MAX, Wish};
pub use observation::{
    Latency, Limits, Observation, Replica, ReplicaKind, ReplicaState, Sample, Work,
};
pub use parse_config::parse_config;
pub use policy::{Conformance, Policy};
pub use serde;
pub use simple::{Metrics, SimplePolicy};
#[cfg(feature = "handler")]
pub use wasip2;

/// What the macros for exports expand to. Not for direct use; it changes without notice.
#[doc(hidden)]
pub mod private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::{
        adapter::{Adapter, bindings, port_bindings},
        exports::{BatchExport, LifecycleExport, batch_bindings, lifecycle_bindings},
    };
}

/// Makes a type that implements [`Policy`] the policy of this component.
///
/// Use it once per crate; `export_policy!(Type, conformance)` for a type that also implements
/// [`Conformance`]. On targets other than WebAssembly it exports nothing, so that the same
/// crate can be tested natively.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty, conformance) => {
        $crate::export_policy!($policy);
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::private::Adapter<$policy>;
    $crate::private::port_bindings::export!(Exported with_types_in $crate::private::port_bindings);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            _ = <$policy as $crate::Conformance>::answer;
        };
    };
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::private::Adapter<$policy>;
    $crate::private::bindings::export!(Exported with_types_in $crate::private::bindings);
        };
        // Keeps the compiler from calling the policy unused where nothing is exported.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            _ = <$policy as $crate::Policy>::new;
            _ = <$policy as $crate::Policy>::scale;
        };
    };
}
