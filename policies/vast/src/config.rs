//! The parameters, with the original's names, units and defaults where it has them.

use serde::Deserialize;

use crate::rule::Rule;
use crate::worker::DEFAULT_WORKLOAD;

/// Parameters of an endpoint, and ours where the original's engine is closed. Unknown keys are
/// errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Load in units per second that active workers must at least cover. Default 1, which is one
    /// active worker; 0 allows none.
    pub min_load: f64,
    /// Part of the active capacity that the expected load should use. Default 0.9.
    pub target_util: f64,
    /// Total capacity as a multiple of the active capacity. Default 3.
    pub cold_mult: f64,
    /// Total capacity in units per second wanted whatever the load. Default 0.
    pub min_cold_load: f64,
    /// Fewest workers. The original's default is 5; here it is the deployment's own minimum. Its
    /// other name is the one in the original's user interface.
    #[serde(alias = "min_workers")]
    pub cold_workers: Option<u32>,
    /// Most workers. The original's default is 16; here it is the deployment's own maximum.
    pub max_workers: Option<u32>,
    /// Seconds of work that may wait at one worker. The host routes; ignored here. Default 30.
    pub max_queue_time: f64,
    /// Seconds of waiting from which workers are added hard. Default 10.
    pub target_queue_time: f64,
    /// Seconds without requests that must have passed before no worker is active. 0 or none: no
    /// such condition. Negative: there always is one. Default none.
    pub inactivity_timeout: Option<f64>,
    /// Ours: work of a request where nothing reports it. Default 100, as in the worker.
    pub workload_per_request: f64,
    /// Ours: performance of a worker in units per second until it is known. Default 100.
    pub max_perf: f64,
    /// Ours: seconds after which a measured load counts half. Default 10.
    pub forecast_half_life: f64,
    /// Ours: seconds the forecast looks ahead. Default 10.
    pub forecast_horizon: f64,
    /// Ours: part by which the load could grow without need for the workers that go. Default 0.1.
    pub hysteresis: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_load: 1.0,
            target_util: 0.9,
            cold_mult: 3.0,
            min_cold_load: 0.0,
            cold_workers: None,
            max_workers: None,
            max_queue_time: 30.0,
            target_queue_time: 10.0,
            inactivity_timeout: None,
            workload_per_request: DEFAULT_WORKLOAD,
            max_perf: 100.0,
            forecast_half_life: 10.0,
            forecast_horizon: 10.0,
            hysteresis: 0.1,
        }
    }
}

impl Config {
    /// Refuses values that make no sense. The original's own checks are not public.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if !(self.target_util > 0.0 && self.target_util <= 1.0) {
            return Err(refusal("target_util", self.target_util, "above 0 and at most 1"));
        }
        let not_negative = [
            ("min_load", self.min_load),
            ("cold_mult", self.cold_mult),
            ("min_cold_load", self.min_cold_load),
            ("max_queue_time", self.max_queue_time),
            ("forecast_horizon", self.forecast_horizon),
            ("hysteresis", self.hysteresis),
        ];
        for (name, value) in not_negative {
            if !(value.is_finite() && value >= 0.0) {
                return Err(refusal(name, value, "at least 0"));
            }
        }
        let above_zero = [
            ("target_queue_time", self.target_queue_time),
            ("workload_per_request", self.workload_per_request),
            ("max_perf", self.max_perf),
            ("forecast_half_life", self.forecast_half_life),
        ];
        for (name, value) in above_zero {
            if !(value.is_finite() && value > 0.0) {
                return Err(refusal(name, value, "above 0"));
            }
        }
        if let (Some(least), Some(most)) = (self.cold_workers, self.max_workers)
            && most < least
        {
            return Err(format!("max_workers is {most}, must be at least cold_workers = {least}"));
        }
        Ok(())
    }

    /// The documented part. Bounds that are not configured follow with each observation.
    pub(crate) fn rule(&self) -> Rule {
        Rule {
            min_load: self.min_load,
            target_util: self.target_util,
            cold_mult: self.cold_mult,
            min_cold_load: self.min_cold_load,
            target_queue_time: self.target_queue_time,
            inactivity_timeout: self.inactivity_timeout,
            ..Rule::default()
        }
    }
}

fn refusal(name: &str, value: f64, allowed: &str) -> String {
    format!("{name} is {value}, must be {allowed}")
}
