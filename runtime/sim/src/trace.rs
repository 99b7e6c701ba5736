//! Recorded requests, as CSV.
//!
//! The first line names the columns. A trace is one of two kinds:
//!
//! - One row per request: `at_s` or `at_ms`, the time since the start, which never goes back.
//!   Optional are `deployment` and `service_ms`, how long a replica works on it; an empty cell
//!   means that the trace does not say.
//! - One row per interval: `at_s` or `at_ms`, when the interval starts, and `count`, the requests
//!   within. Optional is `deployment`. All intervals of a deployment must be equally long, to
//!   within 1 %; the last one is as long as the one before it.
//!
//! Reading is strict: whatever is doubtful is refused with its line. Times are exact to the
//! nanosecond. A request is held in 8 bytes, or 16 if there is a column `service_ms`; an interval
//! in 12.

mod number;
mod read;
mod replay;
mod write;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use number::Seconds;
pub use read::{Reason, TraceError};
pub use replay::{Replay, Spread};
pub use write::TraceWriter;

use crate::rng::Rng;

/// The most requests in one interval.
const COUNT_MAX: u64 = 1_000_000_000;

/// A recorded trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// By deployment, in the order of their first rows; one without a name if there is no column.
    series: Vec<(Option<String>, Arc<Series>)>,
}

/// The rows of one deployment.
#[derive(Clone, Debug, PartialEq)]
enum Series {
    Requests {
        /// Nanoseconds since the start.
        at: Vec<u64>,
        /// Nanoseconds, or [`Series::NO_SERVICE`]; empty if there is no column.
        service: Vec<u64>,
    },
    Counts {
        /// Nanoseconds since the start.
        at: Vec<u64>,
        count: Vec<u32>,
        /// Nanoseconds from the last row but one to the last.
        last: u64,
    },
}

impl Series {
    /// Stands for an empty cell; no service takes that long.
    const NO_SERVICE: u64 = u64::MAX;

    fn requests(&self) -> u64 {
        match self {
            Series::Requests { at, .. } => at.len() as u64,
            Series::Counts { count, .. } => count.iter().copied().map(u64::from).sum(),
        }
    }

    fn end(&self) -> u64 {
        match self {
            Series::Requests { at, .. } => at.last().copied().unwrap_or(0),
            Series::Counts { at, last, .. } => at.last().map_or(0, |at| at + last),
        }
    }
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    ///
    /// The first line that is refused and why, or the error of `input`.
    pub fn read(input: impl io::Read) -> Result<Self, TraceError> {
        read::read(input, read::ROWS_MAX)
    }

    /// The deployments it names; none if it has no column for them.
    pub fn deployments(&self) -> impl Iterator<Item = &str> {
        self.series.iter().filter_map(|(name, _)| name.as_deref())
    }

    /// How many requests are in it.
    pub fn requests(&self) -> u64 {
        self.series.iter().map(|(_, series)| series.requests()).sum()
    }

    /// When the last request comes, or the last interval ends.
    pub fn end(&self) -> Duration {
        let end = self.series.iter().map(|(_, series)| series.end()).max();
        Duration::from_nanos(end.unwrap_or(0))
    }

    /// The requests of `deployment`; all if the trace has no column for deployments. None if it
    /// has one and this is not among them.
    ///
    /// `spread` says where in an interval its requests come; `rng` is used for that alone.
    pub fn arrivals(&self, deployment: &str, spread: Spread, rng: Rng) -> Option<Replay> {
        let matches = |name: &Option<String>| name.as_deref().is_none_or(|n| n == deployment);
        let (_, series) = self.series.iter().find(|(name, _)| matches(name))?;
        Some(Replay::new(Arc::clone(series), spread, rng))
    }
}
