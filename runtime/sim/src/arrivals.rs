//! Where requests come from.
//!
//! [`Workload`] describes and generates them; [`crate::trace`] replays recorded ones.

mod diurnal;
mod generator;
mod profile;
mod workload;

use samovar_core::time::Timestamp;

pub use generator::Generator;
pub use workload::Workload;

/// Requests that arrive whatever becomes of the ones before ("open loop").
pub trait Arrivals {
    /// The next request; never before the previous one. None when no more come.
    fn next(&mut self) -> Option<Arrival>;
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives. The simulation starts at zero.
    pub at: Timestamp,
    /// How long a replica works on it, in nanoseconds, if the trace says; else it is drawn from the
    /// deployment's distribution.
    pub service_nanos: Option<u64>,
}

/// The point `seconds` after the start; the largest point if it does not fit.
fn timestamp(seconds: f64) -> Timestamp {
    Timestamp::from_nanos((seconds * 1e9 + 0.5) as u64)
}
