//! Numbers about itself that a handler tells the scaling policy.
//!
//! ```no_run
//! samovar_sdk::metrics::gauge("cache_entries", 12.0);
//! samovar_sdk::metrics::load(350.0); // For instance tokens per second.
//! ```

use crate::host::samovar::handler::metrics;

/// Sets a value of this instance. Policies read the sum, mean and maximum over all instances by
/// this name. A value that is no finite number is ignored.
pub fn gauge(name: &str, value: f64) {
    metrics::gauge(name, value);
}

/// Sets the work this instance does now, in units per second, in place of what the host measures.
pub fn load(units: f64) {
    metrics::load(units);
}
