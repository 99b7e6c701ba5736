//! What a pool counts between two observations.

use crate::{Latency, Observation};

/// Counts, averages and latencies since the last look.
#[derive(Debug, Default)]
pub(super) struct Meter {
    queued: u32,
    ongoing: u32,
    /// Numbers times milliseconds since the last look.
    queued_area: f64,
    ongoing_area: f64,
    /// Up to when the areas are counted.
    counted_ms: u64,
    looked_ms: Option<u64>,
    last_used_ms: Option<u64>,
    arrived: u64,
    completed: u64,
    rejected: u64,
    latencies_ms: Vec<u64>,
}

impl Meter {
    /// So many wait and are served from now on.
    pub fn set(&mut self, queued: u32, ongoing: u32, now_ms: u64) {
        self.advance(now_ms);
        (self.queued, self.ongoing) = (queued, ongoing);
    }

    pub fn arrived(&mut self, now_ms: u64) {
        self.arrived += 1;
        self.last_used_ms = Some(now_ms);
    }

    pub fn rejected(&mut self) {
        self.rejected += 1;
    }

    /// A request ended; `latency_ms` where it is known.
    pub fn completed(&mut self, latency_ms: Option<u64>, now_ms: u64) {
        self.completed += 1;
        self.last_used_ms = Some(now_ms);
        self.latencies_ms.extend(latency_ms);
    }

    /// The part of an observation that is counted here. Everything "since" starts anew.
    pub fn look(&mut self, now_ms: u64) -> Observation {
        self.advance(now_ms);
        let since_ms = self.looked_ms.map_or(0, |looked_ms| now_ms - looked_ms);
        let average = |area: f64| (since_ms > 0).then(|| area / since_ms as f64);
        let seen = Observation {
            now_ms,
            since_ms,
            queued: self.queued,
            ongoing: self.ongoing,
            queued_average: average(self.queued_area),
            ongoing_average: average(self.ongoing_area),
            arrived: self.arrived,
            completed: self.completed,
            rejected: self.rejected,
            latency: quantiles(&mut self.latencies_ms),
            last_used_ms: self.last_used_ms,
            ..Observation::default()
        };
        *self = Self {
            queued: self.queued,
            ongoing: self.ongoing,
            counted_ms: now_ms,
            looked_ms: Some(now_ms),
            last_used_ms: self.last_used_ms,
            ..Self::default()
        };
        seen
    }

    fn advance(&mut self, now_ms: u64) {
        let passed = (now_ms - self.counted_ms) as f64;
        self.queued_area += f64::from(self.queued) * passed;
        self.ongoing_area += f64::from(self.ongoing) * passed;
        self.counted_ms = now_ms;
    }
}

/// The smallest latencies that so many requests did not exceed ("nearest rank").
fn quantiles(latencies_ms: &mut [u64]) -> Option<Latency> {
    latencies_ms.sort_unstable();
    let count = latencies_ms.len();
    let quantile = |percent: usize| {
        let rank = (count * percent).div_ceil(100);
        latencies_ms.get(rank.max(1) - 1).map(|ms| *ms as f64)
    };
    Some(Latency { p50_ms: quantile(50)?, p90_ms: quantile(90)?, p99_ms: quantile(99)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_weigh_by_time_and_start_anew() {
        let mut meter = Meter::default();
        meter.set(4, 1, 0);
        assert_eq!(meter.look(0).queued_average, None);
        meter.set(0, 2, 250);
        let seen = meter.look(1000);
        assert_eq!((seen.since_ms, seen.queued_average), (1000, Some(1.0)));
        assert_eq!(seen.ongoing_average, Some(1.75));
        assert_eq!(meter.look(1500).ongoing_average, Some(2.0));
    }

    #[test]
    fn counts_and_latencies_start_anew() {
        let mut meter = Meter::default();
        for latency_ms in (1..=200).rev() {
            meter.arrived(0);
            meter.completed(Some(latency_ms), latency_ms);
        }
        meter.completed(None, 300);
        meter.rejected();
        let seen = meter.look(1000);
        assert_eq!((seen.arrived, seen.completed, seen.rejected), (200, 201, 1));
        let expected = Latency { p50_ms: 100.0, p90_ms: 180.0, p99_ms: 198.0 };
        assert_eq!((seen.latency, seen.last_used_ms), (Some(expected), Some(300)));
        let quiet = meter.look(2000);
        assert_eq!((quiet.arrived, quiet.completed, quiet.rejected), (0, 0, 0));
        assert_eq!((quiet.latency, quiet.last_used_ms), (None, Some(300)));
    }
}
