//! The last observations of a deployment, kept to fill the windows of a new scaler.

use crate::observation::Observation;
use crate::series::Series;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Observations are kept for this long: the longest window of the built-in policies is Ray's
/// down-scale delay of 10 minutes.
pub const KEPT: Duration = Duration::from_secs(600);

/// Most observations kept whatever their age, which bounds memory and replay time when a deployment
/// ticks every few milliseconds.
pub const OBSERVATIONS_MAX: usize = 4096;

/// Observations, oldest first. Of those that differ in their times only, one is kept and the times
/// of the others: a machine may hold ten thousand deployments at which nothing happens.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    runs: VecDeque<Run>,
    len: usize,
}

/// An observation, and when the same was seen again, each time since the time before.
#[derive(Clone, Debug)]
struct Run {
    first: Box<Observation>,
    /// In nanoseconds; none if it was not seen again.
    again: Option<Box<Series>>,
}

impl Ring {
    /// Adds the newest observation and forgets what is too old or too much.
    pub fn push(&mut self, mut seen: Observation) {
        let now = seen.now;
        self.len += 1;
        if !self.runs.back_mut().is_some_and(|run| run.takes(&seen)) {
            seen.replicas.shrink_to_fit();
            self.runs.push_back(Run { first: Box::new(seen), again: None });
        }
        while self.len > OBSERVATIONS_MAX
            || self.runs.front().is_some_and(|oldest| now.since(oldest.first.now) > KEPT)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.runs.front_mut() else { return };
        self.len -= 1;
        match oldest.again.as_mut().and_then(|again| again.pop()) {
            Some(next) => {
                let next = Timestamp::from_nanos(next);
                oldest.first.since = next.since(oldest.first.now);
                oldest.first.now = next;
            }
            None => _ = self.runs.pop_front(),
        }
    }

    /// Those that pass `wanted`, oldest first; it is given their times.
    pub fn observations(&self, wanted: impl Fn(Timestamp) -> bool) -> Vec<Observation> {
        let mut kept = Vec::new();
        for run in &self.runs {
            let mut before = None;
            for now in run.times() {
                if wanted(now) {
                    let since = before.map_or(run.first.since, |before| now.since(before));
                    kept.push(Observation { now, since, ..Observation::clone(&run.first) });
                }
                before = Some(now);
            }
        }
        kept
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Run {
    fn times(&self) -> impl Iterator<Item = Timestamp> {
        let again = self.again.iter().flat_map(|again| again.iter()).map(Timestamp::from_nanos);
        std::iter::once(self.first.now).chain(again)
    }

    /// Takes in what is the same as before, with no look between. False if it is not.
    fn takes(&mut self, seen: &Observation) -> bool {
        let first = &mut *self.first;
        let last = self.again.as_ref().map_or(first.now.as_nanos(), |again| again.newest());
        let last = Timestamp::from_nanos(last);
        if last + seen.since != seen.now {
            return false;
        }
        // Compared as if it had been taken now.
        let times = (first.now, first.since);
        (first.now, first.since) = (seen.now, seen.since);
        let is_same = *first == *seen;
        (first.now, first.since) = times;
        if is_same {
            let series = || Box::new(Series::after(last.as_nanos()));
            self.again.get_or_insert_with(series).push(seen.now.as_nanos());
        }
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PoolLimits;
    use crate::pool::{Arrival, Pool};
    use proptest::prelude::*;

    /// A ring that saw an observation at each of these times; the times it kept.
    fn kept(times_ms: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut pool = Pool::<()>::new(PoolLimits::sample(0, 1), Timestamp::ZERO);
        let mut ring = Ring::default();
        for millis in times_ms {
            ring.push(pool.observe(false, Timestamp::from_millis(millis)));
        }
        let all = ring.observations(|_| true);
        assert_eq!(ring.len(), all.len());
        all.iter().map(|seen| seen.now.as_millis()).collect()
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

    #[test]
    fn a_pool_at_which_nothing_happens_takes_one_observation_and_its_times() {
        let mut pool = Pool::<()>::new(PoolLimits::sample(0, 1), Timestamp::ZERO);
        let mut ring = Ring::default();
        for second in 0..100 {
            ring.push(pool.observe(true, Timestamp::from_millis(1000 * second + second % 7)));
        }
        // The first look knows of no time before it, and so of no averages.
        assert_eq!((ring.runs.len(), ring.len()), (2, 100));
    }

    proptest! {
        /// What comes out is what went in, however much of it is alike.
        #[test]
        fn nothing_is_lost_by_keeping_less(
            steps in prop::collection::vec((0_u64..400_000, prop::bool::weighted(0.2)), 0..200),
        ) {
            let mut pool = Pool::<()>::new(PoolLimits::sample(0, 1), Timestamp::ZERO);
            let (mut ring, mut all, mut now) = (Ring::default(), Vec::new(), Timestamp::ZERO);
            for (millis, is_asked) in steps {
                now = now + Duration::from_millis(millis);
                if is_asked {
                    let arrival = pool.arrive(|| (), now);
                    prop_assert!(!matches!(arrival, Arrival::Assigned(_)));
                }
                let seen = pool.observe(true, now);
                ring.push(seen.clone());
                all.push(seen);
            }
            all.retain(|seen| now.since(seen.now) <= KEPT);
            prop_assert_eq!(ring.observations(|_| true), all);
            let early = |at: Timestamp| at < now;
            let wanted = ring.observations(early);
            prop_assert!(wanted.iter().all(|seen| seen.now < now));
        }
    }
}
