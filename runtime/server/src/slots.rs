//! What the machine can hold, and each deployment's fair share of it.

use crate::spec::DeploymentName;
use parking_lot::Mutex;
use samovar_core::share::fair_shares;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Room for instances on this machine.
pub struct Slots {
    /// One permit per instance that exists.
    pub places: Arc<Semaphore>,
    total: u32,
    wants: Mutex<Wants>,
}

#[derive(Default)]
struct Wants {
    by_name: BTreeMap<DeploymentName, u32>,
    sum: u64,
}

impl Slots {
    /// Room for `total` instances.
    pub fn new(total: u32) -> Self {
        let places = Arc::new(Semaphore::new(total as usize));
        Slots { places, total, wants: Mutex::default() }
    }

    /// A deployment wants this many replicas. Answers how many it may have: all of them while
    /// there is room for everybody, else its max-min fair share.
    pub fn claim(&self, name: &DeploymentName, wanted: u32) -> u32 {
        let mut wants = self.wants.lock();
        let before = wants.by_name.insert(name.clone(), wanted).unwrap_or(0);
        wants.sum = wants.sum - u64::from(before) + u64::from(wanted);
        if wants.sum <= u64::from(self.total) {
            return wanted;
        }
        let list: Vec<u32> = wants.by_name.values().copied().collect();
        let shares = fair_shares(self.total, &list);
        let index = wants.by_name.keys().position(|other| other == name);
        shares[index.expect("it was just put there")]
    }

    /// A deployment is gone.
    pub fn release(&self, name: &DeploymentName) {
        let mut wants = self.wants.lock();
        if let Some(before) = wants.by_name.remove(name) {
            wants.sum -= u64::from(before);
        }
    }
}
