//! Numbers in cells, read exactly.

use std::fmt;

use super::COUNT_MAX;
use super::read::Reason;
use crate::spec::DURATION_MAX;

const NANOS_MAX: u64 = DURATION_MAX.as_nanos() as u64;

/// Reads a decimal number of units that have `10^digits` nanoseconds, up to ten years.
///
/// Decimals are not read as floating-point numbers, because those lose nanoseconds after some
/// weeks.
pub(super) fn nanos(column: &'static str, text: &str, digits: usize) -> Result<u64, Reason> {
    let too_large = || Reason::TooLong { column, value: text.into() };
    let Some((whole, fraction)) = split(text) else {
        let nanos = float(column, text)? * 10_f64.powi(digits as i32);
        return if nanos <= NANOS_MAX as f64 { Ok(nanos.round() as u64) } else { Err(too_large()) };
    };
    // More digits are more than ten years in any unit.
    if whole.trim_start_matches('0').len() > 12 {
        return Err(too_large());
    }
    let mut nanos = whole.bytes().fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0'));
    let mut decimals = fraction.bytes().map(|byte| u64::from(byte - b'0'));
    for _ in 0..digits {
        nanos = nanos.saturating_mul(10).saturating_add(decimals.next().unwrap_or(0));
    }
    nanos = nanos.saturating_add(u64::from(decimals.next() >= Some(5)));
    if nanos <= NANOS_MAX { Ok(nanos) } else { Err(too_large()) }
}

/// Reads a whole number of requests.
pub(super) fn count(column: &'static str, text: &str) -> Result<u32, Reason> {
    let too_many = || Reason::TooMany { column, value: text.into() };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = float(column, text)?;
        let reason = if number > COUNT_MAX as f64 {
            too_many()
        } else {
            Reason::NotWhole { column, value: text.into() }
        };
        return Err(reason);
    }
    let count = text.parse::<u64>().ok().filter(|count| *count <= COUNT_MAX);
    count.and_then(|count| u32::try_from(count).ok()).ok_or_else(too_many)
}

/// The digits before and after the point; none if it is not a plain decimal number.
fn split(text: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0;
    plain.then_some((whole, fraction))
}

/// Any other number that is finite and not negative.
fn float(column: &'static str, text: &str) -> Result<f64, Reason> {
    let value = || text.to_owned();
    match text.parse::<f64>() {
        Err(_) => Err(Reason::NotANumber { column, value: value() }),
        Ok(number) if !number.is_finite() => Err(Reason::NotFinite { column, value: value() }),
        Ok(number) if number < 0.0 => Err(Reason::Negative { column, value: value() }),
        Ok(number) => Ok(number),
    }
}

/// Nanoseconds, shown as seconds without loss: `1.5`, `2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0, 9)
    }
}

/// Nanoseconds, shown as milliseconds without loss.
pub(super) struct Millis(pub u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0, 6)
    }
}

fn decimal(f: &mut fmt::Formatter<'_>, nanos: u64, digits: usize) -> fmt::Result {
    let unit = 10_u64.pow(digits as u32);
    write!(f, "{}", nanos / unit)?;
    let fraction = format!("{:0digits$}", nanos % unit);
    match fraction.trim_end_matches('0') {
        "" => Ok(()),
        fraction => write!(f, ".{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let read = |text, digits| nanos("at_s", text, digits).unwrap();
        assert_eq!(read("0", 9), 0);
        assert_eq!(read("1.5", 9), 1_500_000_000);
        assert_eq!(read(".25", 9), 250_000_000);
        assert_eq!(read("7.", 9), 7_000_000_000);
        assert_eq!(read("31535999.999999999", 9), 31_535_999_999_999_999);
        assert_eq!(read("0.0000000004", 9), 0);
        assert_eq!(read("0.0000000005", 9), 1);
        assert_eq!(read("1e3", 9), 1_000_000_000_000);
        assert_eq!(read("+2", 9), 2_000_000_000);
        assert_eq!(read("0.25", 6), 250_000);
        assert_eq!(read("00000000000000001", 6), 1_000_000);
        assert_eq!(read("315360000", 9), NANOS_MAX);
        assert!(nanos("at_s", "315360000.000000001", 9).is_err());
        assert!(nanos("at_s", "99999999999999999999999999", 9).is_err());
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for value in [0, 1, 999_999_999, 1_000_000_000, 1_500_000_000, NANOS_MAX] {
            assert_eq!(nanos("at_s", &Seconds(value).to_string(), 9), Ok(value));
            assert_eq!(nanos("at_ms", &Millis(value).to_string(), 6), Ok(value));
        }
        assert_eq!(Seconds(1_500_000_000).to_string(), "1.5");
        assert_eq!(Millis(2_000_000).to_string(), "2");
    }
}
