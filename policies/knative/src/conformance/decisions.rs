//! Ticks of the autoscaler, with given averages or from samples.

use samovar_sdk::blocks::Buckets;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::millis;
use crate::{Autoscaler, Cluster, Scale, Settings, Spec, TICK_MS};

/// A spec in the words of the vectors, with the cluster's defaults.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, default)]
struct SpecQuestion {
    target: f64,
    total: Option<f64>,
    tbc: f64,
    panic_threshold: f64,
    max_up: f64,
    max_down: f64,
    stable_window: f64,
    scale_down_delay: f64,
    activation_scale: i64,
    reachable: bool,
}

impl Default for SpecQuestion {
    fn default() -> Self {
        let spec = Settings::default().spec();
        Self {
            target: spec.total,
            total: None,
            tbc: spec.burst,
            panic_threshold: spec.panic_threshold,
            max_up: spec.max_up,
            max_down: spec.max_down,
            stable_window: spec.stable_window_ms as f64 / 1000.0,
            scale_down_delay: 0.0,
            activation_scale: 1,
            reachable: spec.reachable,
        }
    }
}

impl SpecQuestion {
    fn spec(&self) -> Result<Spec, String> {
        Ok(Spec {
            target: self.target,
            total: self.total.unwrap_or(self.target),
            burst: self.tbc,
            panic_threshold: self.panic_threshold,
            max_up: self.max_up,
            max_down: self.max_down,
            stable_window_ms: millis(self.stable_window)?,
            activation: self.activation_scale,
            reachable: self.reachable,
        })
    }

    fn autoscaler(&self, ready: u32, now_ms: u64) -> Result<Autoscaler, String> {
        Ok(Autoscaler::new(self.spec()?, millis(self.scale_down_delay)?, ready, now_ms))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ticks {
    spec: SpecQuestion,
    #[serde(default)]
    ready_at_start: u32,
    #[serde(default)]
    start: f64,
    panic_since: Option<f64>,
    #[serde(default)]
    max_panic_pods: i64,
    ticks: Vec<Tick>,
    fields: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tick {
    t: f64,
    stable: Option<f64>,
    panic: Option<f64>,
    /// Left out: as before. Null: unknown.
    #[serde(default, deserialize_with = "given")]
    ready: Option<Option<u32>>,
    update: Option<SpecQuestion>,
}

fn given<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(source).map(Some)
}

pub(super) fn ticks(asked: Ticks) -> Result<Value, String> {
    let mut autoscaler = asked.spec.autoscaler(asked.ready_at_start, millis(asked.start)?)?;
    if let Some(since) = asked.panic_since {
        autoscaler = autoscaler.panicking_since(millis(since)?, asked.max_panic_pods);
    }
    let mut ready = Some(asked.ready_at_start);
    let mut answers = Vec::with_capacity(asked.ticks.len());
    for tick in asked.ticks {
        if let Some(update) = tick.update {
            autoscaler.update(update.spec()?);
        }
        ready = tick.ready.unwrap_or(ready);
        let mut answer = match (tick.stable, ready) {
            (Some(stable), Some(ready)) => {
                let panic = tick.panic.ok_or("a stable value without one for panic")?;
                let scale = autoscaler.scale(millis(tick.t)?, stable, panic, ready);
                let Scale { desired, excess_burst, panicking } = scale;
                json!({
                    "desired": desired, "ebc": excess_burst, "valid": true, "panicking": panicking
                })
            }
            _ => json!({"desired": 0, "ebc": 0, "valid": false}),
        };
        if let (Some(fields), Some(answer)) = (&asked.fields, answer.as_object_mut()) {
            answer.retain(|key, _| fields.contains(key));
        }
        answers.push(answer);
    }
    Ok(answers.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pipeline {
    spec: SpecQuestion,
    #[serde(default = "ten")]
    panic_window_percentage: f64,
    #[serde(default = "one")]
    ready_at_start: u32,
    #[serde(default)]
    min: u32,
    #[serde(default)]
    max: u32,
    #[serde(default)]
    start_delay: u64,
    samples: Vec<f64>,
}

fn ten() -> f64 {
    Cluster::default().panic_window_percentage
}

fn one() -> u32 {
    1
}

/// One sample per second over all pods. Pods are ready some seconds after they were asked for, and
/// go at once.
pub(super) fn pipeline(asked: Pipeline) -> Result<Value, String> {
    let settings = Settings {
        window: Some(std::time::Duration::from_millis(millis(asked.spec.stable_window)?)),
        panic_window_percentage: Some(asked.panic_window_percentage),
        ..Settings::default()
    };
    let buckets = |window: std::time::Duration| Buckets::linear(window.as_millis() as u64, 1_000);
    let mut stable = buckets(settings.stable_window());
    let mut panic = buckets(settings.panic_window());
    let mut autoscaler = asked.spec.autoscaler(asked.ready_at_start, 0)?;
    let (mut ready, mut starting, mut decisions) = (asked.ready_at_start, Vec::new(), Vec::new());
    for (second, value) in (0_u64..).zip(asked.samples) {
        let now_ms = second * 1_000;
        stable.record(now_ms, value);
        panic.record(now_ms, value);
        let due = starting.len();
        starting.retain(|&at: &u64| at > second);
        ready += (due - starting.len()) as u32;
        if (now_ms + 1_000) % TICK_MS != 0 {
            continue;
        }
        let scale = autoscaler.scale(now_ms, stable.average(now_ms), panic.average(now_ms), ready);
        let mut want = (scale.desired.max(0) as u32).max(asked.min);
        if asked.max > 0 {
            want = want.min(asked.max);
        }
        let have = ready + starting.len() as u32;
        if want > have {
            starting.extend((have..want).map(|_| second + asked.start_delay));
        } else {
            let surplus = have - want;
            let unready = surplus.min(starting.len() as u32);
            starting.truncate(starting.len() - unready as usize);
            ready -= surplus - unready;
        }
        decisions.push(json!([second, scale.desired, ready, scale.panicking]));
    }
    Ok(json!({ "decisions": decisions }))
}
