//! A rule of one's own in the simplest form: the custom `scale()` from the documentation of
//! Lightning's AutoScaler (`lightning-app`, "Customizing the scaling logic").
//!
//! One replica more when each has a full batch to do, one less below a quarter of one. The original
//! divides by the number of works without looking, so it fails on its first turn, when there are
//! none yet; this one starts the first replica when there is a request for it.

use samovar_sdk::{Metrics, SimplePolicy, export_policy};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomScale {
    max_batch_size: f64,
}
export_policy!(CustomScale);

impl SimplePolicy for CustomScale {
    const NAME: &'static str = "custom-scale";

    fn check(&self) -> Result<(), String> {
        let is_fine = self.max_batch_size > 0.0;
        is_fine.then_some(()).ok_or_else(|| "`max_batch_size` must be above 0".to_owned())
    }

    fn scale(&mut self, replicas: f64, metrics: &Metrics) -> f64 {
        let works = replicas + metrics.pending_works;
        if works == 0.0 {
            return metrics.pending_requests.min(1.0);
        }
        let load = metrics.pending_requests / works;
        if load >= self.max_batch_size {
            replicas + 1.0
        } else if load < self.max_batch_size * 0.25 {
            replicas - 1.0
        } else {
            replicas
        }
    }
}

#[cfg(test)]
mod tests;
