//! Arithmetic of JSON numbers, exact where floating point is not.

use std::cmp::Ordering;

use serde_json::Number;

/// 2^64: from here on there are floats only.
const INTEGERS_END: f64 = 18_446_744_073_709_551_616.0;

/// Whether it has no fraction; `1.0` has none.
pub(crate) fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

/// The number as an integer, if it is one that a message could hold.
pub(crate) fn as_integer(number: &Number) -> Option<i128> {
    if let Some(integer) = number.as_i128() {
        return Some(integer);
    }
    let float = number.as_f64()?;
    // Exact: a whole float below 2^64 is an integer of 128 bits.
    (float.fract() == 0.0 && float.abs() < INTEGERS_END).then_some(float as i128)
}

/// Compares by value, whatever the two are written as.
pub(crate) fn compare(left: &Number, right: &Number) -> Ordering {
    match (as_integer(left), as_integer(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        // One of them is a float with a fraction, or beyond all integers.
        (Some(left), None) => compare_mixed(left, float(right)),
        (None, Some(right)) => compare_mixed(right, float(left)).reverse(),
        (None, None) => float(left).total_cmp(&float(right)),
    }
}

fn float(number: &Number) -> f64 {
    number.as_f64().expect("without arbitrary precision every number is a float or an integer")
}

fn compare_mixed(integer: i128, float: f64) -> Ordering {
    if float.abs() >= INTEGERS_END {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    // The float has a fraction, so it is not equal, and lies above its floor.
    if integer <= float.floor() as i128 { Ordering::Less } else { Ordering::Greater }
}

/// Whether `number` is a multiple of `of`, both taken as the decimals they are written as: `0.3` is
/// one of `0.1`. `of` is above zero.
pub(crate) fn is_multiple(number: &Number, of: &Number) -> bool {
    let (Some(number), Some(of)) = (Decimal::of(number), Decimal::of(of)) else { return false };
    if number.digits == 0 {
        return true;
    }
    // No zero ends `number.digits`, so a lower exponent leaves a fraction.
    let Ok(shift) = u32::try_from(number.exponent - of.exponent) else { return false };
    let modulus = u128::from(of.digits);
    let rest = u128::from(number.digits) % modulus;
    (rest * power_of_ten(shift, modulus)).is_multiple_of(modulus)
}

/// `10^exponent` modulo a modulus below 2^64.
fn power_of_ten(exponent: u32, modulus: u128) -> u128 {
    let (mut result, mut base, mut left) = (1 % modulus, 10 % modulus, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = result * base % modulus;
        }
        base = base * base % modulus;
        left >>= 1;
    }
    result
}

/// `digits * 10^exponent`, without its sign; no zero ends the digits.
struct Decimal {
    digits: u64,
    exponent: i32,
}

impl Decimal {
    /// `None` if there are more digits than numbers of JSON are printed with here.
    fn of(number: &Number) -> Option<Self> {
        let text = number.to_string();
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits: String =
            whole.trim_start_matches('-').chars().chain(fraction.chars()).collect();
        let mut digits: u64 = digits.parse().ok()?;
        let mut exponent: i32 = exponent.parse().ok()?;
        exponent -= i32::try_from(fraction.len()).ok()?;
        while digits != 0 && digits.is_multiple_of(10) {
            digits /= 10;
            exponent += 1;
        }
        Some(Decimal { digits, exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn multiples_are_those_of_the_decimals_as_written() {
        let cases = [
            ("0.3", "0.1", true),
            ("4.35", "0.01", true),
            ("4.355", "0.01", false),
            ("1e308", "0.5", true),
            ("1e308", "3", false),
            ("0", "7", true),
            ("-21", "7", true),
            ("18446744073709551615", "5", true),
            ("18446744073709551615", "2", false),
            ("12391239123", "1e-8", true),
            ("0.0075", "0.0001", true),
            ("0.00751", "0.0001", false),
        ];
        for (value, of, expected) in cases {
            assert_eq!(is_multiple(&number(value), &number(of)), expected, "{value} of {of}");
        }
    }

    #[test]
    fn numbers_compare_by_value_and_not_by_kind() {
        let rising = [
            "-1e300",
            "-9223372036854775808",
            "-1.5",
            "-1",
            "0",
            "0.5",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "18446744073709551615",
            "1e300",
        ];
        for (i, left) in rising.iter().enumerate() {
            for (j, right) in rising.iter().enumerate() {
                assert_eq!(compare(&number(left), &number(right)), i.cmp(&j), "{left} {right}");
            }
        }
        assert_eq!(compare(&number("1.0"), &number("1")), Ordering::Equal);
        assert_eq!(compare(&number("-0.0"), &number("0")), Ordering::Equal);
        assert!(is_whole(&number("1e3")) && is_whole(&number("2.0")) && !is_whole(&number("2.5")));
    }
}
