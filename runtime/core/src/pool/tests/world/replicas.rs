//! What happens to replicas, and what must hold whenever one starts or leaves.

use super::{Life, World};
use crate::pool::STABLE;
use crate::replica::{Lease, ReplicaId, State};
use crate::time::Timestamp;
use std::time::Duration;

/// Why replicas may have to wait, as the owner knows it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub failures: u32,
    pub retry_at: Timestamp,
    crashed_at: Option<Timestamp>,
    /// Replicas that were ready after the last event.
    ready: Vec<ReplicaId>,
    pub room_at: Option<Timestamp>,
}

impl World {
    pub(super) fn replica_event(&mut self, index: usize, event: impl FnOnce(&mut Self, Lease)) {
        if !self.leases.is_empty() {
            let lease = self.leases[index % self.leases.len()];
            event(self, lease);
        }
    }

    pub(super) fn started(&mut self, lease: Lease) {
        let is_due = self.lives[&lease.id] == Life::Starting;
        if is_due {
            self.trouble.room_at = None;
            if self.trouble.crashed_at.is_none() {
                self.trouble.failures = 0;
            }
            self.comes(lease.id);
        }
        self.told(is_due, |pool, now| pool.started(lease, now), lease);
    }

    pub(super) fn start_failed(&mut self, lease: Lease) {
        let is_due = self.lives[&lease.id] == Life::Starting;
        if is_due {
            self.lives.insert(lease.id, Life::Gone);
            self.failed += 1;
            self.count_failure();
        }
        self.told(is_due, |pool, now| pool.start_failed(lease, now), lease);
    }

    pub(super) fn start_refused(&mut self, lease: Lease, pause: Duration) {
        let is_due = self.lives[&lease.id] == Life::Starting;
        let retry_at = self.now + pause;
        if is_due {
            self.lives.insert(lease.id, Life::Gone);
            self.trouble.room_at = Some(retry_at);
        }
        let before = self.pool.totals();
        self.told(is_due, |pool, now| pool.start_refused(lease, retry_at, now), lease);
        assert_eq!(before.replicas_failed, self.pool.totals().replicas_failed, "no failure");
    }

    pub(super) fn condemn(&mut self, lease: Lease) {
        let life = self.lives[&lease.id];
        self.left.insert(lease.id);
        if life == Life::Starting {
            self.failed += 1;
            self.count_failure();
        }
        self.told(life != Life::Gone, |pool, now| pool.condemn(lease, now), lease);
        self.assert_no_more(lease);
    }

    pub(super) fn crashed(&mut self, lease: Lease) {
        let life = self.lives[&lease.id];
        let is_counted = match life {
            Life::Starting => true,
            Life::Ready => {
                self.pool.replicas[lease.slot as usize].as_ref().is_some_and(|r| !r.crashed)
            }
            Life::Gone => false,
        };
        self.left.insert(lease.id);
        self.failed += u64::from(is_counted);
        if is_counted && life == Life::Starting {
            self.count_failure();
        } else if is_counted && !self.pinned.contains(&lease.id) {
            let lasted = self.now.since(self.ready_since[&lease.id]);
            if lasted < STABLE {
                self.count_failure();
                self.trouble.crashed_at = Some(self.now);
            }
        }
        self.told(life != Life::Gone, |pool, now| pool.crashed(lease, now), lease);
        self.assert_no_more(lease);
    }

    pub(super) fn release(&mut self, lease: Lease) {
        let life = self.lives[&lease.id];
        let failed = self.pool.totals().replicas_failed;
        if life == Life::Ready {
            self.left.insert(lease.id);
        }
        self.told(life == Life::Ready, |pool, now| pool.release(lease, now), lease);
        assert_eq!(failed, self.pool.totals().replicas_failed, "leaving is no failure");
        if life != Life::Starting {
            self.assert_no_more(lease);
        }
    }

    pub(super) fn adopt(&mut self) {
        let counts = self.pool.counts();
        let is_full = counts.starting + counts.ready == self.limits.max;
        let lease = self.pool.adopt(self.now);
        assert_eq!(lease.is_none(), self.is_closed || is_full, "taken while there is room");
        let Some(lease) = lease else { return };
        assert!(!self.lives.contains_key(&lease.id), "a fresh replica");
        self.pinned.insert(lease.id);
        self.leases.push(lease);
        self.comes(lease.id);
        self.settle(Some(lease));
    }

