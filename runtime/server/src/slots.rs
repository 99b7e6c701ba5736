//! What the machine can hold, and each deployment's fair share of it.

use crate::spec::DeploymentName;
use parking_lot::Mutex;
use samovar_core::share::fair_shares;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// Room for instances on this machine.
pub struct Slots {
    /// One permit per instance that exists.
    pub places: Arc<Semaphore>,
    total: u32,
    wants: Mutex<Wants>,
    /// Whether more is wanted than there is; read without the lock.
    is_short: AtomicBool,
}

#[derive(Default)]
struct Wants {
    by_name: BTreeMap<DeploymentName, Claim>,
    sum: u64,
    /// Whether the shares are those of the current wants.
    is_shared: bool,
}

#[derive(Clone, Copy, Default)]
struct Claim {
    wanted: u32,
    share: u32,
}

impl Wants {
    fn set(&mut self, name: &DeploymentName, wanted: u32) {
        let before = match self.by_name.get_mut(name) {
            Some(claim) => std::mem::replace(&mut claim.wanted, wanted),
            None => {
                self.by_name.insert(name.clone(), Claim { wanted, share: 0 });
                self.is_shared = false;
                0
            }
        };
        if before != wanted {
            self.sum = self.sum - u64::from(before) + u64::from(wanted);
            self.is_shared = false;
        }
    }

    fn share(&mut self, total: u32) {
        let list: Vec<u32> = self.by_name.values().map(|claim| claim.wanted).collect();
        for (claim, share) in self.by_name.values_mut().zip(fair_shares(total, &list)) {
            claim.share = share;
        }
        self.is_shared = true;
    }
}

impl Slots {
    /// Room for `total` instances.
    pub fn new(total: u32) -> Self {
        let places = Arc::new(Semaphore::new(total as usize));
        Slots { places, total, wants: Mutex::default(), is_short: AtomicBool::new(false) }
    }

    /// Whether a claim that has not changed must be made again, because others may have changed
    /// theirs.
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// A deployment wants this many replicas. Answers how many it may have: all of them while
    /// there is room for everybody, else its max-min fair share.
    pub fn claim(&self, name: &DeploymentName, wanted: u32) -> u32 {
        let mut wants = self.wants.lock();
        wants.set(name, wanted);
        let is_short = wants.sum > u64::from(self.total);
        self.is_short.store(is_short, Ordering::Relaxed);
        if !is_short {
            return wanted;
        }
        if !wants.is_shared {
            wants.share(self.total);
        }
        wants.by_name[name].share
    }

    /// A deployment is gone or sleeps.
    pub fn release(&self, name: &DeploymentName) {
        let mut wants = self.wants.lock();
        if let Some(before) = wants.by_name.remove(name) {
            wants.sum -= u64::from(before.wanted);
            wants.is_shared = false;
            self.is_short.store(wants.sum > u64::from(self.total), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_what_others_want() {
        let slots = Slots::new(10);
        let name = |text: &str| text.parse::<DeploymentName>().unwrap();
        assert_eq!(slots.claim(&name("a"), 8), 8);
        assert_eq!(slots.claim(&name("b"), 8), 5);
        assert_eq!(slots.claim(&name("a"), 8), 5);
        assert_eq!(slots.claim(&name("a"), 3), 3);
        assert_eq!(slots.claim(&name("b"), 8), 7);
        slots.release(&name("a"));
        assert_eq!(slots.claim(&name("b"), 8), 8);
    }
}
