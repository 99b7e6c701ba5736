//! Text of others in our messages: cut, on one line.

use serde_json::Value;

/// Most characters of a name or value of others inside a message.
const SHORT_CHARS_MAX: usize = 60;

/// Most characters of a reason.
pub(crate) const REASON_CHARS_MAX: usize = 100;

/// Most bytes of a pointer in a fault.
pub(crate) const POINTER_BYTES_MAX: usize = 2048;

/// The first characters of a name, without control characters.
pub(crate) fn short(text: &str) -> String {
    cut(text, SHORT_CHARS_MAX)
}

/// The first characters, without control characters; `…` says that there was more.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let mut kept: String = chars
        .by_ref()
        .take(chars_max)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if chars.next().is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// A value as JSON. Not more than is shown of it is written, however large it is.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => Value::from(short(text)).to_string(),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Array(_) => "[…]".to_owned(),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(_) => "{…}".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Values as a list that fits into a reason.
pub(crate) fn values(list: &[Value]) -> String {
    let mut text = String::new();
    for item in list {
        if text.len() > REASON_CHARS_MAX {
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&value(item));
    }
    text
}

/// One step of a JSON pointer, with its separator.
pub(crate) fn push_step(pointer: &mut String, name: &str) {
    pointer.push('/');
    for c in name.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// The pointer with one more step.
pub(crate) fn below(pointer: &str, name: &str) -> String {
    let mut longer = pointer.to_owned();
    push_step(&mut longer, name);
    longer
}

/// The pointer, or the nearest place above it whose pointer is not too long to be sent back.
pub(crate) fn bounded(pointer: &str) -> &str {
    if pointer.len() <= POINTER_BYTES_MAX {
        return pointer;
    }
    let end = pointer.bytes().take(POINTER_BYTES_MAX).rposition(|byte| byte == b'/');
    &pointer[..end.unwrap_or(0)]
}

/// What kind of value it is, with its article.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The name of a type in a sentence.
pub(crate) fn with_article(name: &str) -> String {
    match name {
        "null" => name.to_owned(),
        "integer" | "array" | "object" => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

/// Names as alternatives: `a, b or c`.
pub(crate) fn alternatives(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [some @ .., last] => format!("{} or {last}", some.join(", ")),
    }
}
