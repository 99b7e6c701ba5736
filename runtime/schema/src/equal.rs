//! Equality of JSON values as JSON Schema means it: `1` and `1.0` are equal, order of members does
//! not matter.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};

use serde_json::Value;

use crate::number;

/// Whether both are the same value.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            number::compare(left, right) == Ordering::Equal
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(name, value)| right.get(name).is_some_and(|other| equal(value, other));
            left.len() == right.len() && left.iter().all(|(name, value)| same((name, value)))
        }
        _ => left == right,
    }
}

/// How many values there are in this one, itself included; long strings count for more.
pub(crate) fn size(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => text_size(text),
        Value::Array(items) => 1 + items.iter().map(size).sum::<u64>(),
        Value::Object(members) => {
            1 + members.iter().map(|(name, value)| text_size(name) + size(value)).sum::<u64>()
        }
    }
}

/// How many values a string counts for.
pub(crate) fn text_size(text: &str) -> u64 {
    1 + text.len() as u64 / 64
}

/// Two items that are equal.
pub(crate) fn twins(items: &[Value]) -> Option<(usize, usize)> {
    let state = RandomState::new();
    let digests = items.iter().map(|item| digest(&state, item));
    let mut sorted: Vec<(u64, usize)> = digests.zip(0..).collect();
    sorted.sort_unstable();
    // More than two with the same digest are equal, but for a chance of 2^-64 each.
    let candidates = sorted.chunk_by(|left, right| left.0 == right.0).flat_map(|same| {
        same.iter()
            .enumerate()
            .flat_map(|(place, one)| same[place + 1..].iter().map(|other| (one.1, other.1)))
    });
    candidates.into_iter().find(|(one, other)| equal(&items[*one], &items[*other]))
}

/// Equal values have the same digest.
fn digest(state: &RandomState, value: &Value) -> u64 {
    match value {
        Value::Null => state.hash_one(0_u8),
        Value::Bool(is_true) => state.hash_one((1_u8, is_true)),
        Value::Number(number) => match number::as_integer(number) {
            Some(integer) => state.hash_one((2_u8, integer)),
            None => state.hash_one((3_u8, number.as_f64().map(f64::to_bits))),
        },
        Value::String(text) => state.hash_one((4_u8, text)),
        Value::Array(items) => {
            let start = state.hash_one((5_u8, items.len()));
            items.iter().fold(start, |sum, item| state.hash_one((sum, digest(state, item))))
        }
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| state.hash_one((name, digest(state, value)));
            let sum = members.iter().map(member).fold(0, u64::wrapping_add);
            state.hash_one((6_u8, members.len(), sum))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn twins_are_equal_values_however_they_are_written() {
        let cases = [
            (json!([]), None),
            (json!([1, 2, 1.0]), Some((0, 2))),
            (json!([1, true, "1", null, [1], {"1": 1}]), None),
            (json!([{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}]), Some((0, 1))),
            (json!([[[]], [[], []], [[[]]], []]), None),
            (json!([0, false, "", null, 0.5, -0.0]), Some((0, 5))),
        ];
        for (items, expected) in cases {
            assert_eq!(twins(items.as_array().unwrap()), expected, "{items}");
        }
    }
}