    pub(super) fn set_target(&mut self, target: u32, first: &[usize], shed: bool) {
        let known = |index: &usize| self.leases.get(index % 8).map(|lease| lease.id);
        let first: Vec<ReplicaId> = first.iter().filter_map(known).collect();
        let before = self.takers();
        let is_deaf = self.is_closed || self.pool.is_asleep();
        let aged = |id: &ReplicaId| {
            let age = self.limits.max_age;
            age.is_some_and(|age| self.ordered(*id).is_some_and(|at| at + age <= self.now))
        };
        let aged: Vec<ReplicaId> = before.iter().map(|(id, _)| *id).filter(aged).collect();
        self.pool.set_target(target, &first, shed, self.now);
        let after = self.takers();
        let gone = before.iter().filter(|(id, _)| after.iter().all(|(other, _)| other != id));
        let gone: Vec<_> =
            gone.filter(|(id, _)| !aged.contains(id) && !first.contains(id)).collect();
        let busiest = gone.iter().map(|(_, busy)| *busy).max();
        let may_shed = shed || self.held.is_some();
        assert!(may_shed || busiest.unwrap_or(0) == 0, "only who sheds ends busy replicas");
        let calmest = after.iter().map(|(_, busy)| *busy).min();
        if let (true, Some(busiest), Some(calmest)) = (shed, busiest, calmest) {
            assert!(busiest <= calmest, "the least busy are shed");
        }
        if shed && !is_deaf && !self.pool.is_asleep() {
            let room = self.wanted(target).saturating_sub(self.pinned_ready());
            assert!(after.len() as u32 <= room, "nobody above the target stays");
        }
        self.settle(None);
    }

    /// Ready replicas that take requests and were ordered, and how busy they are.
    pub(super) fn takers(&self) -> Vec<(ReplicaId, u32)> {
        let replicas = self.pool.replicas.iter().flatten();
        let ready = replicas.filter(|replica| replica.state == State::Ready);
        let ids = ready.map(|replica| replica.id);
        let ids = ids.filter(|id| !self.is_spent(*id) && !self.pinned.contains(id));
        ids.map(|id| (id, self.busy(id))).collect()
    }

    fn ordered(&self, id: ReplicaId) -> Option<Timestamp> {
        let mut replicas = self.pool.replicas.iter().flatten();
        replicas.find(|replica| replica.id == id).map(|replica| replica.ordered)
    }

    fn comes(&mut self, id: ReplicaId) {
        self.lives.insert(id, Life::Ready);
        self.ready_since.insert(id, self.now);
        self.came += 1;
        self.touch(id);
    }

    fn count_failure(&mut self) {
        self.prove();
        let trouble = &mut self.trouble;
        trouble.failures += 1;
        let pause = Duration::from_millis(100).saturating_mul(1 << (trouble.failures - 1).min(20));
        trouble.retry_at = self.now + pause.min(Duration::from_secs(30));
    }

    /// Whether a replica that the pool ordered has lasted since the last crash.
    fn has_proof(&self) -> bool {
        let Trouble { crashed_at: Some(crashed), ready, .. } = &self.trouble else {
            return false;
        };
        ready.iter().filter(|id| !self.pinned.contains(id)).any(|id| {
            let since = self.ready_since[id];
            since >= *crashed && self.now.since(since) >= STABLE
        })
    }

    pub(super) fn prove(&mut self) {
        if self.has_proof() {
            self.trouble.crashed_at = None;
            self.trouble.failures = 0;
        }
    }

    pub(super) fn note_ready(&mut self) {
        let replicas = self.pool.replicas.iter().flatten();
        let ready = replicas.filter(|replica| replica.state == State::Ready);
        self.trouble.ready = ready.map(|replica| replica.id).collect();
    }

    /// The pool forgets crashes only for a reason, and `plan` finds it.
    pub(super) fn audit_proof(&mut self) {
        if self.pool.crashed_at.is_none() && self.trouble.crashed_at.is_some() {
            assert!(self.has_proof(), "a series of crashes is not over by itself");
            self.trouble.crashed_at = None;
            self.trouble.failures = 0;
        }
        assert_eq!(self.pool.crashed_at, self.trouble.crashed_at);
        assert_eq!(self.pool.failures, self.trouble.failures);
    }

    /// A replica is about to start.
    pub(super) fn audit_start(&self) {
        let trouble = &self.trouble;
        let loading = self.lives.values().any(|life| *life == Life::Starting);
        let may = trouble.failures == 0 || (self.now >= trouble.retry_at && !loading);
        assert!(may, "after a failure one attempt at a time, not before it is due");
        let has_room = trouble.room_at.is_none_or(|at| at <= self.now);
        assert!(has_room, "nothing starts while there is no room");
    }

    /// A pinned replica leaves only by itself or with the pool.
    pub(super) fn audit_leaving(&self, id: ReplicaId) {
        let may = !self.pinned.contains(&id) || self.is_closed || self.left.contains(&id);
        assert!(may, "a pinned replica was sent away");
    }

    pub(super) fn pinned_ready(&self) -> u32 {
        let replicas = self.pool.replicas.iter().flatten();
        let ready = replicas.filter(|replica| replica.state == State::Ready);
        ready.filter(|replica| self.pinned.contains(&replica.id)).count() as u32
    }

    fn assert_no_more(&self, lease: Lease) {
        let replicas = self.pool.replicas.iter().flatten();
        let mut left = replicas.filter(|replica| replica.id == lease.id);
        assert!(left.all(|replica| matches!(replica.state, State::Draining { .. })));
    }
}
