//! The last observations of a deployment, kept to fill the windows of a new scaler.

use crate::observation::Observation;
use std::collections::VecDeque;
use std::time::Duration;

/// Observations are kept for this long: the longest window of the built-in policies is Ray's
/// down-scale delay of 10 minutes.
pub const KEPT: Duration = Duration::from_secs(600);

/// Most observations kept whatever their age, which bounds memory and replay time when a deployment
/// ticks every few milliseconds.
pub const OBSERVATIONS_MAX: usize = 4096;

/// Observations, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    kept: VecDeque<Observation>,
}

impl Ring {
    /// Adds the newest observation and forgets what is too old or too much.
    pub fn push(&mut self, seen: Observation) {
        let now = seen.now;
        self.kept.push_back(seen);
        while self.kept.len() > OBSERVATIONS_MAX
            || self.kept.front().is_some_and(|oldest| now.since(oldest.now) > KEPT)
        {
            self.kept.pop_front();
        }
    }

    /// The observations, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Observation> {
        self.kept.iter()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}
