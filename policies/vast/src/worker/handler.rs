//! Handlers of a worker: their options, and the work they see in a request.
//!
//! Source: `HandlerConfig`, `BenchmarkConfig` and `EndpointHandlerFactory` of package `vastai`
//! 1.9.1.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::DEFAULT_WORKLOAD;

/// Options of a handler.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// Path of its requests.
    pub route: String,
    /// Whether requests run side by side. If not, one at a time in order of arrival.
    #[serde(default)]
    pub allow_parallel_requests: bool,
    /// Seconds of waiting above which requests are refused. None: never.
    #[serde(default = "max_queue_time")]
    pub max_queue_time: Option<f64>,
    /// Exactly one handler of a worker has a benchmark.
    #[serde(default)]
    pub benchmark: Option<Benchmark>,
    /// How work is calculated. None: always [`DEFAULT_WORKLOAD`].
    #[serde(default)]
    pub workload: Option<Calculator>,
    /// Not modelled.
    #[serde(default)]
    pub healthcheck: Option<String>,
    /// Not modelled.
    #[serde(default)]
    pub is_remote_dispatch: bool,
}

fn max_queue_time() -> Option<f64> {
    Some(30.0)
}

/// Options of a benchmark.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Benchmark {
    /// Measured rounds.
    pub runs: u32,
    /// Requests of one round, if the handler takes them side by side. None or 0: the default.
    pub concurrency: Option<u32>,
    /// Whether one request goes ahead. Ignored where there is no concurrency.
    pub do_warmup: bool,
}

impl Default for Benchmark {
    fn default() -> Self {
        Self { runs: 8, concurrency: Some(CONCURRENCY), do_warmup: true }
    }
}

const CONCURRENCY: u32 = 10;

impl Benchmark {
    /// Requests of one round.
    pub fn concurrency(&self) -> u32 {
        self.concurrency.filter(|concurrency| *concurrency > 0).unwrap_or(CONCURRENCY)
    }

    /// Whether one request goes ahead.
    pub fn has_warmup(&self) -> bool {
        self.do_warmup || self.concurrency.unwrap_or(0) == 0
    }
}

/// Ways to calculate the work of a request that vectors use.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calculator {
    /// The field `n`.
    N,
    /// Always -1.
    Negative,
    /// Not a number.
    Nan,
    /// Infinite.
    Inf,
    /// Raises an error.
    Raises,
    /// Text that is no number.
    Text,
    /// Always 0.
    Zero,
}

impl Calculator {
    fn calculate(self, payload: &Map<String, Value>) -> Option<f64> {
        match self {
            Self::N => match payload.get("n")? {
                Value::Number(number) => number.as_f64(),
                Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
                Value::String(text) => text.trim().parse().ok(),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
            Self::Negative => Some(-1.0),
            Self::Nan => Some(f64::NAN),
            Self::Inf => Some(f64::INFINITY),
            Self::Raises | Self::Text => None,
            Self::Zero => Some(0.0),
        }
    }
}

/// The work of a request. A calculator that fails or answers nonsense must not spoil the sums.
pub fn work(calculator: Option<Calculator>, payload: &Map<String, Value>) -> f64 {
    let calculated = calculator.and_then(|calculator| calculator.calculate(payload));
    calculated.filter(|work| work.is_finite() && *work >= 0.0).unwrap_or(DEFAULT_WORKLOAD)
}

/// The handler with the benchmark; a later handler of the same route takes an earlier one's place.
///
/// # Errors
///
/// If none has one, or more than one.
pub fn with_benchmark(handlers: Vec<Handler>) -> Result<(Handler, Benchmark), &'static str> {
    let mut routes: Vec<Handler> = Vec::new();
    for handler in handlers {
        match routes.iter_mut().find(|other| other.route == handler.route) {
            Some(other) => *other = handler,
            None => routes.push(handler),
        }
    }
    let mut found = routes.into_iter().filter_map(|handler| {
        let benchmark = handler.benchmark.clone()?;
        Some((handler, benchmark))
    });
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err("no handler has a benchmark"),
        (Some(_), Some(_)) => Err("more than one handler has a benchmark"),
    }
}
