//! What operators and callers ask of a pool beside requests.

use super::WarmPool;
use crate::clock;
use samovar_core::pool::ManualError;
use samovar_core::replica::ReplicaId;
use samovar_core::time::Timestamp;

impl WarmPool {
    /// Holds the number of replicas, whatever policies and requests ask for; none lets go.
    pub fn hold(&self, count: Option<u32>, now: Timestamp) {
        let mut inner = self.inner.lock();
        inner.pool.hold(count, now);
        self.settle(inner);
    }

    /// How many replicas are held; none if nobody does.
    pub fn held(&self) -> Option<u32> {
        self.inner.lock().pool.held()
    }

    /// Starts so many more replicas; answers how many there was room for.
    pub fn add(&self, count: u32) -> u32 {
        let mut inner = self.inner.lock();
        let added = inner.pool.add(count, clock::now());
        self.settle(inner);
        added
    }

    /// Drains a replica that is not replaced.
    ///
    /// # Errors
    ///
    /// When it is not there or cannot be removed now.
    pub fn remove_replica(&self, id: ReplicaId) -> Result<(), ManualError> {
        let mut inner = self.inner.lock();
        let removed = inner.pool.remove_replica(id, clock::now());
        self.settle(inner);
        removed
    }

    /// Drains a replica and starts its successor.
    ///
    /// # Errors
    ///
    /// When it is not there or cannot be restarted now.
    pub fn restart(&self, id: ReplicaId) -> Result<(), ManualError> {
        let mut inner = self.inner.lock();
        let restarted = inner.pool.restart(id, clock::now());
        self.settle(inner);
        restarted
    }

    /// Somebody would use a replica, but does not wait for one.
    pub fn warm_up(&self) {
        let mut inner = self.inner.lock();
        let counts = inner.pool.counts();
        if counts.ready + counts.starting == 0 && inner.pool.held().is_none() {
            inner.pool.add(1, clock::now());
        }
        self.settle(inner);
    }

    /// All replicas serve requests that wait, directly or through others, for one more of them.
    pub fn make_way(&self) {
        let mut inner = self.inner.lock();
        inner.pool.start_one_more(clock::now());
        self.settle(inner);
    }
}
