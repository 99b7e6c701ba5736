//! A delay that starts anew whenever opinions change.

use std::cmp::Ordering;
use std::ops::Sub;

/// Fires when one direction has been wanted without a break for a delay.
///
/// Ask it once per tick with the direction wanted now: `Greater` for more replicas, `Less` for
/// fewer, `Equal` for as many as there are. A tick with `Equal` or with the other direction starts
/// it anew, and so does firing.
///
/// ```
/// use samovar_sdk::blocks::Agreement;
/// use std::cmp::Ordering::{Equal, Greater, Less};
///
/// let mut agreement = Agreement::default();
/// assert!(!agreement.fires(Greater, 1_000, 2_000));
/// assert!(!agreement.fires(Greater, 2_999, 2_000));
/// assert!(agreement.fires(Greater, 3_000, 2_000));
/// // It has fired, so the next wait is a new one; a change of mind restarts that as well.
/// assert!(!agreement.fires(Greater, 4_000, 2_000));
/// assert!(!agreement.fires(Less, 5_000, 2_000));
/// assert!(!agreement.fires(Equal, 6_000, 2_000));
/// assert!(!agreement.fires(Less, 7_000, 2_000));
/// assert!(agreement.fires(Less, 9_000, 2_000));
/// // Without a delay it fires at once.
/// assert!(agreement.fires(Greater, 9_000, 0));
/// ```
///
/// Time is milliseconds, as in [`Observation::now_ms`](crate::Observation::now_ms), or any other
/// number that grows: seconds as `f64`, a count of ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement<T = u64> {
    since: Option<(Ordering, T)>,
}

impl<T: Copy + Default + PartialOrd + Sub<Output = T>> Agreement<T> {
    /// Whether `direction` has now been wanted for at least `delay`; if so, the wait starts anew.
    /// `Equal` never fires.
    pub fn fires(&mut self, direction: Ordering, now: T, delay: T) -> bool {
        let lasted = self.lasted(direction, now);
        let fires = direction.is_ne() && lasted >= delay;
        if fires {
            self.clear();
        }
        fires
    }

    /// How long `direction` has been wanted without a break, this tick included: 0 in the first
    /// tick and for `Equal`. For policies that judge the time themselves and call
    /// [`clear`](Self::clear) when they act.
    pub fn lasted(&mut self, direction: Ordering, now: T) -> T {
        if direction.is_eq() {
            self.clear();
            return T::default();
        }
        match self.since {
            Some((before, since)) if before == direction && since <= now => now - since,
            _ => {
                self.since = Some((direction, now));
                T::default()
            }
        }
    }

    /// Starts anew.
    pub fn clear(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::Agreement;
    use std::cmp::Ordering::{Equal, Greater, Less};

    #[test]
    fn flip_starts_anew() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.lasted(Greater, 10), 0);
        assert_eq!(agreement.lasted(Greater, 30), 20);
        assert_eq!(agreement.lasted(Less, 40), 0);
        assert_eq!(agreement.lasted(Greater, 50), 0);
    }

    #[test]
    fn neutral_tick_starts_anew() {
        let mut agreement = Agreement::default();
        agreement.lasted(Less, 10);
        assert_eq!(agreement.lasted(Equal, 20), 0);
        assert_eq!(agreement.lasted(Less, 30), 0);
        assert!(!agreement.fires(Equal, 40, 0));
    }

    #[test]
    fn gap_between_ticks_counts_as_time() {
        let mut agreement = Agreement::default();
        assert!(!agreement.fires(Less, 1_000_u64, 600_000));
        assert!(agreement.fires(Less, 700_000, 600_000));
    }

    #[test]
    fn clock_that_goes_back_starts_anew() {
        let mut agreement = Agreement::default();
        agreement.lasted(Greater, 1_000_u64);
        assert_eq!(agreement.lasted(Greater, 10), 0);
    }

    #[test]
    fn seconds_will_do() {
        let mut agreement = Agreement::default();
        agreement.lasted(Greater, 0.5);
        assert_eq!(agreement.lasted(Greater, 2.0), 1.5);
    }
}
