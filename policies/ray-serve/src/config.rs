//! The parameters, with the original's names, units and defaults.

use samovar_sdk::Limits;
use serde::Deserialize;
use serde_json::Value;

use crate::bounds::{Bounds, Capacity, Direction};
use crate::rule::{Repairs, Rule};
use crate::window::Aggregation;

/// Seconds between two turns of Ray's control loop.
pub(crate) const LOOP_S: f64 = 0.1;

/// Whose behaviour is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Era {
    /// Ray 2.8 and 2.9: replicas report, delays count turns of the control loop.
    #[serde(rename = "2.9", alias = "legacy")]
    Legacy,
    /// Ray 2.10 to 2.48: queued requests count as well.
    #[serde(rename = "2.47", alias = "mid")]
    Mid,
    /// Ray 2.55 and later: delays in time, two stages on the way to zero.
    #[default]
    #[serde(rename = "2.60", alias = "modern")]
    Modern,
}

/// Parameters of Ray's `AutoscalingConfig` in all eras, and our extensions. Unknown keys are
/// errors, and so are keys that Ray of the chosen era would ignore.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Extension: whose behaviour is wanted. Default `2.60`.
    pub era: Era,
    /// Fewest replicas. The original's default is 1; here it is the deployment's own minimum.
    pub min_replicas: Option<i64>,
    /// Replicas of a new deployment. Default: none, the rule decides from the start.
    pub initial_replicas: Option<i64>,
    /// Most replicas. The original's default is 1; here it is the deployment's own maximum.
    pub max_replicas: Option<i64>,
    /// Requests per replica, since 2.10. Default 2.
    pub target_ongoing_requests: Option<f64>,
    /// Requests per replica in 2.9. Default 1.
    pub target_num_ongoing_requests_per_replica: Option<f64>,
    /// Seconds between reports. The host measures all the time; checked and ignored. Default 10.
    pub metrics_interval_s: Option<f64>,
    /// Seconds over which requests are aggregated. Default 30.
    pub look_back_period_s: Option<f64>,
    /// Used for both directions where nothing more special is set. Default 1.
    pub smoothing_factor: Option<f64>,
    /// Old name of `upscaling_factor`.
    pub upscale_smoothing_factor: Option<f64>,
    /// Old name of `downscaling_factor`.
    pub downscale_smoothing_factor: Option<f64>,
    /// Part of a step up that is taken.
    pub upscaling_factor: Option<f64>,
    /// Part of a step down that is taken.
    pub downscaling_factor: Option<f64>,
    /// Seconds for which more replicas must be wanted. Default 30.
    pub upscale_delay_s: Option<f64>,
    /// Seconds for which fewer replicas must be wanted. Default 600.
    pub downscale_delay_s: Option<f64>,
    /// The same for the last replica. Default: `downscale_delay_s`.
    pub downscale_to_zero_delay_s: Option<f64>,
    /// `mean`, `max` or `min` over the look-back. Default `mean`.
    pub aggregation_function: Option<String>,
    /// A policy of the user's own, in Python: refused, with advice.
    pub policy: Option<Value>,
    /// Percent of the capacity a deployment should have. In Ray a setting of the cluster.
    pub target_capacity: Option<f64>,
    /// Which way `target_capacity` is moving. Ray finds out itself.
    pub target_capacity_direction: Option<Direction>,
    /// Replicas that only make sense together. In Ray a setting of the deployment.
    pub gang_size: Option<i64>,
    /// Extension: a custom series whose value, where present, replaces the rule's wish, as a policy
    /// function of the user's own does in Ray.
    pub desired_series: Option<String>,
    /// Extension: ignore keys of other eras, as Ray does. Default false.
    pub ignore_other_eras: bool,
    /// Extension: up to 2.47, count every tick as one turn of the control loop. Default false.
    pub count_ticks: bool,
    /// Repair: in 2.9, count queued requests as well. Default false.
    pub count_queued: bool,
    /// Repair: in 2.9, keep a start from zero within the bounds. Default false.
    pub clamp_cold_start: bool,
    /// Repair: in 2.9, go one down where the factor alone stands in the way. Default false.
    pub unstick_downscale: bool,
    /// Repair: a slowed step up never lowers the target. Default false.
    pub keep_target_while_starting: bool,
    /// Repair: a wish of 29.000000000000004 replicas is 29. Default false.
    pub ignore_float_noise: bool,
}

