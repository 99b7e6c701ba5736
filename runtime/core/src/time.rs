//! Points in time on a monotonic clock that starts at an arbitrary moment.

use std::ops::Add;
use std::time::Duration;

/// A point in time, in nanoseconds since the server's clock started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment the clock started.
    pub const ZERO: Timestamp = Timestamp(0);

    /// A moment that never comes.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// From nanoseconds since the clock started.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the clock started.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since the clock started.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the clock started, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later, because two readings taken by
    /// two threads may reach a pool in the other order.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// The point `after` later; the largest point if it does not fit.
    fn add(self, after: Duration) -> Timestamp {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_since_what_is_still_to_come() {
        let (early, late) = (Timestamp::from_millis(1), Timestamp::from_millis(3));
        assert_eq!(late.since(early), Duration::from_millis(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn time_that_does_not_fit_ends_at_the_largest_point() {
        let end = Timestamp::from_nanos(u64::MAX);
        assert_eq!(Timestamp::from_millis(1) + Duration::MAX, end);
        assert_eq!(end + Duration::from_nanos(1), end);
    }
}
