//! When a control loop looks at its pool and asks its policy.

use crate::time::Timestamp;
use std::time::Duration;

/// The shortest time between two looks at a pool, whatever it or its policy asks for.
pub const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest time without a look at a pool that has replicas: they become idle without a word, and
/// an interval may be long.
pub const PAUSE_MAX: Duration = Duration::from_secs(1);

/// An answer that is not there after this long is given up; the policy is asked anew. A policy that
/// runs out of its fuel answers long before.
pub const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The coarsest grid on which ticks lie: requests wait for those that come together.
const GRID_MAX: Duration = Duration::from_millis(2);

/// The tick after the one that was due at `due` and came at `now`.
///
/// Ticks lie on a grid of a tenth of the interval, at most 2 ms, so that those of many deployments
/// come together and wake the machine once. They do not drift; those that were missed are left out.
pub fn after(due: Timestamp, now: Timestamp, interval: Duration) -> Timestamp {
    let grid = (interval / 10).clamp(PAUSE_MIN, GRID_MAX);
    let next = round_up(due + interval, grid);
    if next > now { next } else { round_up(now + interval, grid) }
}

fn round_up(at: Timestamp, grid: Duration) -> Timestamp {
    let grid = grid.as_nanos() as u64;
    Timestamp::from_nanos(at.as_nanos().div_ceil(grid).saturating_mul(grid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_ms(due_us: u64, now_us: u64, interval_ms: u64) -> f64 {
        let at = |micros: u64| Timestamp::from_nanos(micros * 1000);
        let next = after(at(due_us), at(now_us), Duration::from_millis(interval_ms));
        next.as_nanos() as f64 / 1e6
    }

    #[test]
    fn ticks_lie_on_a_grid_and_do_not_drift() {
        assert_eq!(after_ms(3, 4, 1000), 1002.0);
        assert_eq!(after_ms(1_002_000, 1_002_900, 1000), 2002.0);
        assert_eq!(after_ms(2_002_000, 2_019_000, 1000), 3002.0);
        assert_eq!(after_ms(7_300, 7_400, 20), 28.0);
    }

    #[test]
    fn missed_ticks_are_left_out() {
        assert_eq!(after_ms(1_010_000, 5_123_456, 1000), 6124.0);
        assert_eq!(after_ms(1_010_000, 2_010_000, 1000), 3010.0);
    }

    #[test]
    fn the_next_tick_is_later_even_at_the_end_of_time() {
        let end = Timestamp::MAX;
        assert_eq!(after(end, end, Duration::from_secs(1)), end);
    }
}
