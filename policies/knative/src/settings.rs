//! What one revision sets, over what its cluster sets.

use std::time::Duration;

use crate::{Cluster, Spec, TARGET_MIN, WINDOW_MAX, WINDOW_MIN, duration};

/// Largest number of pods an annotation can name.
const SCALE_MAX: u32 = i32::MAX as u32;

/// What is measured and held at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// Requests at a time, waiting ones included. The default.
    #[default]
    Concurrency,
    /// Requests that arrive in a second.
    Rps,
}

impl Metric {
    /// As in annotations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Rps => "rps",
        }
    }
}

/// How samples become an average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// All seconds alike. The default.
    #[default]
    Linear,
    /// Newer seconds weigh more.
    WeightedExponential,
}

/// Settings of one revision: its annotations, each of which wins over the [`Cluster`].
///
/// `None` and the default of each field mean "the cluster's". Sources: `pkg/apis/autoscaling/
/// {register,annotation_validation}.go` of knative/serving at 98e5ef90.
///
/// ```
/// use knative::{Kpa, Metric, Settings};
///
/// let settings = Settings { metric: Metric::Rps, target: Some(50.0), ..Settings::default() };
/// assert!(Kpa::new(settings).is_ok());
/// let settings = Settings { target_utilization: Some(101.0), ..Settings::default() };
/// assert_eq!(
///     settings.validate().unwrap_err(),
///     "target-utilization-percentage: expected 1 <= 101 <= 100"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// `metric`.
    pub metric: Metric,
    /// `target` of the metric per pod, at least 0.01.
    pub target: Option<f64>,
    /// `target-utilization-percentage`: part of the target that is aimed at, 1 to 100.
    pub target_utilization: Option<f64>,
    /// Hard limit of requests at a time per pod (`containerConcurrency`); 0 is none. Caps the
    /// target of the metric concurrency, and stands for it where no target is given.
    pub container_concurrency: u32,
    /// `window`: the stable window, whole seconds from 6 s to 1 h.
    pub window: Option<Duration>,
    /// `panic-window-percentage` of the stable window, 1 to 100.
    pub panic_window_percentage: Option<f64>,
    /// `panic-threshold-percentage`, 110 to 1000.
    pub panic_threshold_percentage: Option<f64>,
    /// `target-burst-capacity`, at least 0, or -1 for no limit.
    pub target_burst_capacity: Option<f64>,
    /// `min-scale`. Where neither this nor the cluster's is set, the deployment's minimum.
    pub min_scale: Option<u32>,
    /// `max-scale`; 0 is no limit but the deployment's. Where neither this nor the cluster's is
    /// set, the deployment's maximum.
    pub max_scale: Option<u32>,
    /// `initial-scale`: pods a new revision starts with.
    pub initial_scale: Option<u32>,
    /// `activation-scale`: fewest pods unless there are none, at least 2.
    pub activation_scale: Option<u32>,
    /// `scale-down-delay`: time for which the largest wish counts, whole seconds up to 1 h.
    pub scale_down_delay: Option<Duration>,
    /// `scale-to-zero-pod-retention-period`: least time the last pod stays, up to 1 h.
    pub scale_to_zero_pod_retention_period: Option<Duration>,
    /// `metric-aggregation-algorithm`.
    pub algorithm: Algorithm,
    /// `serving.knative.dev/progress-deadline`; a revision that is not ready 30 s after it goes
    /// to zero. Default: 600 s.
    pub progress_deadline: Option<Duration>,
    /// What the cluster sets.
    pub cluster: Cluster,
}

/// Why an annotation is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The annotation, without its group.
    pub key: &'static str,
    /// Its value and what is allowed.
    pub text: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

