//! The work of a deployment's requests, in the units of its workers.

use parking_lot::Mutex;
use samovar_core::observation::Work;
use samovar_core::replica::{ReplicaView, State};
use samovar_core::time::Timestamp;
use samovar_core::work::WorkMeter;
pub use samovar_workers::workload::Workload;

/// What requests brought and took away.
#[derive(Debug, Default)]
pub struct WorkTally {
    /// Counts it.
    pub meter: Mutex<WorkMeter>,
}

impl WorkTally {
    /// What a policy is told: rates since the last look, and what the ready replicas can do
    /// together as far as they have said.
    pub fn look(&self, replicas: &[ReplicaView], now: Timestamp) -> Option<Work> {
        let ready = replicas.iter().filter(|replica| replica.state == State::Ready);
        let known: Vec<f64> = ready.filter_map(|replica| replica.max_perf).collect();
        let capacity = (!known.is_empty()).then(|| known.iter().sum());
        self.meter.lock().look(now, capacity)
    }
}
