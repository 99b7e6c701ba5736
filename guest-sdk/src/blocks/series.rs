//! A value that holds until it changes, and what it was over the last while.

use std::collections::VecDeque;

/// Two neighbouring steps that together last less than this part of the look-back become one.
const STEPS_PER_LOOK_BACK: u64 = 60;

/// A value and when it began to hold. It holds until the next step of its series.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Step {
    /// When the value began to hold, in the unit of the series.
    pub at: f64,
    /// The value.
    pub value: f64,
}

/// Time-weighted mean of a step function between `from` and `until`.
///
/// `steps` are in the order of time. The last value before `from` is carried over to it; before the
/// first step the function is 0. None when `until` is not after `from`, or without any step.
///
/// ```
/// use samovar_sdk::blocks::{Step, step_mean};
///
/// let steps = [Step { at: 0.0, value: 4.0 }, Step { at: 3.0, value: 8.0 }];
/// assert_eq!(step_mean(steps, 2.0, 4.0), Some(6.0));
/// assert_eq!(step_mean(steps, 4.0, 4.0), None);
/// ```
///
/// The order of operations is that of `time_weighted_average` in Ray Serve 2.51, so results are
/// the same to the last bit.
pub fn step_mean(steps: impl IntoIterator<Item = Step>, from: f64, until: f64) -> Option<f64> {
    let (mut weighted, mut duration) = (0.0, 0.0);
    let (mut value, mut begun, mut is_empty) = (0.0, from, true);
    for step in steps {
        is_empty = false;
        if step.at >= until {
            break;
        }
        if step.at > from {
            weighted += value * (step.at - begun);
            duration += step.at - begun;
            begun = step.at;
        }
        value = step.value;
    }
    if begun < until {
        weighted += value * (until - begun);
        duration += until - begun;
    }
    (!is_empty && duration > 0.0).then(|| weighted / duration)
}

/// What a value was over the last while: mean by time, maximum and minimum.
///
/// Push what the value became and when; it holds until the next push. The averages of an
/// [`Observation`](crate::Observation) hold since the previous one, so push them with the time at
/// which they began:
///
/// ```
/// use samovar_sdk::Observation;
/// use samovar_sdk::blocks::StepSeries;
///
/// let mut ongoing = StepSeries::new(30_000); // Looks back 30 s.
/// for (now_ms, average) in [(1_000, 2.0), (2_000, 4.0), (4_000, 0.0)] {
///     let since_ms = if now_ms == 4_000 { 2_000 } else { 1_000 };
///     let seen =
///         Observation { now_ms, since_ms, ongoing_average: Some(average), ..Default::default() };
///     let value = seen.ongoing_average.unwrap_or(f64::from(seen.ongoing));
///     ongoing.push(seen.now_ms - seen.since_ms, value);
/// }
/// assert_eq!(ongoing.mean(4_000), Some(1.5)); // 2 for 1 s, 4 for 1 s, 0 for 2 s.
/// assert_eq!(ongoing.max(4_000), Some(4.0));
/// assert_eq!(ongoing.min(4_000), Some(0.0));
/// ```
///
/// The value at the beginning of the look-back is carried over from before. A series that began
/// later is judged from its beginning. Pushing is cheap, reading takes time in proportion to the
/// steps; there are at most about 120, because values that follow each other faster than 60 times
/// per look-back are averaged. One step takes 16 bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSeries {
    look_back_ms: u64,
    steps: VecDeque<Step>,
}

impl StepSeries {
    /// An empty series that looks back `look_back_ms`, at least 1.
    pub fn new(look_back_ms: u64) -> Self {
        Self { look_back_ms: look_back_ms.max(1), steps: VecDeque::new() }
    }

    /// From `at_ms` on the value is `value`. A time before that of the last push counts as that.
    pub fn push(&mut self, at_ms: u64, value: f64) {
        let Some(last) = self.steps.back_mut() else {
            return self.steps.push_back(Step { at: at_ms as f64, value });
        };
        let at = at_ms as f64;
        if at <= last.at {
            last.value = value;
        } else if last.value != value {
            self.thin_out(at);
            self.steps.push_back(Step { at, value });
        }
        self.forget_before(at - self.look_back_ms as f64);
    }

    /// Time-weighted mean over the look-back that ends now; none before the first push. While no
    /// time has passed it is the value itself.
    pub fn mean(&self, now_ms: u64) -> Option<f64> {
        let until = now_ms as f64;
        let first = self.window(now_ms).next()?;
        step_mean(self.window(now_ms), first.at, until).or(Some(self.steps.back()?.value))
    }

    /// Largest value that held at some time in the look-back; none before the first push.
    pub fn max(&self, now_ms: u64) -> Option<f64> {
        self.window(now_ms).map(|step| step.value).reduce(f64::max)
    }

