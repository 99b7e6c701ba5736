//! What operators do, and what must come of it.

use super::{World, sketch};
use crate::pool::ManualError;
use crate::replica::{Lease, State};

impl World {
    pub(super) fn hold(&mut self, count: Option<u32>) {
        let before = self.held;
        if !self.is_closed {
            self.held = count.map(|count| count.min(self.limits.max));
        }
        self.pool.hold(count, self.now);
        self.settle(None);
        assert_eq!(self.pool.held(), self.held);
        let target = self.pool.counts().target;
        match self.held {
            _ if self.is_closed => assert_eq!(target, 0, "a closed pool wants nothing"),
            Some(held) => {
                assert_eq!(target, held);
                let room = held.saturating_sub(self.pinned_ready());
                assert!(self.takers().len() as u32 <= room, "what is above drains at once");
            }
            None if before.is_none() => {}
            None => assert!(self.pool.is_asleep() || target >= self.limits.min, "back to normal"),
        }
    }

    pub(super) fn add(&mut self, count: u32) {
        let before = self.pool.counts();
        let base = before.target.max(self.usable());
        let room = self.limits.max - base.max(before.starting + before.ready);
        let expected = if self.is_closed { 0 } else { count.min(room) };
        let added = self.pool.add(count, self.now);
        assert_eq!(added, expected, "as many as there is room for");
        let after = self.pool.counts();
        if added > 0 {
            assert_eq!(after.target, base + added, "the target goes up with them");
            let started = after.starting - before.starting;
            assert!(started >= added || !self.may_start(), "they start at once");
            self.held = self.held.map(|held| (held + added).min(self.limits.max));
        }
        assert_eq!(self.pool.held(), self.held);
        self.settle(None);
    }

    pub(super) fn remove(&mut self, lease: Lease) {
        let (before, missing, usable) = (sketch(&self.pool), self.missing(), self.usable());
        let (expected, was_asleep) = (self.is_taker(lease), self.pool.is_asleep());
        if expected.is_ok() {
            self.left.insert(lease.id);
        }
        assert_eq!(self.pool.remove_replica(lease.id, self.now), expected);
        if expected.is_err() {
            assert_eq!(sketch(&self.pool), before, "nothing was done");
        } else {
            assert!(was_asleep || self.missing() <= missing, "it is not missed");
            self.held = self.held.map(|held| if held < usable { held } else { held - 1 });
        }
        assert_eq!(self.pool.held(), self.held);
        self.settle(None);
        assert_ne!(self.is_taker(lease), Ok(()), "it takes no more");
    }

    pub(super) fn restart(&mut self, lease: Lease) {
        let before = sketch(&self.pool);
        let is_pinned = self.pinned.contains(&lease.id);
        let expected = match self.is_taker(lease) {
            Ok(()) if is_pinned => Err(ManualError::External),
            expected => expected,
        };
        assert_eq!(self.pool.restart(lease.id, self.now), expected);
        if expected.is_err() {
            assert_eq!(sketch(&self.pool), before, "nothing was done");
        } else {
            assert!(self.missing() == 0 || self.is_full() || !self.may_start(), "replaced at once");
        }
        self.settle(None);
        assert!(is_pinned || self.is_taker(lease).is_err(), "it takes no more");
    }

    pub(super) fn one_more(&mut self) {
        let before = self.pool.counts();
        let has_place = before.starting > 0 || self.pool.free.least_busy().is_some();
        let is_needed = !has_place && !self.waiting.is_empty();
        let expected = !is_needed || (self.held.is_none() && !self.is_full());
        if is_needed && self.held.is_none() {
            let newest = self.tickets.last().expect("one waits");
            self.lifted = Some((newest.0, self.usable() + 1));
        }
        assert_eq!(self.pool.start_one_more(self.now), expected);
        let after = self.pool.counts();
        assert!(is_needed || after == before, "nothing to do");
        assert!(after.starting > 0 || !is_needed || !expected || !self.may_start(), "it starts");
        self.settle(None);
    }

    /// Replicas wanted by those that wait and whoever set the target, if others want the room.
    pub(super) fn wanted(&self, target: u32) -> u32 {
        let waiting = self.waiting.front().map_or(0, |(first, _)| match self.lifted {
            Some((newest, wanted)) if *first <= newest => wanted,
            Some(_) | None => 1,
        });
        let most = self.held.unwrap_or(self.limits.max);
        target.max(waiting).min(most)
    }

    /// Whether an operator may remove a replica, or why not.
    fn is_taker(&self, lease: Lease) -> Result<(), ManualError> {
        let mut replicas = self.pool.replicas.iter().flatten();
        let replica = replicas.find(|replica| replica.id == lease.id);
        match replica.map(|replica| replica.state) {
            _ if self.is_closed => Err(ManualError::Closed),
            None => Err(ManualError::Unknown),
            Some(State::Starting) => Err(ManualError::Starting),
            Some(State::Draining { .. }) => Err(ManualError::Leaving),
            Some(State::Ready) if self.is_spent(lease.id) => Err(ManualError::Leaving),
            Some(State::Ready) => Ok(()),
        }
    }

    /// How many replicas below its target the pool is.
    fn missing(&self) -> u32 {
        self.pool.counts().target.saturating_sub(self.usable())
    }

    /// Replicas that start or take requests.
    fn usable(&self) -> u32 {
        let counts = self.pool.counts();
        counts.starting + counts.ready - self.spent().len() as u32
    }

    fn is_full(&self) -> bool {
        let counts = self.pool.counts();
        counts.starting + counts.ready == self.limits.max
    }

    /// Whether a start need not wait.
    fn may_start(&self) -> bool {
        self.trouble.failures == 0 && self.trouble.room_at.is_none()
    }
}
