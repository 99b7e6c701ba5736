//! Why a schema is refused.

use crate::text;

/// Why a schema is refused. Pointers are JSON pointers (RFC 6901) into the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Neither an object nor a boolean.
    #[error("a schema is an object or a boolean, this is {found}")]
    NotASchema {
        /// What it is.
        found: &'static str,
    },
    /// Too many bytes when written without spaces.
    #[error("the schema has {bytes} bytes, the limit is {}", crate::SCHEMA_BYTES_MAX)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Objects and arrays are nested too deeply.
    #[error("the schema is nested deeper than {} levels", crate::SCHEMA_DEPTH_MAX)]
    TooDeep,
    /// Too many subschemas.
    #[error("the schema has more than {} subschemas", crate::SUBSCHEMAS_MAX)]
    TooManySubschemas,
    /// Too many patterns, or patterns that need too much memory together.
    #[error("{}: the schema has too many patterns, or too large ones", at(pointer))]
    TooManyPatterns {
        /// The first pattern that is too much.
        pointer: String,
    },
    /// `$schema` names no known version of JSON Schema.
    #[error(
        "`$schema` is `{}`; known are draft-04, draft-06, draft-07, 2019-09 and 2020-12",
        text::short(found)
    )]
    UnknownDraft {
        /// What it names.
        found: String,
    },
    /// A keyword has a value that it cannot have.
    #[error("{}: {reason}", at(pointer))]
    Keyword {
        /// Where the value is.
        pointer: String,
        /// What it has to be.
        reason: String,
    },
    /// A regular expression is invalid or too large.
    #[error("{}: {reason}", at(pointer))]
    Pattern {
        /// Where it is.
        pointer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A reference to another document.
    #[error(
        "{}: `{}` is outside of this schema; only references inside the document are possible",
        at(pointer),
        text::short(target)
    )]
    RemoteReference {
        /// Where the reference is.
        pointer: String,
        /// What it names.
        target: String,
    },
    /// A reference to something that is not there, or that is not a schema.
    #[error("{}: there is no schema at `{}`", at(pointer), text::short(target))]
    NoTarget {
        /// Where the reference is.
        pointer: String,
        /// What it names.
        target: String,
    },
    /// Schemas that refer to each other without going deeper into the document that is checked.
    #[error("schemas refer to each other in a loop that checks nothing: {}", chain(pointers))]
    Loop {
        /// The schemas on the loop; the first refers to the second, the last to the first.
        pointers: Vec<String>,
    },
    /// Two places have the same name, so that a reference could mean either.
    #[error("{}: `{}` names another schema too", at(pointer), text::short(name))]
    NameTaken {
        /// The second place.
        pointer: String,
        /// The name.
        name: String,
    },
}

/// Most schemas that are named when they refer to each other in a loop.
const LOOP_SHOWN_MAX: usize = 6;

fn at(pointer: &str) -> String {
    if pointer.is_empty() { "at the top".to_owned() } else { text::short(pointer) }
}

fn chain(pointers: &[String]) -> String {
    let mut shown: Vec<String> = pointers
        .iter()
        .take(LOOP_SHOWN_MAX)
        .map(|pointer| format!("#{}", text::short(pointer)))
        .collect();
    if pointers.len() > LOOP_SHOWN_MAX {
        shown.push("…".to_owned());
    }
    if let Some(first) = shown.first().cloned() {
        shown.push(first);
    }
    shown.join(" → ")
}
