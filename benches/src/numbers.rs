//! Medians, quantiles and how they are printed.

use std::fmt;

use serde_json::{Value, json};

/// The value below which `share` (0 to 1) of the sorted values lie; 0 when there are none.
pub fn quantile(sorted: &[u32], share: f64) -> u32 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
}

/// The middle value; of an even number of values the mean of the two in the middle. NaN when there
/// are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// What the rounds of a measurement say. Printed as `2.0 (1.5 to 3.0)`, with the precision that is
/// asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// All NaN when there are no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        Self {
            least: values.iter().copied().fold(f64::NAN, f64::min),
            most: values.iter().copied().fold(f64::NAN, f64::max),
            median: median(values),
        }
    }

    pub fn to_json(self) -> Value {
        json!({"median": self.median, "least": self.least, "most": self.most})
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, least, most } = self;
        let digits = f.precision().unwrap_or(0);
        write!(f, "{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

/// `p50 1.2 ms, p99 3.4 ms, most 5.6 ms` of durations in microseconds.
pub fn milliseconds(mut micros: Vec<u32>) -> String {
    micros.sort_unstable();
    let at = |share| f64::from(quantile(&micros, share)) / 1000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", at(0.5), at(0.99), at(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_medians() {
        let values: Vec<u32> = (1..=101).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99)), (51, 100));
        assert_eq!((quantile(&[], 0.5), quantile(&[7], 0.99)), (0, 7));
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn spread_is_the_median_between_the_ends() {
        let spread = Spread::of([3.0, 1.5, 2.0]);
        assert_eq!(spread, Spread { median: 2.0, least: 1.5, most: 3.0 });
        assert_eq!(format!("{spread:.1}"), "2.0 (1.5 to 3.0)");
        assert!(Spread::of([]).least.is_nan());
    }
}
