//! Slots: the right to have a connection in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of a pool. Who waits for one gets it in the order of waiting.
pub(super) struct Slots {
    free: Arc<Semaphore>,
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// The right to take a slot.
pub(super) struct Permit(OwnedSemaphorePermit);

/// A connection in use, or about to be made. Dropping it frees it.
pub(crate) struct Slot {
    taken: Arc<AtomicUsize>,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(max: usize) -> Slots {
        let max = max.min(Semaphore::MAX_PERMITS);
        Slots { free: Arc::new(Semaphore::new(max)), taken: Arc::default(), max }
    }

    /// Waits for a free slot.
    pub(super) fn wait(&self) -> impl Future<Output = Permit> + use<> {
        let free = Arc::clone(&self.free);
        async move { Permit(free.acquire_owned().await.expect("nobody closes it")) }
    }

    /// Takes a slot.
    pub(super) fn fill(&self, permit: Permit) -> Slot {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Slot { taken: Arc::clone(&self.taken), _permit: permit.0 }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Before the permit, so that there are never more taken than there can be.
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
