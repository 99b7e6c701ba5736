//! Which signed requests a worker believes.
//!
//! Cryptography is left out: a signature is the text it was made over. A signature holds when the
//! worker expects the same text.
//!
//! Sources: `Backend.__check_signature` of package `vastai` 1.9.1 and of `vast-ai/pyworker` at
//! 910f6f2, `GenericBackend.check_signature` of `vast-ai/vast-pyworker` at 42cc75e.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

/// How many signed messages the older workers remember, and how far numbers may fall behind.
const HISTORY: usize = 100;

/// The fields of a signature's message in the older workers, in their order.
pub const SIGNED_FIELDS_2024: [&str; 4] = ["cost", "endpoint", "reqnum", "url"];

/// How the signer wrote the message down, as options of Python's `json.dumps`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Form {
    indent: Value,
    separators: Option<(String, String)>,
    ensure_ascii: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self { indent: Value::Null, separators: None, ensure_ascii: true }
    }
}

impl Form {
    /// What the worker itself uses.
    pub fn expected() -> Self {
        Self { indent: 4.into(), ..Self::default() }
    }

    /// Whether a message of one field comes out as the worker expects it.
    fn writes_as_expected(&self, message: &Value) -> bool {
        let indent = self.indent == 4 || self.indent == "    ";
        let colon = self.separators.as_ref().is_none_or(|(_, colon)| colon == ": ");
        indent && colon && (self.ensure_ascii || message.to_string().is_ascii())
    }
}

/// Whether today's worker accepts a signature over `signed` for a request to `url`: only the
/// address is signed, so the other fields can be changed and the request repeated.
pub fn holds(signed: &Value, form: &Form, url: &Value) -> bool {
    *signed == serde_json::json!({"url": url}) && form.writes_as_expected(signed)
}

/// What the older workers remember of signed requests, to refuse repeated ones.
#[derive(Debug)]
pub struct Replays<M> {
    highest: i64,
    history: VecDeque<M>,
}

impl<M: PartialEq> Replays<M> {
    /// `highest` is the number that counts as seen at the start.
    pub fn new(highest: i64) -> Self {
        Self { highest, history: VecDeque::with_capacity(HISTORY) }
    }

    /// Whether a request with a good signature is accepted: its number is not too far behind and
    /// its message is new.
    pub fn accept(&mut self, reqnum: i64, message: M) -> bool {
        if reqnum < self.highest - HISTORY as i64 || self.history.contains(&message) {
            return false;
        }
        self.highest = self.highest.max(reqnum);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(message);
        true
    }
}
