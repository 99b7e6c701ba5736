//! How series of numbers become the one number a decision is made from.

use samovar_sdk::blocks::{Step, step_mean};

/// For how many seconds a last point that lies in the future is held.
const HELD_AT_LEAST_S: f64 = 1e-3;

/// What is taken from the look-back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// Time-weighted mean.
    Mean,
    /// Largest value.
    Max,
    /// Smallest value.
    Min,
}

impl Aggregation {
    /// The function called `name`; letter case does not matter.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "mean" => Some(Self::Mean),
            "max" => Some(Self::Max),
            "min" => Some(Self::Min),
            _ => None,
        }
    }

    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    /// Aggregates `steps`, in seconds and in the order of time, from `from` or else the first step
    /// until `now`. The last step is held until `now`, at least 1 ms. Nothing at all is 0.
    ///
    /// Ray 2.60, `_merge_and_aggregate_timeseries` and `aggregate_timeseries`.
    pub fn of<I>(self, steps: I, from: Option<f64>, now: f64) -> f64
    where
        I: DoubleEndedIterator<Item = Step> + Clone,
    {
        let (Some(first), Some(last)) = (steps.clone().next(), steps.clone().next_back()) else {
            return 0.0;
        };
        let held = if now - last.at <= 0.0 { HELD_AT_LEAST_S } else { now - last.at };
        let within = steps.clone().filter(|step| from.is_none_or(|from| step.at >= from));
        let values = within.map(|step| step.value);
        let value = match self {
            Self::Mean => step_mean(steps, from.unwrap_or(first.at), last.at + held),
            Self::Max => values.reduce(f64::max),
            Self::Min => values.reduce(f64::min),
        };
        value.unwrap_or(0.0)
    }

    /// The total of several series, aggregated from the time when all of them have begun.
    pub fn of_total(self, series: &[Vec<Step>], now: f64) -> f64 {
        let total = total(series);
        let begun = series.iter().filter_map(|steps| Some(steps.first()?.at));
        let (Some(first), Some(last), Some(from)) =
            (total.first(), total.last(), begun.clone().reduce(f64::max))
        else {
            return 0.0;
        };
        let opens = begun.count() > 1 && from <= last.at;
        self.of(total.iter().copied(), opens.then(|| from.max(first.at)), now)
    }
}

/// The sum of step functions, as Ray's `merge_instantaneous_total` makes it: one series alone
/// stays as it is; with several, times are rounded to 10 ms and a step is made wherever one of
/// them changed.
fn total(series: &[Vec<Step>]) -> Vec<Step> {
    let mut series = series.iter().filter(|steps| !steps.is_empty());
    let (first, second) = (series.next(), series.next());
    let (Some(first), Some(second)) = (first, second) else {
        return first.cloned().unwrap_or_default();
    };
    let mut changes = Vec::new();
    for steps in [first, second].into_iter().chain(series) {
        let mut before = 0.0;
        for step in steps {
            changes.push((step.at, step.value, before));
            before = step.value;
        }
    }
    // Stable: at the same time, the series that comes first changes first.
    changes.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut sum, mut total) = (0.0, Vec::<Step>::new());
    for (at, value, before) in changes {
        sum += value - before;
        if value == before {
            continue;
        }
        let at = (at * 100.0).round() / 100.0;
        match total.last_mut() {
            Some(last) if last.at == at => last.value = sum,
            _ => total.push(Step { at, value: sum }),
        }
    }
    total
}
