//! Exponentially weighted averages.

/// An average over time in which what is older counts less: half as much per half-life.
///
/// Each value stands for the interval it was measured over, so late and missing ticks do no harm.
/// At the start the average is over what there is, not over an imagined past of zeros.
///
/// ```
/// use samovar_sdk::blocks::Ewma;
///
/// let mut average = Ewma::new(10.0);
/// assert_eq!(average.get(), None);
/// assert_eq!(average.record(4.0, 1.0), 4.0);
/// assert_eq!(average.record(4.0, 0.5), 4.0);
/// let after = average.record(0.0, 10.0);
/// assert!(after > 0.0 && after < 1.0, "ten seconds weigh more than the one and a half before");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ewma {
    half_life_s: f64,
    /// Weighted sum of the values.
    sum: f64,
    /// Sum of the weights: 0 at the start, near 1 after a few half-lives.
    weight: f64,
}

impl Ewma {
    /// An average without values. The half-life is in seconds and above 0.
    pub fn new(half_life_s: f64) -> Self {
        Self { half_life_s, sum: 0.0, weight: 0.0 }
    }

    /// Adds a value that held for the last `seconds`, and answers with the new average.
    ///
    /// An interval that is not above 0 has no weight. A value that is not finite is left out.
    pub fn record(&mut self, value: f64, seconds: f64) -> f64 {
        if value.is_finite() && seconds > 0.0 {
            let kept = (-seconds / self.half_life_s).exp2();
            self.sum = self.sum * kept + value * (1.0 - kept);
            self.weight = self.weight * kept + (1.0 - kept);
        }
        self.get().unwrap_or(0.0)
    }

    /// The average; none before the first value.
    pub fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }

    /// By how many seconds the average lags behind a value that rises or falls steadily: the
    /// half-life over the logarithm of 2.
    pub fn lag_s(&self) -> f64 {
        self.half_life_s / std::f64::consts::LN_2
    }
}

#[cfg(test)]
mod tests {
    use super::Ewma;

    fn after(ticks: impl IntoIterator<Item = (f64, f64)>) -> Ewma {
        let mut average = Ewma::new(8.0);
        for (value, seconds) in ticks {
            average.record(value, seconds);
        }
        average
    }

    #[test]
    fn half_of_a_step_is_seen_after_a_half_life() {
        let average = after([(0.0, 1e6), (10.0, 8.0)]);
        assert!((average.get().unwrap() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn how_time_is_cut_does_not_matter() {
        let coarse = after([(3.0, 20.0), (7.0, 6.0)]).get().unwrap();
        let fine = [(3.0, 0.5); 40].into_iter().chain([(7.0, 0.25); 24]);
        assert!((coarse - after(fine).get().unwrap()).abs() < 1e-9);
    }

    #[test]
    fn steady_rise_is_seen_late_by_the_lag() {
        let average = after((0..10_000).map(|tick| (f64::from(tick) + 0.5, 1.0)));
        let behind = 10_000.0 - average.get().unwrap();
        assert!((behind - average.lag_s()).abs() < 0.1, "{behind}");
    }

    #[test]
    fn nonsense_is_left_out() {
        let average = after([(5.0, 0.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0), (2.0, -1.0)]);
        assert_eq!(average.get(), None);
        assert_eq!(after([(5.0, 1.0), (f64::NAN, 100.0)]).get(), Some(5.0));
    }
}
