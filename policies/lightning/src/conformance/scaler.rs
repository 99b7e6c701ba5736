//! The AutoScaler: its rule, its loop and its constructor.

use samovar_sdk::{Limits, Observation, Policy, Sample, Wish};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rounded;
use crate::{Config, Lightning, rule};

const TARGET: &str = "target";
const PENDING_WORKS: &str = "pending works";

/// When the original's recorded clock starts, in milliseconds. Seconds since then round like there.
const START_MS: u64 = 1_000_000_000;

/// Calls of the scaling rule.
#[derive(Deserialize)]
pub(super) struct Rule {
    #[serde(default = "max_batch_size")]
    max_batch_size: i64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    replicas: i64,
    pending_requests: i64,
    #[serde(default)]
    pending_works: i64,
}

fn max_batch_size() -> i64 {
    Config::default().max_batch_size
}

impl Rule {
    pub(super) fn answer(&self) -> Value {
        let target = |case: &Case| {
            rule::scale(
                case.replicas,
                case.pending_requests,
                case.pending_works,
                self.max_batch_size,
            )
        };
        json!({"targets": self.cases.iter().map(target).collect::<Vec<_>>()})
    }
}

/// A run of the whole loop, with a host that carries out every decision at once.
#[derive(Deserialize)]
pub(super) struct Trace {
    #[serde(default)]
    config: Map<String, Value>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    /// Seconds before each turn of this step.
    #[serde(default = "one_second")]
    dt: f64,
    #[serde(default = "once")]
    repeat: f64,
    pending_requests: u32,
    #[serde(default)]
    pending_works: f64,
    /// What a user's own rule answers.
    target: Option<f64>,
}

fn one_second() -> f64 {
    1.0
}

fn once() -> f64 {
    1.0
}

impl Trace {
    pub(super) fn answer(mut self) -> Result<Value, String> {
        self.config.insert("target_series".into(), TARGET.into());
        self.config.insert("pending_works_series".into(), PENDING_WORKS.into());
        let config = constructed(self.config)?.map_err(|refused| refused.error)?;
        let mut policy = Lightning::new(config)?;
        let (mut offset_s, mut replicas, mut changes) = (0.0, 0, Vec::new());
        let mut turns = 0_u64;
        for step in &self.steps {
            for _ in 0..step.repeat as u64 {
                turns += 1;
                offset_s = rounded(offset_s + step.dt, 9);
                let Wish::Replicas(wanted) = policy.scale(&step.seen(offset_s, replicas)).wish
                else {
                    continue;
                };
                if wanted < 0.0 {
                    return Err("the original fails when it removes more works than it has".into());
                }
                replicas = wanted as u32;
                changes.push((rounded(offset_s, 6), replicas));
            }
        }
        if turns == 0 {
            return Err("a trace without a turn has no end".into());
        }
        Ok(json!({"changes": changes, "final": replicas, "actions": actions(&changes)}))
    }
}

impl Step {
    fn seen(&self, offset_s: f64, replicas: u32) -> Observation {
        let works = Sample { name: PENDING_WORKS.into(), value: self.pending_works };
        let target = self.target.map(|value| Sample { name: TARGET.into(), value });
        Observation {
            now_ms: START_MS + (offset_s * 1000.0).round() as u64,
            created_ms: START_MS,
            limits: Limits { min: 0, max: u32::MAX, concurrency: 1, queue_max: u32::MAX },
            ready: replicas,
            queued: self.pending_requests,
            custom: [works].into_iter().chain(target).collect(),
            ..Observation::default()
        }
    }
}

/// The works that were added (`+index`) and removed (`-index`), from the highest index down.
fn actions(changes: &[(f64, u32)]) -> Vec<String> {
    let mut replicas = 0;
    let mut actions = Vec::new();
    for &(_, wanted) in changes {
        actions.extend((replicas..wanted).map(|index| format!("+{index}")));
        actions.extend((wanted..replicas).rev().map(|index| format!("-{index}")));
        replicas = wanted;
    }
    actions
}

/// A call of the constructor.
#[derive(Deserialize)]
pub(super) struct Construction {
    config: Map<String, Value>,
}

/// What the constructor raised.
struct Refused {
    error_type: &'static str,
    error: String,
}

impl Construction {
    pub(super) fn answer(self) -> Result<Value, String> {
        Ok(match constructed(self.config)? {
            Ok(config) => json!({
                "ok": true,
                "num_replicas": 0,
                "endpoint": config.endpoint_path(),
                "min": config.min_replicas,
                "max": config.max_replicas,
            }),
            Err(Refused { error_type, error }) => {
                json!({"ok": false, "error_type": error_type, "error": error})
            }
        })
    }
}

/// The first turn of a scaler with the rule from the original's documentation, which divides by the
/// works without looking whether there are any. There are none yet.
#[derive(Deserialize)]
pub(super) struct FirstCall {
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    pending_requests: i64,
}

impl FirstCall {
    pub(super) fn answer(self) -> Result<Value, String> {
        let (replicas, pending_works) = (0_i64, 0_i64);
        Ok(match constructed(self.config)? {
            Err(refused) => json!({"raised": refused.error_type}),
            Ok(_) => match self.pending_requests.checked_div(replicas + pending_works) {
                None => json!({"raised": "ZeroDivisionError"}),
                Some(_) => json!({"raised": null}),
            },
        })
    }
}

/// The configuration as the original's constructor takes it: with its own bounds where none are
/// given, and with keys it does not know, which go to the works.
///
/// The outer error is a value that the original stores and that [`Config`] cannot hold.
fn constructed(mut given: Map<String, Value>) -> Result<Result<Config, Refused>, String> {
    for (bound, default) in [("min_replicas", 1), ("max_replicas", 4)] {
        let value = given.entry(bound).or_insert_with(|| default.into());
        let Some(number) = value.as_f64() else {
            let error = format!("`{bound}={value}` cannot be compared with a number");
            return Ok(Err(Refused { error_type: "TypeError", error }));
        };
        if number.fract() == 0.0 {
            *value = Value::from(number as i64);
        }
    }
    given.retain(|key, _| KEYS.contains(&key.as_str()));
    let endpoint = given.get("endpoint").filter(|endpoint| !endpoint.is_string()).cloned();
    given.retain(|key, value| key != "endpoint" || value.is_string());
    let config: Config = serde_json::from_value(given.into()).map_err(|error| error.to_string())?;
    if let Err(error) = config.validate() {
        return Ok(Err(Refused { error_type: "ValueError", error }));
    }
    if let Some(endpoint) = endpoint {
        let error = format!("`endpoint={endpoint}` is not text");
        return Ok(Err(Refused { error_type: "AttributeError", error }));
    }
    Ok(Ok(config))
}

/// Keys that are read, the two series among them.
const KEYS: [&str; 10] = [
    "min_replicas",
    "max_replicas",
    "scale_out_interval",
    "scale_in_interval",
    "max_batch_size",
    "timeout_batching",
    "endpoint",
    "cold_start_proxy",
    "target_series",
    "pending_works_series",
];
