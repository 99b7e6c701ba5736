//! Requests that call other deployments and wait for the answers while they keep their place.

use crate::engine::Simulation;
use crate::events::Event;
use crate::requests::{Origin, RequestRef, Stage};
use crate::scenario::{CallsSpec, Order};
use crate::tally::Ended;
use samovar_core::pool::{Health, Outcome};

/// Doublings of the pause before a call is made again.
const DOUBLINGS_MAX: u16 = 10;

impl Simulation {
    /// A replica is through with its own part of a request that calls others.
    pub(crate) fn begin_calls(&mut self, d: usize, parent: u32) {
        let count = self.deployments[d].calls.len() as u32;
        self.requests.at_mut(parent).calls_left = count;
        let parent = self.requests.reference(parent);
        let at_once = match self.calls_of(d).order {
            Order::Parallel => count as u16,
            Order::Sequence => 1,
        };
        for call in 0..at_once {
            self.call(parent, call, 0);
        }
    }

    /// Makes a call, unless who would wait for it is gone.
    pub(crate) fn call(&mut self, parent: RequestRef, call: u16, attempt: u16) {
        if !self.requests.is_here(parent) {
            return;
        }
        let d = self.requests.at(parent.index).deployment as usize;
        let to = self.deployments[d].calls[usize::from(call)] as usize;
        self.arrive(to, Origin::Call { parent, call, attempt }, None);
    }

    /// A call was answered.
    pub(crate) fn returned(&mut self, parent: RequestRef, call: u16, attempt: u16, is_done: bool) {
        if !self.requests.is_here(parent) {
            return;
        }
        let request = self.requests.at_mut(parent.index);
        let d = request.deployment as usize;
        if is_done {
            request.calls_left -= 1;
            if request.calls_left == 0 {
                self.finish(parent.index, Outcome::Completed, Health::Sound);
            } else if self.calls_of(d).order == Order::Sequence {
                self.call(parent, call + 1, 0);
            }
            return;
        }
        let &CallsSpec { retries, backoff, .. } = self.calls_of(d);
        if attempt < retries {
            let pause = backoff * (1 << attempt.min(DOUBLINGS_MAX));
            let again = Event::Recall { parent, call, attempt: attempt + 1 };
            self.events.plan((self.now + pause).as_nanos(), again);
        } else {
            // The handler answers with an error; its replica is sound.
            self.finish(parent.index, Outcome::Failed, Health::Sound);
        }
    }

    /// Nobody waits for the answer of a call any more: its client has left.
    pub(crate) fn abandon(&mut self, request: RequestRef) {
        if !self.requests.is_here(request) {
            return;
        }
        let index = request.index;
        let d = self.requests.at(index).deployment as usize;
        match self.requests.at(index).stage {
            Stage::Free | Stage::Arrived => unreachable!("an arrival is settled at once"),
            Stage::Waiting(ticket) => {
                let cancelled = self.deployments[d].pool.cancel(ticket, self.now);
                assert_eq!(cancelled, Some(index), "who waits can leave");
                self.answer(index, Ended::Rejected);
                self.carry_out(d);
            }
            Stage::Served(_) => {
                // A handler that is called in place is gone with its call; one that serves many
                // lets the task run out.
                let health = match self.deployments[d].spec.concurrency {
                    1 => Health::Condemned,
                    _ => Health::Sound,
                };
                self.finish(index, Outcome::Cancelled, health);
            }
        }
    }

    fn calls_of(&self, d: usize) -> &CallsSpec {
        self.deployments[d].spec.calls.as_ref().expect("only who calls has calls")
    }
}
