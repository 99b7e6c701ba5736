//! Answers the questions of Ray's recorded vectors with the types that scale here.
//!
//! A question may carry the field `era`, called `legacy`, `mid` or `modern`, or by a key's value;
//! without it the modern era answers. Fields the original's recorder does not know are ignored, as
//! it does.

mod config;
mod series;
mod trace;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::bounds::adjusted;
use crate::config::Era;

/// What every question has.
#[derive(Deserialize)]
struct Question {
    #[serde(default = "trace")]
    mode: String,
    #[serde(default)]
    era: Era,
}

fn trace() -> String {
    "trace".into()
}

#[derive(Deserialize)]
struct CapacityQuestion {
    num_replicas: f64,
    target_capacity: Option<f64>,
}

/// The original's answer to `question`, as JSON.
///
/// # Errors
///
/// When the question is not one, or its mode is unknown, or the original would have failed.
pub(crate) fn answer(question: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(question).map_err(|error| error.to_string())?;
    let Question { mode, era } = read(value.clone())?;
    let mut answer = match mode.as_str() {
        "trace" => trace::answer(read(value)?, era),
        "app" => trace::answer_application(read(value)?, era),
        "aggregate" => series::answer(&read(value)?, era),
        "window_average" => series::answer_plain(&read(value)?),
        "config" => Ok(config::answer(read(value)?, era)),
        "capacity" => {
            let CapacityQuestion { num_replicas, target_capacity } = read(value)?;
            Ok(object([("adjusted", json!(adjusted(num_replicas as i64, target_capacity)))]))
        }
        _ => Err(format!(
            "mode `{mode}` is unknown; known are trace, app, aggregate, window_average, config \
            and capacity"
        )),
    }?;
    let (label, version) = match era {
        Era::Legacy => ("legacy", "2.9.3"),
        Era::Mid => ("mid", "2.47.1"),
        Era::Modern => ("modern", "2.60.0"),
    };
    answer.insert("era".into(), label.into());
    answer.insert("ray_version".into(), version.into());
    Ok(Value::Object(answer).to_string())
}

fn read<Q: DeserializeOwned>(question: Value) -> Result<Q, String> {
    serde_json::from_value(question).map_err(|error| error.to_string())
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// `value` to so many decimals, as Python rounds: by the exact decimal value.
fn rounded(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().expect("a formatted number is a number")
}

fn only_modern(era: Era, mode: &str) -> Result<(), String> {
    match era {
        Era::Modern => Ok(()),
        Era::Legacy | Era::Mid => Err(format!("mode `{mode}` needs the modern era")),
    }
}
