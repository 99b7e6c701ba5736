//! A histogram of durations that is exact to 0.1 %.
//!
//! 512 buckets per power of two, of nanoseconds. A power of two takes memory once it is used, so
//! that a thousand deployments fit.

use crate::outcome::Quantiles;

const SUB_BITS: u32 = 9;
const SUB_COUNT: u64 = 1 << SUB_BITS;
/// The linear part and the powers of two above it.
const CHUNKS: usize = 64 - SUB_BITS as usize + 1;

struct Chunk {
    total: u64,
    counts: [u64; SUB_COUNT as usize],
}

/// Counts of durations.
pub struct Durations {
    chunks: [Option<Box<Chunk>>; CHUNKS],
    total: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Durations { chunks: [const { None }; CHUNKS], total: 0 }
    }
}

impl Durations {
    /// Counts one duration.
    pub fn record(&mut self, nanos: u64) {
        let (chunk, sub) = place_of(nanos);
        let new = || Box::new(Chunk { total: 0, counts: [0; SUB_COUNT as usize] });
        let chunk = self.chunks[chunk].get_or_insert_with(new);
        chunk.counts[sub] += 1;
        chunk.total += 1;
        self.total += 1;
    }

    /// The quantiles; none if nothing was counted.
    pub fn quantiles(&self) -> Option<Quantiles> {
        Some(Quantiles {
            p50_ms: self.quantile_ms(0.5)?,
            p95_ms: self.quantile_ms(0.95)?,
            p99_ms: self.quantile_ms(0.99)?,
        })
    }

    /// The least duration that at least `quantile` (0 to 1) of the durations do not exceed, in
    /// milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        let mut rank = ((quantile * self.total as f64).ceil() as u64).clamp(1, self.total);
        for (index, chunk) in self.chunks.iter().enumerate() {
            let Some(chunk) = chunk else { continue };
            if rank > chunk.total {
                rank -= chunk.total;
                continue;
            }
            for (sub, count) in chunk.counts.iter().enumerate() {
                if rank <= *count {
                    return Some(middle_of(index, sub) / 1e6);
                }
                rank -= count;
            }
        }
        unreachable!("the counts add up to the total")
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.total == 0 {
            return;
        }
        self.total = 0;
        for chunk in self.chunks.iter_mut().flatten() {
            if chunk.total > 0 {
                chunk.total = 0;
                chunk.counts.fill(0);
            }
        }
    }
}

fn place_of(nanos: u64) -> (usize, usize) {
    if nanos < SUB_COUNT {
        return (0, nanos as usize);
    }
    let power = nanos.ilog2() - SUB_BITS;
    (power as usize + 1, ((nanos >> power) - SUB_COUNT) as usize)
}

/// The middle of a bucket: no value in it is further away than a 1024th.
fn middle_of(chunk: usize, sub: usize) -> f64 {
    match chunk.checked_sub(1) {
        None => sub as f64,
        // Powers of two are exact, so this is the same on every machine.
        Some(power) => {
            let width = (1u64 << power) as f64;
            (SUB_COUNT + sub as u64) as f64 * width + (width - 1.0) / 2.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    #[test]
    fn quantiles_are_within_a_thousandth_of_the_sorted_list() {
        let mut rng = rng::stream(3, "x", "y");
        let mut durations = Durations::default();
        let mut list: Vec<u64> = Vec::new();
        for power in 0..40 {
            let values = (0..100).map(|_| rng::below(&mut rng, 1 << (power + 1)));
            list.extend(values);
        }
        list.iter().for_each(|nanos| durations.record(*nanos));
        list.sort_unstable();
        for quantile in [0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0] {
            let rank = ((quantile * list.len() as f64).ceil() as usize).max(1);
            let exact = list[rank - 1] as f64 / 1e6;
            let got = durations.quantile_ms(quantile).unwrap();
            assert!((got - exact).abs() <= exact * 0.001, "{got} against {exact}");
        }
    }

    #[test]
    fn every_duration_has_a_place() {
        for nanos in [0, 1, 511, 512, 513, 1023, 1024, u64::MAX] {
            let mut durations = Durations::default();
            durations.record(nanos);
            let got = durations.quantile_ms(0.5).unwrap() * 1e6;
            assert!((got - nanos as f64).abs() <= nanos as f64 * 0.001, "{got} for {nanos}");
        }
    }

    #[test]
    fn nothing_counted_has_no_quantiles() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantiles(), None);
        durations.record(1_000_000);
        assert!(durations.quantiles().is_some());
        durations.clear();
        assert_eq!(durations.quantiles(), None);
    }
}
