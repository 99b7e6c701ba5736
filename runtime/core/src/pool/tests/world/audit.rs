//! What must hold after every step, recomputed from scratch.

use super::{Life, Served, World, sketch};
use crate::pool::FAILED_STARTS_MAX;
use crate::replica::{ReplicaId, State};
use crate::time::Timestamp;
use std::time::Duration;

const A_DAY: Duration = Duration::from_secs(86_400);

impl World {
    pub fn audit(&self) {
        self.audit_counts();
        self.audit_replicas();
        self.audit_free_lists();
        self.audit_queue();
        self.audit_batches();
        self.audit_sleep_and_end();
        self.audit_next_wake();
    }

    fn audit_counts(&self) {
        let counts = self.pool.counts();
        let count = |wanted: fn(&State) -> bool| {
            let replicas = self.pool.replicas.iter().flatten();
            replicas.filter(|replica| wanted(&replica.state)).count() as u32
        };
        assert_eq!(counts.starting, count(|state| *state == State::Starting));
        assert_eq!(counts.ready, count(|state| *state == State::Ready));
        assert_eq!(counts.draining, count(|state| matches!(state, State::Draining { .. })));
        assert_eq!(counts.ongoing, self.served.len() as u32, "assigned minus finished");
        assert_eq!(counts.queued, self.waiting.len() as u32);
        assert!(counts.starting + counts.ready <= self.limits.max, "never above max");
        assert!(counts.target <= self.limits.max, "never aims above max");
        let totals = self.pool.totals();
        let ended = totals.completed + totals.failed + totals.cancelled + totals.rejected;
        let served = totals.completed + totals.failed + totals.cancelled;
        assert_eq!(self.pool.latencies().total(), served, "each end is timed once");
        let here = u64::from(counts.queued + counts.ongoing);
        assert_eq!(totals.arrived, ended + here, "a request is in one place");
        assert_eq!((totals.replicas_started, totals.replicas_failed), (self.came, self.failed));
        assert!(self.pool.actions.is_empty(), "the owner carried everything out");
    }

    fn audit_replicas(&self) {
        for (slot, replica) in self.pool.replicas.iter().enumerate() {
            let is_vacant = self.pool.vacant.contains(&(slot as u32));
            assert_eq!(replica.is_none(), is_vacant, "vacant slots are listed");
            let Some(replica) = replica else { continue };
            let life = self.lives[&replica.id];
            assert_eq!(replica.state == State::Starting, life == Life::Starting);
            assert_ne!(life, Life::Gone, "told to be gone is gone");
            assert_eq!(replica.ongoing, self.busy(replica.id));
            assert_eq!(replica.places, self.places(replica.id));
            let given = self.given.get(&replica.id).copied().unwrap_or(0);
            assert_eq!(replica.assigned, given, "what it was given is counted");
            let drains = matches!(replica.state, State::Draining { .. });
            let must_serve = drains || self.is_spent(replica.id);
            assert!(!must_serve || replica.ongoing > 0, "who takes no more is gone when idle");
            assert_eq!(replica.pinned, self.pinned.contains(&replica.id));
            if drains {
                self.audit_leaving(replica.id);
            }
        }
        assert_eq!(self.pool.spent, self.spent().len() as u32);
        assert_eq!(self.alive().count() as u32, self.pool.replica_count());
        let mut vacant = self.pool.vacant.clone();
        vacant.sort_unstable();
        vacant.dedup();
        assert_eq!(vacant.len(), self.pool.vacant.len(), "a slot is vacant once");
    }

    fn audit_free_lists(&self) {
        let replicas = &self.pool.replicas;
        let mut lowest = None;
        for level in 0..self.limits.concurrency {
            let listed = self.pool.free.slots_at(replicas, level);
            for (place, slot) in listed.iter().enumerate() {
                let replica = replicas[*slot as usize].as_ref().expect("listed replicas exist");
                let before = place.checked_sub(1).map(|place| listed[place]);
                assert_eq!(replica.previous, before, "linked both ways");
            }
            let mut listed: Vec<usize> = listed.iter().map(|slot| *slot as usize).collect();
            listed.sort_unstable();
            let has_room = |slot: &usize| {
                replicas[*slot].as_ref().is_some_and(|replica| {
                    let takes_more = replica.state == State::Ready && !self.is_spent(replica.id);
                    takes_more && replica.places == level
                })
            };
            let expected: Vec<usize> = (0..replicas.len()).filter(has_room).collect();
            assert_eq!(listed, expected, "exactly the replicas with {level} places taken");
            if !listed.is_empty() && lowest.is_none() {
                lowest = Some(level);
            }
        }
        let best = self.pool.free.least_busy();
        let level = best.map(|slot| replicas[slot as usize].as_ref().expect("exists").places);
        assert_eq!(level, lowest, "the least busy one is at the lowest level");
    }

