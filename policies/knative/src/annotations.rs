//! Annotations as text, and what admission says to them.

use std::{collections::BTreeMap, time::Duration};

use crate::{Algorithm, Cluster, Fault, HPA, KPA, Metric, Settings, duration};

/// Prefix of the annotations that concern autoscaling.
pub const GROUP: &str = "autoscaling.knative.dev/";

/// What reads as another class of Knative's own.
const DOMAIN: &str = ".knative.dev";
const SPELLINGS_MAX: usize = 2;

/// Names of the annotations without their group: the one of today, and the one of old.
const MIN_SCALE: Key = ["min-scale", "minScale"];
const MAX_SCALE: Key = ["max-scale", "maxScale"];
const INITIAL_SCALE: Key = ["initial-scale", "initialScale"];
const ACTIVATION_SCALE: Key = ["activation-scale", ""];
const PANIC_WINDOW: Key = ["panic-window-percentage", "panicWindowPercentage"];
const PANIC_THRESHOLD: Key = ["panic-threshold-percentage", "panicThresholdPercentage"];
const TARGET: Key = ["target", ""];
const UTILIZATION: Key = ["target-utilization-percentage", "targetUtilizationPercentage"];
const BURST: Key = ["target-burst-capacity", "targetBurstCapacity"];
const WINDOW: Key = ["window", ""];
const RETENTION: Key = ["scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod"];
const DELAY: Key = ["scale-down-delay", "scaleDownDelay"];
const CLASS: Key = ["class", ""];
const METRIC: Key = ["metric", ""];
const ALGORITHM: Key = ["metric-aggregation-algorithm", "metricAggregationAlgorithm"];

type Key = [&'static str; SPELLINGS_MAX];

/// Reads the annotations of a revision, given by their full names, over those of `cluster`.
///
/// The faults are those for which admission refuses the revision; a setting at fault is left out.
/// As in Knative, unknown annotations are ignored, and the aggregation algorithm is looked at only
/// if the class is named as well. Source: `pkg/apis/autoscaling/annotation_validation.go` of
/// knative/serving at 98e5ef90.
pub fn read(annotations: &BTreeMap<String, String>, cluster: Cluster) -> (Settings, Vec<Fault>) {
    let mut reader = Reader { annotations, faults: Vec::new() };
    reader.check_class(&cluster);
    let settings = Settings {
        metric: match reader.get(METRIC) {
            Some("rps") => Metric::Rps,
            _ => Metric::Concurrency,
        },
        algorithm: match reader.get(ALGORITHM) {
            Some("weighted-exponential" | "weightedExponential") => Algorithm::WeightedExponential,
            _ => Algorithm::Linear,
        },
        min_scale: reader.count(MIN_SCALE),
        max_scale: reader.count(MAX_SCALE),
        initial_scale: reader.initial_scale(),
        activation_scale: reader.count(ACTIVATION_SCALE),
        target: reader.float(TARGET),
        target_utilization: reader.float(UTILIZATION),
        panic_window_percentage: reader.float(PANIC_WINDOW),
        panic_threshold_percentage: reader.float(PANIC_THRESHOLD),
        target_burst_capacity: reader.float(BURST),
        window: reader.span(WINDOW),
        scale_down_delay: reader.span(DELAY),
        scale_to_zero_pod_retention_period: reader.span(RETENTION),
        container_concurrency: 0,
        progress_deadline: None,
        cluster,
    };
    let mut faults = reader.faults;
    faults.extend(settings.faults());
    (settings, faults)
}

struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn get(&self, key: Key) -> Option<&'a str> {
        let spellings = key.iter().filter(|name| !name.is_empty());
        let mut found =
            spellings.filter_map(|name| self.annotations.get(&format!("{GROUP}{name}")));
        found.next().map(String::as_str)
    }

    fn refuse(&mut self, key: Key, text: String) {
        self.faults.push(Fault { key: key[0], text });
    }

    fn parsed<T>(&mut self, key: Key, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.get(key)?;
        let value = parse(text);
        if value.is_none() {
            self.refuse(key, format!("invalid value: {text}"));
        }
        value
    }

    fn count(&mut self, key: Key) -> Option<u32> {
        let parse = |text: &str| text.parse::<i32>().ok()?.try_into().ok();
        self.parsed(key, parse)
    }

    /// Admission reads this one with more bits than the autoscaler, which ignores what is too big.
    fn initial_scale(&mut self) -> Option<u32> {
        let parse = |text: &str| text.parse::<i64>().ok().filter(|&scale| scale >= 0);
        self.parsed(INITIAL_SCALE, parse)
            .and_then(|scale| i32::try_from(scale).ok()?.try_into().ok())
    }

    fn float(&mut self, key: Key) -> Option<f64> {
        self.parsed(key, |text| text.parse().ok().filter(|value: &f64| value.is_finite()))
    }

    fn span(&mut self, key: Key) -> Option<Duration> {
        self.parsed(key, |text| duration::parse(text)?.length())
    }

    fn check_class(&mut self, cluster: &Cluster) {
        let class = self.get(CLASS);
        if let Some(class) = class
            && class.ends_with(DOMAIN)
            && ![KPA, HPA].contains(&class)
        {
            self.refuse(CLASS, format!("invalid value: {class}"));
        }
        if let Some(metric) = self.get(METRIC) {
            let is_known = match class.unwrap_or(&cluster.pod_autoscaler_class) {
                KPA => ["concurrency", "rps"].contains(&metric),
                HPA => !metric.is_empty(),
                _ => true,
            };
            if !is_known {
                self.refuse(METRIC, format!("invalid value: {metric}"));
            }
        }
        let known = ["", "linear", "weighted-exponential", "weightedExponential"];
        if let Some(algorithm) = self.get(ALGORITHM)
            && class == Some(KPA)
            && !known.contains(&algorithm)
        {
            self.refuse(ALGORITHM, format!("invalid value: {algorithm}"));
        }
    }
}
