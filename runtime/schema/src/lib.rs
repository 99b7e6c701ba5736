//! Schemas of what deployments take and give: checks, documents, and a page to try them.
//!
//! A deployment may have a JSON Schema for bodies of requests and one for bodies of responses.
//!
//! | Part | What it does |
//! | --- | --- |
//! | [`Schema::compile`] | refuses schemas that are wrong, too large or have no end |
//! | [`Schema::check`] | says what is wrong with a body, in bounded time and memory |
//! | [`openapi()`] | describes one deployment as an OpenAPI 3.1 document |
//! | [`page()`] | a page that shows this document and sends requests |
//!
//! Nothing here does I/O. A check takes the processor for up to some tenths of a second if the body
//! is large or the schema hostile; callers keep large bodies away from threads that wait for I/O.
//!
//! Sources: JSON Schema 2020-12 with its predecessors from draft 4 on, RFC 6901, OpenAPI 3.1.

mod body;
mod check;
mod compile;
mod draft;
mod equal;
mod error;
mod example;
mod fault;
mod node;
mod number;
mod openapi;
mod page;
mod pattern;
mod schema;
mod text;

pub use body::{BODY_BYTES_MAX, BODY_DEPTH_MAX, BODY_MEMORY_MAX};
pub use check::STEPS_MAX;
pub use compile::{PATTERNS_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SUBSCHEMAS_MAX};
pub use error::SchemaError;
pub use fault::{FAULTS_MAX, Fault, Side, error_body};
pub use openapi::{Described, openapi};
pub use page::{Page, page};
pub use pattern::PATTERN_BYTES_MAX;
pub use schema::Schema;
