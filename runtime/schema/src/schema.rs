//! One schema of a deployment, ready to check bodies.

use std::fmt;

use serde_json::Value;

use crate::check;
use crate::compile::{self, Compiled};
use crate::error::SchemaError;
use crate::fault::Fault;
use crate::{body, example};

/// A JSON Schema, ready to check bodies. It is immutable and may be shared between threads.
pub struct Schema {
    compiled: Compiled,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({} subschemas)", self.compiled.nodes.len())
    }
}

impl Schema {
    /// Compiles a schema: 2020-12, or draft 4, 6, 7 or 2019-09 if `$schema` says so.
    ///
    /// `format` and `content…` are annotations in all of them, as 2020-12 has it: they are
    /// shown, not checked. References may lead anywhere inside the schema, also in circles, as
    /// long as each turn goes deeper into the body. Patterns are those of ECMA-262 without
    /// look-around and back-references.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the schema, and where.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        Ok(Schema { compiled: compile::compile(schema)? })
    }

    /// Checks a body.
    ///
    /// It takes at most 200 000 steps and 64 for each byte of the body, and never more than
    /// [`STEPS_MAX`](crate::STEPS_MAX); a step is some 10 ns. Memory is bounded by
    /// [`BODY_MEMORY_MAX`](crate::BODY_MEMORY_MAX).
    ///
    /// # Errors
    ///
    /// What is wrong with the body: 1 to [`FAULTS_MAX`](crate::FAULTS_MAX) faults.
    pub fn check(&self, body: &[u8]) -> Result<(), Vec<Fault>> {
        let value = body::parse(body).map_err(|fault| vec![fault])?;
        self.verdict(&value, check::steps_for(body.len()))
    }

    /// Checks a body that is read already; `bytes` is how long it was, for the bound on the time.
    ///
    /// # Errors
    ///
    /// As for [`Schema::check`].
    pub fn check_value(&self, value: &Value, bytes: usize) -> Result<(), Vec<Fault>> {
        body::check_depth(value).map_err(|fault| vec![fault])?;
        self.verdict(value, check::steps_for(bytes))
    }

    fn verdict(&self, value: &Value, steps_max: u64) -> Result<(), Vec<Fault>> {
        let faults = check::check(&self.compiled.nodes, value, steps_max);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The schema with all references as pointers from its root.
    pub fn document(&self) -> &Value {
        &self.compiled.document
    }

    /// The schema as it has to be written at the place `prefix` of another document, a JSON
    /// pointer: its references lead there.
    pub fn moved(&self, prefix: &str) -> Value {
        compile::moved(&self.compiled.document, &self.compiled.references, prefix)
    }

    /// A value that may match, made of the schema's own examples and defaults where it has some.
    /// `None` if the schema matches nothing.
    pub fn example(&self) -> Option<Value> {
        example::of(&self.compiled.document)
    }
}
