//! Durations as people write them, for serde: `#[serde(with = "crate::text")]`.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

struct Written;

impl Visitor<'_> for Written {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"200ms\" or \"5m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        humantime::parse_duration(text.trim()).map_err(|source| {
            E::custom(format!(
                "`{text}` is not a duration ({source}); write it like `250ms`, `30s` or `5m`"
            ))
        })
    }
}

/// Reads a duration.
///
/// # Errors
///
/// When the input is not a text, or the text is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    input.deserialize_str(Written)
}

/// Writes a duration in whole units, so that nothing is lost.
///
/// # Errors
///
/// Those of `output`.
pub fn serialize<S: Serializer>(duration: &Duration, output: S) -> Result<S::Ok, S::Error> {
    output.collect_str(&humantime::format_duration(*duration))
}

/// Durations that can be switched off: `#[serde(with = "crate::text::ttl")]`, written `off`.
pub mod ttl {
    use super::*;

    /// Reads a duration or `off`.
    ///
    /// # Errors
    ///
    /// When the input is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(input)?;
        match text.trim() {
            "off" => Ok(None),
            text => Written
                .visit_str(text)
                .map(Some)
                .map_err(|error: D::Error| de::Error::custom(format!("{error}, or `off`"))),
        }
    }

    /// Writes a duration or `off`.
    ///
    /// # Errors
    ///
    /// Those of `output`.
    pub fn serialize<S: Serializer>(ttl: &Option<Duration>, output: S) -> Result<S::Ok, S::Error> {
        match ttl {
            Some(duration) => super::serialize(duration, output),
            None => "off".serialize(output),
        }
    }
}
