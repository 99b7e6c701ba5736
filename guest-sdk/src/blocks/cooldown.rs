//! A pause after each change.

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More replicas.
    Out,
    /// Fewer replicas.
    In,
}

/// Lets a change through only when more than an interval has passed since the last one.
///
/// Each direction has its own interval, but there is one time of the last change for both: a
/// removal delays the next addition and the other way round. The AutoScaler of Lightning works
/// like this.
///
/// ```
/// use samovar_sdk::blocks::{Cooldown, Direction};
///
/// let mut cooldown = Cooldown::new(10.0, 2.0, 0);
/// assert!(!cooldown.is_over(Direction::Out, 10_000)); // Exactly the interval is not enough.
/// assert!(cooldown.is_over(Direction::Out, 10_001));
/// cooldown.restart(10_001);
/// assert!(!cooldown.is_over(Direction::Out, 13_000));
/// assert!(cooldown.is_over(Direction::In, 13_000));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cooldown {
    out_s: f64,
    in_s: f64,
    changed_ms: u64,
}

impl Cooldown {
    /// Intervals in seconds for additions and removals, and the time from which the first one
    /// counts. An interval of 0 lets one change through per millisecond, a negative one any.
    pub fn new(out_s: f64, in_s: f64, now_ms: u64) -> Self {
        Self { out_s, in_s, changed_ms: now_ms }
    }

    /// Whether more than the direction's interval has passed since the last change.
    pub fn is_over(&self, direction: Direction, now_ms: u64) -> bool {
        self.since_s(now_ms) > self.interval_s(direction)
    }

    /// Notes a change. Both intervals count from now on.
    pub fn restart(&mut self, now_ms: u64) {
        self.changed_ms = now_ms;
    }

    /// Seconds since the last change; 0 for times before it.
    ///
    /// A difference of seconds, not of milliseconds: ports that are compared with an original on a
    /// float clock have to round like it.
    pub fn since_s(&self, now_ms: u64) -> f64 {
        (now_ms as f64 / 1000.0 - self.changed_ms as f64 / 1000.0).max(0.0)
    }

    /// The interval of a direction in seconds.
    pub fn interval_s(&self, direction: Direction) -> f64 {
        match direction {
            Direction::Out => self.out_s,
            Direction::In => self.in_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cooldown, Direction};

    #[test]
    fn one_timestamp_serves_both_directions() {
        let mut cooldown = Cooldown::new(10.0, 2.0, 500);
        assert!(!cooldown.is_over(Direction::In, 2_500));
        assert!(cooldown.is_over(Direction::In, 2_501));
        cooldown.restart(2_501);
        assert!(!cooldown.is_over(Direction::Out, 12_500));
        assert!(cooldown.is_over(Direction::Out, 12_502));
    }

    #[test]
    fn clock_that_went_back_counts_as_no_time() {
        let cooldown = Cooldown::new(0.0, -1.0, 5_000);
        assert_eq!(cooldown.since_s(4_000), 0.0);
        assert!(!cooldown.is_over(Direction::Out, 4_000));
        assert!(cooldown.is_over(Direction::In, 4_000), "a negative interval never waits");
    }

    #[test]
    fn seconds_round_as_on_a_float_clock() {
        // 1000000.3 - 1000000.0 is a little more than 0.3 in floats.
        let cooldown = Cooldown::new(0.3, 0.3, 1_000_000_000);
        assert!(cooldown.is_over(Direction::Out, 1_000_000_300));
    }
}
