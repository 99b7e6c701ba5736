//! The short texts that describe distributions and workloads: `kind:first,key=value,...`.

use std::time::Duration;

/// The longest duration a text may name: ten years.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Why a description was refused: the field, its value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nobody knows this kind.
    #[error("`{kind}` in `{text}` is not a kind of {what}; allowed: {allowed}")]
    Kind {
        /// What was to be described.
        what: &'static str,
        /// The kind that was given.
        kind: String,
        /// The whole description.
        text: String,
        /// The kinds there are.
        allowed: &'static str,
    },
    /// A value is not allowed.
    #[error("{field} `{value}` in `{text}` is not {allowed}")]
    Value {
        /// What the value is for.
        field: String,
        /// The value that was given.
        value: String,
        /// The whole description.
        text: String,
        /// What is allowed.
        allowed: String,
    },
    /// A value is needed and was not given.
    #[error("{field} is missing in `{text}`; it is {allowed}")]
    Missing {
        /// What the value is for.
        field: String,
        /// The whole description.
        text: String,
        /// What is allowed.
        allowed: String,
    },
    /// Nobody knows this field.
    #[error("`{field}` in `{text}` is not a field; allowed: {allowed}")]
    Field {
        /// The field that was given.
        field: String,
        /// The whole description.
        text: String,
        /// The fields there are.
        allowed: String,
    },
    /// A field was given twice.
    #[error("{field} is given twice in `{text}`")]
    Twice {
        /// The field.
        field: String,
        /// The whole description.
        text: String,
    },
}

/// A description taken apart.
pub(crate) struct Spec<'a> {
    whole: &'a str,
    fields: &'static [&'static str],
    /// What stands in front of the first colon; empty if there is none.
    pub kind: &'a str,
    /// The parts without `=`, in order.
    pub plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Spec<'a> {
    /// Takes `whole` apart. `fields` tells which named fields a kind has.
    pub fn parse(
        whole: &'a str,
        fields: impl FnOnce(&str) -> &'static [&'static str],
    ) -> Result<Self, SpecError> {
        let whole = whole.trim();
        let (kind, rest) = whole.split_once(':').unwrap_or(("", whole));
        let kind = kind.trim();
        let fields = fields(kind);
        let mut spec = Self { whole, fields, kind, plain: Vec::new(), named: Vec::new() };
        for part in rest.split(',').map(str::trim) {
            let Some((field, value)) = part.split_once('=') else {
                spec.plain.push(part);
                continue;
            };
            let (field, value) = (field.trim(), value.trim());
            if !fields.contains(&field) {
                return Err(spec.unknown(field));
            }
            if spec.field(field).is_some() {
                return Err(SpecError::Twice { field: field.into(), text: whole.into() });
            }
            spec.named.push((field, value));
        }
        Ok(spec)
    }

    /// The value of a named field, if given.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.named.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// The value of a named field.
    pub fn needed(&self, name: &str, allowed: &str) -> Result<&'a str, SpecError> {
        self.field(name).ok_or_else(|| self.missing(name, allowed))
    }

    /// The one part without a name.
    pub fn only(&self, field: &str, allowed: &str) -> Result<&'a str, SpecError> {
        match self.plain[..] {
            [] | [""] => Err(self.missing(field, allowed)),
            [value] => Ok(value),
            [_, second, ..] => Err(self.unknown(second)),
        }
    }

    /// Refuses parts without a name.
    pub fn no_plain(&self) -> Result<(), SpecError> {
        match self.plain[..] {
            [] | [""] => Ok(()),
            [part, ..] => Err(self.unknown(part)),
        }
    }

    /// `value` read as a duration of at most ten years.
    pub fn duration(&self, field: &str, value: &str) -> Result<Duration, SpecError> {
        let allowed = "a duration like `200ms`, `2s` or `1m 30s`, at most 10 years";
        match humantime::parse_duration(value) {
            Ok(duration) if duration <= DURATION_MAX => Ok(duration),
            _ => Err(self.refuse(field, value, allowed)),
        }
    }

    /// `value` read as a duration above zero.
    pub fn positive(&self, field: &str, value: &str) -> Result<Duration, SpecError> {
        let duration = self.duration(field, value)?;
        if duration.is_zero() {
            return Err(self.refuse(field, value, "a duration above zero"));
        }
        Ok(duration)
    }

    /// `value` read as a number within `least..=most`.
    pub fn number(
        &self,
        field: &str,
        value: &str,
        (least, most): (f64, f64),
    ) -> Result<f64, SpecError> {
        match value.parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(self.refuse(field, value, &format!("a number from {least} to {most}"))),
        }
    }

    /// Says that `value` is not `allowed`.
    pub fn refuse(&self, field: &str, value: &str, allowed: &str) -> SpecError {
        SpecError::Value {
            field: field.into(),
            value: value.into(),
            text: self.whole.into(),
            allowed: allowed.into(),
        }
    }

    /// Says that there is no kind or that nobody knows it.
    pub fn unknown_kind(&self, what: &'static str, allowed: &'static str) -> SpecError {
        if self.kind.is_empty() {
            return self.missing("kind", &format!("one of {allowed}"));
        }
        SpecError::Kind { what, kind: self.kind.into(), text: self.whole.into(), allowed }
    }

    fn missing(&self, field: &str, allowed: &str) -> SpecError {
        let (field, allowed) = (field.into(), allowed.into());
        SpecError::Missing { field, text: self.whole.into(), allowed }
    }

    fn unknown(&self, field: &str) -> SpecError {
        let allowed = if self.fields.is_empty() { "none".into() } else { self.fields.join(", ") };
        SpecError::Field { field: field.into(), text: self.whole.into(), allowed }
    }
}
