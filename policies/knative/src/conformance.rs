//! Answers questions about Knative out of the types that also run live.

mod decisions;
mod rules;

use samovar_sdk::blocks::{Buckets, SlidingMax};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::sample_size;

/// Answers a question in the format of the vectors that were read from Knative's unit tests; none
/// if its mode belongs to something else.
///
/// # Errors
///
/// Why the question makes no sense.
pub fn answer(question: &Value) -> Option<Result<Value, String>> {
    Some(match question.get("mode")?.as_str()? {
        "autoscaler" => parsed(question).and_then(decisions::ticks),
        "pipeline" => parsed(question).and_then(decisions::pipeline),
        "window" => parsed(question).and_then(window),
        "max_window" => parsed(question).and_then(max_window),
        "sample_size" => parsed(question).map(sample_sizes),
        "target" => parsed(question).and_then(rules::target),
        "scaler" => parsed(question).and_then(rules::scaler),
        "annotations" => parsed(question).map(rules::annotations),
        _ => return None,
    })
}

fn parsed<Q: DeserializeOwned>(question: &Value) -> Result<Q, String> {
    let mut question = question.clone();
    question.as_object_mut().and_then(|fields| fields.remove("mode"));
    serde_json::from_value(question).map_err(|error| error.to_string())
}

/// Seconds as milliseconds; a part of a millisecond never reaches the next one.
fn millis(seconds: f64) -> Result<u64, String> {
    if !(0.0..1e15).contains(&seconds) {
        return Err(format!("{seconds} is no time in seconds"));
    }
    let whole = seconds.floor();
    Ok(whole as u64 * 1_000 + (((seconds - whole) * 1e3).round() as u64).min(999))
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    window: f64,
    #[serde(default = "one")]
    granularity: f64,
    #[serde(default)]
    weighted: bool,
    #[serde(default = "six")]
    digits: i32,
    ops: Vec<Op>,
}

/// Records with `record`, resizes with `resize`, else asks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Op {
    at: Option<f64>,
    record: Option<f64>,
    resize: Option<f64>,
}

fn one() -> f64 {
    1.0
}

fn six() -> i32 {
    6
}

fn window(asked: Window) -> Result<Value, String> {
    let (window_ms, width_ms) = (millis(asked.window)?, millis(asked.granularity)?);
    let mut buckets = match asked.weighted {
        true => Buckets::weighted(window_ms, width_ms),
        false => Buckets::linear(window_ms, width_ms),
    };
    let mut averages = Vec::new();
    for op in asked.ops {
        let at = || op.at.ok_or("an operation without a time".into()).and_then(millis);
        match (op.record, op.resize) {
            (Some(value), None) => buckets.record(at()?, value),
            (None, Some(window)) => buckets.resize(millis(window)?),
            (None, None) => averages.push(rounded(buckets.average(at()?), asked.digits)),
            (Some(_), Some(_)) => return Err("either record or resize".into()),
        }
    }
    Ok(json!(averages))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaxWindow {
    size: u32,
    values: Vec<i64>,
    index: Vec<u64>,
}

fn max_window(asked: MaxWindow) -> Result<Value, String> {
    if asked.size == 0 || !asked.index.is_sorted() {
        return Err("a window needs a size, and an index that does not fall".into());
    }
    let mut window = SlidingMax::new(asked.size);
    let recorded = asked.index.iter().zip(asked.values);
    Ok(recorded.map(|(&index, value)| window.record(index, value)).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleSizes {
    pods: Vec<u32>,
}

fn sample_sizes(asked: SampleSizes) -> Value {
    asked.pods.into_iter().map(sample_size).collect()
}
