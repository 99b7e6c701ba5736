//! Replicas that fail, and the pauses this makes.
//!
//! Two things make the pool wait before it starts the next replica. *Failures*: a start that
//! failed, or a replica that crashed before it was ready for [`STABLE`]. Each one in a row doubles
//! the pause, and there is one attempt at a time. A replica that starts ends this, unless one
//! crashed: then only one that became ready after the last crash and has lasted for [`STABLE`]
//! does. And a *refused* start: the machine has no room, which says nothing about the program.

use super::{Action, FAILED_STARTS_MAX, Pool, Refusal, STABLE};
use crate::replica::{Lease, State};
use crate::time::Timestamp;
use std::time::Duration;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How long to wait after the `failures`-th failure in a row: doubling from 100 ms to 30 s.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (BACKOFF_FIRST * 2u32.pow(doublings)).min(BACKOFF_MAX)
}

/// Why a missing replica is not started yet.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Replicas failed this often in a row; the next attempt is at `until`.
    Failing {
        /// Failed starts and early crashes in a row.
        failures: u32,
        /// When the pool tries again.
        until: Timestamp,
    },
    /// The machine had no room; the next attempt is at `until`.
    NoRoom {
        /// When the pool tries again.
        until: Timestamp,
    },
}

impl<W> Pool<W> {
    /// A starting replica could not be made. The next attempt waits, longer each time; requests
    /// that wait are refused once it looks hopeless.
    pub fn start_failed(&mut self, lease: Lease, now: Timestamp) {
        if self.replica_mut(lease).is_some_and(|replica| replica.state == State::Starting) {
            self.lose_start(lease, now);
        }
    }

    /// A starting replica could not be made because the machine has no room for it. That is no
    /// failure: requests go on waiting. Nothing is started before `retry_at`, which must be later
    /// than `now`, unless another replica starts or is refused before.
    pub fn start_refused(&mut self, lease: Lease, retry_at: Timestamp, now: Timestamp) {
        if self.replica_mut(lease).is_some_and(|replica| replica.state == State::Starting) {
            self.starting -= 1;
            self.vacate(lease.slot);
            self.room_at = Some(retry_at);
            self.prove(now);
            self.give_up(now);
        }
    }

    /// The instance failed outside of a single request's end: no more requests for it. One that
    /// fails before it is said to have started did not start.
    pub fn condemn(&mut self, lease: Lease, now: Timestamp) {
        match self.replica_mut(lease).map(|replica| replica.state) {
            Some(State::Ready) => self.retire(lease, now),
            Some(State::Starting) => {
                self.lose_start(lease, now);
                self.actions.push_back(Action::Drop(lease));
            }
            Some(State::Draining { .. }) | None => {}
        }
    }

    /// The replica died by itself: its process exited, did not answer or took too much memory. Its
    /// requests end by themselves, and it is gone with the last one. To be called before the ends
    /// of these requests are reported, or it may be gone by then and nothing is learned.
    ///
    /// If it was ready for less than [`STABLE`], its successor waits as after a failed start. One
    /// that came by itself makes nobody wait: the pool does not start its successor.
    pub fn crashed(&mut self, lease: Lease, now: Timestamp) {
        let Some(replica) = self.replica_mut(lease) else {
            return;
        };
        let is_ready = match replica.state {
            State::Starting => return self.condemn(lease, now),
            State::Ready => true,
            State::Draining { .. } => false,
        };
        if std::mem::replace(&mut replica.crashed, true) {
            return;
        }
        let is_early = !replica.pinned && now.since(replica.ready_since) < STABLE;
        self.meter.replica_failed();
        if is_early {
            self.count_failure(now);
            self.crashed_at = Some(now);
        }
        if is_ready {
            self.retire(lease, now);
        } else {
            self.refill(now);
        }
    }

    /// Why a missing replica is not started yet; none if none is missing or it can start now.
    #[cfg(test)]
    pub(super) fn pause(&self, now: Timestamp) -> Option<Pause> {
        if !self.is_short() {
            return None;
        }
        let (failures, until) = (self.failures, self.retry_at);
        if failures > 0 && until > now {
            return Some(Pause::Failing { failures, until });
        }
        self.room_at.filter(|until| *until > now).map(|until| Pause::NoRoom { until })
    }

    /// A starting replica is gone.
    fn lose_start(&mut self, lease: Lease, now: Timestamp) {
        self.starting -= 1;
        self.vacate(lease.slot);
        self.meter.replica_failed();
        self.count_failure(now);
        self.refill(now);
    }

    fn count_failure(&mut self, now: Timestamp) {
        self.prove(now);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + backoff(self.failures);
    }

    /// Forgets the failures once a replica has lasted since the last crash.
    pub(super) fn prove(&mut self, now: Timestamp) {
        if self.proof_at().is_some_and(|at| at <= now) {
            self.crashed_at = None;
            self.failures = 0;
        }
    }

    /// When a series of crashes will be over if no replica is lost.
    pub(super) fn proof_at(&self) -> Option<Timestamp> {
        let crashed_at = self.crashed_at?;
        let replicas = self.replicas.iter().flatten();
        let newer = replicas.filter(|replica| {
            let is_ours = replica.state == State::Ready && !replica.pinned;
            is_ours && replica.ready_since >= crashed_at
        });
        newer.map(|replica| replica.ready_since + STABLE).min()
    }

    /// Whether no replica takes requests and the next attempt has little hope and is not due.
    pub(super) fn is_hopeless(&self, now: Timestamp) -> bool {
        self.usable() == 0 && self.failures >= FAILED_STARTS_MAX && now < self.retry_at
    }

    /// Refuses those that wait if it is hopeless.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        if self.is_hopeless(now) {
            self.refuse_waiting(Refusal::StartFailing { retry_at: self.retry_at }, now);
        }
    }
}
