//! Today's worker in small parts: signatures, benchmark, work of a request, choice of handlers.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{START_S, rounded};
use crate::worker::benchmark::{self, Server};
use crate::worker::handler::{self, Benchmark, Calculator, Handler};
use crate::worker::signature::{self, Form};

/// Signed requests, one after the other.
#[derive(Deserialize)]
pub(super) struct Signatures {
    #[serde(default)]
    unsecured: bool,
    #[serde(default = "yes")]
    key_loaded: bool,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    signed: Value,
    #[serde(default = "Form::expected")]
    signed_form: Form,
    #[serde(default)]
    auth: Map<String, Value>,
    /// Sent instead of the signature that was made; never a good one.
    signature: Option<Value>,
}

fn yes() -> bool {
    true
}

impl Signatures {
    pub(super) fn answer(&self) -> Value {
        let accepted = self.checks.iter().map(|check| {
            let url = check.auth.get("url").cloned().unwrap_or_else(|| "u".into());
            let holds = signature::holds(&check.signed, &check.signed_form, &url);
            self.unsecured || (self.key_loaded && check.signature.is_none() && holds)
        });
        accepted.collect()
    }
}

/// A benchmark against a model that takes the given times.
#[derive(Deserialize)]
pub(super) struct Measurement {
    run_seconds: Vec<f64>,
    #[serde(default)]
    benchmark: Benchmark,
    #[serde(default)]
    handler: Map<String, Value>,
    #[serde(default = "always")]
    ok: Outcomes,
    /// Whether the worker starts again afterwards and measures again.
    #[serde(default)]
    restart: bool,
}

/// Whether requests end well: all alike, or in turn.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outcomes {
    Alike(bool),
    InTurn(Vec<bool>),
}

fn always() -> Outcomes {
    Outcomes::Alike(true)
}

/// The model, whose clock moves when a round's first request comes.
struct Model<'a> {
    measurement: &'a Measurement,
    now_s: f64,
    width: usize,
    warmup: usize,
    calls: usize,
}

impl Server for Model<'_> {
    fn send(&mut self) -> bool {
        self.calls += 1;
        let Some(measured) = (self.calls - 1).checked_sub(self.warmup) else { return true };
        let seconds = &self.measurement.run_seconds;
        if measured.is_multiple_of(self.width) {
            self.now_s += seconds[(measured / self.width).min(seconds.len() - 1)];
        }
        match &self.measurement.ok {
            Outcomes::Alike(good) => *good,
            Outcomes::InTurn(good) => good[measured % good.len()],
        }
    }

    fn now_s(&self) -> f64 {
        self.now_s
    }
}

impl Measurement {
    pub(super) fn answer(self) -> Result<Value, String> {
        let handler = handler(self.handler.clone()).map_err(|refused| refused.text)?;
        let benchmark = &self.benchmark;
        let width = if handler.allow_parallel_requests { benchmark.concurrency() } else { 1 };
        let has_outcomes = !matches!(&self.ok, Outcomes::InTurn(good) if good.is_empty());
        if benchmark.runs == 0 || self.run_seconds.is_empty() || !has_outcomes {
            return Err("a benchmark without a run has no result".into());
        }
        let warmup = usize::from(benchmark.has_warmup());
        let (width_calls, now_s) = (width as usize, START_S);
        let mut model = Model { measurement: &self, now_s, width: width_calls, warmup, calls: 0 };
        let work = handler::work(handler.workload, &sample());
        let run = |model: &mut Model| {
            if benchmark.has_warmup() {
                model.send();
            }
            benchmark::run(model, benchmark.runs, width, work)
        };
        let first = run(&mut model);
        // A result is kept in a file, a failure is not.
        let second = if self.restart && first.is_none() { run(&mut model) } else { first };
        let mut answer = json!({
            "max_perf": rounded(first.unwrap_or(0.0), 6),
            "calls": model.calls,
            "error": first.is_none(),
        });
        if self.restart {
            answer["after_restart"] = rounded(second.unwrap_or(0.0), 6).into();
        }
        Ok(answer)
    }
}

/// The one request of the recorded benchmark's data.
fn sample() -> Map<String, Value> {
    [("n".to_owned(), 1.into())].into_iter().collect()
}

/// The work of one request.
#[derive(Deserialize)]
pub(super) struct Workload {
    handler: Calculation,
    payload: Map<String, Value>,
}

#[derive(Deserialize)]
struct Calculation {
    workload: Option<Calculator>,
}

impl Workload {
    pub(super) fn answer(&self) -> Value {
        json!({"workload": handler::work(self.handler.workload, &self.payload)})
    }
}

/// The handlers of a worker that starts.
#[derive(Deserialize)]
pub(super) struct Handlers {
    handlers: Vec<Value>,
}

impl Handlers {
    pub(super) fn answer(self) -> Value {
        let mut handlers = Vec::new();
        for given in self.handlers {
            let given = given.as_object().cloned().unwrap_or_default();
            match configured(given) {
                Ok(handler) => handlers.push(handler),
                Err(refused) => return refused.answer(),
            }
        }
        match handler::with_benchmark(handlers) {
            Ok((handler, benchmark)) => json!({
                "ok": true,
                "route": handler.route,
                "parallel": handler.allow_parallel_requests,
                "max_queue_time": handler.max_queue_time,
                "runs": benchmark.runs,
                "concurrency": benchmark.concurrency(),
                "warmup": benchmark.has_warmup(),
            }),
            Err(text) => Refused { error_type: "Exception", text: text.into() }.answer(),
        }
    }
}

/// Why a handler's options are refused.
pub(super) struct Refused {
    error_type: &'static str,
    pub(super) text: String,
}

impl Refused {
    fn answer(&self) -> Value {
        json!({"ok": false, "error_type": self.error_type, "error": self.text})
    }
}

/// A handler from options that may lack what the recorded workers always have.
pub(super) fn handler(mut given: Map<String, Value>) -> Result<Handler, Refused> {
    for (key, value) in [("route", "/model".into()), ("workload", "n".into())] {
        given.entry(key).or_insert(value);
    }
    configured(given)
}

fn configured(given: Map<String, Value>) -> Result<Handler, Refused> {
    let calculator = given.get("workload").cloned().unwrap_or_default();
    serde_json::from_value(given.into()).map_err(|error| {
        let is_known = serde_json::from_value::<Option<Calculator>>(calculator).is_ok();
        let error_type = if is_known { "TypeError" } else { "KeyError" };
        Refused { error_type, text: error.to_string() }
    })
}
