//! Bounds on the number of replicas, and how a target capacity shrinks them.

use serde::Deserialize;

/// Which way the target capacity of the cluster is moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Direction {
    /// It grows: `initial_replicas`, where set, is the lower bound.
    #[serde(rename = "UP", alias = "up")]
    Up,
    /// It shrinks.
    #[serde(rename = "DOWN", alias = "down")]
    Down,
}

/// The part of its replicas that a deployment should have, while a cluster is handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Capacity {
    /// 0 to 100; none means all.
    pub percent: Option<f64>,
    /// Which way it moves.
    pub direction: Option<Direction>,
}

/// The bounds of one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `min_replicas` as configured.
    pub min: i64,
    /// Fewest replicas, adjusted by the target capacity.
    pub lower: i64,
    /// Most replicas, adjusted by the target capacity.
    pub upper: i64,
}

impl Bounds {
    /// The bounds under `capacity`.
    pub fn new(min: i64, initial: Option<i64>, max: i64, capacity: Capacity) -> Self {
        let is_growing = capacity.direction == Some(Direction::Up);
        let lowest = initial.filter(|_| is_growing).unwrap_or(min);
        Self {
            min,
            lower: adjusted(lowest, capacity.percent),
            upper: adjusted(max, capacity.percent),
        }
    }

    /// `count` within the bounds. The lower one wins over the upper one.
    pub fn clamp(&self, count: i64) -> i64 {
        count.min(self.upper).max(self.lower)
    }
}

/// `count` replicas at `percent` of the capacity: rounded half up, and at least 1 unless one of the
/// two is 0. Ray's `get_capacity_adjusted_num_replicas`, the same in all eras.
pub fn adjusted(count: i64, percent: Option<f64>) -> i64 {
    let Some(percent) = percent.filter(|percent| *percent != 100.0) else {
        return count;
    };
    if percent == 0.0 || count == 0 {
        return 0;
    }
    // Ray divides in decimals; the remainder of a division by 100 is exact in floats as well.
    let hundredfold = count as f64 * percent;
    let rest = hundredfold % 100.0;
    let whole = (hundredfold - rest) / 100.0;
    let rounded = if rest >= 50.0 { whole + 1.0 } else { whole };
    (rounded as i64).max(1)
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Capacity, Direction, adjusted};

    #[test]
    fn half_is_rounded_up_and_one_is_left() {
        assert_eq!(adjusted(10, Some(25.0)), 3);
        assert_eq!(adjusted(10, Some(24.9)), 2);
        assert_eq!(adjusted(1, Some(0.1)), 1);
        assert_eq!(adjusted(7, Some(0.0)), 0);
        assert_eq!(adjusted(7, Some(100.0)), 7);
        assert_eq!(adjusted(7, None), 7);
    }

    #[test]
    fn initial_replicas_bound_a_growing_capacity() {
        let growing = Capacity { percent: Some(50.0), direction: Some(Direction::Up) };
        assert_eq!(Bounds::new(1, Some(6), 10, growing), Bounds { min: 1, lower: 3, upper: 5 });
        let shrinking = Capacity { direction: Some(Direction::Down), ..growing };
        assert_eq!(Bounds::new(1, Some(6), 10, shrinking).lower, 1);
    }
}
