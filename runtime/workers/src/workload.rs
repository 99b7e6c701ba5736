//! How much work a request is.
//!
//! Work is measured in units that are compared only within one deployment: tokens, pixels, or
//! simply requests.

use std::fmt;

use http::{HeaderMap, HeaderName};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::message::FIGURE_MAX;

/// Units of a request that says nothing else: so units are requests, if no request says anything.
/// Vast.ai's workers take 100.
pub const DEFAULT_UNITS: f64 = 1.0;

/// Why a setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWorkload {
    /// Not a name that headers can have.
    #[error("`{0}` is not a name of a header")]
    Header(String),
    /// Not a pointer of RFC 6901.
    #[error("`{0}` is not a JSON pointer; it must be empty or begin with `/`")]
    Pointer(String),
    /// Not a number from 0 to [`FIGURE_MAX`].
    #[error("the default must be a number from 0 to 1e15, not {0}")]
    Default(String),
}

/// Where the work of a request is said. The header comes first; if it is missing, the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    header: Option<HeaderName>,
    /// The steps of a JSON pointer.
    path: Option<Vec<String>>,
    default: f64,
}

impl Default for Workload {
    fn default() -> Self {
        Self { header: None, path: None, default: DEFAULT_UNITS }
    }
}

impl Workload {
    /// Work that is said by a header, or where a JSON pointer shows in the body (RFC 6901, such as
    /// `/parameters/max_tokens`), and is `default` otherwise.
    ///
    /// # Errors
    ///
    /// [`BadWorkload`] says which setting cannot be used.
    pub fn new(
        header: Option<&str>,
        pointer: Option<&str>,
        default: f64,
    ) -> Result<Self, BadWorkload> {
        let header = header.map(|name| {
            name.parse::<HeaderName>().map_err(|_| BadWorkload::Header(name.to_owned()))
        });
        let path = pointer
            .map(|pointer| steps(pointer).ok_or_else(|| BadWorkload::Pointer(pointer.to_owned())));
        if !is_units(default) {
            return Err(BadWorkload::Default(default.to_string()));
        }
        Ok(Self { header: header.transpose()?, path: path.transpose()?, default })
    }

    /// Whether [`Workload::units`] looks at the body.
    pub fn reads_body(&self) -> bool {
        self.path.is_some()
    }

    /// Units of a request: a number, or a text that is one, and at least 0. What is missing, not
    /// JSON, negative, infinite, above [`FIGURE_MAX`] or no number counts as the default. A header
    /// that is there decides, also if it says nonsense.
    pub fn units(&self, headers: &HeaderMap, body: Option<&[u8]>) -> f64 {
        let header = self.header.as_ref().and_then(|name| headers.get(name));
        let said = match (header, &self.path, body) {
            (Some(value), _, _) => value.to_str().ok().and_then(units_of_text),
            (None, Some(path), Some(body)) => units_in(body, path),
            (None, _, _) => None,
        };
        said.unwrap_or(self.default)
    }
}

fn is_units(number: f64) -> bool {
    (0.0..=FIGURE_MAX).contains(&number)
}

fn units_of_text(text: &str) -> Option<f64> {
    // Adding 0 makes 0 of -0.
    text.trim().parse().ok().filter(|units| is_units(*units)).map(|units: f64| units + 0.0)
}

/// The steps of a JSON pointer.
fn steps(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let steps = pointer.strip_prefix('/')?.split('/');
    Some(steps.map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

/// The units where `path` shows. Bodies can be large, so nothing but the number is kept.
fn units_in(body: &[u8], path: &[String]) -> Option<f64> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let units = Step { path }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    units
}

/// Looks for the number at the end of a path. Where a name occurs twice, the last one counts.
struct Step<'a> {
    path: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<f64>, D::Error> {
        from.deserialize_any(self)
    }
}

