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
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Observation> + ExactSizeIterator {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PoolLimits;
    use crate::pool::Pool;
    use crate::time::Timestamp;

    /// A ring that saw an observation at each of these times; the times it kept.
    fn kept(times_ms: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut pool = Pool::<()>::new(PoolLimits::sample(0, 1), Timestamp::ZERO);
        let mut ring = Ring::default();
        for millis in times_ms {
            ring.push(pool.observe(false, Timestamp::from_millis(millis)));
        }
        assert_eq!(ring.len(), ring.iter().len());
        ring.iter().map(|seen| seen.now.as_millis()).collect()
    }

    #[test]
    fn a_new_ring_is_empty() {
        assert!(Ring::default().is_empty());
        assert_eq!(kept([]), []);
    }

    #[test]
    fn observations_come_oldest_first() {
        assert_eq!(kept([1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn what_is_older_than_the_longest_window_is_forgotten() {
        assert_eq!(kept([0, 1, 2, 600_001]), [1, 2, 600_001]);
    }

    #[test]
    fn one_old_observation_is_left_if_it_is_the_newest() {
        assert_eq!(kept([0, 5_000_000]), [5_000_000]);
    }

    #[test]
    fn too_many_observations_push_the_oldest_out() {
        let most = OBSERVATIONS_MAX as u64;
        let kept = kept(0..most + 3);
        assert_eq!((kept.len(), kept[0]), (OBSERVATIONS_MAX, 3));
    }
}
