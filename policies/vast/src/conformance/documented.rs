//! Examples of the public documents. What an example does not mention controls nothing.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rounded;
use crate::rule::Rule;
use crate::worker::wait_time_s;

/// One example: some controls, and some figures they are applied to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    min_load: Option<f64>,
    target_util: Option<f64>,
    cold_mult: Option<f64>,
    min_cold_load: Option<f64>,
    #[serde(alias = "min_workers")]
    cold_workers: Option<u32>,
    max_workers: Option<u32>,
    inactivity_timeout: Option<f64>,
    /// Load expected soon, in units per second.
    #[serde(alias = "anticipated_load", alias = "forecast", alias = "forecast_load")]
    load: Option<f64>,
    /// Capacity of the active workers.
    active_load: Option<f64>,
    /// Work of one request.
    request_load: Option<f64>,
    /// Performance of a worker.
    #[serde(alias = "measured_perf", alias = "measured_performance")]
    perf: Option<f64>,
    #[serde(alias = "parallel", alias = "minimum_parallel_requests")]
    parallel_requests: Option<f64>,
    idle_s: Option<f64>,
    wanted_total: Option<u32>,
}

impl Example {
    pub(super) fn answer(&self) -> Value {
        let rule = self.rule();
        let mut answer = Map::new();
        let mut say = |name: &str, value: Value| answer.insert(name.to_owned(), value);
        say("spare_percent", rounded(rule.spare() * 100.0, 1).into());
        if let Some(load) = self.load {
            let capacity = rule.active_capacity(load.max(rule.min_load));
            say("capacity", capacity.into());
            say("active_capacity", capacity.into());
        }
        if let Some(active) = self.active_load {
            let total = rule.total_capacity(active);
            say("total_capacity", total.into());
            say("inactive", (total - active).into());
        }
        if let (Some(work), Some(perf)) = (self.request_load, self.perf) {
            say("seconds", wait_time_s(work, perf).into());
        }
        if let (Some(perf), Some(parallel)) = (self.perf, self.parallel_requests) {
            say("min_load", (perf * parallel).into());
        }
        if let Some(wanted) = self.wanted_total {
            say("total", rule.capped(wanted.max(rule.cold_workers)).into());
        }
        if let Some(idle_s) = self.idle_s {
            let min_total = rule.min_total(idle_s);
            say("may_reach_zero_active", rule.may_be_inactive(idle_s).into());
            say("may_reach_zero_total", (min_total == 0).into());
            say("min_total", min_total.into());
        }
        json!(answer)
    }

    fn rule(&self) -> Rule {
        let free = Rule::default();
        Rule {
            min_load: self.min_load.unwrap_or(free.min_load),
            target_util: self.target_util.unwrap_or(free.target_util),
            cold_mult: self.cold_mult.unwrap_or(free.cold_mult),
            min_cold_load: self.min_cold_load.unwrap_or(free.min_cold_load),
            cold_workers: self.cold_workers.unwrap_or(free.cold_workers),
            max_workers: self.max_workers.unwrap_or(free.max_workers),
            inactivity_timeout: self.inactivity_timeout,
            ..free
        }
    }
}
