//! The connections that wait for the next request. Decides only: no clock, no I/O.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Idle connections, the one that was used last is taken first.
///
/// Connections that are returned by [`Idle::put`] and [`Idle::sweep`] are to be closed, outside of
/// the lock.
pub(crate) struct Idle<T> {
    /// Sorted by the time since when they are idle.
    kept: VecDeque<(Instant, T)>,
    most: usize,
    longest: Duration,
    is_closed: bool,
}

impl<T> Idle<T> {
    /// None yet; `most` at once, each for less than `longest`.
    pub(crate) fn new(most: usize, longest: Duration) -> Self {
        Idle { kept: VecDeque::new(), most, longest, is_closed: false }
    }

    /// Takes the connection that was used last, if it may be used at `now`. All others are older.
    pub(crate) fn take(&mut self, now: Instant) -> Option<T> {
        let (since, _) = self.kept.back()?;
        if now.duration_since(*since) >= self.longest {
            return None;
        }
        self.kept.pop_back().map(|(_, connection)| connection)
    }

    /// Keeps a connection that is idle from `now`; returns one that is not kept any more.
    pub(crate) fn put(&mut self, connection: T, now: Instant) -> Option<T> {
        if self.is_closed || self.most == 0 {
            return Some(connection);
        }
        let is_full = self.kept.len() == self.most;
        let surplus = if is_full { self.kept.pop_front() } else { self.pop_old(now) };
        self.kept.push_back((now, connection));
        surplus.map(|(_, connection)| connection)
    }

    /// Removes all that may not be used any more at `now`.
    pub(crate) fn sweep(&mut self, now: Instant) -> Vec<T> {
        std::iter::from_fn(|| self.pop_old(now)).map(|(_, connection)| connection).collect()
    }

    /// Keeps none from here on; returns those that were kept.
    pub(crate) fn close(&mut self) -> VecDeque<(Instant, T)> {
        self.is_closed = true;
        std::mem::take(&mut self.kept)
    }

    /// How many are kept, old ones included.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    fn pop_old(&mut self, now: Instant) -> Option<(Instant, T)> {
        let (since, _) = self.kept.front()?;
        if now.duration_since(*since) >= self.longest { self.kept.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Room for two connections, for five seconds.
    fn sample() -> (Idle<char>, Instant) {
        (Idle::new(2, 5 * SECOND), Instant::now())
    }

    #[test]
    fn the_last_used_is_taken_first() {
        let (mut idle, now) = sample();
        assert_eq!(idle.put('a', now), None);
        assert_eq!(idle.put('b', now), None);
        assert_eq!((idle.take(now), idle.take(now), idle.take(now)), (Some('b'), Some('a'), None));
    }

    #[test]
    fn the_oldest_makes_room() {
        let (mut idle, now) = sample();
        idle.put('a', now);
        idle.put('b', now);
        assert_eq!(idle.put('c', now), Some('a'));
        assert_eq!(idle.len(), 2);
        assert_eq!(idle.take(now), Some('c'));
    }

    #[test]
    fn old_connections_are_not_used() {
        let (mut idle, now) = sample();
        idle.put('a', now);
        assert_eq!(idle.take(now + 5 * SECOND), None);
        assert_eq!(idle.take(now + 4 * SECOND), Some('a'));
    }

    #[test]
    fn old_connections_go_when_one_is_put_or_all_are_swept() {
        let (mut idle, now) = sample();
        idle.put('a', now);
        assert_eq!(idle.put('b', now + 5 * SECOND), Some('a'));
        assert_eq!(idle.sweep(now + 9 * SECOND), []);
        assert_eq!(idle.sweep(now + 10 * SECOND), ['b']);
        assert_eq!(idle.len(), 0);
    }

    #[test]
    fn without_room_none_is_kept() {
        let now = Instant::now();
        let mut idle = Idle::new(0, SECOND);
        assert_eq!((idle.put('a', now), idle.take(now)), (Some('a'), None));
    }

    #[test]
    fn a_closed_one_keeps_none() {
        let (mut idle, now) = sample();
        idle.put('a', now);
        assert_eq!(idle.close(), [(now, 'a')]);
        assert_eq!((idle.put('b', now), idle.len()), (Some('b'), 0));
    }
}
