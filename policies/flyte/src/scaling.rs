//! The options of `flyte.app.Scaling`, and what the back end makes of them for Knative.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

/// A `Scaling`, with the rules of `flyte/app/_types.py` of Flyte 2.12.1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Fewest and most replicas.
    pub replicas: (f64, f64),
    /// What replicas are counted from; none leaves it to Knative.
    pub metric: Option<Metric>,
    /// Seconds; none and 0 leave it to Knative.
    pub scaledown_after: Option<f64>,
}

/// What replicas are counted from.
///
/// Written as `{"Concurrency": 10}` or `{"RequestRate": 10}`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Requests inside one replica at a time.
    Concurrency(f64),
    /// Requests per second and replica.
    RequestRate(f64),
}

impl Default for Scaling {
    fn default() -> Self {
        Self { replicas: (0.0, 1.0), metric: None, scaledown_after: None }
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MetricVisitor)
    }
}

struct MetricVisitor;

impl<'de> Visitor<'de> for MetricVisitor {
    type Value = Metric;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(r#"{"Concurrency": number} or {"RequestRate": number}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Metric, A::Error> {
        #[derive(Deserialize)]
        enum Written {
            Concurrency(f64),
            RequestRate(f64),
        }
        Ok(match Written::deserialize(MapAccessDeserializer::new(map))? {
            Written::Concurrency(value) => Metric::Concurrency(value),
            Written::RequestRate(value) => Metric::RequestRate(value),
        })
    }
}

impl Metric {
    /// The number in it.
    pub fn value(self) -> f64 {
        match self {
            Self::Concurrency(value) | Self::RequestRate(value) => value,
        }
    }

    /// Checks the number.
    ///
    /// # Errors
    ///
    /// What the original refuses with a `ValueError`, and its text.
    pub fn check(self) -> Result<(), String> {
        let name = match self {
            Self::Concurrency(_) => "Concurrency",
            Self::RequestRate(_) => "Request rate",
        };
        // The original asks whether it is too small, which NaN is not.
        match self.value() < 1.0 {
            true => Err(format!("{name} must be greater than or equal to 1, got {}", self.value())),
            false => Ok(()),
        }
    }
}

/// Checks a single count, which stands for both bounds. 0 passes.
///
/// # Errors
///
/// What the original refuses with a `ValueError`, and its text.
pub fn check_fixed(replicas: f64) -> Result<(), String> {
    match replicas < 0.0 {
        true => Err(format!("replicas must be greater than or equal to 0, got {replicas}")),
        false => Ok(()),
    }
}

/// Checks two bounds. Here, unlike in a single count, a maximum of 0 is refused.
///
/// # Errors
///
/// What the original refuses with a `ValueError`, and its text.
pub fn check_range(min: f64, max: f64) -> Result<(), String> {
    if min < 0.0 {
        return Err(format!("min_replicas must be greater than or equal to 0, got {min}"));
    }
    if max < 1.0 || max < min {
        return Err(format!(
            "max_replicas must be greater than or equal to 1 and min_replicas, got {max}"
        ));
    }
    Ok(())
}

impl Scaling {
    /// What the client sends. 0 is as good as nothing to it.
    pub fn message(&self) -> Message {
        Message {
            replicas: Some((self.replicas.0 as i64, self.replicas.1 as i64)),
            metric: self.metric,
            scaledown_s: self.scaledown_after.filter(|seconds| *seconds != 0.0),
        }
    }
}

/// The message `AutoscalingConfig` that the client sends to the back end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Message {
    /// Fewest and most replicas.
    pub replicas: Option<(i64, i64)>,
    /// What replicas are counted from.
    pub metric: Option<Metric>,
    /// The period that becomes Knative's stable window, in seconds.
    pub scaledown_s: Option<f64>,
}

/// What stands before the name of every annotation.
const PREFIX: &str = "autoscaling.knative.dev/";

impl Message {
    /// The annotations the back end puts on the Knative service, after
    /// `buildAutoscalingAnnotations` in `app/internal/k8s/app_client.go` of flyteorg/flyte at
    /// 6fadb90d. The period becomes the *window*.
    pub fn annotations(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut put = |name: &str, value: String| all.push((format!("{PREFIX}{name}"), value));
        if let Some((min, max)) = self.replicas {
            put("min-scale", min.to_string());
            put("max-scale", max.to_string());
        }
        if let Some(metric) = self.metric {
            let name = match metric {
                Metric::Concurrency(_) => "concurrency",
                Metric::RequestRate(_) => "rps",
            };
            put("metric", name.into());
            put("target", metric.value().to_string());
        }
        if let Some(seconds) = self.scaledown_s {
            put("window", go_duration(seconds as i64));
        }
        all
    }
}

/// Whole seconds as Go prints a duration: `45s`, `5m0s`, `1h0m0s`.
fn go_duration(seconds: i64) -> String {
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}
