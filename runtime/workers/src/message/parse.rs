//! From bytes to a message, with the field that is wrong.

use serde::Deserialize;

/// A body that says nothing usable: which field, and what about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Name of the field; empty if the body as a whole is wrong.
    pub field: String,
    /// What is wrong, as the end of a sentence that begins with the field.
    pub problem: String,
}

impl Malformed {
    /// The body as a whole is wrong.
    pub(super) fn body(problem: impl Into<String>) -> Self {
        Self { field: String::new(), problem: problem.into() }
    }

    /// One field is wrong.
    pub(super) fn field(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.as_str() {
            "" => write!(formatter, "the message {}", self.problem),
            field => write!(formatter, "`{field}` {}", self.problem),
        }
    }
}

impl std::error::Error for Malformed {}

/// Longest field name that is repeated in an error.
const NAME_CHARS_MAX: usize = 64;

/// Longest text about what is wrong; it may quote a value.
const PROBLEM_CHARS_MAX: usize = 200;

/// Reads a JSON object. Fields that occur twice are refused, because two readers could take
/// different ones; unknown ones are ignored.
pub(super) fn object<'a, T: Deserialize<'a>>(body: &'a [u8], max: usize) -> Result<T, Malformed> {
    if body.len() > max {
        let problem = format!("has {} bytes, more than the limit of {max}", body.len());
        return Err(Malformed::body(problem));
    }
    // A list would be taken for the fields in order.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err(Malformed::body("is not a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        named(&path, error.inner())
    })?;
    json.end().map_err(|_| Malformed::body("has more after its JSON object"))?;
    Ok(read)
}

/// The error in the words of messages.
fn named(path: &str, error: &serde_json::Error) -> Malformed {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    // What is wrong between two fields has neither's name.
    let field = if [".", "?"].contains(&path) { "" } else { path };
    let field: String = field.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    if let Some(name) = quoted(text, "duplicate field `").or(quoted(text, "missing field `")) {
        let problem = if text.starts_with("duplicate") { "occurs twice" } else { "is missing" };
        return Malformed::field(name, problem);
    }
    let is_value = !field.is_empty() && ["expected value", "invalid number"].contains(&text);
    let problem: String = match text {
        _ if is_value => "is no JSON value, for example NaN or Infinity".into(),
        "number out of range" => "is too large for a number".into(),
        _ if error.is_eof() => "ends too early".into(),
        _ if error.is_data() && text.starts_with("invalid") => format!("has an {text}"),
        _ if error.is_data() => text.into(),
        _ => format!("is not JSON ({text})"),
    };
    Malformed { field, problem: problem.chars().take(PROBLEM_CHARS_MAX).collect() }
}

/// What stands between `start` and the next back quote, if `text` begins with `start`.
fn quoted<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split('`').next()
}