impl Config {
    /// What the original checks, and that nothing would be ignored without a word.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.validate_numbers()?;
        self.validate_replicas()?;
        self.validate_names()?;
        if self.policy.is_some() {
            return Err(
                "`policy` names Python code, which cannot run here; write a policy of your \
                own, or let `desired_series` name a series with the wanted number of replicas"
                    .into(),
            );
        }
        let name = self.aggregation_function.as_deref().unwrap_or("mean");
        match Aggregation::parse(name) {
            Some(_) => Ok(()),
            None => Err(format!(
                "`aggregation_function` is '{name}', which is not a valid AggregationFunction; \
                allowed are mean, max and min"
            )),
        }
    }

    fn validate_numbers(&self) -> Result<(), String> {
        let positive = [
            ("target_ongoing_requests", self.target_ongoing_requests),
            (
                "target_num_ongoing_requests_per_replica",
                self.target_num_ongoing_requests_per_replica,
            ),
            ("metrics_interval_s", self.metrics_interval_s),
            ("look_back_period_s", self.look_back_period_s),
            ("smoothing_factor", self.smoothing_factor),
            ("upscale_smoothing_factor", self.upscale_smoothing_factor),
            ("downscale_smoothing_factor", self.downscale_smoothing_factor),
            ("upscaling_factor", self.upscaling_factor),
            ("downscaling_factor", self.downscaling_factor),
            ("max_replicas", self.max_replicas.map(|count| count as f64)),
            ("gang_size", self.gang_size.map(|count| count as f64)),
        ];
        for (key, value) in positive {
            if let Some(value) = value.filter(|value| value.is_nan() || *value <= 0.0) {
                return Err(format!("`{key}` should be greater than 0, is {value}"));
            }
        }
        let not_negative = [
            ("min_replicas", self.min_replicas.map(|count| count as f64)),
            ("initial_replicas", self.initial_replicas.map(|count| count as f64)),
            ("upscale_delay_s", self.upscale_delay_s),
            ("downscale_delay_s", self.downscale_delay_s),
            ("downscale_to_zero_delay_s", self.downscale_to_zero_delay_s),
        ];
        for (key, value) in not_negative {
            if let Some(value) = value.filter(|value| value.is_nan() || *value < 0.0) {
                return Err(format!("`{key}` should be greater than or equal to 0, is {value}"));
            }
        }
        match self.target_capacity {
            Some(percent) if !(0.0..=100.0).contains(&percent) => {
                Err(format!("`target_capacity` should be between 0 and 100, is {percent}"))
            }
            _ => Ok(()),
        }
    }

    /// With the original's texts.
    fn validate_replicas(&self) -> Result<(), String> {
        let refuse = |upper: (&str, i64), lower: (&str, i64), relation| {
            let (one, other) = if relation == "greater" { (upper, lower) } else { (lower, upper) };
            Err(format!(
                "{} ({}) must be {relation} than or equal to {} ({})!",
                one.0, one.1, other.0, other.1
            ))
        };
        let min = self.min_replicas.map(|count| ("min_replicas", count));
        let initial = self.initial_replicas.map(|count| ("initial_replicas", count));
        let max = self.max_replicas.map(|count| ("max_replicas", count));
        for (upper, lower, relation) in
            [(max, min, "greater"), (initial, min, "less"), (max, initial, "greater")]
        {
            if let (Some(upper), Some(lower)) = (upper, lower)
                && upper.1 < lower.1
            {
                return refuse(upper, lower, relation);
            }
        }
        Ok(())
    }

    /// Ray ignores keys of other eras without a word; here they are refused.
    fn validate_names(&self) -> Result<(), String> {
        if self.ignore_other_eras {
            return Ok(());
        }
        let (legacy, modern) = (self.era == Era::Legacy, self.era == Era::Modern);
        let old = self.target_num_ongoing_requests_per_replica.is_some();
        let keys = [
            ("target_num_ongoing_requests_per_replica", old, legacy),
            ("target_ongoing_requests", self.target_ongoing_requests.is_some(), !legacy),
            ("upscaling_factor", self.upscaling_factor.is_some(), !legacy),
            ("downscaling_factor", self.downscaling_factor.is_some(), !legacy),
            ("downscale_to_zero_delay_s", self.downscale_to_zero_delay_s.is_some(), modern),
            ("aggregation_function", self.aggregation_function.is_some(), modern),
            ("gang_size", self.gang_size.is_some(), modern),
            ("desired_series", self.desired_series.is_some(), modern),
            ("count_ticks", self.count_ticks, !modern),
            ("count_queued", self.count_queued, legacy),
            ("clamp_cold_start", self.clamp_cold_start, legacy),
            ("unstick_downscale", self.unstick_downscale, legacy),
        ];
        let Some((key, ..)) = keys.iter().find(|(_, is_set, is_known)| *is_set && !is_known) else {
            return Ok(());
        };
        let advice = match *key {
            "target_num_ongoing_requests_per_replica" => "use target_ongoing_requests",
            "target_ongoing_requests" => "use target_num_ongoing_requests_per_replica",
            "upscaling_factor" => "use upscale_smoothing_factor",
            "downscaling_factor" => "use downscale_smoothing_factor",
            _ => "leave it out",
        };
        Err(format!(
            "`{key}` has no effect in era {}: {advice}, choose another `era`, or set \
            `ignore_other_eras`",
            self.era.name()
        ))
    }

    /// The rule with these parameters.
    pub(crate) fn rule(&self) -> Rule {
        let target = match self.era {
            Era::Legacy => self.target_num_ongoing_requests_per_replica.unwrap_or(1.0),
            Era::Mid | Era::Modern => self.target_ongoing_requests.unwrap_or(2.0),
        };
        let both = self.smoothing_factor.unwrap_or(1.0);
        let factor = |new: Option<f64>, old: Option<f64>| {
            new.filter(|_| self.era != Era::Legacy).or(old).unwrap_or(both)
        };
        let down_delay_s = self.downscale_delay_s.unwrap_or(600.0);
        Rule {
            era: self.era,
            target,
            up_factor: factor(self.upscaling_factor, self.upscale_smoothing_factor),
            down_factor: factor(self.downscaling_factor, self.downscale_smoothing_factor),
            up_delay_s: self.upscale_delay_s.unwrap_or(30.0),
            down_delay_s,
            zero_delay_s: self.downscale_to_zero_delay_s.unwrap_or(down_delay_s),
            gang_size: self.gang_size.unwrap_or(1),
            repairs: Repairs {
                clamp_cold_start: self.clamp_cold_start,
                unstick_downscale: self.unstick_downscale,
                keep_target_while_starting: self.keep_target_while_starting,
                ignore_float_noise: self.ignore_float_noise,
            },
        }
    }

    /// What is taken from the look-back. Before 2.51 it was always the mean.
    pub(crate) fn aggregation(&self) -> Aggregation {
        let name = self.aggregation_function.as_deref().filter(|_| self.era == Era::Modern);
        name.and_then(Aggregation::parse).unwrap_or(Aggregation::Mean)
    }

    /// The bounds; those that are not configured are the deployment's.
    pub(crate) fn bounds(&self, limits: &Limits) -> Bounds {
        let capacity =
            Capacity { percent: self.target_capacity, direction: self.target_capacity_direction };
        let min = self.min_replicas.unwrap_or(limits.min.into());
        let max = self.max_replicas.unwrap_or(limits.max.into());
        Bounds::new(min, self.initial_replicas, max, capacity)
    }

    /// Seconds over which requests are aggregated.
    pub(crate) fn look_back_s(&self) -> f64 {
        self.look_back_period_s.unwrap_or(30.0)
    }
}

impl Era {
    /// How the key `era` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Legacy => "2.9",
            Self::Mid => "2.47",
            Self::Modern => "2.60",
        }
    }
}
