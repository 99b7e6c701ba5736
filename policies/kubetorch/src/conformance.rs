//! Answers questions in the formats of the vectors of Kubetorch and of Knative.

use knative::annotations::GROUP;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    compute::Compute,
    distribution::{Framework, Place, environment, supervisor},
    options::{Autoscaling, Refusal},
};

/// Options that are kept in memory and, since 0.4.0, do not reach the service.
const HELD: [&str; 9] = [
    "window",
    "metric",
    "target_utilization",
    "initial_scale",
    "concurrency",
    "scale_down_delay",
    "scale_to_zero_pod_retention_period",
    "autoscaler_class",
    "progress_deadline",
];

pub(crate) fn answer(question: &str) -> Result<String, String> {
    let question: Value = serde_json::from_str(question).map_err(|error| error.to_string())?;
    if let Some(answer) = knative::conformance::answer(&question) {
        return answer.map(|answer| answer.to_string());
    }
    let Question { mode, args } = parsed(question)?;
    let answer = match mode.as_str() {
        "config" => answered(Autoscaling::new(parsed(args)?).map(|autoscaling| {
            json!({
                "ok": true,
                "annotations": short(autoscaling.annotations()),
                "concurrency": autoscaling.option("concurrency"),
                "progress_deadline": autoscaling.option("progress_deadline"),
            })
        })),
        "autoscale" => answered(autoscale(parsed(args)?)),
        "distribute" => answered(distribute(parsed(args)?)),
        "env" => env(parsed(args)?)?,
        "supervisor" => {
            let Type { kind } = parsed(args)?;
            let class = supervisor(kind.as_deref());
            answered(class.map(|class| json!({"ok": true, "class": class})))
        }
        _ => return Err(format!("unknown mode `{mode}`")),
    };
    Ok(answer.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    mode: String,
    args: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Calls {
    compute: Map<String, Value>,
    distribute: Option<Map<String, Value>>,
    autoscale: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Type {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Env {
    kind: Framework,
    ips: Vec<String>,
    node_rank: i64,
    local_rank: i64,
    procs: i64,
    port: Option<i64>,
}

fn parsed<Q: DeserializeOwned>(question: Value) -> Result<Q, String> {
    serde_json::from_value(question).map_err(|error| error.to_string())
}

fn answered(answer: Result<Value, Refusal>) -> Value {
    answer.unwrap_or_else(
        |refusal| json!({"ok": false, "error_type": refusal.error_type, "error": refusal.text}),
    )
}

fn short(annotations: impl IntoIterator<Item = (String, Value)>) -> Map<String, Value> {
    let short = |name: String| name.strip_prefix(GROUP).unwrap_or(&name).to_owned();
    annotations.into_iter().map(|(name, value)| (short(name), value)).collect()
}

fn autoscale(calls: Calls) -> Result<Value, Refusal> {
    let mut compute = Compute::new(&calls.compute)?;
    if let Some(arguments) = calls.distribute {
        compute.distribute(arguments)?;
    }
    let autoscaling = compute.autoscale(calls.autoscale)?;
    let held = HELD.iter().filter_map(|&name| Some((name, autoscaling.option(name)?.clone())));
    let held: Map<String, Value> = held.map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(json!({
        "ok": true,
        "written": short(compute.written()),
        // The manifest has room for the hard limit, and nothing fills it in.
        "container_concurrency": null,
        "held_but_not_written": held,
    }))
}

fn distribute(calls: Calls) -> Result<Value, Refusal> {
    let mut compute = Compute::new(&calls.compute)?;
    compute.distribute(calls.distribute.unwrap_or_default())?;
    Ok(json!({"ok": true, "config": compute.distributed(), "replicas": compute.replicas()}))
}

fn env(asked: Env) -> Result<Value, String> {
    let place = Place {
        ips: &asked.ips,
        node_rank: asked.node_rank,
        local_rank: asked.local_rank,
        procs: asked.procs,
    };
    let environment = environment(asked.kind, &place, asked.port);
    environment.map(Value::Object).map_err(|refusal| refusal.to_string())
}
