//! Bodies as JSON: with bounds on depth and memory, and without names that come twice.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Number, Value};

use crate::fault::Fault;
use crate::text;

/// Most bytes of a body that is checked.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// Most levels of objects and arrays in a body.
pub const BODY_DEPTH_MAX: usize = 128;

/// Most bytes that a body may take in memory, where a value of two bytes takes 48.
pub const BODY_MEMORY_MAX: usize = 128 << 20;

/// Bytes of a value, with those that lists keep in reserve.
const VALUE_BYTES: usize = 48;

/// Bytes of an object with members, beside those: objects keep room for eleven.
const OBJECT_BYTES: usize = 640;

/// Reads a body.
///
/// A name that comes twice in an object is a fault: readers differ in which value they take, so
/// the replica could get another value than the one that was checked.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Fault> {
    if body.len() > BODY_BYTES_MAX {
        let bytes = body.len();
        return Err(Fault::of_body(&format!(
            "has {bytes} bytes; bodies with a schema have at most {BODY_BYTES_MAX}"
        )));
    }
    if body.trim_ascii().is_empty() {
        return Err(Fault::of_body("is empty, must be JSON"));
    }
    let left = Cell::new(BODY_MEMORY_MAX);
    let mut reader = Deserializer::from_slice(body);
    // Ours counts up to another depth.
    reader.disable_recursion_limit();
    let value = Part { left: &left, depth: 0 }.deserialize(&mut reader).map_err(|e| fault(&e))?;
    reader.end().map_err(|error| fault(&error))?;
    Ok(value)
}

/// Whether a value that was read elsewhere is not nested too deeply.
pub(crate) fn check_depth(value: &Value) -> Result<(), Fault> {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        let is_container = matches!(value, Value::Array(_) | Value::Object(_));
        if is_container && depth > BODY_DEPTH_MAX {
            return Err(Fault::of_body(&too_deep()));
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => open.extend(members.values().map(|item| (item, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

fn too_deep() -> String {
    format!("is nested deeper than {BODY_DEPTH_MAX} levels")
}

fn fault(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = text.strip_suffix(&place).unwrap_or(&text);
    let what = text::cut(what, text::REASON_CHARS_MAX / 2);
    // Errors of data are our own bounds: the body is JSON, though not one that is taken.
    let start = if error.is_data() { "" } else { "is not JSON: " };
    Fault::of_body(&format!("{start}{what}{place}"))
}

/// Reads one value of a body.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// How many bytes the rest may take.
    left: &'a Cell<usize>,
    /// How many containers it is in.
    depth: usize,
}

impl Part<'_> {
    fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        let too_large = || E::custom(format!("takes more than {BODY_MEMORY_MAX} bytes when read"));
        self.left.set(self.left.get().checked_sub(bytes).ok_or_else(too_large)?);
        Ok(())
    }

    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == BODY_DEPTH_MAX {
            return Err(E::custom(too_deep()));
        }
        Ok(Part { left: self.left, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.take(VALUE_BYTES)?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        Ok(Value::Number(number.ok_or_else(|| E::custom("a number is too large"))?))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.take(value.len())?;
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = parts.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(name) = parts.next_key::<String>()? {
            let object_bytes = if members.is_empty() { OBJECT_BYTES } else { VALUE_BYTES };
            self.take(object_bytes + name.len())?;
            if members.contains_key(&name) {
                let name = text::short(&name);
                return Err(A::Error::custom(format!("the name `{name}` comes twice")));
            }
            let value = parts.next_value_seed(inside)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
