//! What the client and the back end send: the identity of a pool, its spec, an app's scaling.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::options::{Policy, policy, scaling_object};
use super::python::{Arguments, Exception, shown};
use crate::scaling::{Message, Metric};

/// Mode `env_hash`.
#[derive(Deserialize)]
pub struct Pair {
    a: Task,
    b: Task,
}

/// A task as far as its pool's identity depends on it.
#[derive(Deserialize)]
#[serde(default)]
struct Task {
    env_name: Value,
    image: String,
    /// Not part of the identity.
    args: Vec<String>,
    env: Variables,
    policy: Arguments,
    code: Value,
    interruptible: bool,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            env_name: "e".into(),
            image: "img:1".into(),
            args: Vec::new(),
            env: Variables::default(),
            policy: Arguments::new(),
            code: "v1".into(),
            interruptible: false,
        }
    }
}

/// Variables in the order they were written in, which is part of the identity.
#[derive(Default, PartialEq)]
struct Variables(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(VariablesVisitor)
    }
}

struct VariablesVisitor;

impl<'de> Visitor<'de> for VariablesVisitor {
    type Value = Variables;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("names and texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
        let mut all = Variables::default();
        while let Some(pair) = map.next_entry()? {
            all.0.push(pair);
        }
        Ok(all)
    }
}

/// What two tasks must have in common to share a pool, after `extract_unique_id_and_image` in
/// `flyte/_internal/runtime/reuse.py`. Concurrency and scope are not in it.
#[derive(PartialEq)]
struct Identity<'a> {
    env_name: String,
    image: &'a str,
    variables: &'a Variables,
    replicas: [Value; 2],
    idle_ttl: f64,
    scaledown_ttl: f64,
    code: String,
    interruptible: bool,
}

impl Task {
    fn identity(&self) -> Result<Identity<'_>, String> {
        let Policy { policy, replicas, .. } = policy(&self.policy).map_err(raised)?;
        Ok(Identity {
            env_name: shown(&self.env_name),
            image: &self.image,
            variables: &self.env,
            replicas,
            idle_ttl: policy.idle_ttl,
            scaledown_ttl: policy.scaledown_ttl,
            code: shown(&self.code),
            interruptible: self.interruptible,
        })
    }
}

/// An error of the original outside of what a question is about.
pub fn raised(exception: Exception) -> String {
    format!("{}: {}", exception.name(), exception.text)
}

pub fn same_environment(pair: &Pair) -> Result<Value, String> {
    Ok(json!({ "same_environment": pair.a.identity()? == pair.b.identity()? }))
}

/// Mode `reuse_spec`.
#[derive(Deserialize)]
pub struct Spec {
    policy: Arguments,
}

pub fn reuse_spec(spec: &Spec) -> Result<Value, String> {
    let Policy { policy, replicas, concurrency, .. } = policy(&spec.policy).map_err(raised)?;
    Ok(json!({
        "task_type": "actor",
        "custom": {
            "name": "e",
            "type": "actor",
            "spec": {
                "container_image": "",
                "backlog_length": null,
                "parallelism": concurrency,
                "min_replica_count": replicas[0],
                "replica_count": replicas[1],
                "ttl_seconds": policy.idle_ttl,
                "scaledown_ttl_seconds": policy.scaledown_ttl,
            },
        },
        // The first digits of the identity's hash.
        "version_length": 15,
    }))
}

/// Mode `app_proto`: the message as JSON, where zeros and what is absent are left out.
pub fn app_message(arguments: &Arguments) -> Result<Value, String> {
    let made = scaling_object(arguments).map_err(raised)?;
    let metric = made.scaling.metric.map(|_| &made.metric);
    let is_odd = |part: &Value| part.is_f64() || part.is_boolean();
    if made.replicas.iter().chain(metric).any(is_odd) {
        return Err("TypeError: a message takes whole numbers only".into());
    }
    let message = made.scaling.message();
    let mut fields = Map::new();
    if let Some((min, max)) = message.replicas {
        let mut replicas = Map::new();
        for (name, count) in [("min", min), ("max", max)] {
            u32::try_from(count).map_err(|_| format!("ValueError: {name} {count} is no uint32"))?;
            if count != 0 {
                replicas.insert(name.into(), count.into());
            }
        }
        fields.insert("replicas".into(), replicas.into());
    }
    if let Some(seconds) = message.scaledown_s {
        fields.insert("scaledownPeriod".into(), duration(seconds).into());
    }
    if let Some(metric) = message.metric {
        let name = match metric {
            Metric::Concurrency(_) => "concurrency",
            Metric::RequestRate(_) => "requestRate",
        };
        fields.insert("scalingMetric".into(), json!({ name: { "targetValue": metric.value() } }));
    }
    Ok(json!({ "autoscaling": fields }))
}

/// Seconds as protobuf writes them: with no, three or six digits behind the point.
fn duration(seconds: f64) -> String {
    let micros = (seconds * 1e6).round() as i64;
    match (micros % 1_000_000, micros % 1000) {
        (0, _) => format!("{}s", micros / 1_000_000),
        (_, 0) => format!("{seconds:.3}s"),
        _ => format!("{seconds:.6}s"),
    }
}

/// Mode `knative_annotations`.
#[derive(Deserialize)]
pub struct Autoscaling {
    autoscaling: Fields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    replicas: Option<Replicas>,
    metric: Option<Metric>,
    scaledown_s: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Replicas {
    min: i64,
    max: i64,
}

pub fn annotations(question: &Autoscaling) -> Result<Value, String> {
    let Fields { replicas, metric, scaledown_s } = &question.autoscaling;
    if scaledown_s.is_some_and(|seconds| seconds < 0) {
        return Err("the period is negative".into());
    }
    let message = Message {
        replicas: replicas.as_ref().map(|replicas| (replicas.min, replicas.max)),
        metric: *metric,
        scaledown_s: scaledown_s.map(|seconds| seconds as f64),
    };
    let annotations: Map<String, Value> =
        message.annotations().into_iter().map(|(name, value)| (name, value.into())).collect();
    Ok(json!({ "annotations": annotations }))
}
