//! The options of `.autoscale()`, checked and turned into annotations as in Kubetorch.

use std::collections::BTreeMap;

use knative::{HPA, KPA, annotations::GROUP};
use serde_json::{Map, Value};

use crate::python;

/// The options Kubetorch knows, in its order. All others become annotations word for word.
pub const OPTIONS: [&str; 12] = [
    "target",
    "window",
    "metric",
    "target_utilization",
    "min_scale",
    "max_scale",
    "initial_scale",
    "concurrency",
    "scale_to_zero_pod_retention_period",
    "scale_down_delay",
    "autoscaler_class",
    "progress_deadline",
];

/// Annotations that options become as text, with their names.
const AS_TEXT: [(&str, &str); 5] = [
    ("target", "target"),
    ("min_scale", "min-scale"),
    ("max_scale", "max-scale"),
    ("target_utilization", "target-utilization-percentage"),
    ("initial_scale", "initial-scale"),
];

/// Annotations that options become unchanged, with their names.
const AS_IS: [(&str, &str); 4] = [
    ("window", "window"),
    ("metric", "metric"),
    ("scale_to_zero_pod_retention_period", "scale-to-zero-pod-retention-period"),
    ("scale_down_delay", "scale-down-delay"),
];

/// Why Kubetorch refuses something: the type of its exception and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the exception.
    pub error_type: &'static str,
    /// What is wrong, with the value.
    pub text: String,
}

impl Refusal {
    pub(crate) fn new(error_type: &'static str, text: impl Into<String>) -> Self {
        Self { error_type, text: text.into() }
    }

    fn option(text: String) -> Self {
        Self::new("AutoScalingError", text)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.error_type, self.text)
    }
}

/// The checked options of `.autoscale()` (`kubetorch` 0.5.1, `provisioning/autoscaling.py`).
#[derive(Debug, Clone, PartialEq)]
pub struct Autoscaling {
    /// Those of [`OPTIONS`] that are not `None`.
    options: Map<String, Value>,
    /// The others, with the name of their annotation.
    extra: BTreeMap<String, Value>,
}

impl Autoscaling {
    /// Checks the options as the constructor of `AutoscalingConfig` does.
    ///
    /// # Errors
    ///
    /// `AutoScalingError` with the option and its value; `TypeError` or `AttributeError` where a
    /// value has a type on which the check itself fails.
    pub fn new(arguments: Map<String, Value>) -> Result<Self, Refusal> {
        let (known, unknown): (Map<_, _>, Map<_, _>) =
            arguments.into_iter().partition(|(name, _)| OPTIONS.contains(&name.as_str()));
        let options = known.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let extra = unknown
            .into_iter()
            .map(|(name, value)| (format!("{GROUP}{name}"), python::text(&value).into()))
            .collect();
        let autoscaling = Self { options, extra };
        autoscaling.check()?;
        Ok(autoscaling)
    }

    /// The option of that name, unless it is `None`.
    pub fn option(&self, name: &str) -> Option<&Value> {
        self.options.get(name)
    }

    fn check(&self) -> Result<(), Refusal> {
        if let (Some(min), Some(max)) = (self.option("min_scale"), self.option("max_scale"))
            && is_greater(min, max)?
        {
            return Err(Refusal::option(format!(
                "min_scale cannot be greater than max_scale: {} > {}",
                python::text(min),
                python::text(max)
            )));
        }
        if let Some(window) = self.option("window") {
            let Value::String(window) = window else {
                return Err(Refusal::new(
                    "AttributeError",
                    format!("window must be text: {window}"),
                ));
            };
            if !window.ends_with(['s', 'm', 'h']) {
                let text = format!("window must end with s, m, or h: \"{window}\"");
                return Err(Refusal::option(text));
            }
        }
        if let Some(utilization) = self.option("target_utilization") {
            let Some(number) = python::number(utilization) else {
                let text = format!("target_utilization must be a number: {utilization}");
                return Err(Refusal::new("TypeError", text));
            };
            if number <= 0.0 || number > 100.0 {
                let text = format!("target_utilization must be between 1 and 100: {utilization}");
                return Err(Refusal::option(text));
            }
        }
        self.check_duration("scale_to_zero_pod_retention_period", "'30s', '1m5s'")?;
        self.check_duration("scale_down_delay", "'15m', '1h'")?;
        if let Some(class) = self.option("autoscaler_class")
            && ![KPA, HPA].map(Value::from).contains(class)
        {
            let text = format!("autoscaler_class must be '{KPA}' or '{HPA}': {class}");
            return Err(Refusal::option(text));
        }
        self.check_duration("progress_deadline", "'10m', '600s'")
    }

    fn check_duration(&self, name: &str, examples: &str) -> Result<(), Refusal> {
        match self.option(name) {
            None => Ok(()),
            Some(Value::String(text)) if is_duration(text) => Ok(()),
            Some(Value::String(text)) => {
                let text =
                    format!("{name} must be a valid duration (e.g., {examples}): \"{text}\"");
                Err(Refusal::option(text))
            }
            Some(other) => Err(Refusal::new("TypeError", format!("{name} must be text: {other}"))),
        }
    }

    /// All annotations these options are meant to become, by their full names.
    pub fn annotations(&self) -> BTreeMap<String, Value> {
        let mut annotations = BTreeMap::new();
        let class = self.option("autoscaler_class").cloned();
        annotations.insert(format!("{GROUP}class"), class.unwrap_or_else(|| KPA.into()));
        for (option, annotation) in AS_TEXT {
            if let Some(value) = self.option(option) {
                annotations.insert(format!("{GROUP}{annotation}"), python::text(value).into());
            }
        }
        for (option, annotation) in AS_IS {
            if let Some(value) = self.option(option) {
                annotations.insert(format!("{GROUP}{annotation}"), value.clone());
            }
        }
        annotations.extend(self.extra.clone());
        annotations
    }

    /// The annotations that have reached the cluster since 0.4.0: minimum, maximum and target.
    pub fn deployed_annotations(&self) -> BTreeMap<String, Value> {
        let deployed = ["min_scale", "max_scale", "target"];
        let written = AS_TEXT.iter().filter(|(option, _)| deployed.contains(option));
        written
            .filter_map(|(option, name)| Some((format!("{GROUP}{name}"), self.option(option)?)))
            .map(|(name, value)| (name, python::text(value).into()))
            .collect()
    }
}

fn is_greater(left: &Value, right: &Value) -> Result<bool, Refusal> {
    match (python::number(left), python::number(right), left, right) {
        (Some(left), Some(right), _, _) => Ok(left > right),
        (_, _, Value::String(left), Value::String(right)) => Ok(left > right),
        _ => Err(Refusal::new(
            "TypeError",
            format!("min_scale and max_scale cannot be compared: {left} and {right}"),
        )),
    }
}

/// Digits and one of `s`, `m` and `h`, once or more. A line break at the end passes, as there.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_suffix('\n').unwrap_or(text);
    loop {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest = match rest[digits..].strip_prefix(['s', 'm', 'h']) {
            Some(rest) if digits > 0 => rest,
            _ => return false,
        };
        if rest.is_empty() {
            return true;
        }
    }
}
