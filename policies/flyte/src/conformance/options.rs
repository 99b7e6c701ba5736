//! The constructors of the two option objects, with Python's idea of types.

use serde_json::{Value, json};

use super::outcome;
use super::python::{
    Arguments, Exception, attribute_error, check_names, int, is_true, microseconds, number,
    spelled, timedelta, type_error, value_error,
};
use crate::reuse::{ReusePolicy, Scope};
use crate::scaling::{Metric, Scaling, check_fixed, check_range};

/// A policy, and the bounds as they were written: the identity of a pool depends on that.
pub struct Policy {
    pub policy: ReusePolicy,
    pub replicas: [Value; 2],
    pub concurrency: Value,
    pub scope: Scope,
}

/// Mode `reuse_policy`.
pub fn reuse_policy(arguments: &Arguments) -> Value {
    outcome(policy(arguments).map(|made| {
        let Policy { policy, replicas, concurrency, scope } = made;
        json!({
            "ok": true,
            "replicas": replicas,
            "min_replicas": replicas[0],
            "max_replicas": replicas[1],
            "idle_ttl_s": policy.idle_ttl,
            "scaledown_ttl_s": policy.scaledown_ttl,
            "concurrency": concurrency,
            "scope": match scope {
                Scope::Global => "global",
                Scope::Run => "run",
            },
            "capacity": policy.capacity(),
            "warned": policy.may_starve(),
        })
    }))
}

/// `ReusePolicy(**arguments)`.
pub fn policy(arguments: &Arguments) -> Result<Policy, Exception> {
    check_names(arguments, &["replicas", "idle_ttl", "concurrency", "scaledown_ttl", "scope"])?;
    let default = ReusePolicy::default();
    let scope = match arguments.get("scope").map(|scope| scope.as_str().unwrap_or_default()) {
        None | Some("global") => Scope::Global,
        Some("run") => Scope::Run,
        Some(_) => return Err(value_error("scope must be \"global\" or \"run\"")),
    };
    let fallback = json!(default.replicas.0);
    let replicas = bounds(arguments.get("replicas").unwrap_or(&fallback))?;
    let count = |label: &str, value: &Value| {
        int(value)
            .ok_or_else(|| value_error(format!("replicas {label} must be an int, got {value}")))
    };
    let fallback = json!(default.concurrency);
    let concurrency = arguments.get("concurrency").unwrap_or(&fallback);
    let mut policy = ReusePolicy {
        replicas: (count("min", &replicas[0])?, count("max", &replicas[1])?),
        concurrency: int(concurrency)
            .ok_or_else(|| value_error(format!("concurrency must be an int, got {concurrency}")))?,
        ..default
    };
    // One after another, as there: the first error counts.
    policy.check(false).map_err(value_error)?;
    policy.idle_ttl = ttl("idle_ttl", arguments, default.idle_ttl)?;
    policy.check(false).map_err(value_error)?;
    policy.scaledown_ttl = ttl("scaledown_ttl", arguments, default.scaledown_ttl)?;
    policy.check(false).map_err(value_error)?;
    Ok(Policy { policy, replicas, concurrency: concurrency.clone(), scope })
}

fn bounds(value: &Value) -> Result<[Value; 2], Exception> {
    match value {
        Value::Null => Err(value_error("replicas cannot be None")),
        value if int(value).is_some() => Ok([value.clone(), value.clone()]),
        Value::Array(list) if list.len() == 2 => Ok([list[0].clone(), list[1].clone()]),
        _ => Err(value_error("replicas must be an int or a tuple of two ints")),
    }
}

fn ttl(name: &str, arguments: &Arguments, default: f64) -> Result<f64, Exception> {
    let Some(value) = arguments.get(name) else {
        return Ok(default);
    };
    match (timedelta(value)?, int(value)) {
        (Some(seconds), _) => Ok(seconds),
        (None, Some(seconds)) => microseconds(seconds as f64),
        (None, None) => {
            Err(value_error(format!("{name} must be an int (seconds) or a timedelta, got {value}")))
        }
    }
}

