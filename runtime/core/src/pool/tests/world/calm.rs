//! What must happen in the end, once nothing goes wrong any more.

use super::{Life, World};
use crate::pool::{Health, Outcome};
use crate::replica::Lease;
use std::time::Duration;

/// Steps within which everything must have happened; each starts or ends something.
const STEPS_MAX: usize = 2_000;

/// Whether requests that are served end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    End,
    Hang,
}

impl World {
    /// Starts succeed and the pool is called when it asks for it, until every waiting request was
    /// woken or refused.
    pub fn serve_all(&mut self) {
        self.hold(None);
        for _ in 0..STEPS_MAX {
            if self.waiting.is_empty() {
                return;
            }
            if !self.go_on(Requests::End) {
                panic!("{} wait, and nothing will happen", self.waiting.len());
            }
        }
        panic!("{} still wait", self.waiting.len());
    }

    /// Nobody sends requests any more, until the pool is asleep or empty. Time counts from when all
    /// wanted replicas have loaded.
    pub fn fall_asleep(&mut self, idle_ttl: Duration) {
        self.hold(None);
        while self.go_on_at_once(Requests::End) || self.is_short() {
            self.go_on(Requests::End);
        }
        let deadline = self.now + idle_ttl;
        while self.go_on_at_once(Requests::End)
            || self.pool.next_wake(self.now).is_some_and(|next| next <= deadline)
        {
            self.go_on(Requests::End);
        }
        let counts = self.pool.counts();
        let is_empty = counts.ready + counts.starting == self.pinned_ready();
        assert!(is_empty, "not used for {idle_ttl:?} and still {counts:?}");
    }

    /// The pool is closed, and the requests it serves may hang.
    pub fn close_and_finish(&mut self, requests: Requests) {
        self.is_closed = true;
        self.pool.close(self.now);
        self.settle(None);
        let deadline = self.now + self.limits.drain_timeout;
        for _ in 0..STEPS_MAX {
            self.audit();
            if self.pool.is_finished() {
                assert!(self.now <= deadline, "finished by its deadline");
                return;
            }
            assert!(self.go_on(requests), "not finished, and nothing will happen");
        }
        panic!("not finished: {:?}", self.pool.counts());
    }

    fn is_short(&self) -> bool {
        let counts = self.pool.counts();
        !self.is_closed && counts.starting + counts.ready < counts.target
    }

    /// One more thing happens; false if nothing ever will.
    fn go_on(&mut self, requests: Requests) -> bool {
        if self.go_on_at_once(requests) {
            return true;
        }
        let Some(due) = self.pool.next_wake(self.now) else {
            return false;
        };
        self.pass(due.since(self.now));
        self.plan();
        self.audit();
        true
    }

    /// One more thing happens without waiting for time to pass.
    fn go_on_at_once(&mut self, requests: Requests) -> bool {
        if let Some(lease) = self.first(Life::Starting) {
            self.started(lease);
        } else if requests == Requests::End && !self.served.is_empty() {
            self.finish(0, Outcome::Completed, Health::Sound);
        } else {
            return false;
        }
        self.audit();
        true
    }

    fn first(&self, life: Life) -> Option<Lease> {
        self.leases.iter().copied().find(|lease| self.lives[&lease.id] == life)
    }
}
