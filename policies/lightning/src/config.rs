//! The parameters, with the original's names, units and defaults.

use serde::Deserialize;
use serde_json::Value;

/// Parameters of the AutoScaler. Unknown keys are errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Fewest replicas. The original's default is 1; here it is the deployment's own minimum,
    /// because the host would enforce that one anyway. Negative numbers pass, as in the original.
    pub min_replicas: Option<i64>,
    /// Most replicas. The original's default is 4; here it is the deployment's own maximum.
    pub max_replicas: Option<i64>,
    /// Seconds that must have passed since the last change before replicas are added. Default 10.
    pub scale_out_interval: f64,
    /// Seconds that must have passed since the last change before one is removed. Default 10.
    pub scale_in_interval: f64,
    /// Requests per replica from which one more is wanted; one less below a quarter. Default 8.
    pub max_batch_size: i64,
    /// Seconds to wait for a full batch. The host batches; ignored here. Default 1.
    pub timeout_batching: f64,
    /// Path of the API. The host routes; ignored here. Default `api/predict`.
    pub endpoint: String,
    /// Address that answers while there is no replica. The host does that; ignored here.
    pub cold_start_proxy: Option<Value>,
    /// Extension: a custom series whose value, where present, replaces the rule's answer, as a
    /// method `scale()` of the user's own does in the original. Fractions are rounded up.
    pub target_series: Option<String>,
    /// Extension: a custom series with the number of pending works, where present, instead of the
    /// starting replicas. In the original the number comes from the user's own works.
    pub pending_works_series: Option<String>,
    /// Extension: lets the first change through at once. In the original even the first replica
    /// waits for `scale_out_interval`. Default false, which is faithful.
    pub start_at_once: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_replicas: None,
            max_replicas: None,
            scale_out_interval: 10.0,
            scale_in_interval: 10.0,
            max_batch_size: 8,
            timeout_batching: 1.0,
            endpoint: "api/predict".into(),
            cold_start_proxy: None,
            target_series: None,
            pending_works_series: None,
            start_at_once: false,
        }
    }
}

impl Config {
    /// What the constructor of the original checks, with its texts. The first one has its words
    /// the wrong way round there as well.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if let (Some(min), Some(max)) = (self.min_replicas, self.max_replicas)
            && max < min
        {
            return Err(format!(
                "`max_replicas={max}` must be less than or equal to `min_replicas={min}`."
            ));
        }
        match &self.cold_start_proxy {
            None | Some(Value::String(_)) => Ok(()),
            Some(proxy) if is_empty(proxy) => Ok(()),
            Some(_) => Err("cold_start_proxy must be of type ColdStartProxy or str".into()),
        }
    }

    /// The endpoint as the original serves it: with a slash in front.
    pub fn endpoint_path(&self) -> String {
        let slash = if self.endpoint.starts_with('/') { "" } else { "/" };
        format!("{slash}{}", self.endpoint)
    }
}

/// Whether the original's Python takes the value for no proxy at all.
fn is_empty(proxy: &Value) -> bool {
    match proxy {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