impl Settings {
    /// Checks the values like the admission of Knative checks annotations, and the cluster's.
    ///
    /// # Errors
    ///
    /// All values that are refused, each with its key, itself and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        self.cluster.validate()?;
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(());
        }
        Err(faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "))
    }

    /// The annotations that admission refuses, in the order it looks at them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check_scales(&mut faults);
        self.check_floats(&mut faults);
        self.check_spans(&mut faults);
        if self.initial_scale == Some(0) && !self.cluster.allow_zero_initial_scale {
            faults.push(Fault {
                key: "initial-scale",
                text: "0 not allowed by cluster, expected at least 1".into(),
            });
        }
        faults
    }

    fn check_scales(&self, faults: &mut Vec<Fault>) {
        let mut fault = |key, text| faults.push(Fault { key, text });
        for (key, scale) in [
            ("min-scale", self.min_scale),
            ("max-scale", self.max_scale),
            ("initial-scale", self.initial_scale),
        ] {
            if let Some(scale) = scale.filter(|&scale| scale > SCALE_MAX) {
                fault(key, format!("expected 0 <= {scale} <= {SCALE_MAX}"));
            }
        }
        let (min, max) = (self.min_scale.unwrap_or(0), self.max_scale.unwrap_or(0));
        if max != 0 && max < min {
            fault("max-scale", format!("max-scale={max} is less than min-scale={min}"));
            fault("min-scale", format!("max-scale={max} is less than min-scale={min}"));
        }
        let limit = self.cluster.max_scale_limit;
        if limit != 0 && self.max_scale.is_some() && !(1..=limit).contains(&max) {
            fault("max-scale", format!("expected 1 <= {max} <= {limit}, the cluster's limit"));
        }
        let Some(activation) = self.activation_scale else { return };
        if !(2..=SCALE_MAX).contains(&activation) {
            fault("activation-scale", format!("{activation} must be greater than 1"));
        } else if min > activation {
            let text = format!("min-scale={min} is greater than activation-scale={activation}");
            fault("activation-scale", text);
        } else if max != 0 && max < activation {
            let text = format!("max-scale={max} is less than activation-scale={activation}");
            fault("activation-scale", text);
        }
    }

    fn check_floats(&self, faults: &mut Vec<Fault>) {
        let mut fault = |key, text| faults.push(Fault { key, text });
        for (key, value, least, most) in [
            ("panic-window-percentage", self.panic_window_percentage, 1.0, 100.0),
            ("panic-threshold-percentage", self.panic_threshold_percentage, 110.0, 1000.0),
            ("target-utilization-percentage", self.target_utilization, 1.0, 100.0),
        ] {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                fault(key, format!("expected {least} <= {value} <= {most}"));
            }
        }
        if let Some(target) = self.target.filter(|&target| target.is_nan() || target < TARGET_MIN) {
            fault("target", format!("target {target} should be at least {TARGET_MIN}"));
        }
        let allowed = |burst: f64| burst >= 0.0 || burst == -1.0;
        if let Some(burst) = self.target_burst_capacity.filter(|&burst| !allowed(burst)) {
            fault("target-burst-capacity", format!("expected 0 <= {burst}, or -1 for no limit"));
        }
    }

    fn check_spans(&self, faults: &mut Vec<Fault>) {
        let mut check = |key, span: Option<Duration>, least, whole| {
            let Some(span) = span else { return };
            let text = if !(least..=WINDOW_MAX).contains(&span) {
                let [span, least, most] = [span, least, WINDOW_MAX].map(duration::text);
                format!("expected {least} <= {span} <= {most}")
            } else if whole && span.subsec_nanos() != 0 {
                let span = duration::text(span);
                format!("{span} must be specified with at most second precision")
            } else {
                return;
            };
            faults.push(Fault { key, text });
        };
        let retention = self.scale_to_zero_pod_retention_period;
        check("window", self.window, WINDOW_MIN, true);
        check("scale-to-zero-pod-retention-period", retention, Duration::ZERO, false);
        check("scale-down-delay", self.scale_down_delay, Duration::ZERO, true);
    }

    /// What a pod is meant to hold, and what it can hold at most.
    ///
    /// The smaller of the target and the hard limit counts for the metric concurrency. Source:
    /// `pkg/reconciler/autoscaling/resources/target.go`.
    pub fn target(&self) -> Target {
        let hard_limit = f64::from(self.container_concurrency);
        let (default, fraction) = match self.metric {
            Metric::Rps => (self.cluster.rps_target_default, self.cluster.target_utilization),
            Metric::Concurrency => (
                match self.container_concurrency {
                    0 => self.cluster.container_concurrency_target_default,
                    _ => hard_limit,
                },
                self.cluster.container_concurrency_target_fraction,
            ),
        };
        let is_capped = self.metric == Metric::Concurrency && self.container_concurrency != 0;
        let total = match self.target {
            Some(target) if is_capped => target.min(hard_limit),
            Some(target) => target,
            None => default,
        };
        let fraction = self.target_utilization.map_or(fraction, |percentage| percentage / 100.0);
        Target { target: (total * fraction).max(TARGET_MIN), total }
    }

    /// The stable window: the revision's, else the cluster's.
    pub fn stable_window(&self) -> Duration {
        self.window.unwrap_or(self.cluster.stable_window)
    }

    /// The panic window: its part of the stable one in whole seconds, at least one.
    pub fn panic_window(&self) -> Duration {
        let percentage =
            self.panic_window_percentage.unwrap_or(self.cluster.panic_window_percentage);
        let seconds = (self.stable_window().as_secs_f64() * percentage / 100.0).round();
        Duration::from_secs((seconds as u64).max(1))
    }

    /// Requests to be ready for without queueing: the revision's, else the cluster's.
    pub fn burst_capacity(&self) -> f64 {
        self.target_burst_capacity.unwrap_or(self.cluster.target_burst_capacity)
    }

    /// Pods a new revision starts with. A 0 that the cluster does not allow is not looked at.
    pub fn initial_scale(&self) -> u32 {
        match self.initial_scale {
            Some(0) if !self.cluster.allow_zero_initial_scale => self.cluster.initial_scale,
            Some(scale) => scale,
            None => self.cluster.initial_scale,
        }
    }

    /// What the decision needs of all this.
    pub fn spec(&self) -> Spec {
        let threshold = self.panic_threshold_percentage;
        let Target { target, total } = self.target();
        Spec {
            target,
            total,
            burst: self.burst_capacity(),
            panic_threshold: threshold.unwrap_or(self.cluster.panic_threshold_percentage) / 100.0,
            max_up: self.cluster.max_scale_up_rate,
            max_down: self.cluster.max_scale_down_rate,
            stable_window_ms: self.stable_window().as_millis() as u64,
            activation: self.activation_scale.unwrap_or(0).into(),
            reachable: true,
        }
    }
}

/// See [`Settings::target`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// What a pod is meant to hold.
    pub target: f64,
    /// What it can hold at most.
    pub total: f64,
}