impl Step<'_> {
    fn end(&self, units: f64) -> Option<f64> {
        (self.path.is_empty() && is_units(units)).then_some(units + 0.0)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<f64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<f64>, E> {
        Ok(self.end(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<f64>, E> {
        Ok(self.end(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Option<f64>, E> {
        Ok(self.end(number as f64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<f64>, E> {
        Ok(units_of_text(text).and_then(|units| self.end(units)))
    }

    fn visit_bool<E>(self, _yes: bool) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<f64>, A::Error> {
        let mut units = None;
        while let Some(name) = fields.next_key::<std::borrow::Cow<'_, str>>()? {
            match self.path.split_first() {
                Some((step, rest)) if *step == name => {
                    units = fields.next_value_seed(Step { path: rest })?;
                }
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(units)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<f64>, A::Error> {
        let step = self.path.split_first().and_then(|(step, rest)| {
            let is_index = step == "0" || !step.starts_with('0') && !step.starts_with('+');
            Some((step.parse::<usize>().ok().filter(|_| is_index)?, rest))
        });
        let mut units = None;
        for index in 0.. {
            let found = match step {
                Some((wanted, rest)) if wanted == index => {
                    items.next_element_seed(Step { path: rest })?
                }
                _ => items.next_element::<IgnoredAny>()?.map(|_| units),
            };
            match found {
                Some(found) => units = found,
                None => break,
            }
        }
        Ok(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(header: Option<&str>, body: Option<&str>) -> f64 {
        let workload = Workload::new(Some("x-work"), Some("/p/0/n~1"), 7.0).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert("x-work", value.parse().unwrap());
        }
        workload.units(&headers, body.map(str::as_bytes))
    }

    #[test]
    fn the_header_comes_before_the_body() {
        assert_eq!(units(Some("3"), Some(r#"{"p":[{"n/":5}]}"#)), 3.0);
        assert_eq!(units(None, Some(r#"{"p":[{"n/":5}]}"#)), 5.0);
        assert_eq!(units(Some(" 2.5e2 "), None), 250.0);
        assert_eq!(units(None, None), 7.0);
    }

    #[test]
    fn nonsense_counts_as_the_default() {
        for header in ["", "-1", "NaN", "inf", "1e400", "1e16", "many", "0x10", "1,5"] {
            assert_eq!(units(Some(header), Some(r#"{"p":[{"n/":5}]}"#)), 7.0, "{header}");
        }
        for value in ["-1", "NaN", "1e400", "1e16", "null", "true", "[1]", "{}", "\"x\"", "\"-1\""]
        {
            assert_eq!(
                units(None, Some(&format!(r#"{{"p":[{{"n/":{value}}}]}}"#))),
                7.0,
                "{value}"
            );
        }
        for body in ["", "{", "5", "[]", r#"{"p":5}"#, r#"{"p":{"1":{}}}"#, r#"{"p":[{"n/":5}]} x"#]
        {
            assert_eq!(units(None, Some(body)), 7.0, "{body}");
        }
        assert_eq!(units(None, Some(&"[".repeat(100_000))), 7.0);
    }

    #[test]
    fn zero_and_numbers_in_text_count() {
        for (value, expected) in [("0", 0.0), ("-0.0", 0.0), ("\"12\"", 12.0), ("1e3", 1000.0)] {
            assert_eq!(units(None, Some(&format!(r#"{{"p":[{{"n/":{value}}}]}}"#))), expected);
        }
        assert!(units(Some("-0"), None).is_sign_positive());
    }

    #[test]
    fn the_last_of_two_fields_counts() {
        assert_eq!(units(None, Some(r#"{"p":[{"n/":5,"x":1,"n/":6}],"q":9}"#)), 6.0);
    }

    #[test]
    fn pointers_find_what_serde_json_finds() {
        let body = r#"{"a":{"b":[3,{"c~d":4}],"":5,"01":6},"0":8,"n":7}"#;
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        for pointer in [
            "",
            "/",
            "/n",
            "/0",
            "/a",
            "/a/",
            "/a/b",
            "/a/b/0",
            "/a/b/00",
            "/a/b/+0",
            "/a/b/-",
            "/a/b/1/c~0d",
            "/a/b/2",
            "/a/01",
            "/a/b/0/x",
            "/a/b/99999999999999999999",
        ] {
            let expected = value.pointer(pointer).and_then(serde_json::Value::as_f64);
            let workload = Workload::new(None, Some(pointer), 100.0).unwrap();
            let found = workload.units(&HeaderMap::new(), Some(body.as_bytes()));
            assert_eq!(found, expected.unwrap_or(100.0), "{pointer}");
        }
        let whole = Workload::new(None, Some(""), 100.0).unwrap();
        assert_eq!(whole.units(&HeaderMap::new(), Some(b" 42 ")), 42.0);
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(Workload::new(Some("a b"), None, 1.0), Err(BadWorkload::Header("a b".into())));
        assert_eq!(Workload::new(None, Some("a"), 1.0), Err(BadWorkload::Pointer("a".into())));
        for default in [-1.0, f64::NAN, f64::INFINITY] {
            let bad = Workload::new(None, None, default);
            assert_eq!(bad, Err(BadWorkload::Default(default.to_string())));
        }
        assert_eq!(Workload::default().units(&HeaderMap::new(), None), 1.0);
    }
}
