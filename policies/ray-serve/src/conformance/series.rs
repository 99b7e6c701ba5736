//! Modes `aggregate` and `window_average`: from series of numbers to one.

use samovar_sdk::blocks::Step;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{object, only_modern, rounded};
use crate::config::Era;
use crate::window::Aggregation;

/// The recorder's clock starts here, which matters for the last digits.
const EPOCH_S: f64 = 1_000_000.0;

type Points = Vec<(f64, f64)>;

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Question {
    aggregation_function: String,
    now: f64,
    running: Option<f64>,
    replica_series: Vec<Points>,
    handle_running_series: Vec<Points>,
    handle_queued_series: Vec<Points>,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            aggregation_function: "mean".into(),
            now: 0.0,
            running: None,
            replica_series: Vec::new(),
            handle_running_series: Vec::new(),
            handle_queued_series: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct PlainQuestion {
    points: Points,
    start: f64,
}

/// The total of what replicas and handles report. Running requests come from replicas that run,
/// or, if none of those has reported any, from handles; queued ones always from handles.
pub(super) fn answer(question: &Question, era: Era) -> Result<Map<String, Value>, String> {
    only_modern(era, "aggregate")?;
    let aggregation = Aggregation::parse(&question.aggregation_function)
        .ok_or_else(|| format!("`{}` is no AggregationFunction", question.aggregation_function))?;
    let running = question.running.map_or(usize::MAX, |running| running.max(0.0) as usize);
    let steps = |points: &Points| -> Vec<Step> {
        points.iter().map(|&(at, value)| Step { at: EPOCH_S + at, value }).collect()
    };
    let of_running = |series: &[Points]| -> Vec<Vec<Step>> {
        series.iter().take(running).map(steps).filter(|steps| !steps.is_empty()).collect()
    };
    let mut series = of_running(&question.replica_series);
    if series.is_empty() {
        series = of_running(&question.handle_running_series);
    }
    series.extend(question.handle_queued_series.iter().map(steps));
    let total = aggregation.of_total(&series, EPOCH_S + question.now);
    Ok(object([("total", json!(rounded(total, 6)))]))
}

/// The plain mean of the samples later than `start`. Samples are taken at a steady pace, so it is
/// the time-weighted mean of steps that all last as long.
pub(super) fn answer_plain(question: &PlainQuestion) -> Result<Map<String, Value>, String> {
    let mut points = question.points.clone();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let later = points.iter().filter(|(at, _)| *at > question.start);
    let steps: Vec<Step> =
        later.enumerate().map(|(index, &(_, value))| Step { at: index as f64, value }).collect();
    let until = steps.len() as f64;
    let mean = Aggregation::Mean.of(steps.iter().copied(), None, until);
    let average = if steps.is_empty() { Value::Null } else { json!(mean) };
    Ok(object([("average", average)]))
}
