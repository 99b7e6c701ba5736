//! Axes and their marks.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::report::grid;

/// From this ratio of the largest to the smallest value on, an axis is logarithmic.
const LOG_FROM: f64 = 30.0;

/// The values along one side of a panel, where marks stand and what they say.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Axis {
    range: Range<f64>,
    scale: Scale,
    marks: Vec<f64>,
    label: Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Label {
    /// The number alone, in units of so many.
    Number { unit: f64 },
    /// Milliseconds or seconds.
    Millis,
}

/// Units of time with their names and the distances between marks that look natural in them.
const TIMES: [(f64, &str, &[f64]); 4] = [
    (1.0, "seconds", &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0]),
    (60.0, "minutes", &[0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0]),
    (3600.0, "hours", &[0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 12.0]),
    (86_400.0, "days", &[0.5, 1.0, 2.0, 5.0, 7.0, 14.0, 30.0, 60.0, 100.0, 200.0, 365.0]),
];

impl Axis {
    /// Time from zero to `seconds`, with the name of its unit.
    pub fn time(seconds: f64) -> (Self, &'static str) {
        let longest = [180.0, 10_800.0, 259_200.0, f64::INFINITY];
        let index = longest.iter().position(|limit| seconds <= *limit).unwrap_or(0);
        let (unit, name, steps) = TIMES[index];
        let fits = |step: &&f64| seconds / unit / **step <= 12.5;
        let step = steps.iter().find(fits).copied().unwrap_or(seconds / unit / 10.0) * unit;
        let marks = marks(0.0, seconds, step);
        let end = if seconds > 0.0 { seconds } else { 1.0 };
        let axis =
            Self { range: 0.0..end, scale: Scale::Linear, marks, label: Label::Number { unit } };
        (axis, name)
    }

    /// Amounts from zero up to at least `most`.
    pub fn amounts(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        // Most amounts are whole, and then marks between whole numbers would be strange.
        let least = if most < 1.0 { 0.0 } else { 1.0 };
        let step = nice(most / 4.0).max(least);
        let end = (most / step).ceil() * step;
        let marks = marks(0.0, end, step);
        Self { range: 0.0..end, scale: Scale::Linear, marks, label: Label::Number { unit: 1.0 } }
    }

    /// Milliseconds that hold all `values`, logarithmic if those are far apart.
    pub fn millis(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| *value > 0.0 && value.is_finite());
        let (least, most) = positive.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        if most / least < LOG_FROM || most == 0.0 {
            return Self { label: Label::Millis, ..Self::amounts(most) };
        }
        // One, two and five of every power of ten; within them the axis begins and ends.
        let first = least.log10().floor() as i32;
        let last = most.log10().ceil() as i32;
        let powers =
            (first..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * 10_f64.powi(power)));
        let marks: Vec<f64> = powers.collect();
        let start = marks.iter().rev().find(|mark| **mark <= least).copied().unwrap_or(least);
        let end = marks.iter().find(|mark| **mark >= most).copied().unwrap_or(most);
        let inside = |mark: &f64| (start..=end).contains(mark);
        let many = marks.iter().filter(|mark| inside(mark)).count() > 6;
        let is_power = |mark: &f64| (mark.log10() - mark.log10().round()).abs() < 1e-9;
        let marks = marks.into_iter().filter(|mark| inside(mark) && (!many || is_power(mark)));
        Self { range: start..end, scale: Scale::Log, marks: marks.collect(), label: Label::Millis }
    }

    /// How many marks there are.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether equal distances are equal ratios.
    pub fn is_log(&self) -> bool {
        self.scale == Scale::Log
    }
}

/// The multiples of `step` from `start` to `end`.
fn marks(start: f64, end: f64, step: f64) -> Vec<f64> {
    let count = ((end - start) / step + 1e-9).floor() as usize;
    (0..=count).map(|index| start + index as f64 * step).collect()
}

/// The least of 1, 2 and 5 times a power of ten that is at least `step`.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        let share = match self.scale {
            Scale::Linear => (value - start) / (end - start),
            Scale::Log => (value.max(start) / start).ln() / (end / start).ln(),
        };
        from + (share.clamp(0.0, 1.0) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        match self.label {
            Label::Number { unit } => {
                // Enough for all steps, and hides what a sum of tenths adds.
                let rounded = format!("{:.4}", value / unit);
                rounded.trim_end_matches('0').trim_end_matches('.').into()
            }
            Label::Millis if *value == 0.0 => "0".into(),
            Label::Millis => plain(&grid::short_ms(*value)),
        }
    }
}

/// Without zeros that say nothing: `1.00 s` is `1 s`.
fn plain(text: &str) -> String {
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> String {
        axis.marks.iter().map(|mark| axis.format_ext(mark)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn time_is_marked_in_units_that_fit() {
        let check = |seconds, name, expected: &str| {
            let (axis, unit) = Axis::time(seconds);
            assert_eq!((unit, labels(&axis).as_str()), (name, expected), "{seconds}");
        };
        check(1.0, "seconds", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1");
        check(60.0, "seconds", "0 5 10 15 20 25 30 35 40 45 50 55 60");
        check(600.0, "minutes", "0 1 2 3 4 5 6 7 8 9 10");
        check(5400.0, "minutes", "0 10 20 30 40 50 60 70 80 90");
        check(86_400.0, "hours", "0 2 4 6 8 10 12 14 16 18 20 22 24");
        check(7.0 * 86_400.0, "days", "0 1 2 3 4 5 6 7");
        check(3650.0 * 86_400.0, "days", "0 365 730 1095 1460 1825 2190 2555 2920 3285 3650");
        check(0.0, "seconds", "0");
    }

    #[test]
    fn amounts_end_at_a_mark() {
        let check = |most, expected: &str| assert_eq!(labels(&Axis::amounts(most)), expected);
        check(0.0, "0 1");
        check(0.4, "0 0.1 0.2 0.3 0.4");
        check(1.0, "0 1");
        check(4.0, "0 1 2 3 4");
        check(37.0, "0 10 20 30 40");
        check(101.0, "0 50 100 150");
        check(1e6, "0 500000 1000000");
    }

    #[test]
    fn latencies_far_apart_are_on_a_logarithmic_axis() {
        let axis = Axis::millis([12.0, 300.0].into_iter());
        assert!(!axis.is_log());
        assert_eq!(labels(&axis), "0 100 ms 200 ms 300 ms");
        let axis = Axis::millis([12.0, 0.0, 480.0].into_iter());
        assert!(axis.is_log());
        assert_eq!(labels(&axis), "10 ms 20 ms 50 ms 100 ms 200 ms 500 ms");
        assert_eq!(axis.map(&10.0, (0, 100)), 0);
        assert_eq!(axis.map(&500.0, (0, 100)), 100);
        assert_eq!(axis.map(&0.0, (0, 100)), 0);
        assert_eq!(labels(&Axis::millis([2.0, 30_000.0].into_iter())), "10 ms 100 ms 1 s 10 s");
        assert_eq!(labels(&Axis::millis(std::iter::empty())), "0 1 ms");
    }
}
