//! What is wrong with a body.

use serde::Serialize;
use serde_json::{Value, json};

use crate::text;

/// Most faults of one body. Who repairs these can ask for the others.
pub const FAULTS_MAX: usize = 10;

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the body, empty for the body as a whole. When a
    /// pointer would be longer than 2048 bytes, a place above the fault.
    pub pointer: String,
    /// What is wrong there, in at most 100 characters. Values of the body appear shortened.
    pub reason: String,
    /// Which keyword of the schema says so: a JSON pointer into the schema, empty if the body is no
    /// JSON or took too long to check.
    pub schema_pointer: String,
}

impl Fault {
    /// A fault. Its parts are cut to what they may be.
    pub(crate) fn new(pointer: &str, reason: &str, schema_pointer: &str) -> Self {
        Fault {
            pointer: text::bounded(pointer).to_owned(),
            reason: text::cut(reason, text::REASON_CHARS_MAX),
            schema_pointer: text::bounded(schema_pointer).to_owned(),
        }
    }

    /// A fault of the body as a whole.
    pub(crate) fn of_body(reason: &str) -> Self {
        Fault::new("", reason, "")
    }
}

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A request's: its sender has to repair it.
    Input,
    /// A response's: the deployment broke its promise.
    Output,
}

impl Side {
    /// The code of the error, as in the header `samovar-error`.
    pub fn code(self) -> &'static str {
        match self {
            Side::Input => "input-schema",
            Side::Output => "output-schema",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Side::Input => 422,
            Side::Output => 502,
        }
    }
}

/// The body of the answer that says why a body is refused.
///
/// ```json
/// {"error": {"code": "input-schema", "message": "…", "faults": [{"pointer": "/a", …}]}}
/// ```
pub fn error_body(side: Side, faults: &[Fault]) -> Value {
    let what = match side {
        Side::Input => "the request's body does not match the input schema",
        Side::Output => "the response's body does not match the output schema",
    };
    let message = match faults {
        [] => what.to_owned(),
        [first, ..] if first.pointer.is_empty() => format!("{what}: {}", first.reason),
        [first, ..] => format!("{what}: {}: {}", first.pointer, first.reason),
    };
    json!({ "error": { "code": side.code(), "message": message, "faults": faults } })
}
