//! What an operator of Knative sets for a whole cluster.

use std::time::Duration;

use crate::{TARGET_MIN, WINDOW_MAX, WINDOW_MIN, duration};

/// The class that is this autoscaler.
pub const KPA: &str = "kpa.autoscaling.knative.dev";
/// The class that hands over to the autoscaler of Kubernetes.
pub const HPA: &str = "hpa.autoscaling.knative.dev";

/// The config map `config-autoscaler`, with the defaults of Knative.
///
/// Everything a revision does not set itself comes from here. Sources: `pkg/autoscaler/config/
/// config.go` of knative/serving at 98e5ef90.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// `pod-autoscaler-class`. Default: [`KPA`]. Decides which metrics are known.
    pub pod_autoscaler_class: String,
    /// `enable-scale-to-zero`. Default true; else the last replica stays.
    pub enable_scale_to_zero: bool,
    /// `allow-zero-initial-scale`. Default false.
    pub allow_zero_initial_scale: bool,
    /// `max-scale-up-rate`: the largest factor in one decision. Default 1000, above 1.
    pub max_scale_up_rate: f64,
    /// `max-scale-down-rate`: the largest divisor in one decision. Default 2, above 1.
    pub max_scale_down_rate: f64,
    /// `container-concurrency-target-percentage` as a fraction. Default 0.7, above 0 to 1.
    pub container_concurrency_target_fraction: f64,
    /// `container-concurrency-target-default`: requests at a time. Default 100.
    pub container_concurrency_target_default: f64,
    /// `requests-per-second-target-default`. Default 200.
    pub rps_target_default: f64,
    /// Part of the target that is aimed at with requests per second. 0.7; has no key.
    pub target_utilization: f64,
    /// `target-burst-capacity`: spare requests, -1 for no limit. Default 211.
    pub target_burst_capacity: f64,
    /// `activator-capacity`: requests one activator can hold. Default 100, at least 1. Without
    /// effect here: the host has no activators.
    pub activator_capacity: f64,
    /// `panic-window-percentage` of the stable window. Default 10, from 1 to 100.
    pub panic_window_percentage: f64,
    /// `panic-threshold-percentage` of what the ready pods can do. Default 200.
    pub panic_threshold_percentage: f64,
    /// `initial-scale`. Default 1.
    pub initial_scale: u32,
    /// `min-scale`. Default 0.
    pub min_scale: u32,
    /// `max-scale`; 0 is no limit. Default 0.
    pub max_scale: u32,
    /// `max-scale-limit` that a revision may not exceed; 0 is none. Default 0.
    pub max_scale_limit: u32,
    /// `stable-window`. Default 60 s, whole seconds from 6 s to 1 h.
    pub stable_window: Duration,
    /// `scale-down-delay`. Default 0, whole seconds.
    pub scale_down_delay: Duration,
    /// `scale-to-zero-grace-period`. Default 30 s, above 0.
    pub scale_to_zero_grace_period: Duration,
    /// `scale-to-zero-pod-retention-period`. Default 0.
    pub scale_to_zero_pod_retention_period: Duration,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            pod_autoscaler_class: KPA.into(),
            enable_scale_to_zero: true,
            allow_zero_initial_scale: false,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            container_concurrency_target_fraction: 0.7,
            container_concurrency_target_default: 100.0,
            rps_target_default: 200.0,
            target_utilization: 0.7,
            target_burst_capacity: 211.0,
            activator_capacity: 100.0,
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            initial_scale: 1,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
            stable_window: Duration::from_secs(60),
            scale_down_delay: Duration::ZERO,
            scale_to_zero_grace_period: Duration::from_secs(30),
            scale_to_zero_pod_retention_period: Duration::ZERO,
        }
    }
}

