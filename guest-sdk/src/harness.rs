//! Tries a policy out in a test: feeds it a trace and gives back what it decided.
//!
//! A [`Trace`] says what the requests do and what the deployment is like. [`Trace::run`] plays a
//! simple host around the policy, on a clock of its own: it asks once per interval, rounds up and
//! clamps the answers, starts what is missing, removes what is idle and too much, and serves the
//! requests. The [`Run`] that comes out is there to be asserted on. The same trace always gives the
//! same run.
//!
//! ```
//! use samovar_sdk::harness::{Trace, seconds};
//! use samovar_sdk::{Metrics, SimplePolicy};
//!
//! #[derive(serde::Deserialize)]
//! struct OnePerRequest;
//!
//! impl SimplePolicy for OnePerRequest {
//!     const NAME: &'static str = "one-per-request";
//!
//!     fn scale(&mut self, _replicas: f64, metrics: &Metrics) -> f64 {
//!         metrics.pending_requests
//!     }
//! }
//!
//! let run = Trace::new()
//!     .every(seconds(1))
//!     .limits(0..=10)
//!     .startup(seconds(2))
//!     .requests(seconds(10), 3) // For ten seconds there are three requests inside,
//!     .requests(seconds(5), 20) // then twenty,
//!     .quiet(seconds(5)) // then none.
//!     .run(&mut OnePerRequest);
//! assert_eq!(run.course(), "3@0s 10@10s 0@15s");
//! run.assert_settles_at(0, seconds(16));
//! run.assert_replays(|| OnePerRequest);
//!
//! // A replica that was ordered at 0 s can serve two seconds later.
//! assert_eq!((run.at(seconds(1)).seen.starting, run.at(seconds(2)).seen.ready), (3, 3));
//! ```
//!
//! # Closed and open loop
//!
//! By default the loop is closed: what the policy decides changes what it sees next.
//! [`Trace::fixed`] opens it: the replicas stay as they are, and the run says what the policy would
//! have done. That tells a rule's answers apart from their consequences.
//!
//! # Two kinds of requests
//!
//! [`Trace::requests`] says how many requests are inside at a time, whoever serves them. It fits
//! numbers from a dashboard, and rules that look at the present. [`Trace::arrivals`] says how many
//! come per second; each then takes [`Trace::service_time`] on a replica, so queues and latencies
//! come about as they would. [`Trace::csv`] reads either from a recording.
//!
//! # What it is not
//!
//! The pool of the real host knows more: failures, time-outs, ages, sleep, a machine that is full.
//! Here every replica starts in the same time, every request takes the same time, and only idle
//! replicas go, so none is ever seen draining. [`Trace::edit`] puts into observations whatever else
//! a policy wants to see.
//!
//! This module is not there in WebAssembly.

mod csv;
mod host;
mod meter;
mod pool;
mod run;
mod trace;

use std::time::Duration;

pub use csv::CsvError;
pub use run::{Difference, Run, Tick};
pub use trace::Trace;

/// A duration in seconds, to keep traces readable.
///
/// ```
/// # use std::time::Duration;
/// # use samovar_sdk::harness::seconds;
/// assert_eq!(seconds(2), Duration::from_secs(2));
/// assert_eq!(seconds(0.25), Duration::from_millis(250));
/// ```
///
/// # Panics
///
/// When `count` is negative or not finite.
pub fn seconds(count: impl Into<f64>) -> Duration {
    Duration::from_secs_f64(count.into())
}

/// Whole milliseconds, which is how finely the harness measures time.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
