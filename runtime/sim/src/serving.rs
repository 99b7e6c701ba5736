//! The way of a request: arrival, queue, replica, answer.

use crate::deployment::{Deployment, nanos};
use crate::engine::{Simulation, Todo};
use crate::events::Event;
use crate::requests::{Origin, RequestRef, Stage};
use crate::tally::Ended;
use samovar_core::pool::{Arrival, Health, Outcome};
use samovar_core::replica::Lease;
use std::time::Duration;

/// The shortest pause of a user whose request took no time at all, or time would stand still.
const PAUSE_MIN: Duration = Duration::from_micros(1);

impl Simulation {
    /// The planned request of an open loop arrives, and the next one is planned.
    pub(crate) fn arrive_next(&mut self, d: usize) {
        let arrival = self.deployments[d].arrival.take();
        self.plan_arrival(d);
        self.arrive(d, Origin::World, arrival.and_then(|arrival| arrival.service_nanos));
    }

    /// Plans the next request of an open loop, if one comes in time.
    pub(crate) fn plan_arrival(&mut self, d: usize) {
        let deployment = &mut self.deployments[d];
        let next = deployment.source.as_mut().and_then(|source| source.next());
        deployment.arrival = next.filter(|next| next.at <= self.arrivals_end);
        if let Some(next) = deployment.arrival {
            self.events.plan(next.at.as_nanos(), Event::Arrive(d as u32));
        }
    }

    /// A request arrives.
    pub(crate) fn arrive(&mut self, d: usize, origin: Origin, service: Option<u64>) {
        let now = self.now;
        let deployment = &mut self.deployments[d];
        let service = service.unwrap_or_else(|| {
            nanos(deployment.spec.service.sample(&mut deployment.streams.service))
        });
        let index = self.requests.add(d, origin, service, now);
        deployment.tally.ends.arrived += 1;
        if let Some(book) = &mut self.book {
            book.arrived(d, self.requests.at(index).number, now);
        }
        match deployment.pool.arrive(|| index, now) {
            Arrival::Assigned(lease) => self.assign(index, lease),
            Arrival::Queued(ticket) => {
                let request = self.requests.at_mut(index);
                request.stage = Stage::Waiting(ticket);
                if let Some(book) = &mut self.book {
                    book.queued(d, request.number, now);
                }
                self.watch_waiting(d, index);
            }
            Arrival::Refused(_) => self.answer(index, Ended::Rejected),
        }
        self.carry_out(d);
    }

    fn watch_waiting(&mut self, d: usize, index: u32) {
        let name = self.requests.reference(index);
        let requests = &self.requests;
        let deployment = &mut self.deployments[d];
        deployment.waiting.forget(|request| !is_waiting(requests, request));
        let due = self.now.as_nanos() + deployment.queue_timeout;
        if let Some(at) = deployment.waiting.push(due, name) {
            self.events.plan(at, Event::OldestWaiting(d as u32));
        }
    }

    /// Requests that have waited too long leave the queue.
    pub(crate) fn expire_waiting(&mut self, d: usize) {
        let now = self.now;
        loop {
            let requests = &self.requests;
            let deployment = &mut self.deployments[d];
            deployment.waiting.forget(|request| !is_waiting(requests, request));
            let Some(request) = deployment.waiting.due(now.as_nanos()) else { break };
            let Stage::Waiting(ticket) = self.requests.at(request.index).stage else { continue };
            let cancelled = deployment.pool.cancel(ticket, now);
            assert_eq!(cancelled, Some(request.index), "who waits can leave");
            self.answer(request.index, Ended::TimedOut);
        }
        if let Some(at) = self.deployments[d].waiting.replan() {
            self.events.plan(at, Event::OldestWaiting(d as u32));
        }
        self.carry_out(d);
    }

    /// A request is given to a replica.
    pub(crate) fn assign(&mut self, index: u32, lease: Lease) {
        let now = self.now;
        let request = self.requests.at_mut(index);
        request.stage = Stage::Served(lease);
        request.assigned = now;
        let (d, number, service) = (request.deployment as usize, request.number, request.service);
        let waited = now.as_nanos() - request.arrived.as_nanos();
        self.digest.mix(number ^ u64::from(lease.slot) << 48);
        if let Some(book) = &mut self.book {
            book.assigned(d, number, lease, now);
        }
        let deployment = &mut self.deployments[d];
        deployment.tally.assigned(waited);
        let mut begin = now.as_nanos();
        let serial = deployment.spec.serial.as_ref();
        let serial =
            serial.map_or(0, |serial| nanos(serial.sample(&mut deployment.streams.serial)));
        let hangs = deployment.faults.hangs(now);
        let has_calls = !deployment.calls.is_empty();
        let overdue = begin + deployment.request_timeout;
        let replica = deployment.replica(lease).expect("requests are given to what exists");
        if serial > 0 {
            begin = replica.serial_free.max(begin) + serial;
            replica.serial_free = begin;
        }
        self.requests.link(&mut replica.first, index);
        let name = self.requests.reference(index);
        let done = begin + service;
        if hangs || done > overdue {
            return self.events.plan(overdue, Event::Overdue(name));
        }
        self.events.plan(done, Event::Worked(name));
        if has_calls {
            self.watch_served(d, overdue, name);
        }
    }

