//! As much of Python as the original's checks depend on.

use serde_json::{Map, Number, Value};

/// Keyword arguments.
pub type Arguments = Map<String, Value>;

/// What the original raises.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    kind: Kind,
    /// Its text, in our words where the original's are Python's own.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Value,
    Type,
    Attribute,
    Overflow,
}

/// A value that is there but wrong.
pub fn value_error(text: impl Into<String>) -> Exception {
    Exception { kind: Kind::Value, text: text.into() }
}

/// A value of the wrong type, or an argument nothing is called like.
pub fn type_error(text: impl Into<String>) -> Exception {
    Exception { kind: Kind::Type, text: text.into() }
}

/// A name that something does not have.
pub fn attribute_error(text: impl Into<String>) -> Exception {
    Exception { kind: Kind::Attribute, text: text.into() }
}

impl Exception {
    /// The name of its type.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Value => "ValueError",
            Kind::Type => "TypeError",
            Kind::Attribute => "AttributeError",
            Kind::Overflow => "OverflowError",
        }
    }
}

/// Refuses keyword arguments that are not among `names`.
pub fn check_names(arguments: &Arguments, names: &[&str]) -> Result<(), Exception> {
    match arguments.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(type_error(format!("unexpected keyword argument `{key}`"))),
        None => Ok(()),
    }
}

/// Whether `if value:` goes in.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// An `int`. The two booleans are ints in Python.
pub fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        value => value.as_i64(),
    }
}

/// Something that compares with an int.
pub fn number(value: &Value) -> Option<f64> {
    int(value).map(|int| int as f64).or_else(|| value.as_f64())
}

/// `number` as JSON, spelled like `value`, which it was read from: `true` stays `true`.
pub fn spelled(value: &Value, number: f64) -> Value {
    match value {
        Value::Bool(value) => Value::Bool(*value),
        _ => Number::from_f64(number).map_or(Value::Null, Value::Number),
    }
}

/// The text that `f"{value}"` puts in.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The seconds in `{"td": seconds}`, which stands for a `timedelta`; none for anything else.
pub fn timedelta(value: &Value) -> Result<Option<f64>, Exception> {
    let Some(map) = value.as_object().filter(|map| map.len() == 1) else {
        return Ok(None);
    };
    let Some(seconds) = map.get("td") else {
        return Ok(None);
    };
    let seconds = number(seconds).ok_or_else(|| type_error("timedelta takes a number"))?;
    microseconds(seconds).map(Some)
}

/// Seconds as a `timedelta` keeps them: whole microseconds, of less than 10⁹ days.
pub fn microseconds(seconds: f64) -> Result<f64, Exception> {
    const DAYS_MAX: f64 = 999_999_999.0;
    if (seconds / 86_400.0).floor().abs() > DAYS_MAX {
        let text = format!("{seconds} seconds are too many for a timedelta");
        return Err(Exception { kind: Kind::Overflow, text });
    }
    // Python takes the two parts apart before it rounds, half to even.
    let micros = (seconds.fract() * 1e6).round_ties_even();
    Ok((seconds.trunc() * 1e6 + micros) / 1e6)
}
