//! Fields of messages, each checked while it is read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Visitor};

/// Largest figure. Far above any real one, far below where sums of 1000 workers lose their sense.
pub const FIGURE_MAX: f64 = 1e15;

/// Most characters of a worker's name.
pub const ID_CHARS_MAX: usize = 128;

/// A number from 0 to [`FIGURE_MAX`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure(pub f64);

/// A whole number, at least 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count(pub u64);

/// The words for a number that came.
fn is(number: f64) -> String {
    match number.abs() <= FIGURE_MAX {
        true => format!("is {number}"),
        false => format!("is {number:e}"),
    }
}

/// A worker's name: a whole number or a text of printable ASCII characters without blanks.
#[derive(Debug, Clone)]
pub(super) struct Id(pub String);

/// Text of at most `MAX` bytes.
#[derive(Debug, Clone)]
pub(super) struct Text<const MAX: usize>(pub String);

/// What a field can be made of. The methods' defaults refuse, with the words for what came.
trait Field: Sized {
    /// What it must be, to end the sentence "… must be".
    const MUST: &'static str;

    fn from_number(number: f64) -> Result<Self, String> {
        let _ = number;
        Err("is a number".into())
    }

    fn from_whole(number: u64) -> Result<Self, String> {
        Self::from_number(number as f64)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let _ = text;
        Err("is text".into())
    }
}

impl Field for Figure {
    const MUST: &'static str = "a number from 0 to 1e15";

    fn from_number(number: f64) -> Result<Self, String> {
        match (0.0..=FIGURE_MAX).contains(&number) {
            // Adding 0 makes 0 of -0.
            true => Ok(Self(number + 0.0)),
            false => Err(is(number)),
        }
    }
}

impl Field for Count {
    const MUST: &'static str = "a whole number, at least 0";

    fn from_number(number: f64) -> Result<Self, String> {
        match number.fract() == 0.0 && (0.0..=FIGURE_MAX).contains(&number) {
            true => Ok(Self(number as u64)),
            false => Err(is(number)),
        }
    }

    fn from_whole(number: u64) -> Result<Self, String> {
        Ok(Self(number))
    }
}

impl Field for Id {
    const MUST: &'static str = "a whole number or 1 to 128 printable ASCII characters";

    fn from_number(number: f64) -> Result<Self, String> {
        Err(is(number))
    }

    fn from_whole(number: u64) -> Result<Self, String> {
        Ok(Self(number.to_string()))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > ID_CHARS_MAX {
            return Err(format!("has {} characters", text.chars().count()));
        }
        match text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.to_owned())),
            false => Err("has other characters".into()),
        }
    }
}

impl<const MAX: usize> Field for Text<MAX> {
    const MUST: &'static str = "a text of limited length";

    fn from_text(text: &str) -> Result<Self, String> {
        match text.len() <= MAX {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("has {} bytes, more than {MAX}", text.len())),
        }
    }
}

struct FieldVisitor<F>(PhantomData<F>);

impl<F: Field> FieldVisitor<F> {
    fn check<E: Error>(read: Result<F, String>) -> Result<F, E> {
        read.map_err(|what| E::custom(format_args!("{what}, it must be {}", F::MUST)))
    }
}

impl<'de, F: Field> Visitor<'de> for FieldVisitor<F> {
    type Value = F;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(F::MUST)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<F, E> {
        Self::check(F::from_number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<F, E> {
        Self::check(F::from_whole(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<F, E> {
        Self::check(F::from_number(number as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<F, E> {
        Self::check(F::from_text(text))
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<F, E> {
        Self::check(Err(format!("is {yes}")))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _items: A) -> Result<F, A::Error> {
        Self::check(Err("is a list".into()))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, _fields: A) -> Result<F, A::Error> {
        Self::check(Err("is an object".into()))
    }

    fn visit_unit<E: Error>(self) -> Result<F, E> {
        Self::check(Err("is null".into()))
    }
}

macro_rules! field {
    ($($kind:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(FieldVisitor(PhantomData))
            }
        }
    )*};
}

field!(Figure, Count, Id);

impl<'de, const MAX: usize> serde::Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FieldVisitor(PhantomData))
    }
}
