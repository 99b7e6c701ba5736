//! How the simulator asks a policy.

use samovar_core::observation::Observation;
use samovar_core::target::Answer;

/// A policy's state for one simulated deployment.
pub trait Scaler {
    /// Whether observations must list the single replicas.
    fn needs_replicas(&self) -> bool;

    /// One tick.
    ///
    /// # Errors
    ///
    /// Why there is no answer; the target stays.
    fn scale(&mut self, seen: &Observation) -> Result<Answer, String>;
}

/// A policy for one deployment, or why there is none.
pub type MadeScaler = Result<Box<dyn Scaler>, String>;
