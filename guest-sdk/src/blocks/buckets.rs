//! Averages over a window of time that is cut into buckets of one width.

/// Digits the linear average is rounded to, which hides what adding and subtracting leaves behind.
const ROUNDING: f64 = 1e6;
/// Part of the weights that must lie inside the window of a weighted average.
const WEIGHT_INSIDE: f64 = 0.9999;
/// Weight of the newest bucket is never below this, however long the window.
const NEWEST_WEIGHT_MIN: f64 = 0.2;

/// A ring of sums, one per bucket of time, and their average over the window.
///
/// What is recorded within one bucket adds up, so a bucket as wide as the pause between two samples
/// holds one sample. Two averages are on offer, chosen when the ring is made:
///
/// - [`linear`](Self::linear): the sum divided by the buckets *known*. Until the window is full
///   that is the time since the first sample, so a young ring is not diluted by a past it has not
///   seen. Buckets without a sample in between count as zero. When the newest sample is older than
///   now, the buckets since then leave both the sum and the divisor.
/// - [`weighted`](Self::weighted): weights `c`, `c(1-c)`, `c(1-c)²`... from the newest bucket on.
///   It underestimates the first samples, and time without samples counts as zero.
///
/// The algorithm is that of the pod autoscaler of Knative (`pkg/autoscaler/aggregation/
/// bucketing.go`), including its running sum. Recording costs as many steps as buckets were
/// skipped, the linear average the same, the weighted one as many as there are buckets.
///
/// ```
/// use samovar_sdk::blocks::Buckets;
///
/// let mut load = Buckets::linear(60_000, 1_000);
/// load.record(5_000, 30.0);
/// load.record(6_000, 10.0);
/// assert_eq!(load.average(6_400), 20.0); // Two seconds are known, not sixty.
/// assert_eq!(load.average(90_000), 0.0);
/// assert!(load.is_empty(90_000));
/// ```
#[derive(Debug, Clone)]
pub struct Buckets {
    sums: Box<[f64]>,
    total: f64,
    window_ms: u64,
    width_ms: u64,
    /// Numbers of the buckets with the oldest and the newest sample. None before the first one.
    span: Option<(i64, i64)>,
    /// Weight of the newest bucket; none for the linear average.
    weight: Option<f64>,
}

impl Buckets {
    /// Buckets of `width_ms` over `window_ms`, averaged linearly. Both are at least 1; the number
    /// of buckets is rounded up.
    pub fn linear(window_ms: u64, width_ms: u64) -> Self {
        let (window_ms, width_ms) = (window_ms.max(1), width_ms.max(1));
        let sums = vec![0.0; count(window_ms, width_ms)].into();
        Self { sums, total: 0.0, window_ms, width_ms, span: None, weight: None }
    }

    /// Buckets of `width_ms` over `window_ms`, newer ones weighing more. Both are at least 1.
    ///
    /// The newest bucket weighs `max(1 - 0.0001^(1/buckets), 0.2)`.
    pub fn weighted(window_ms: u64, width_ms: u64) -> Self {
        let mut buckets = Self::linear(window_ms, width_ms);
        buckets.weight = Some(newest_weight(buckets.sums.len()));
        buckets
    }

    /// Adds `value` to the bucket of `now_ms`.
    ///
    /// Late samples are welcome while their bucket is inside the window before the newest one;
    /// older ones are ignored. After a whole window without samples the ring starts anew.
    pub fn record(&mut self, now_ms: u64, value: f64) {
        let (at, buckets) = (self.number(now_ms), self.sums.len() as i64);
        self.span = match self.span {
            None => Some((at, at)),
            Some((_, last)) if last - at >= buckets => return,
            Some((first, last)) if at <= last => Some((first.min(at), last)),
            Some((_, last)) if at - last >= buckets => {
                self.sums.fill(0.0);
                self.total = 0.0;
                Some((at, at))
            }
            Some((first, last)) => {
                for skipped in last + 1..=at {
                    let slot = self.slot(skipped);
                    self.total -= self.sums[slot];
                    self.sums[slot] = 0.0;
                }
                Some((first, at))
            }
        };
        let slot = self.slot(at);
        self.sums[slot] += value;
        self.total += value;
    }

