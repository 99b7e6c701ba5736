//! The parameters: Kubetorch's options, those of the autoscaler beneath, and the cluster's.

use std::collections::BTreeMap;

use knative::{Cluster, Fault, HPA, Settings, annotations, duration};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{compute::Compute, python};

/// Most requests at a time per pod that Knative lets a revision ask for.
const CONCURRENCY_MAX: i64 = 1_000;
/// Annotations and the options that become them, where the names differ by more than hyphens.
const RENAMED: [(&str, &str); 1] = [("target-utilization-percentage", "target_utilization")];
/// Annotations that keep their own name here.
const OWN_NAMES: [&str; 5] = [
    "panic-window-percentage",
    "panic-threshold-percentage",
    "target-burst-capacity",
    "activation-scale",
    "metric-aggregation-algorithm",
];

/// Parameters of the policy. Unknown keys are errors.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Of the metric per replica, at least 0.01. Default: the cluster's, 100 requests at a time or
    /// 200 per second.
    pub target: Option<f64>,
    /// The stable window, such as `30s`: whole seconds from 6 s to 1 h. Default: the cluster's,
    /// 60 s.
    pub window: Option<String>,
    /// `concurrency` or `rps`. Default: `concurrency`.
    pub metric: Option<String>,
    /// Percentage of the target that is aimed at, 1 to 100. Default: the cluster's, 70.
    pub target_utilization: Option<f64>,
    /// Fewest replicas. Default: the cluster's, else the deployment's.
    pub min_scale: Option<i64>,
    /// Most replicas; 0 is no limit but the deployment's. Default: the cluster's, else the
    /// deployment's.
    pub max_scale: Option<i64>,
    /// Replicas a new deployment starts with. Default: the cluster's, 1.
    pub initial_scale: Option<i64>,
    /// Most requests at a time per replica, 0 to 1000; 0 is no limit. Caps the target, and stands
    /// for it where none is given. The host enforces its own limit. Default: none.
    pub concurrency: Option<i64>,
    /// Least time the last replica stays, such as `1m5s`, up to 1 h. Default `10m`.
    pub scale_to_zero_pod_retention_period: Option<String>,
    /// Time for which the largest wish counts, such as `15m`: whole seconds up to 1 h. Default
    /// `1m`.
    pub scale_down_delay: Option<String>,
    /// Only `kpa.autoscaling.knative.dev`, which is the default.
    pub autoscaler_class: Option<String>,
    /// Time to become ready, such as `10m`; 30 s after it the policy gives up and wants none.
    /// Default: from `launch_timeout`.
    pub progress_deadline: Option<String>,
    /// Seconds the first replica may take to be ready. Only makes the default of
    /// `progress_deadline`. Default 900.
    #[serde(skip_serializing)]
    pub launch_timeout: Option<i64>,
    /// Percentage of the stable window, 1 to 100. Default: the cluster's, 10.
    #[serde(rename = "panic-window-percentage", alias = "panicWindowPercentage")]
    pub panic_window_percentage: Option<Value>,
    /// Percentage of what the ready replicas can do, 110 to 1000. Default: the cluster's, 200.
    #[serde(rename = "panic-threshold-percentage", alias = "panicThresholdPercentage")]
    pub panic_threshold_percentage: Option<Value>,
    /// Spare requests, at least 0, or -1 for no limit. Default: the cluster's, 211.
    #[serde(rename = "target-burst-capacity", alias = "targetBurstCapacity")]
    pub target_burst_capacity: Option<Value>,
    /// Fewest replicas unless there are none, at least 2. Default: none.
    #[serde(rename = "activation-scale")]
    pub activation_scale: Option<Value>,
    /// `linear` or `weighted-exponential`. Default `linear`.
    #[serde(rename = "metric-aggregation-algorithm", alias = "metricAggregationAlgorithm")]
    pub metric_aggregation_algorithm: Option<Value>,
    /// Keys of Knative's config map `config-autoscaler`, with its defaults.
    #[serde(skip_serializing)]
    pub cluster: BTreeMap<String, Value>,
    /// Lets only `target`, `min_scale` and `max_scale` have an effect, as in Kubetorch since
    /// 0.4.0; the rest is checked and dropped. Default false.
    #[serde(skip_serializing)]
    pub as_deployed_since_0_4: bool,
}

impl Config {
    /// What the autoscaler is set to.
    ///
    /// # Errors
    ///
    /// What Kubetorch refuses (`AutoScalingError`), and what Knative refuses when the service is
    /// deployed: the parameter, its value and what is allowed.
    pub fn settings(&self) -> Result<Settings, String> {
        let cluster = self.cluster()?;
        let launch_timeout = self.launch_timeout.map(|seconds| ("launch_timeout", seconds.into()));
        let arguments = launch_timeout.into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut compute = Compute::new(&arguments.collect()).map_err(|refusal| refusal.text)?;
        let autoscaling = compute.autoscale(self.options()?).map_err(|no| no.to_string())?;
        let annotations = match self.as_deployed_since_0_4 {
            true => autoscaling.deployed_annotations(),
            false => autoscaling.annotations(),
        };
        let deadline = autoscaling.option("progress_deadline").map(python::text);
        let annotations: BTreeMap<_, _> =
            annotations.into_iter().map(|(name, value)| (name, python::text(&value))).collect();
        let (mut settings, faults) = annotations::read(&annotations, cluster);
        if !faults.is_empty() {
            return Err(faults.iter().map(worded).collect::<Vec<_>>().join("; "));
        }
        if self.as_deployed_since_0_4 {
            return Ok(settings);
        }
        if self.autoscaler_class.as_deref() == Some(HPA) {
            return Err(format!(
                "autoscaler_class: {HPA} scales on CPU and memory, which the host does not measure"
            ));
        }
        settings.container_concurrency = self.hard_limit()?;
        settings.progress_deadline = match deadline {
            None => None,
            Some(text) => Some(
                duration::parse(&text)
                    .and_then(duration::Span::length)
                    .ok_or_else(|| format!("progress_deadline: invalid value: {text}"))?,
            ),
        };
        Ok(settings)
    }

    /// Options as named arguments; those left out are left out.
    fn options(&self) -> Result<Map<String, Value>, String> {
        let options = serde_json::to_value(self).map_err(|error| error.to_string())?;
        let Value::Object(options) = options else { return Err("the options are a map".into()) };
        Ok(options.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }

    fn cluster(&self) -> Result<Cluster, String> {
        let texts = self.cluster.iter().map(|(key, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (key.as_str(), text)
        });
        let texts: Vec<_> = texts.collect();
        let entries = texts.iter().map(|(key, text)| (*key, text.as_str()));
        Cluster::from_entries(entries).map_err(|error| format!("cluster: {error}"))
    }

    fn hard_limit(&self) -> Result<u32, String> {
        let limit = self.concurrency.unwrap_or(0);
        let fits = (0..=CONCURRENCY_MAX).contains(&limit);
        u32::try_from(limit)
            .ok()
            .filter(|_| fits)
            .ok_or_else(|| format!("concurrency: expected 0 <= {limit} <= {CONCURRENCY_MAX}"))
    }
}

/// A fault in the words of the options.
fn worded(fault: &Fault) -> String {
    let renamed = RENAMED.iter().find(|(annotation, _)| *annotation == fault.key);
    match renamed {
        Some((_, option)) => format!("{option}: {}", fault.text),
        None if OWN_NAMES.contains(&fault.key) => fault.to_string(),
        None => format!("{}: {}", fault.key.replace('-', "_"), fault.text),
    }
}