impl Cluster {
    /// Reads the entries of the config map over the defaults.
    ///
    /// # Errors
    ///
    /// The first key that is unknown (Knative ignores those) or whose text cannot be read, and
    /// what [`validate`](Self::validate) finds.
    pub fn from_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut cluster = Self::default();
        for (key, text) in entries {
            cluster.set(key, text)?;
        }
        // Old config maps have fractions, so a percentage begins above 1.
        if cluster.container_concurrency_target_fraction > 1.0 {
            cluster.container_concurrency_target_fraction /= 100.0;
        }
        cluster.validate()?;
        Ok(cluster)
    }

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let bad = || format!("{key}: invalid value: {text}");
        let float = || text.trim().parse::<f64>().map_err(|_| bad());
        let count = || text.trim().parse::<u32>().map_err(|_| bad());
        let flag = || text.trim().parse::<bool>().map_err(|_| bad());
        let span = || duration::parse(text.trim()).and_then(|span| span.length()).ok_or_else(bad);
        match key {
            "pod-autoscaler-class" => self.pod_autoscaler_class = text.into(),
            "enable-scale-to-zero" => self.enable_scale_to_zero = flag()?,
            "allow-zero-initial-scale" => self.allow_zero_initial_scale = flag()?,
            "max-scale-up-rate" => self.max_scale_up_rate = float()?,
            "max-scale-down-rate" => self.max_scale_down_rate = float()?,
            "container-concurrency-target-percentage" => {
                self.container_concurrency_target_fraction = float()?;
            }
            "container-concurrency-target-default" => {
                self.container_concurrency_target_default = float()?;
            }
            "requests-per-second-target-default" => self.rps_target_default = float()?,
            "target-burst-capacity" => self.target_burst_capacity = float()?,
            "activator-capacity" => self.activator_capacity = float()?,
            "panic-window-percentage" => self.panic_window_percentage = float()?,
            "panic-threshold-percentage" => self.panic_threshold_percentage = float()?,
            "initial-scale" => self.initial_scale = count()?,
            "min-scale" => self.min_scale = count()?,
            "max-scale" => self.max_scale = count()?,
            "max-scale-limit" => self.max_scale_limit = count()?,
            "stable-window" => self.stable_window = span()?,
            "scale-down-delay" => self.scale_down_delay = span()?,
            "scale-to-zero-grace-period" => self.scale_to_zero_grace_period = span()?,
            "scale-to-zero-pod-retention-period" => {
                self.scale_to_zero_pod_retention_period = span()?;
            }
            _ => return Err(format!("unknown key `{key}` of the cluster")),
        }
        Ok(())
    }

    /// Checks the values like Knative checks its config map.
    ///
    /// # Errors
    ///
    /// The first value that is refused, with its key, itself and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        self.validate_times()?;
        self.validate_rates()?;
        self.validate_scales()
    }

    fn validate_times(&self) -> Result<(), String> {
        if self.scale_to_zero_grace_period.is_zero() {
            return Err("scale-to-zero-grace-period must be positive, was: 0s".into());
        }
        for (key, span) in
            [("scale-down-delay", self.scale_down_delay), ("stable-window", self.stable_window)]
        {
            if span.subsec_nanos() != 0 {
                let span = duration::text(span);
                return Err(format!(
                    "{key} = {span}, must be specified with at most second precision"
                ));
            }
        }
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&self.stable_window) {
            let [span, min, max] = [self.stable_window, WINDOW_MIN, WINDOW_MAX].map(duration::text);
            return Err(format!("stable-window = {span}, must be in [{min}; {max}] range"));
        }
        Ok(())
    }

    fn validate_rates(&self) -> Result<(), String> {
        let at_least = |key: &str, value: f64, least: f64| match value >= least {
            true => Ok(()),
            false => Err(format!("{key} = {value}, must be at least {least}")),
        };
        let above_one = |key: &str, value: f64| match value > 1.0 && value.is_finite() {
            true => Ok(()),
            false => Err(format!("{key} = {value}, must be greater than 1.0")),
        };
        let burst = self.target_burst_capacity;
        if !(burst >= 0.0 || burst == -1.0) {
            return Err(format!(
                "target-burst-capacity must be either non-negative or -1 (for unlimited), \
                 was: {burst}"
            ));
        }
        let fraction = self.container_concurrency_target_fraction;
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(format!(
                "container-concurrency-target-percentage = {fraction} is outside of valid range \
                 of (0, 100]"
            ));
        }
        let target = fraction * self.container_concurrency_target_default;
        if !(target >= TARGET_MIN && target.is_finite()) {
            return Err(format!(
                "container-concurrency-target-percentage and container-concurrency-target-default \
                 yield target concurrency of {target}, can't be less than {TARGET_MIN}"
            ));
        }
        at_least("requests-per-second-target-default", self.rps_target_default, TARGET_MIN)?;
        at_least("activator-capacity", self.activator_capacity, 1.0)?;
        above_one("max-scale-up-rate", self.max_scale_up_rate)?;
        above_one("max-scale-down-rate", self.max_scale_down_rate)?;
        let panic = self.panic_window_percentage;
        if !(1.0..=100.0).contains(&panic) {
            return Err(format!("panic-window-percentage = {panic}, must be in [1, 100] interval"));
        }
        match self.panic_threshold_percentage.is_nan() {
            true => Err("panic-threshold-percentage = NaN, must be a number".into()),
            false => Ok(()),
        }
    }

    fn validate_scales(&self) -> Result<(), String> {
        let (min, max, limit) = (self.min_scale, self.max_scale, self.max_scale_limit);
        if self.initial_scale == 0 && !self.allow_zero_initial_scale {
            return Err("initial-scale = 0, must be at least 0 (or at least 1 when \
                        allow-zero-initial-scale is false)"
                .into());
        }
        if limit > 0 && !(1..=limit).contains(&max) {
            return Err(format!(
                "max-scale = {max}, must be in [1, max-scale-limit({limit})] range"
            ));
        }
        if max > 0 && min > max {
            return Err(format!("min-scale ({min}) must be less than max-scale ({max})"));
        }
        Ok(())
    }
}
