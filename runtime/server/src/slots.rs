//! What the machine can hold, and each deployment's fair share of it: places for replicas, and
//! accelerators.

use crate::spec::{DeploymentName, DeploymentSpec, Runs};
use parking_lot::Mutex;
use samovar_core::device::WHOLE;
use samovar_core::share::{self, fair_counts};
use samovar_core::target::{LimitedBy, Room};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// Room for replicas on this machine.
pub struct Slots {
    /// One permit per replica that exists.
    pub places: Arc<Semaphore>,
    total: u32,
    /// Accelerators, in thousandths of one.
    device_units: u64,
    wants: Mutex<Wants>,
    /// Whether more is wanted than there is; read without the lock.
    is_short: AtomicBool,
}

/// What one replica of a deployment takes, and how much it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Places: one, or none for a replica that is elsewhere.
    places: u64,
    /// Thousandths of an accelerator.
    device_units: u64,
    priority: i32,
}

impl From<&DeploymentSpec> for Demand {
    fn from(spec: &DeploymentSpec) -> Self {
        let priority = spec.priority;
        match &spec.runs {
            Runs::Component(_) => Demand { places: 1, device_units: 0, priority },
            Runs::Process(process) => {
                Demand { places: 1, device_units: process.device_units(), priority }
            }
            Runs::External => Demand { places: 0, device_units: 0, priority },
        }
    }
}

#[derive(Default)]
struct Wants {
    by_name: BTreeMap<DeploymentName, Claim>,
    places: u64,
    device_units: u64,
    /// Whether the shares are those of the current wants.
    is_shared: bool,
}

#[derive(Clone, Copy, Default)]
struct Claim {
    demand: Demand,
    wanted: u32,
    room: Option<Room>,
}

impl Wants {
    fn set(&mut self, name: &DeploymentName, demand: Demand, wanted: u32) {
        let claim = Claim { demand, wanted, room: None };
        let before = match self.by_name.get_mut(name) {
            Some(before) if before.demand == demand && before.wanted == wanted => return,
            Some(before) => std::mem::replace(before, claim),
            None => {
                self.by_name.insert(name.clone(), claim);
                Claim::default()
            }
        };
        self.subtract(before);
        self.places += demand.places * u64::from(wanted);
        self.device_units += demand.device_units * u64::from(wanted);
        self.is_shared = false;
    }

    fn subtract(&mut self, claim: Claim) {
        self.places -= claim.demand.places * u64::from(claim.wanted);
        self.device_units -= claim.demand.device_units * u64::from(claim.wanted);
    }

    /// Accelerators first: what a deployment cannot have for want of them takes no places.
    fn share(&mut self, places: u32, device_units: u64) {
        let claims = self.by_name.values();
        let by_device: Vec<share::Claim> = claims
            .map(|Claim { demand, wanted, .. }| share::Claim {
                wanted: *wanted,
                units: demand.device_units,
                priority: demand.priority,
            })
            .collect();
        let by_device = fair_counts(device_units, &by_device);
        let claims = self.by_name.values().zip(&by_device);
        let by_place: Vec<share::Claim> = claims
            .map(|(Claim { demand, .. }, devices)| share::Claim {
                wanted: *devices,
                units: demand.places,
                priority: demand.priority,
            })
            .collect();
        let by_place = fair_counts(u64::from(places), &by_place);
        let shares = by_device.into_iter().zip(by_place);
        for (claim, (devices, places)) in self.by_name.values_mut().zip(shares) {
            let limited_by = if places < devices { LimitedBy::Slots } else { LimitedBy::Devices };
            claim.room = Some(Room { replicas: places, limited_by });
        }
        self.is_shared = true;
    }
}

impl Slots {
    /// Room for `total` replicas, and `devices` accelerators.
    pub fn new(total: u32, devices: usize) -> Self {
        Slots {
            places: Arc::new(Semaphore::new(total as usize)),
            total,
            device_units: devices as u64 * u64::from(WHOLE),
            wants: Mutex::default(),
            is_short: AtomicBool::new(false),
        }
    }

    /// Replicas the machine may hold.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Whether a claim that has not changed must be made again, because others may have changed
    /// theirs.
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// A deployment wants this many replicas. Answers how many it may have: all of them while
    /// there is room for everybody, else its fair share.
    pub fn claim(&self, name: &DeploymentName, demand: Demand, wanted: u32) -> Room {
        let mut wants = self.wants.lock();
        wants.set(name, demand, wanted);
        if !self.note_short(&wants) {
            return Room::of_slots(wanted);
        }
        if !wants.is_shared {
            wants.share(self.total, self.device_units);
        }
        wants.by_name[name].room.expect("it was shared just now")
    }

    /// A deployment is gone or sleeps.
    pub fn release(&self, name: &DeploymentName) {
        let mut wants = self.wants.lock();
        if let Some(before) = wants.by_name.remove(name) {
            wants.subtract(before);
            wants.is_shared = false;
            self.note_short(&wants);
        }
    }

    fn note_short(&self, wants: &Wants) -> bool {
        let is_short =
            wants.places > u64::from(self.total) || wants.device_units > self.device_units;
        self.is_short.store(is_short, Ordering::Relaxed);
        is_short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Demand = Demand { places: 1, device_units: 0, priority: 0 };
    const GPU: Demand = Demand { places: 1, device_units: 1000, priority: 0 };

    fn name(text: &str) -> DeploymentName {
        text.parse().unwrap()
    }

    #[test]
    fn shares_follow_what_others_want() {
        let slots = Slots::new(10, 0);
        let claim = |text, wanted| slots.claim(&name(text), GUEST, wanted).replicas;
        assert_eq!(claim("a", 8), 8);
        assert_eq!(claim("b", 8), 5);
        assert_eq!(claim("a", 8), 5);
        assert_eq!(claim("a", 3), 3);
        assert_eq!(claim("b", 8), 7);
        slots.release(&name("a"));
        assert_eq!(claim("b", 8), 8);
    }

    #[test]
    fn accelerators_are_shared_apart_from_places() {
        let slots = Slots::new(10, 2);
        assert_eq!(slots.claim(&name("guest"), GUEST, 5).replicas, 5);
        let gpu = slots.claim(&name("gpu"), GPU, 4);
        assert_eq!(gpu, Room { replicas: 2, limited_by: LimitedBy::Devices });
        let half = Demand { device_units: 500, ..GPU };
        assert_eq!(slots.claim(&name("half"), half, 4).replicas, 2);
        assert_eq!(slots.claim(&name("gpu"), GPU, 4).replicas, 1);
        assert_eq!(slots.claim(&name("guest"), GUEST, 5).replicas, 5);
    }

    #[test]
    fn the_more_important_deployment_comes_first() {
        let slots = Slots::new(10, 2);
        slots.claim(&name("a"), GPU, 2);
        let important = Demand { priority: 1, ..GPU };
        assert_eq!(slots.claim(&name("b"), important, 2).replicas, 2);
        assert_eq!(slots.claim(&name("a"), GPU, 2).replicas, 0);
    }

    #[test]
    fn workers_elsewhere_take_no_place() {
        let slots = Slots::new(1, 0);
        let external = Demand { places: 0, ..GUEST };
        assert_eq!(slots.claim(&name("far"), external, 50).replicas, 50);
        assert_eq!(slots.claim(&name("near"), GUEST, 5).replicas, 1);
        assert_eq!(slots.claim(&name("far"), external, 50).replicas, 50);
    }
}
