//! Answers the vectors of Vast.ai.
//!
//! The mode `documented` holds the examples of the public documents against the policy's rule. All
//! others were recorded from the three generations of the worker, and models of it answer them.

mod accounting;
mod documented;
mod http;
mod older;
mod small;

use samovar_sdk::Conformance;
use serde::Deserialize;
use serde_json::Value;

use crate::Vast;

/// A question, by its mode.
#[derive(Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
enum Question {
    Documented(documented::Example),
    Metrics(accounting::Events),
    Http(http::Steps),
    Signature(small::Signatures),
    Benchmark(small::Measurement),
    Workload(small::Workload),
    Config(small::Handlers),
    Hello(older::HelloSteps),
    FlaskAuth(older::FlaskSignatures),
    Tgi(older::TokenSteps),
    Metrics2024(older::Events2024),
    Auth2024(older::Signatures2024),
}

impl Conformance for Vast {
    fn answer(question: &str) -> Result<String, String> {
        let question = serde_json::from_str(question).map_err(|error| error.to_string())?;
        let answer: Value = match question {
            Question::Documented(example) => example.answer(),
            Question::Metrics(events) => events.answer()?,
            Question::Http(steps) => steps.answer()?,
            Question::Signature(signatures) => signatures.answer(),
            Question::Benchmark(measurement) => measurement.answer()?,
            Question::Workload(workload) => workload.answer(),
            Question::Config(handlers) => handlers.answer(),
            Question::Hello(steps) => steps.answer(),
            Question::FlaskAuth(signatures) => signatures.answer(),
            Question::Tgi(steps) => steps.answer(),
            Question::Metrics2024(events) => events.answer()?,
            Question::Auth2024(signatures) => signatures.answer(),
        };
        Ok(answer.to_string())
    }
}

/// When the recorded clocks start, in seconds; differences of times round like there.
const START_S: f64 = 1000.0;

/// Rounds half to even to that many digits, as Python's `round` does.
fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$}").parse().expect("a formatted number is a number")
}
