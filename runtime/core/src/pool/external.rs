//! Workers that come and go by themselves.

use super::Pool;
use crate::replica::{Lease, Replica, State};
use crate::time::Timestamp;

impl<W> Pool<W> {
    /// A worker that the pool did not order registered itself: it becomes a ready replica, and
    /// requests that wait go to it. It is pinned: the pool ends it for no reason but its own
    /// closing, neither idleness nor age, requests served or a lower target. It goes by
    /// [`Pool::release`], [`Pool::condemn`] or [`Pool::crashed`].
    ///
    /// A sleeping pool sleeps on: it wakes when a request finds no pinned replica that is free.
    ///
    /// None if the pool is closed or has `max` replicas that start or are ready.
    pub fn adopt(&mut self, now: Timestamp) -> Option<Lease> {
        if self.closed.is_some() || self.active() >= self.limits.max {
            return None;
        }
        let lease = self.occupy(|id| Replica {
            state: State::Ready,
            pinned: true,
            ..Replica::new(id, now)
        });
        self.welcome(lease.slot, now);
        self.end_loading();
        Some(lease)
    }

    /// A ready replica leaves of its own will: it takes no more requests and is gone when those it
    /// has are finished, or at the drain time-out. Nothing is held against its successor. One that
    /// starts, drains or is gone already is not concerned.
    pub fn release(&mut self, lease: Lease, now: Timestamp) {
        if self.replica_mut(lease).is_some_and(|replica| replica.state == State::Ready) {
            self.retire(lease, now);
        }
    }
}
