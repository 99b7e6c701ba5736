//! Where requests come from.

use samovar_core::time::Timestamp;

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