    /// Smallest value that held at some time in the look-back; none before the first push.
    pub fn min(&self, now_ms: u64) -> Option<f64> {
        self.window(now_ms).map(|step| step.value).reduce(f64::min)
    }

    /// The steps of the look-back that ends now, in the order of time, in milliseconds. A step that
    /// began before the look-back begins with it here.
    pub fn window(
        &self,
        now_ms: u64,
    ) -> impl DoubleEndedIterator<Item = Step> + ExactSizeIterator + Clone {
        let from = now_ms as f64 - self.look_back_ms as f64;
        let first = self.steps.partition_point(|step| step.at <= from).saturating_sub(1);
        self.steps.range(first..).map(move |step| Step { at: step.at.max(from), ..*step })
    }

    /// Makes the last two steps one if they are over in no time, keeping their mean.
    fn thin_out(&mut self, until: f64) {
        let mut newest = self.steps.iter_mut().rev();
        let (Some(last), Some(before)) = (newest.next(), newest.next()) else {
            return;
        };
        if (until - before.at) * STEPS_PER_LOOK_BACK as f64 >= self.look_back_ms as f64 {
            return;
        }
        let weighted = before.value * (last.at - before.at) + last.value * (until - last.at);
        before.value = weighted / (until - before.at);
        self.steps.pop_back();
    }

    /// Drops steps that were over before `from`.
    fn forget_before(&mut self, from: f64) {
        while self.steps.get(1).is_some_and(|second| second.at <= from) {
            self.steps.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, StepSeries, step_mean};

    fn series(look_back_ms: u64, steps: &[(u64, f64)]) -> StepSeries {
        let mut series = StepSeries::new(look_back_ms);
        for &(at_ms, value) in steps {
            series.push(at_ms, value);
        }
        series
    }

    #[test]
    fn nothing_has_no_mean() {
        let empty = StepSeries::new(1_000);
        assert_eq!((empty.mean(5), empty.max(5), empty.min(5)), (None, None, None));
        assert_eq!(step_mean([], 0.0, 1.0), None);
    }

    #[test]
    fn value_before_the_window_is_carried_into_it() {
        let series = series(10_000, &[(0, 8.0), (15_000, 0.0)]);
        assert_eq!(series.mean(20_000), Some(4.0));
        assert_eq!(series.max(24_999), Some(8.0));
        assert_eq!(series.max(25_000), Some(0.0));
    }

    #[test]
    fn young_series_is_judged_from_its_beginning() {
        let series = series(30_000, &[(5_000, 1.0), (6_000, 3.0)]);
        assert_eq!(series.mean(7_000), Some(2.0));
        assert_eq!(series.mean(5_000), Some(3.0));
    }

    #[test]
    fn last_value_holds_however_long_nothing_comes() {
        let series = series(1_000, &[(0, 1.0), (10, 5.0)]);
        assert_eq!(series.mean(1_000_000), Some(5.0));
        assert_eq!(series.min(1_000_000), Some(5.0));
    }

    #[test]
    fn late_push_corrects_the_last_value() {
        let mut series = series(30_000, &[(0, 1.0), (2_000, 9.0)]);
        series.push(1_000, 3.0);
        assert_eq!(series.mean(4_000), Some(2.0));
    }

    #[test]
    fn steps_are_dropped_and_thinned_out() {
        let mut series = StepSeries::new(30_000);
        for tick in 0..100_000_u64 {
            series.push(tick * 10, (tick % 7) as f64);
        }
        assert!(series.steps.len() <= 122, "{} steps", series.steps.len());
        let mean = series.mean(1_000_000).unwrap_or_default();
        assert!((mean - 3.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn second_ticks_are_kept_apart() {
        let mut series = StepSeries::new(30_000);
        for tick in 0..100_u64 {
            series.push(tick * 1_000, tick as f64);
        }
        let begun: Vec<f64> = series.window(100_000).map(|step| step.at / 1_000.0).collect();
        assert_eq!(begun, (70..100).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn mean_is_that_of_a_plain_sum() {
        // The same function in steps of one millisecond.
        let steps: Vec<(u64, f64)> =
            (0..40).map(|i| (i * 137 + i % 5, ((i * 31) % 11) as f64)).collect();
        let series = series(3_000, &steps);
        for now_ms in [5_400_u64, 6_001, 7_321, 8_400] {
            let from = now_ms - 3_000;
            let held = |ms: u64| steps.iter().rfind(|step| step.0 <= ms).map_or(0.0, |step| step.1);
            let plain = (from..now_ms).map(held).sum::<f64>() / 3_000.0;
            let mean = series.mean(now_ms).unwrap_or_default();
            assert!((mean - plain).abs() < 1e-9, "{mean}, not {plain}, at {now_ms}");
        }
    }

    #[test]
    fn step_before_the_start_of_a_function_is_zero() {
        let steps = [Step { at: 1.0, value: 6.0 }];
        assert_eq!(step_mean(steps, 0.0, 2.0), Some(3.0));
    }
}
