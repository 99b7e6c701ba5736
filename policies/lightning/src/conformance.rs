//! Answers the vectors recorded from `lightning-app` 2.3.0.
//!
//! The modes `scale`, `trace`, `config` and `first_call` concern the policy. `batcher`, `process`,
//! `error` and `http` concern the original's load balancer, whose work the host does in its own
//! way; small models of it answer those.

mod balancer;
mod batcher;
mod http;
mod scaler;

use samovar_sdk::Conformance;
use serde::Deserialize;
use serde_json::Value;

use crate::Lightning;

/// A question, by its mode.
#[derive(Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
enum Question {
    Scale(scaler::Rule),
    Trace(scaler::Trace),
    Config(scaler::Construction),
    FirstCall(scaler::FirstCall),
    Batcher(batcher::Batcher),
    Process(balancer::Admission),
    Error { kind: balancer::Failure },
    Http(http::Calls),
}

impl Conformance for Lightning {
    fn answer(question: &str) -> Result<String, String> {
        let question = serde_json::from_str(question).map_err(|error| error.to_string())?;
        let answer: Value = match question {
            Question::Scale(rule) => rule.answer(),
            Question::Trace(trace) => trace.answer()?,
            Question::Config(construction) => construction.answer()?,
            Question::FirstCall(call) => call.answer()?,
            Question::Batcher(batcher) => batcher.answer(),
            Question::Process(admission) => admission.answer(),
            Question::Error { kind } => kind.answer(),
            Question::Http(calls) => calls.answer()?,
        };
        Ok(answer.to_string())
    }
}

/// Rounds half to even to that many digits, as Python's `round` does.
fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$}").parse().expect("a formatted number is a number")
}
