//! What operators do by hand: single replicas, and how many there are. And one more replica for a
//! request that would wait for ever.
//!
//! An operator's word goes to `max`, and below `min`: a pool never applies its minimum to a target
//! that somebody else set. Unless the number is held, the next decision sets it anew.

use super::Pool;
use crate::replica::{Lease, ReplicaId, State};
use crate::time::Timestamp;
use std::fmt;

/// Why nothing was done with a single replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManualError {
    /// The pool has no such replica, or not any more.
    Unknown,
    /// It is still being made.
    Starting,
    /// It takes no more requests already: it drains, or serves the last ones of its life.
    Leaving,
    /// It registered itself, so nothing but itself can start it again.
    External,
    /// The pool is closed; all of its replicas leave.
    Closed,
}

impl fmt::Display for ManualError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ManualError::Unknown => "there is no such replica",
            ManualError::Starting => "the replica is still starting",
            ManualError::Leaving => "the replica takes no more requests already",
            ManualError::External => "the replica registered itself and only restarts by itself",
            ManualError::Closed => "the pool is closed and all of its replicas leave",
        })
    }
}

impl std::error::Error for ManualError {}

/// A number of replicas after one of so many has left that were there.
fn without_one(wanted: u32, usable: u32) -> u32 {
    if wanted >= usable { wanted - 1 } else { wanted }
}

impl<W> Pool<W> {
    /// Holds the number of replicas at `count`, at most `max`, whatever policies, waiting requests,
    /// the minimum and `idle_ttl` ask for. What is above drains at once, idle ones first, apart
    /// from those that came by themselves; what crashes or gets too old is replaced. If zero is
    /// held, requests wait as long as their owner lets them. A sleeping pool wakes up.
    ///
    /// Without a count the pool is back to normal, at `min` at least until the next decision. The
    /// time for `idle_ttl` starts anew. A closed pool stays as it is.
    pub fn hold(&mut self, count: Option<u32>, now: Timestamp) {
        if self.closed.is_some() || (count.is_none() && self.held.is_none()) {
            return;
        }
        self.held = count.map(|count| count.min(self.limits.max));
        match self.held {
            Some(count) => {
                self.asleep = false;
                self.aim(count);
            }
            None => {
                self.loaded = self.loaded.max(Some(now));
                self.aim(self.target.max(self.limits.min));
            }
        }
        self.plan(now);
    }

    /// The number of replicas an operator holds; none if nobody does.
    pub fn held(&self) -> Option<u32> {
        self.held
    }

    /// Starts `count` more replicas at once, as far as `max` and failing starts allow, and raises
    /// the target with them, and the number held. How many the target was raised by, counted from
    /// the replicas that are there if these are more. A sleeping pool wakes up.
    pub fn add(&mut self, count: u32, now: Timestamp) -> u32 {
        if self.closed.is_some() {
            return 0;
        }
        let base = self.target.max(self.usable());
        let added = count.min(self.limits.max - base.max(self.active()));
        if added > 0 {
            self.asleep = false;
            self.loading = true;
            self.loaded = self.loaded.max(Some(now));
            self.target = base + added;
            self.held = self.held.map(|held| (held + added).min(self.limits.max));
            self.refill(now);
        }
        added
    }

    /// Drains a replica: it finishes its requests and takes no more. The target, and the number
    /// held, go down with it unless there are more than these, so that it has no successor; but if
    /// nobody holds the number, requests that wait start one.
    ///
    /// # Errors
    ///
    /// If it is not a ready replica that takes requests. Then nothing has changed.
    pub fn remove_replica(&mut self, id: ReplicaId, now: Timestamp) -> Result<(), ManualError> {
        let lease = self.taker(id)?;
        let usable = self.usable();
        self.target = without_one(self.target, usable);
        self.held = self.held.map(|held| without_one(held, usable));
        self.retire(lease, now);
        Ok(())
    }

    /// Drains a replica and starts its successor at once, unless there are more than the target.
    /// Starts that fail make it wait, as always.
    ///
    /// # Errors
    ///
    /// If it is not a ready replica that takes requests, or came by itself. Then nothing has
    /// changed.
    pub fn restart(&mut self, id: ReplicaId, now: Timestamp) -> Result<(), ManualError> {
        let lease = self.taker(id)?;
        if self.at(lease.slot).pinned {
            return Err(ManualError::External);
        }
        self.retire(lease, now);
        Ok(())
    }

    /// For requests that wait while all replicas serve requests that wait for them: one replica
    /// more than there are is wanted as long as they wait, whatever the target. It starts now, or
    /// once there is room or the next attempt is due. Afterwards it is one like all others.
    ///
    /// Whether there is room for it. True as well if none is needed: one starts already, one has a
    /// free place for the next batch, or nothing waits any more. False while the number of replicas
    /// is held.
    pub fn start_one_more(&mut self, now: Timestamp) -> bool {
        let has_place = self.starting > 0 || self.free.least_busy().is_some();
        if has_place || self.queue.len() == 0 {
            return true;
        }
        if self.held.is_some() {
            return false;
        }
        let has_room = self.active() < self.limits.max;
        self.lifted = self.queue.newest().map(|ticket| (ticket, self.usable() + 1));
        self.refill(now);
        has_room
    }

    /// The replica with this id, if it takes requests.
    fn taker(&self, id: ReplicaId) -> Result<Lease, ManualError> {
        if self.closed.is_some() {
            return Err(ManualError::Closed);
        }
        let known = self.leases(|replica| replica.id == id);
        let lease = *known.first().ok_or(ManualError::Unknown)?;
        let state = self.replicas[lease.slot as usize].as_ref().map(|replica| replica.state);
        match state.ok_or(ManualError::Unknown)? {
            State::Starting => Err(ManualError::Starting),
            State::Draining { .. } => Err(ManualError::Leaving),
            State::Ready if self.is_spent(lease.slot) => Err(ManualError::Leaving),
            State::Ready => Ok(lease),
        }
    }
}