    /// The average over the window that ends at `now_ms`; 0 without any sample in it.
    ///
    /// Use [`is_empty`](Self::is_empty) to tell "no data" from zero.
    pub fn average(&self, now_ms: u64) -> f64 {
        let Some((first, last)) = self.span else { return 0.0 };
        let now = self.number(now_ms);
        match self.weight {
            Some(weight) => self.weighted_average(now, last, weight),
            None => self.linear_average(now, first, last),
        }
    }

    /// Whether the newest sample is older than the window, or there is none.
    pub fn is_empty(&self, now_ms: u64) -> bool {
        match self.span {
            None => true,
            Some((_, last)) => self.is_past(self.number(now_ms) - last),
        }
    }

    /// Makes the window longer or shorter. The newest buckets that fit are kept.
    ///
    /// As in the original, a ring that was not full yet counts as full afterwards.
    pub fn resize(&mut self, window_ms: u64) {
        let window_ms = window_ms.max(1);
        if window_ms == self.window_ms {
            return;
        }
        let old = std::mem::take(&mut self.sums);
        self.window_ms = window_ms;
        self.sums = vec![0.0; count(window_ms, self.width_ms)].into();
        self.weight = self.weight.map(|_| newest_weight(self.sums.len()));
        self.total = 0.0;
        let Some((_, last)) = self.span else { return };
        for back in 0..old.len().min(self.sums.len()) as i64 {
            let sum = old[(last - back).rem_euclid(old.len() as i64) as usize];
            let slot = self.slot(last - back);
            self.sums[slot] = sum;
            self.total += sum;
        }
        self.span = Some((last - (old.len() as i64 - 1), last));
    }

    fn linear_average(&self, now: i64, first: i64, last: i64) -> f64 {
        let (buckets, gap) = (self.sums.len() as i64, (now - last).max(0));
        if gap >= buckets {
            return 0.0;
        }
        let gone: f64 = (last + 1..=last + gap).map(|number| self.sums[self.slot(number)]).sum();
        let known = (last - first + 1).min(buckets - gap);
        ((self.total - gone) / known as f64 * ROUNDING).round() / ROUNDING
    }

    fn weighted_average(&self, now: i64, last: i64, weight: f64) -> f64 {
        let gap = (now - last).max(0);
        if self.is_past(gap) {
            return 0.0;
        }
        let mut factor = weight;
        if gap > 0 {
            factor *= (1.0 - weight).powf(gap as f64);
        }
        let newest_slot = self.slot(last);
        let inside = self.sums.len().saturating_sub(gap as usize);
        let (newer, older) = self.sums.split_at(newest_slot + 1);
        let mut average = 0.0;
        for sum in newer.iter().rev().chain(older.iter().rev()).take(inside) {
            average += sum * factor;
            factor *= 1.0 - weight;
        }
        average
    }

    fn is_past(&self, gap: i64) -> bool {
        gap > (self.window_ms / self.width_ms) as i64
    }

    fn number(&self, now_ms: u64) -> i64 {
        (now_ms / self.width_ms) as i64
    }

    fn slot(&self, number: i64) -> usize {
        number.rem_euclid(self.sums.len() as i64) as usize
    }
}

fn count(window_ms: u64, width_ms: u64) -> usize {
    window_ms.div_ceil(width_ms) as usize
}

fn newest_weight(buckets: usize) -> f64 {
    (1.0 - (1.0 - WEIGHT_INSIDE).powf(1.0 / buckets as f64)).max(NEWEST_WEIGHT_MIN)
}

#[cfg(test)]
mod tests {
    use super::Buckets;

