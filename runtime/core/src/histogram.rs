//! A small latency histogram: 8 buckets per power of two, from 1 µs to about 4,700 s.
//!
//! Quantiles are exact to 12.5 % at worst. It is this small (1 KiB for hours, half of that for
//! seconds) because every pool has two, and a machine may hold ten thousand idle pools.

use std::time::Duration;

const SUB_BITS: u32 = 3;
const SUB_COUNT: usize = 1 << SUB_BITS;
/// Powers of two covered above the linear part.
const POWERS: usize = 30;
const BUCKETS: usize = SUB_COUNT * (POWERS + 1);

/// Counts of durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Up to the power of two of the longest: most pools of a full machine have no or short ones.
    counts: Box<[u32]>,
    total: u64,
    sum_micros: u64,
}

impl Histogram {
    /// Counts one duration. Above the last bucket it counts into the last bucket.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket_of(micros);
        if bucket >= self.counts.len() {
            self.grow(bucket);
        }
        let count = &mut self.counts[bucket];
        *count = count.saturating_add(1);
        self.total += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    #[cold]
    fn grow(&mut self, bucket: usize) {
        let mut counts = std::mem::take(&mut self.counts).into_vec();
        counts.resize((bucket + 1).next_multiple_of(SUB_COUNT), 0);
        self.counts = counts.into_boxed_slice();
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Sum of all durations.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }

    /// The smallest bucket bound that at least `quantile` (0 to 1) of the durations do not exceed,
    /// in milliseconds; none if nothing was counted.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        let rank = ((quantile * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(upper_micros(bucket) as f64 / 1000.0);
            }
        }
        Some(upper_micros(BUCKETS - 1) as f64 / 1000.0)
    }

    /// How many durations were at most `bound` long, to the precision of the buckets.
    pub fn count_at_most(&self, bound: Duration) -> u64 {
        let last = bucket_of(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX));
        self.counts.iter().take(last + 1).map(|count| u64::from(*count)).sum()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < SUB_COUNT as u64 {
        return micros as usize;
    }
    let power = micros.ilog2() - SUB_BITS;
    let sub = (micros >> power) as usize - SUB_COUNT;
    (SUB_COUNT * (power as usize + 1) + sub).min(BUCKETS - 1)
}

/// The largest value of a bucket, in microseconds.
fn upper_micros(bucket: usize) -> u64 {
    if bucket < SUB_COUNT {
        return bucket as u64;
    }
    let power = bucket / SUB_COUNT - 1;
    let sub = bucket % SUB_COUNT + SUB_COUNT;
    ((sub as u64 + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(micros in 0u64..4_000_000_000) {
            let bucket = bucket_of(micros);
            prop_assert!(upper_micros(bucket) >= micros);
            prop_assert!(bucket == 0 || upper_micros(bucket - 1) < micros);
        }

        #[test]
        fn quantiles_are_close_to_the_sorted_list(mut list in proptest::collection::vec(1u64..10_000_000, 1..200)) {
            let mut histogram = Histogram::default();
            for micros in &list {
                histogram.record(Duration::from_micros(*micros));
            }
            list.sort_unstable();
            for quantile in [0.5, 0.9, 0.99, 1.0] {
                let rank = ((quantile * list.len() as f64).ceil() as usize).max(1);
                let exact = list[rank - 1] as f64 / 1000.0;
                let got = histogram.quantile_ms(quantile).expect("not empty");
                prop_assert!(got >= exact && got <= exact * 1.126, "{got} against {exact}");
            }
        }
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(Histogram::default().quantile_ms(0.5), None);
    }
}