    fn audit_queue(&self) {
        let queued = self.waiting.len();
        let tried_again = self.batches.alone.len();
        assert!(queued <= self.limits.queue_max as usize + tried_again, "the queue is bounded");
        assert!(self.pool.queue.places() <= 2 * queued + 16, "those that left do not pile up");
        let is_batched = self.limits.batch.is_some();
        let has_room = self.pool.free.least_busy().is_some();
        assert!(queued == 0 || is_batched || !has_room, "no waiter beside room");
        let counts = self.pool.counts();
        let active = counts.starting + counts.ready;
        if queued > 0 && active == self.spent().len() as u32 && self.held != Some(0) {
            let backs_off = (1..FAILED_STARTS_MAX).contains(&self.trouble.failures);
            let is_full = active == self.limits.max;
            let is_tried = backs_off || self.trouble.room_at.is_some();
            assert!(is_full || is_tried, "who waits will be served, or there is hope");
            assert!(is_full || self.pool.next_wake(self.now).is_some(), "hope has a time");
        }
    }

    /// A step at `acted` that left a replica spent left its successor too, unless there is no room
    /// or starts fail.
    pub fn audit_replacement(&self, spent_before: &[ReplicaId], acted: Timestamp) {
        let spent = self.spent();
        let has_room = self.trouble.room_at.is_none_or(|at| at <= acted);
        if self.trouble.failures > 0
            || !has_room
            || spent.iter().all(|id| spent_before.contains(id))
        {
            return;
        }
        let counts = self.pool.counts();
        let active = counts.starting + counts.ready;
        let is_full = active == self.limits.max;
        assert!(is_full || active - spent.len() as u32 >= counts.target, "replaced at once");
    }

    fn audit_sleep_and_end(&self) {
        let counts = self.pool.counts();
        let active = counts.starting + counts.ready;
        if self.pool.is_asleep() {
            let others = active - self.pinned_ready();
            assert_eq!(others, 0, "asleep means empty, but for the pinned");
            let has_room = self.pool.free.least_busy().is_some();
            assert!(counts.queued == 0 || has_room, "who waits in a sleeping pool will be served");
            assert_eq!(self.held, None, "what is held is awake");
            let is_pinned = |served: &Served| self.pinned.contains(&served.lease.id);
            assert!(self.served.iter().all(|(_, served)| is_pinned(served)), "only they serve");
        }
        if self.is_closed {
            let mut left = self.pool.replicas.iter().flatten();
            let is_idle = left.any(|replica| replica.state == State::Ready && replica.ongoing == 0);
            assert!(!is_idle, "a closed pool keeps no idle replica");
        }
        let is_empty = self.pool.replica_count() == 0 && counts.queued == 0;
        assert_eq!(self.pool.is_finished(), self.is_closed && is_empty);
    }

    /// Before `next_wake` there is nothing to do, and at `next_wake` there is.
    fn audit_next_wake(&self) {
        let next = self.pool.next_wake(self.now);
        let before = sketch(&self.pool);
        let quiet = next.map_or(A_DAY, |next| next.since(self.now));
        let just_before = quiet.saturating_sub(Duration::from_nanos(1));
        for after in [Duration::ZERO, quiet / 2, just_before] {
            if after < quiet {
                let mut pool = self.pool.clone();
                pool.plan(self.now + after);
                assert_eq!(sketch(&pool), before, "something to do {after:?} from now");
            }
        }
        if let Some(next) = next {
            let mut pool = self.pool.clone();
            pool.plan(next);
            assert_ne!(sketch(&pool), before, "woken for nothing in {quiet:?}");
        }
    }
}
