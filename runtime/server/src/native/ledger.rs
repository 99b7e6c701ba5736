//! The machine's accelerators and who holds them.

use crate::api;
use crate::spec::{DeploymentName, ProcessSpec};
use parking_lot::Mutex;
use samovar_core::device::{DeviceLease, Devices, WHOLE};
use samovar_native::devices::{self, Device};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All accelerators.
pub struct Ledger {
    list: Vec<Device>,
    inner: Mutex<Inner>,
}

struct Inner {
    devices: Devices,
    next_holder: u64,
    holders: BTreeMap<u64, Holder>,
}

/// Who holds devices.
#[derive(Clone)]
struct Holder {
    deployment: DeploymentName,
    replica: u64,
}

/// Leased devices, per worker of a gang. Given back when it is dropped.
pub struct Held {
    ledger: Arc<Ledger>,
    holder: u64,
    workers: u32,
    leases: Vec<DeviceLease>,
}

impl Ledger {
    /// A ledger in which nothing is leased.
    pub fn new(list: Vec<Device>) -> Arc<Self> {
        let devices = Devices::new(list.len());
        let inner = Inner { devices, next_holder: 0, holders: BTreeMap::new() };
        Arc::new(Ledger { list, inner: Mutex::new(inner) })
    }

    /// How many devices there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Leases what `workers` workers of a process need, all of it or nothing.
    pub fn lease(
        self: &Arc<Self>,
        process: &ProcessSpec,
        workers: u32,
        deployment: &DeploymentName,
        replica: u64,
    ) -> Option<Held> {
        let mut inner = self.inner.lock();
        let holder = inner.next_holder;
        let leases = match process.gpus {
            None => Vec::new(),
            Some(share) => inner.devices.lease(share, workers, holder)?,
        };
        inner.next_holder += 1;
        inner.holders.insert(holder, Holder { deployment: deployment.clone(), replica });
        drop(inner);
        Some(Held { ledger: Arc::clone(self), holder, workers, leases })
    }

    /// For how many workers of a process there are devices now, at most `most`.
    pub fn fits(&self, process: &ProcessSpec, most: u32) -> u32 {
        let Some(share) = process.gpus else { return most };
        let inner = self.inner.lock();
        inner.devices.fits(share, most)
    }

    /// How many devices are leased, parts of one included.
    pub fn leased(&self) -> f64 {
        let uses = self.inner.lock().devices.in_use();
        parts(uses.iter().map(|device| device.taken).sum())
    }

    /// As in the admin API. Asks the driver how busy the devices are.
    pub fn describe(&self) -> Vec<api::Device> {
        let (uses, holders) = {
            let inner = self.inner.lock();
            (inner.devices.in_use(), inner.holders.clone())
        };
        let devices = self.list.iter().zip(uses);
        devices
            .map(|(device, taken)| {
                let usage = devices::usage(device);
                let leases = taken.holders.iter().filter_map(|(holder, share)| {
                    let holder = holders.get(holder)?;
                    Some(api::DeviceLease {
                        deployment: holder.deployment.clone(),
                        replica: holder.replica,
                        share: parts(*share),
                    })
                });
                api::Device {
                    id: device.id.clone(),
                    name: device.name.clone(),
                    memory_bytes: device.memory_bytes,
                    memory_used_bytes: usage.map(|usage| usage.memory_used_bytes),
                    utilization: usage.and_then(|usage| usage.utilization),
                    leased: parts(taken.taken),
                    leases: leases.collect(),
                }
            })
            .collect()
    }
}

/// Thousandths as a number of devices.
fn parts(thousandths: u32) -> f64 {
    f64::from(thousandths) / f64::from(WHOLE)
}

impl Held {
    /// For how many workers this is.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// What the processes of one worker see, as in `CUDA_VISIBLE_DEVICES`; empty if it has none.
    pub fn visible(&self, worker: usize) -> String {
        let ids = self.leases.get(worker).into_iter().flat_map(DeviceLease::devices);
        let ids: Vec<&str> = ids.map(|index| self.ledger.list[index].id.as_str()).collect();
        ids.join(",")
    }

    /// As in the admin API.
    pub fn describe(&self) -> Vec<api::HeldDevice> {
        let leases = self.leases.iter();
        let parts = leases.flat_map(|lease| {
            let share = lease.share().as_f64().min(1.0);
            lease.devices().map(move |index| (index, share))
        });
        parts
            .map(|(index, share)| api::HeldDevice { id: self.ledger.list[index].id.clone(), share })
            .collect()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = self.ledger.inner.lock();
        for lease in self.leases.drain(..) {
            inner.devices.release(lease);
        }
        inner.holders.remove(&self.holder);
    }
}
