//! The pod autoscaler of Knative (KPA), for policies that sit on it: Kubetorch and Flyte apps.
//!
//! Knative is written in Go, so this is a rewrite from its source, knative/serving at 98e5ef90,
//! rule by rule and in its order of operations, with 64-bit floats.
//!
//! | module | original | what |
//! | --- | --- | --- |
//! | `settings`, `cluster` | annotations, config map | parameters, ranges, target per pod |
//! | `samples` | `metrics/collector.go` | one sample per second into two windows |
//! | `autoscaler` | `scaling/autoscaler.go` | stable value, panic, rates, scale-down delay |
//! | `revision` | `kpa/{scaler,kpa}.go` | bounds, initial scale, the way to zero |
//! | `kpa` | `scaling/multiscaler.go` | all of it on the host's observations |

pub mod annotations;
mod autoscaler;
mod cluster;
pub mod conformance;
pub mod duration;
mod kpa;
mod revision;
mod samples;
mod settings;

use std::time::Duration;

pub use autoscaler::{Autoscaler, Scale, Spec, TICK_MS};
pub use cluster::{Cluster, HPA, KPA};
pub use kpa::Kpa;
pub use revision::{Activity, Proxy, Revision, Rules, UNKNOWN, Verdict};
pub use samples::sample_size;
pub use settings::{Algorithm, Fault, Metric, Settings, Target};

/// Least target of a metric per pod.
pub const TARGET_MIN: f64 = 0.01;
/// Shortest stable window.
pub const WINDOW_MIN: Duration = Duration::from_secs(6);
/// Longest stable window, scale-down delay and retention.
pub const WINDOW_MAX: Duration = Duration::from_secs(3_600);
