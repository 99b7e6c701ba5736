//! Medians, quantiles and how they are printed.

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
}
