//! Mode `config`: what each era accepts, and with which values.
//!
//! Ray reads its settings with pydantic, which turns texts into numbers where it can and ignores
//! unknown keys. That happens here, in front of the checks every configuration goes through.

use serde_json::{Map, Value, json};

use super::object;
use crate::config::{Config, Era};

/// What kind of value a key takes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Integer,
    Number,
    Text,
}

/// A key of an era, its default, and whether it may be null.
type Key = (&'static str, Kind, Value, bool);

#[derive(serde::Deserialize)]
pub(super) struct Question {
    config: Map<String, Value>,
}

/// What the original makes of the settings.
pub(super) fn answer(question: Question, era: Era) -> Map<String, Value> {
    match accept(&question.config, era) {
        Ok((_, values)) => object([("ok", json!(true)), ("values", Value::Object(values))]),
        Err(error) => object([
            ("ok", json!(false)),
            ("error_type", json!("ValidationError")),
            ("error", json!([error])),
        ]),
    }
}

/// The configuration Ray of this era would make of `settings`, and all its values by name.
///
/// # Errors
///
/// Why it would refuse them.
pub(super) fn accept(
    settings: &Map<String, Value>,
    era: Era,
) -> Result<(Config, Map<String, Value>), String> {
    let mut values = Map::new();
    for (key, kind, default, may_be_null) in keys(era) {
        let value = match settings.get(key) {
            None => default,
            Some(Value::Null) if may_be_null => Value::Null,
            Some(value) => coerced(value, kind, era)
                .ok_or_else(|| format!("`{key}` should be {}, is {value}", kind.name()))?,
        };
        values.insert(key.into(), value);
    }
    if era == Era::Modern {
        check_policy(settings.get("policy"))?;
    }
    let mut config: Config =
        serde_json::from_value(Value::Object(values.clone())).map_err(|error| error.to_string())?;
    config.era = era;
    config.validate()?;
    if era == Era::Modern {
        values.insert("aggregation_function".into(), json!(config.aggregation().name()));
    }
    Ok((config, values))
}

/// Only the original's own policy can be asked for: others would have to be imported.
fn check_policy(policy: Option<&Value>) -> Result<(), String> {
    let own = "ray.serve.autoscaling_policy:default_autoscaling_policy";
    let function = match policy {
        None => return Ok(()),
        Some(Value::Object(policy)) => policy.get("policy_function"),
        Some(other) => return Err(format!("`policy` should be a mapping, is {other}")),
    };
    match function {
        None => Ok(()),
        Some(name) if name == own => Ok(()),
        Some(name) => Err(format!("`policy.policy_function` {name} cannot be imported here")),
    }
}

fn keys(era: Era) -> Vec<Key> {
    use Kind::{Integer, Number, Text};
    let mut keys = vec![
        ("min_replicas", Integer, json!(1), false),
        ("initial_replicas", Integer, Value::Null, true),
        ("max_replicas", Integer, json!(1), false),
        ("metrics_interval_s", Number, json!(10.0), false),
        ("look_back_period_s", Number, json!(30.0), false),
        ("smoothing_factor", Number, json!(1.0), false),
        ("upscale_smoothing_factor", Number, Value::Null, true),
        ("downscale_smoothing_factor", Number, Value::Null, true),
        ("upscale_delay_s", Number, json!(30.0), false),
        ("downscale_delay_s", Number, json!(600.0), false),
    ];
    if era == Era::Legacy {
        keys.push(("target_num_ongoing_requests_per_replica", Number, json!(1.0), false));
        return keys;
    }
    keys.push(("target_ongoing_requests", Number, json!(2.0), era == Era::Modern));
    keys.push(("upscaling_factor", Number, Value::Null, true));
    keys.push(("downscaling_factor", Number, Value::Null, true));
    if era == Era::Modern {
        keys.push(("downscale_to_zero_delay_s", Number, Value::Null, true));
        keys.push(("aggregation_function", Text, json!("mean"), false));
    }
    keys
}

/// `value` as pydantic reads it: version 1 up to the middle era, version 2 today. The older one
/// cuts fractions off integers, the newer one refuses them.
fn coerced(value: &Value, kind: Kind, era: Era) -> Option<Value> {
    if kind == Kind::Text {
        return value.is_string().then(|| value.clone());
    }
    let number = match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => number_in(text, kind, era)?,
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    // JSON has no word for the others, so the original could not report them either.
    let number = Some(number).filter(|number| number.is_finite())?;
    match kind {
        Kind::Integer if era == Era::Modern && number.fract() != 0.0 => None,
        Kind::Integer => Some(json!(number.trunc() as i64)),
        Kind::Number | Kind::Text => Some(json!(number)),
    }
}

/// The number written in `text`, by the rules of Python: underscores may stand between digits.
fn number_in(text: &str, kind: Kind, era: Era) -> Option<f64> {
    let text = text.trim();
    let is_digit = |text: &str| text.ends_with(|last: char| last.is_ascii_digit());
    let mut parts = text.split('_').rev().skip(1);
    if !parts.all(is_digit) || text.contains("__") || text.ends_with('_') {
        return None;
    }
    let text = text.replace('_', "");
    if kind == Kind::Number {
        return text.parse().ok();
    }
    let whole = match era {
        Era::Legacy | Era::Mid => text.as_str(),
        // Today a fraction of nothing but zeros is fine.
        Era::Modern => match text.split_once('.') {
            Some((whole, zeros)) if zeros.bytes().all(|digit| digit == b'0') => whole,
            Some(_) => return None,
            None => text.as_str(),
        },
    };
    whole.parse::<i64>().ok().map(|number| number as f64)
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Text => "a text",
        }
    }
}
