//! Building blocks of policies: windows, delays and smoothing.
//!
//! Each is a small value with no clock of its own: time comes in as milliseconds, as in
//! [`Observation::now_ms`](crate::Observation::now_ms). The built-in policies are made of them.

mod agreement;
mod buckets;
mod cooldown;
mod ewma;
mod series;
mod sliding_max;

pub use agreement::Agreement;
pub use buckets::Buckets;
pub use cooldown::{Cooldown, Direction};
pub use ewma::Ewma;
pub use series::{Step, StepSeries, step_mean};
pub use sliding_max::SlidingMax;
