//! From the options of an app to the settings of Knative's pod autoscaler.

use std::time::Duration;

use knative::Settings;

use crate::config::{Config, ScaledownAs};
use crate::scaling::{Message, Metric};

/// What Knative is set to. All that Flyte leaves alone is Knative's default: 70 % utilization, no
/// hard limit of concurrency, a stable window of 60 s.
pub fn settings(config: &Config) -> Settings {
    let message = config.message();
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    let period = message.scaledown_s.map(|seconds| Duration::from_secs(seconds as u64));
    let (window, scale_down_delay) = match config.scaledown_as.unwrap_or_default() {
        ScaledownAs::Window => (period, None),
        ScaledownAs::Delay => (None, period),
    };
    Settings {
        metric: metric(&message),
        target: message.metric.map(Metric::value),
        target_utilization: config.target_utilization_percentage,
        window,
        scale_down_delay,
        min_scale: message.replicas.map(|(min, _)| count(min)),
        max_scale: message.replicas.map(|(_, max)| count(max)),
        ..Settings::default()
    }
}

fn metric(message: &Message) -> knative::Metric {
    match message.metric {
        None | Some(Metric::Concurrency(_)) => knative::Metric::Concurrency,
        Some(Metric::RequestRate(_)) => knative::Metric::Rps,
    }
}