    fn seconds(values: &[f64]) -> Buckets {
        let mut buckets = Buckets::linear(5_000, 1_000);
        for (second, &value) in (0..).zip(values) {
            buckets.record(second * 1_000, value);
        }
        buckets
    }

    #[test]
    fn linear_average_divides_by_what_is_known() {
        assert_eq!(seconds(&[1.0, 3.0]).average(1_999), 2.0);
        assert_eq!(seconds(&[1.0, 3.0]).average(2_000), 2.0);
        assert_eq!(seconds(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0]).average(5_000), 3.0);
    }

    #[test]
    fn samples_of_one_bucket_add_up() {
        let mut buckets = seconds(&[1.0]);
        buckets.record(100, 10.0);
        assert_eq!(buckets.average(900), 11.0);
    }

    #[test]
    fn expired_buckets_leave_sum_and_divisor() {
        let buckets = seconds(&[10.0, 0.0, 0.0, 0.0, 20.0]);
        assert_eq!(buckets.average(4_000), 6.0);
        assert_eq!(buckets.average(5_000), 5.0);
        assert_eq!(buckets.average(8_000), 20.0);
        assert_eq!(buckets.average(9_000), 0.0);
    }

    #[test]
    fn late_samples_count_inside_the_window_only() {
        let mut buckets = seconds(&[]);
        buckets.record(10_000, 5.0);
        buckets.record(6_000, 5.0);
        assert_eq!(buckets.average(10_000), 2.0);
        buckets.record(5_000, 100.0);
        assert_eq!(buckets.average(10_000), 2.0);
    }

    #[test]
    fn holes_are_zeros_and_a_whole_window_starts_anew() {
        let mut buckets = seconds(&[5.0]);
        buckets.record(3_000, 3.0);
        assert_eq!(buckets.average(3_000), 2.0);
        buckets.record(8_000, 7.0);
        assert_eq!(buckets.average(8_000), 7.0);
    }

    #[test]
    fn no_data_is_not_zero() {
        let mut buckets = seconds(&[]);
        assert!(buckets.is_empty(0));
        assert_eq!(buckets.average(0), 0.0);
        buckets.record(0, 0.0);
        assert!(!buckets.is_empty(5_999));
        assert!(buckets.is_empty(6_000));
    }

    #[test]
    fn weights_fall_off_and_idle_time_is_zero() {
        let mut buckets = Buckets::weighted(5_000, 1_000);
        for (second, value) in (0..).zip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) {
            buckets.record(second * 1_000, value);
        }
        assert!((buckets.average(5_000) - 5.812).abs() < 1e-3);
        assert!(buckets.average(6_000) < 1.0);
        assert_eq!(buckets.average(20_000), 0.0);
        let mut long = Buckets::weighted(100_000, 1_000);
        long.record(0, 1.0);
        assert_eq!(long.average(0), 0.2);
    }

    #[test]
    fn resizing_keeps_the_newest() {
        let mut buckets = seconds(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        buckets.resize(2_000);
        assert_eq!(buckets.average(4_000), 4.5);
        buckets.resize(10_000);
        assert_eq!(buckets.average(4_000), 4.5);
        buckets.record(5_000, 6.0);
        assert_eq!(buckets.average(5_000), 5.0);
    }

    #[test]
    fn running_sum_equals_the_sum() {
        let mut buckets = Buckets::linear(7_000, 1_000);
        let mut all = Vec::new();
        for second in 0..200_u64 {
            let value = ((second * 7919) % 101) as f64 / 7.0;
            buckets.record(second * 1_000 + second % 1_000, value);
            all.push(value);
            let inside = &all[all.len().saturating_sub(7)..];
            let mean = inside.iter().sum::<f64>() / inside.len() as f64;
            assert!((buckets.average(second * 1_000) - mean).abs() < 1e-6, "second {second}");
        }
    }
}