    /// A request that calls others may take too long; how long is not known before.
    fn watch_served(&mut self, d: usize, overdue: u64, name: RequestRef) {
        let requests = &self.requests;
        let deployment = &mut self.deployments[d];
        deployment.served.forget(|request| !requests.is_here(request));
        if let Some(at) = deployment.served.push(overdue, name) {
            self.events.plan(at, Event::OldestServed(d as u32));
        }
    }

    /// Requests that call others and have taken too long fail.
    pub(crate) fn expire_served(&mut self, d: usize) {
        while let Some(request) = self.deployments[d].served.due(self.now.as_nanos()) {
            self.overdue(request);
        }
        let requests = &self.requests;
        let deployment = &mut self.deployments[d];
        deployment.served.forget(|request| !requests.is_here(request));
        if let Some(at) = deployment.served.replan() {
            self.events.plan(at, Event::OldestServed(d as u32));
        }
    }

    /// A replica is through with its own part of a request.
    pub(crate) fn worked(&mut self, request: RequestRef) {
        if !self.requests.is_here(request) {
            return; // It was cut, or failed, or was left.
        }
        let d = self.requests.at(request.index).deployment as usize;
        if self.deployments[d].calls.is_empty() {
            self.finish(request.index, Outcome::Completed, Health::Sound);
        } else {
            self.begin_calls(d, request.index);
        }
    }

    /// A request has taken too long. Its replica is given up, as a task in it cannot be ended.
    pub(crate) fn overdue(&mut self, request: RequestRef) {
        if self.requests.is_here(request) {
            self.finish(request.index, Outcome::Failed, Health::Condemned);
        }
    }

    /// A request on a replica ends.
    pub(crate) fn finish(&mut self, index: u32, outcome: Outcome, health: Health) {
        let request = self.requests.at(index);
        let d = request.deployment as usize;
        let Stage::Served(lease) = request.stage else {
            unreachable!("only a request on a replica ends there");
        };
        let replica = self.deployments[d].replica(lease).expect("who is served has a replica");
        self.requests.unlink(&mut replica.first, index);
        self.end(index, lease, outcome, health);
        self.carry_out(d);
    }

    /// Tells the pool and the sender that a request has ended. It is in no replica's list any more.
    pub(crate) fn end(&mut self, index: u32, lease: Lease, outcome: Outcome, health: Health) {
        let now = self.now;
        let request = self.requests.at(index);
        let (d, arrived) = (request.deployment as usize, request.arrived);
        let deployment = &mut self.deployments[d];
        deployment.tally.busy += u128::from(now.as_nanos() - request.assigned.as_nanos());
        if let Some(book) = &mut self.book
            && health == Health::Condemned
        {
            book.condemned(d, lease, now);
        }
        deployment.pool.finish(lease, arrived, outcome, health, now);
        self.answer(
            index,
            match outcome {
                Outcome::Completed => Ended::Completed,
                Outcome::Failed | Outcome::Cancelled => Ended::Failed,
            },
        );
    }

    /// A request is over, and who waits for its answer learns it.
    pub(crate) fn answer(&mut self, index: u32, ended: Ended) {
        let now = self.now;
        let request = *self.requests.at(index);
        let d = request.deployment as usize;
        let took = now.as_nanos() - request.arrived.as_nanos();
        self.digest.mix(request.number ^ (ended as u64) << 60);
        self.deployments[d].tally.ended(ended, took);
        if let Some(book) = &mut self.book {
            book.ended(d, request.number, ended, now);
        }
        while let Some(child) = self.requests.orphan_call(index) {
            self.todo.push_back(Todo::Abandon(self.requests.reference(child)));
        }
        match request.origin {
            Origin::World => {}
            Origin::User(user) => self.plan_user(d, user, ended, took),
            Origin::Call { parent, call, attempt } => {
                let is_done = ended == Ended::Completed;
                self.todo.push_back(Todo::Returned { parent, call, attempt, is_done });
            }
        }
        self.requests.remove(index);
    }

    /// A user thinks about an answer and then sends the next request, if it is in time.
    fn plan_user(&mut self, d: usize, user: u32, ended: Ended, took: u64) {
        let Deployment { crowd, streams, .. } = &mut self.deployments[d];
        let Some(crowd) = crowd else { return };
        let mut pause = crowd.think.sample(&mut streams.think);
        if ended != Ended::Completed {
            pause = pause.max(crowd.after_failure);
        }
        if took == 0 {
            pause = pause.max(PAUSE_MIN);
        }
        let at = self.now + pause;
        if at <= self.arrivals_end && crowd.is_here(user, at) {
            self.events.plan(at.as_nanos(), Event::User { deployment: d as u32, user });
        }
    }
}

fn is_waiting(requests: &crate::requests::Requests, request: RequestRef) -> bool {
    requests.is_here(request) && matches!(requests.at(request.index).stage, Stage::Waiting(_))
}
