//! Numbers for people.

use std::time::{Duration, SystemTime};

/// A size with one decimal at most: `64 MiB`, `131.2 KiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let text = format!("{amount:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit])
}

/// A short time in the unit that fits: `85 us`, `1.2 ms`, `3.4 s`.
pub fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        1_000_000.. => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// A span of time to the second: `10m 3s`.
pub fn seconds(millis: u64) -> String {
    humantime::format_duration(Duration::from_secs(millis / 1000)).to_string()
}

/// Date and time in UTC, with milliseconds.
pub fn date_time(at_ms: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at_ms));
    // Times after the year 9999 cannot be written; only a broken server sends them.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(at.map_or(last, |at| at.min(last))).to_string()
}

/// Time of day in UTC, with milliseconds.
pub fn time_of_day(at_ms: u64) -> String {
    date_time(at_ms).chars().skip("0000-00-00T".len()).filter(|letter| *letter != 'Z').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (134_349, "131.2 KiB"),
            (64 * 1024 * 1024, "64 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_short() {
        assert_eq!(micros(85), "85 us");
        assert_eq!(micros(1234), "1.2 ms");
        assert_eq!(micros(3_400_000), "3.4 s");
        assert_eq!(seconds(603_999), "10m 3s");
        assert_eq!(date_time(1_000), "1970-01-01T00:00:01.000Z");
        assert_eq!(time_of_day(86_400_000 + 3_723_004), "01:02:03.004");
        assert_eq!(time_of_day(u64::MAX), "23:59:59.000");
    }
}
