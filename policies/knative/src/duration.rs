//! Durations as Go writes them: `90s`, `1m30s`, `1.5h`, `100ms`.

use std::time::Duration;

/// A length of time that may be negative, as in Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Whether the length lies in the past.
    pub is_negative: bool,
    /// The length without its sign.
    pub absolute: Duration,
}

impl Span {
    /// The length, unless it is below zero.
    pub fn length(self) -> Option<Duration> {
        (!self.is_negative || self.absolute.is_zero()).then_some(self.absolute)
    }
}

/// Reads a duration by the rules of Go's `time.ParseDuration`: an optional sign, then numbers,
/// each with a unit out of `ns`, `us`, `µs`, `ms`, `s`, `m` and `h`; or just `0`.
///
/// None if the text is none, or longer than 64 bits of nanoseconds (about 292 years).
pub fn parse(text: &str) -> Option<Span> {
    let (is_negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(Span { is_negative, absolute: Duration::ZERO });
    }
    let mut nanos = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let part = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(part);
        let unit_end = tail.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        nanos = nanos.checked_add(part_nanos(number, unit_nanos(unit)?)?)?;
        rest = tail;
    }
    let fits = nanos <= i64::MAX as u64;
    fits.then_some(Span { is_negative, absolute: Duration::from_nanos(nanos) })
}

/// A duration in seconds, for messages: `60s`, `0.5s`.
pub fn text(span: Duration) -> String {
    format!("{}s", span.as_secs_f64())
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn part_nanos(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    // Digits too small to matter for any unit are dropped, as in Go.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(fraction.len() as u32);
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    let below = (part * u128::from(unit) / scale) as u64;
    whole.checked_mul(unit)?.checked_add(below)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Span, parse, text};

    #[test]
    fn reads_what_go_reads() {
        let millis = |text| parse(text).and_then(Span::length).map(|span| span.as_millis());
        assert_eq!(millis("0"), Some(0));
        assert_eq!(millis("-0"), Some(0));
        assert_eq!(millis("1m9s82ms"), Some(69_082));
        assert_eq!(millis("+1.5h"), Some(5_400_000));
        assert_eq!(millis(".5s"), Some(500));
        assert_eq!(millis("2.s"), Some(2_000));
        assert_eq!(millis("1000us"), Some(1));
        assert_eq!(millis("3000µs"), Some(3));
    }

    #[test]
    fn refuses_what_go_refuses() {
        for bad in ["", "-", "60", "s", ".s", "1.2.3s", "5 s", "1d", "1s2", "lots", "9999999h"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn negative_has_no_length() {
        let span = parse("-5s").unwrap();
        assert_eq!((span.absolute, span.length()), (Duration::from_secs(5), None));
    }

    #[test]
    fn text_is_seconds() {
        assert_eq!(text(Duration::from_millis(69_082)), "69.082s");
        assert_eq!(text(Duration::from_secs(3_600)), "3600s");
    }
}
