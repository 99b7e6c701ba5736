//! From figures of reports to work per second.

use std::time::Duration;

use samovar_core::time::Timestamp;

/// Shortest time that a sum is divided by. Workers look once a second whether to report; two
/// reports closer than that are measured together, or a little work would look like a flood.
pub const WINDOW_MIN: Duration = Duration::from_secs(1);

/// Time that a worker's first sum is divided by, when its first report is the first we know of it:
/// idle workers report this often.
pub const WINDOW_FIRST: Duration = Duration::from_secs(10);

/// Adds up sums between reports, and keeps the rate over the last full window.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    /// Work since `since` that is not in the rate yet.
    sum: f64,
    since: Option<Timestamp>,
    per_s: f64,
    total: f64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { sum: 0.0, since: None, per_s: 0.0, total: 0.0 }
    }

    /// Takes up a sum of units since the last report.
    pub(super) fn add_sum(&mut self, units: f64, now: Timestamp) {
        self.total += units;
        self.sum += units;
        let window = self.since.map_or(WINDOW_FIRST, |since| now.since(since));
        if window >= WINDOW_MIN {
            self.per_s = self.sum / window.as_secs_f64();
            self.sum = 0.0;
            self.since = Some(now);
        }
    }

    /// Takes up a rate in units per second over the time since the last report.
    pub(super) fn set_rate(&mut self, per_s: f64, now: Timestamp) {
        let window = self.since.map_or(WINDOW_FIRST, |since| now.since(since));
        self.total += per_s * window.as_secs_f64();
        self.per_s = per_s;
        self.since = Some(now);
    }

    /// The process started anew: its first figures are since now.
    pub(super) fn restart(&mut self, now: Timestamp) {
        *self = Self { sum: 0.0, since: Some(now), per_s: 0.0, total: self.total };
    }

    /// Nothing more is heard of it.
    pub(super) fn stop(&mut self) {
        self.per_s = 0.0;
        self.sum = 0.0;
    }

    /// Units per second.
    pub(super) fn per_s(&self) -> f64 {
        self.per_s
    }

    /// Units so far.
    pub(super) fn total(&self) -> f64 {
        self.total
    }
}
