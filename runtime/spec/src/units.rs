//! Durations, sizes and counts as people write them: `30s`, `64MiB`, `8`.
//!
//! The types here accept what is written in JSON, TOML, a flag or an environment variable, and
//! print it back in a form they accept again. They do not know which values make sense where.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

/// Why a duration, size, count, name or digest could not be read. The text says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(super) String);

/// A length of time, written like `250ms`, `30s`, `5m` or `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "30s")]
pub struct DurationText(pub Duration);

/// A number of bytes, written like `64KiB`, `100MiB` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "64MiB")]
pub struct SizeText(pub u64);

/// A whole number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = u64, example = 1)]
pub struct Count(pub u64);

/// A limit in time that can be switched off: `5m` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// The limit is this long.
    After(Duration),
    /// There is no limit.
    Off,
}

impl Ttl {
    /// The limit; `None` when it is off.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Ttl::After(limit) => Some(limit),
            Ttl::Off => None,
        }
    }
}

impl FromStr for DurationText {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<DurationText, ParseError> {
        match humantime::parse_duration(text.trim()) {
            Ok(duration) => Ok(DurationText(duration)),
            Err(source) => Err(ParseError(format!(
                "`{text}` is not a duration ({source}); write it like `250ms`, `30s` or `5m`"
            ))),
        }
    }
}

impl FromStr for SizeText {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<SizeText, ParseError> {
        match text.trim().parse::<bytesize::ByteSize>() {
            Ok(size) => Ok(SizeText(size.as_u64())),
            Err(_) => Err(ParseError(format!(
                "`{text}` is not a size; write it like `64KiB`, `100MiB` or `1GiB`"
            ))),
        }
    }
}

impl FromStr for Count {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Count, ParseError> {
        let count = text.trim().parse();
        count
            .map(Count)
            .map_err(|_| ParseError(format!("`{text}` is not a whole number of 0 or more")))
    }
}

impl FromStr for Ttl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Ttl, ParseError> {
        if text.trim() == "off" {
            return Ok(Ttl::Off);
        }
        match text.parse::<DurationText>() {
            Ok(DurationText(duration)) => Ok(Ttl::After(duration)),
            Err(ParseError(message)) => Err(ParseError(format!("{message}, or `off`"))),
        }
    }
}

/// Whole units from days down to nanoseconds, so that nothing is lost. No months: `31d` is clearer
/// than a month and some hours.
impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (nanos / 1_000_000, "ms"),
            (nanos / 1000 % 1000, "us"),
            (nanos % 1000, "ns"),
        ];
        let mut space = "";
        for (amount, unit) in parts.into_iter().filter(|(amount, _)| *amount > 0) {
            write!(f, "{space}{amount}{unit}")?;
            space = " ";
        }
        if space.is_empty() { f.write_str("0s") } else { Ok(()) }
    }
}

/// The largest binary unit that divides the size without rest, so that nothing is lost.
impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        let exact = units.iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match exact {
            Some((unit, suffix)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ttl::After(duration) => DurationText(*duration).fmt(f),
            Ttl::Off => f.write_str("off"),
        }
    }
}

/// Reads a value that is written as a string, or as a whole number where `T` says so.
pub(super) struct Written<T> {
    pub expected: &'static str,
    pub from_number: fn(u64) -> Option<T>,
}

impl<T: FromStr<Err = ParseError>> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        match (self.from_number)(number) {
            Some(value) => Ok(value),
            None => Err(E::invalid_type(de::Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

macro_rules! written_as_text {
    ($type:ty, $expected:literal, $from_number:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                input.deserialize_any(Written { expected: $expected, from_number: $from_number })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                output.collect_str(self)
            }
        }
    };
}

written_as_text!(DurationText, "a duration such as \"30s\" or \"5m\"", |_| None);
written_as_text!(Ttl, "a duration such as \"5m\", or \"off\"", |_| None);
written_as_text!(SizeText, "a size such as \"64MiB\", or a number of bytes", |bytes| Some(
    SizeText(bytes)
));

/// A value for which a plain number is seconds, as in Flyte.
struct OrSeconds<T>(T);

impl<'de> Deserialize<'de> for OrSeconds<Ttl> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let expected = "a duration such as \"5m\", a whole number of seconds, or \"off\"";
        let from_number = |seconds| Some(Ttl::After(Duration::from_secs(seconds)));
        input.deserialize_any(Written { expected, from_number }).map(OrSeconds)
    }
}

impl<'de> Deserialize<'de> for OrSeconds<DurationText> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let expected = "a duration such as \"30s\", or a whole number of seconds";
        let from_number = |seconds| Some(DurationText(Duration::from_secs(seconds)));
        input.deserialize_any(Written { expected, from_number }).map(OrSeconds)
    }
}

/// Reads a [`Ttl`] for which a plain number is seconds; nothing if it is null.
pub(super) fn ttl_or_seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Ttl>, D::Error> {
    Ok(Option::<OrSeconds<Ttl>>::deserialize(input)?.map(|OrSeconds(ttl)| ttl))
}

/// Reads a duration for which a plain number is seconds; nothing if it is null.
pub(super) fn duration_or_seconds<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Option<DurationText>, D::Error> {
    Ok(Option::<OrSeconds<DurationText>>::deserialize(input)?.map(|OrSeconds(length)| length))
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 0 or more")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
        Ok(Count(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
        match u64::try_from(number) {
            Ok(number) => Ok(Count(number)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Count, D::Error> {
        input.deserialize_any(CountVisitor)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_u64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["0s", "250ms", "30s", "1m 30s", "5m", "1h 30m", "2d", "366d 1us 5ns"] {
            let parsed: DurationText = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        for text in ["0B", "1B", "1023B", "1KiB", "1536KiB", "64MiB", "1GiB", "3TiB"] {
            let parsed: SizeText = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!("off".parse(), Ok(Ttl::Off));
        assert_eq!(Ttl::Off.to_string(), "off");
    }

    #[test]
    fn decimal_units_and_plain_numbers_are_sizes() {
        assert_eq!("1MB".parse(), Ok(SizeText(1_000_000)));
        assert_eq!("4096".parse(), Ok(SizeText(4096)));
        assert_eq!("1.5 GiB".parse(), Ok(SizeText(1536 * MIB)));
    }

    #[test]
    fn messages_say_how_to_write_it() {
        let message = |result: Result<Ttl, ParseError>| result.unwrap_err().to_string();
        expect_test::expect![
            "`30` is not a duration (time unit needed, for example 30sec or 30ms); write it like `250ms`, `30s` or `5m`, or `off`"
        ]
        .assert_eq(&message("30".parse()));
        expect_test::expect![
            "`-5s` is not a duration (expected number at 0); write it like `250ms`, `30s` or `5m`, or `off`"
        ]
        .assert_eq(&message("-5s".parse()));
        expect_test::expect!["`lots` is not a size; write it like `64KiB`, `100MiB` or `1GiB`"]
            .assert_eq(&"lots".parse::<SizeText>().unwrap_err().to_string());
    }
}