/// Mode `scaling`.
pub fn scaling(arguments: &Arguments) -> Value {
    outcome(scaling_object(arguments).and_then(|made| {
        let metric = match made.scaling.metric {
            // What is as good as false passes the checks, and has no number.
            None if made.metric != Value::Null => {
                return Err(attribute_error(format!("{} has no `val`", made.metric)));
            }
            None => Value::Null,
            Some(Metric::Concurrency(value)) => {
                json!({ "Concurrency": spelled(&made.metric, value) })
            }
            Some(Metric::RequestRate(value)) => {
                json!({ "RequestRate": spelled(&made.metric, value) })
            }
        };
        let [min, max] = &made.replicas;
        let replicas = made.scaling.replicas;
        Ok(json!({
            "ok": true,
            "replicas": [spelled(min, replicas.0), spelled(max, replicas.1)],
            "metric": metric,
            "scaledown_after_s": match made.scaling.scaledown_after {
                Some(seconds) => json!(seconds),
                None => made.scaledown_after,
            },
        }))
    }))
}

/// A scaling, and its parts as they were written. `metric` is the number in the metric, if any.
pub struct Made {
    pub scaling: Scaling,
    pub replicas: [Value; 2],
    pub metric: Value,
    pub scaledown_after: Value,
}

/// `Scaling(**arguments)`.
pub fn scaling_object(arguments: &Arguments) -> Result<Made, Exception> {
    let get = |name: &str| arguments.get(name).cloned().unwrap_or_default();
    let written = get("metric");
    let (metric, number) = match &written {
        Value::Object(map) => metric(map)?,
        value => (None, value.clone()),
    };
    check_names(arguments, &["replicas", "metric", "scaledown_after"])?;
    let default = Scaling::default().replicas;
    let (replicas, spelling) = match arguments.get("replicas") {
        None => (default, [json!(default.0 as i64), json!(default.1 as i64)]),
        Some(value) => app_bounds(value)?,
    };
    if metric.is_none() && is_true(&written) {
        return Err(type_error(format!(
            "metric must be an instance of Scaling.Concurrency or Scaling.RequestRate, got \
             {written}"
        )));
    }
    let after = get("scaledown_after");
    let scaledown_after = match (timedelta(&after)?, int(&after)) {
        (Some(seconds), _) => Some(seconds),
        _ if !is_true(&after) => None,
        (None, Some(seconds)) => Some(microseconds(seconds as f64)?),
        (None, None) => {
            return Err(type_error(format!(
                "scaledown_after must be an int or a timedelta, got {after}"
            )));
        }
    };
    let scaling = Scaling { replicas, metric, scaledown_after };
    Ok(Made { scaling, replicas: spelling, metric: number, scaledown_after: after })
}

/// `Scaling.Name(number)` for `{"Name": number}`, and the number as it was written.
fn metric(map: &Arguments) -> Result<(Option<Metric>, Value), Exception> {
    let mut all = map.iter();
    let (Some((name, written)), None) = (all.next(), all.next()) else {
        return Err(value_error("metric must have one name"));
    };
    let make = match name.as_str() {
        "Concurrency" => Metric::Concurrency,
        "RequestRate" => Metric::RequestRate,
        name => return Err(attribute_error(format!("Scaling has no `{name}`"))),
    };
    let value = number(written)
        .ok_or_else(|| type_error(format!("{name} must be a number, got {written}")))?;
    let metric = make(value);
    metric.check().map_err(value_error)?;
    Ok((Some(metric), written.clone()))
}

type Bounds = ((f64, f64), [Value; 2]);

fn app_bounds(value: &Value) -> Result<Bounds, Exception> {
    if let Some(count) = int(value) {
        check_fixed(count as f64).map_err(value_error)?;
        return Ok(((count as f64, count as f64), [value.clone(), value.clone()]));
    }
    let Value::Array(list) = value else {
        return Err(type_error(format!(
            "replicas must be an int or a tuple of two ints, got {value}"
        )));
    };
    let [low, high] = list.as_slice() else {
        return Err(value_error("replicas tuple must be of length 2"));
    };
    let compared = |value: &Value| {
        number(value).ok_or_else(|| type_error(format!("{value} does not compare with a number")))
    };
    let min = compared(low)?;
    // A minimum below 0 is refused before the other bound is looked at.
    let max = if min < 0.0 { min } else { compared(high)? };
    check_range(min, max).map_err(value_error)?;
    Ok(((min, max), [low.clone(), high.clone()]))
}
