//! What a worker can do, measured while it works.

use crate::worker::benchmark::{best, throughput};

/// Rounds that are remembered, as many as the worker's own benchmark has.
const ROUNDS: usize = 8;

/// Seconds and requests a round has at least. A short one would measure when requests happen to
/// end, and the best of such rounds would be far too good.
const ROUND_S: f64 = 10.0;
const ROUND_REQUESTS: u64 = 20;

/// Work per second and busy replica: the best of the last rounds, as in the worker's benchmark.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    rounds: [f64; ROUNDS],
    /// Where the next round goes.
    next: usize,
    work: f64,
    busy_s: f64,
    seconds: f64,
    requests: u64,
}

impl Measured {
    /// Adds what was done in the last `seconds`: work in units, by so many busy replicas on
    /// average.
    pub fn record(&mut self, work: f64, busy: f64, seconds: f64, requests: u64) {
        self.work += work;
        self.busy_s += busy * seconds;
        self.seconds += seconds;
        self.requests += requests;
        if self.seconds < ROUND_S || self.requests < ROUND_REQUESTS {
            return;
        }
        if self.busy_s > 0.0 {
            self.rounds[self.next] = throughput(self.work, self.busy_s);
            self.next = (self.next + 1) % ROUNDS;
        }
        let Self { rounds, next, .. } = *self;
        *self = Self { rounds, next, ..Self::default() };
    }

    /// Units per second of a busy replica; none before the first round.
    pub fn best(&self) -> Option<f64> {
        Some(best(self.rounds)).filter(|best| *best > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Measured, ROUNDS};

    fn round(measured: &mut Measured, perf: f64) {
        for _ in 0..10 {
            measured.record(perf * 2.0, 2.0, 1.0, 2);
        }
    }

    #[test]
    fn best_of_the_last_rounds_counts() {
        let mut measured = Measured::default();
        measured.record(1e9, 1.0, 9.0, 1000);
        assert_eq!(measured.best(), None, "too short");
        let mut measured = Measured::default();
        round(&mut measured, 50.0);
        round(&mut measured, 80.0);
        round(&mut measured, 60.0);
        assert_eq!(measured.best(), Some(80.0));
        for _ in 0..ROUNDS {
            round(&mut measured, 55.0);
        }
        assert_eq!(measured.best(), Some(55.0), "the better rounds are too long ago");
    }

    #[test]
    fn idle_rounds_measure_nothing() {
        let mut measured = Measured::default();
        measured.record(0.0, 0.0, 60.0, 100);
        assert_eq!(measured.best(), None);
    }
}
