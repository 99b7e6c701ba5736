//! A warm pool: which replica serves which request, and how many replicas there should be.
//!
//! The pool holds no instances and does no I/O. Its owner keeps it behind a short lock, calls it in
//! place and then carries out the [`Action`]s it left. Requests go through [`Pool::arrive`] and
//! [`Pool::finish`]; the life of replicas through [`Pool::started`], [`Pool::start_failed`],
//! [`Pool::start_refused`], [`Pool::condemn`] and [`Pool::crashed`]; that of external workers
//! through [`Pool::adopt`] and [`Pool::release`]; the control loop through [`Pool::set_target`],
//! [`Pool::plan`] and [`Pool::observe`].
//!
//! Rules: least-busy dispatch, last used first among equals (its caches are warm); waiting requests
//! are served first come, first served; a request that finds no replica to wait for wakes the pool
//! by itself, without asking a policy.
//!
//! A replica that was given its `max_requests`-th request is *spent*. It stays ready, because what
//! it serves is healthy and may take its time, but it takes no more requests and is gone when its
//! last one ends. Spent replicas count towards `max`, not towards the target nor towards the one
//! replica that waiting requests call for: a successor starts at once where `max` leaves room,
//! else when a replica is gone.
//!
//! A worker that came by itself is *pinned*. It counts like any ready replica, so fewer others are
//! started, but the pool never sends it away before it closes itself.
//!
//! A pool may serve requests in batches; then a replica's `concurrency` counts batches. An operator
//! may add, remove and restart single replicas and hold their number.

mod action;
mod batching;
mod control;
mod external;
mod failing;
mod free;
mod manual;
mod meter;
mod queue;
#[cfg(test)]
mod tests;

use crate::limits::PoolLimits;
use crate::replica::{Lease, Replica, ReplicaId, State};
use crate::time::Timestamp;
pub use action::{Action, Arrival, Health, Leaving, Refusal};
pub use batching::Batches;
use batching::Batching;
pub use control::Counts;
#[cfg(test)]
use failing::Pause;
use free::FreeLists;
pub use manual::ManualError;
use meter::Meter;
pub use meter::{Outcome, Totals};
use queue::Queue;
pub use queue::{Member, Ticket};
use std::collections::VecDeque;
use std::time::Duration;

/// Replicas that fail in a row before waiting requests are refused instead of kept waiting: one or
/// two may be bad luck, three are a broken program.
pub const FAILED_STARTS_MAX: u32 = 3;

/// How long a replica must have been ready to count as sound. One that crashes sooner makes its
/// successor wait. As long as the longest pause between starts, so that no series of crashes is
/// forgotten while it still makes a difference.
pub const STABLE: Duration = Duration::from_secs(30);

/// A warm pool of one revision; see the module's documentation.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Pool<W> {
    limits: PoolLimits,
    created: Timestamp,
    replicas: Vec<Option<Replica>>,
    vacant: Vec<u32>,
    next_id: u64,
    free: FreeLists,
    queue: Queue<W>,
    meter: Meter,
    /// None if requests are served singly.
    batching: Option<Box<Batching>>,
    actions: VecDeque<Action<W>>,
    /// Replicas that take no more requests; none if nobody asks.
    leaving: Option<VecDeque<(Lease, Leaving)>>,
    starting: u32,
    ready: u32,
    /// Ready replicas that take no more requests. They are in no free list, and all of them serve.
    spent: u32,
    draining: u32,
    target: u32,
    /// Emptied by `idle_ttl`; the minimum does not count until the next request.
    asleep: bool,
    /// How many replicas an operator wants, whatever others ask for.
    held: Option<u32>,
    /// As long as a request with this ticket or an older one waits, so many usable replicas are
    /// wanted whatever the target.
    lifted: Option<(Ticket, u32)>,
    /// When set, no new requests; what still waits is served until this deadline.
    closed: Option<Timestamp>,
    /// Starts that failed in a row, and replicas that crashed soon after they were ready.
    failures: u32,
    /// When the next replica may start after a failure.
    retry_at: Timestamp,
    /// The last crash of a series. Then it takes a replica that lasts to forget the failures.
    crashed_at: Option<Timestamp>,
    /// There was no room for a replica. When to try again; may have passed.
    room_at: Option<Timestamp>,
    /// Whether what starts was asked for, by a request or a target, rather than a replacement.
    loading: bool,
    /// When the last replica that was asked for became ready, because loading is not idleness; or
    /// when an operator last asked for some.
    loaded: Option<Timestamp>,
}

impl<W> Pool<W> {
    /// An empty pool. Nothing is started before [`Pool::plan`] or a request.
    pub fn new(limits: PoolLimits, now: Timestamp) -> Self {
        limits.assert_valid();
        let target = limits.min.max(limits.initial);
        Pool {
            free: FreeLists::new(limits.concurrency),
            queue: Queue::default(),
            batching: Batching::new(&limits),
            meter: Meter::new(now),
            limits,
            created: now,
            replicas: Vec::new(),
            vacant: Vec::new(),
            next_id: 0,
            actions: VecDeque::new(),
            leaving: None,
            starting: 0,
            ready: 0,
            spent: 0,
            draining: 0,
            target,
            asleep: false,
            held: None,
            lifted: None,
            closed: None,
            failures: 0,
            retry_at: now,
            crashed_at: None,
            room_at: None,
            loading: true,
            loaded: None,
        }
    }

    /// A request arrives. `waiter` is asked for only if it has to wait.
    pub fn arrive(&mut self, waiter: impl FnOnce() -> W, now: Timestamp) -> Arrival {
        if self.closed.is_some() {
            return Arrival::Refused(Refusal::Closed);
        }
        self.meter.arrived(now);
        if self.batching.is_none()
            && let Some(slot) = self.free.least_busy()
        {
            return Arrival::Assigned(self.assign(slot, now));
        }
        if self.queue.len() >= self.limits.queue_max {
            self.meter.rejected(now);
            return Arrival::Refused(Refusal::QueueFull);
        }
        if self.is_hopeless(now) {
            self.meter.rejected(now);
            return Arrival::Refused(Refusal::StartFailing { retry_at: self.retry_at });
        }
        let must_wait = self.free.least_busy().is_none();
        if must_wait && (self.asleep || (self.usable() == 0 && self.active() < self.limits.max)) {
            self.wake(now);
        }
        let ticket = self.queue.push(waiter(), now);
        self.meter.set_queued(self.queue.len(), now);
        if !must_wait {
            self.flush(now); // Without batches it would have been assigned.
        }
        Arrival::Queued(ticket)
    }

    /// A waiting request gives up: its time is over or its client left. `None` if it does not wait
    /// any more, because it was woken or refused meanwhile.
    pub fn cancel(&mut self, ticket: Ticket, now: Timestamp) -> Option<W> {
        let waiter = self.queue.cancel(ticket)?;
        self.meter.rejected(now);
        self.meter.set_queued(self.queue.len(), now);
        Some(waiter)
    }

    /// A request that was assigned has ended. `arrived` is when it arrived.
    pub fn finish(
        &mut self,
        lease: Lease,
        arrived: Timestamp,
        outcome: Outcome,
        health: Health,
        now: Timestamp,
    ) {
        self.meter.finished(arrived, outcome, now);
        self.ended(lease, 1, health, now);
    }

    /// What was in one place of a replica has ended: so many requests.
    fn ended(&mut self, lease: Lease, requests: u32, health: Health, now: Timestamp) {
        let Some(replica) = self.replica_mut(lease) else {
            return; // Cut at its drain deadline; the request's end comes late.
        };
        assert!(replica.ongoing >= requests && replica.places > 0, "a request ends once");
        replica.idle_since = now;
        match (replica.state, health) {
            (State::Starting, _) => unreachable!("a starting replica has no requests"),
            (State::Ready, Health::Condemned) => {
                self.withdraw(lease.slot);
                self.at(lease.slot).leave(requests);
                self.drain(lease, now);
            }
            (State::Ready, Health::Sound) => {
                self.vacate_place(lease, requests, now);
                if self.closed.is_some() {
                    self.plan(now);
                }
            }
            (State::Draining { .. }, _) => {
                replica.leave(requests);
                if replica.ongoing == 0 {
                    self.remove(lease, now);
                }
            }
        }
    }

    /// A place on a ready replica is free: it goes to the request that has waited longest, or the
    /// next batch, unless the replica is spent.
    fn vacate_place(&mut self, lease: Lease, requests: u32, now: Timestamp) {
        if self.is_spent(lease.slot) {
            let replica = self.at(lease.slot);
            replica.leave(requests);
            if replica.ongoing == 0 {
                self.retire(lease, now);
            } else {
                self.note_spent(lease.slot);
            }
            return;
        }
        self.withdraw(lease.slot);
        self.at(lease.slot).leave(requests);
        if self.batching.is_some() {
            self.offer(lease.slot, now);
            return self.flush(now);
        }
        if let Some(waiter) = self.queue.pop() {
            self.hand_over(waiter, lease.slot, now);
        }
        self.offer(lease.slot, now);
    }

    /// Gives a request that waited to a replica that was withdrawn.
    fn hand_over(&mut self, waiter: W, slot: u32, now: Timestamp) {
        let replica = self.at(slot);
        replica.take(1);
        let lease = Lease { slot, id: replica.id };
        self.meter.woken(self.queue.len(), now);
        self.actions.push_back(Action::Wake(waiter, lease));
    }

    /// The instance of a starting replica is ready to serve.
    pub fn started(&mut self, lease: Lease, now: Timestamp) {
        let Some(replica) = self.replica_mut(lease) else {
            return;
        };
        if replica.state != State::Starting {
            return;
        }
        replica.state = State::Ready;
        self.starting -= 1;
        self.room_at = None;
        if self.crashed_at.is_none() {
            self.failures = 0;
        }
        if self.loading {
            self.loaded = Some(now);
            self.loading = self.starting > 0;
        }
        self.welcome(lease.slot, now);
        if self.closed.is_some() {
            self.plan(now);
        }
    }

    /// A replica became ready: those that wait go to it first.
    fn welcome(&mut self, slot: u32, now: Timestamp) {
        let replica = self.at(slot);
        replica.idle_since = now;
        replica.ready_since = now;
        self.ready += 1;
        self.meter.started();
        self.offer(slot, now);
        self.flush(now);
        while self.batching.is_none()
            && let Some(slot) = self.free.least_busy()
        {
            let Some(waiter) = self.queue.pop() else { break };
            self.withdraw(slot);
            self.hand_over(waiter, slot, now);
            // Last, because a replica that is spent by it may leave no hope for the others.
            self.offer(slot, now);
        }
        self.shed_held(now);
    }

    /// From now on [`Pool::next_leaving`] answers.
    pub fn watch_leaving(&mut self) {
        self.leaving.get_or_insert_default();
    }

    /// The next replica that takes no more requests but still serves some. That it is gone is an
    /// [`Action`].
    pub fn next_leaving(&mut self) -> Option<(Lease, Leaving)> {
        self.leaving.as_mut()?.pop_front()
    }

    fn note_spent(&mut self, slot: u32) {
        let idle = self.limits.concurrency.saturating_sub(self.at(slot).places);
        self.note_leaving(slot, Leaving::Spent { idle });
    }

    fn note_leaving(&mut self, slot: u32, why: Leaving) {
        if self.leaving.is_some() {
            let lease = Lease { slot, id: self.at(slot).id };
            self.leaving.get_or_insert_default().push_back((lease, why));
        }
    }

    /// The next thing for the owner to do; none when all is done.
    pub fn next_action(&mut self) -> Option<Action<W>> {
        self.actions.pop_front()
    }

    fn refuse_waiting(&mut self, refusal: Refusal, now: Timestamp) {
        while let Some(waiter) = self.queue.pop() {
            self.meter.rejected(now);
            self.actions.push_back(Action::Refuse(waiter, refusal));
        }
        self.meter.set_queued(0, now);
    }

    /// Gives a request to the replica in `slot`, which is in the free lists.
    fn assign(&mut self, slot: u32, now: Timestamp) -> Lease {
        self.withdraw(slot);
        let replica = self.at(slot);
        replica.take(1);
        let lease = Lease { slot, id: replica.id };
        self.meter.assigned(now);
        self.offer(slot, now);
        lease
    }

    /// Lets requests find a ready replica. One that is spent takes none; its successor starts.
    fn offer(&mut self, slot: u32, now: Timestamp) {
        if self.is_spent(slot) {
            self.spent += 1;
            self.note_spent(slot);
            self.refill(now);
        } else {
            let busy = self.at(slot).places;
            self.free.insert(&mut self.replicas, slot, busy);
        }
    }

    /// Undoes `offer`; called before what the replica serves or was given changes.
    fn withdraw(&mut self, slot: u32) {
        if self.is_spent(slot) {
            self.spent -= 1;
        } else {
            let busy = self.at(slot).places;
            self.free.remove(&mut self.replicas, slot, busy);
        }
    }

    /// From ready to draining, at once gone when idle.
    fn retire(&mut self, lease: Lease, now: Timestamp) {
        self.withdraw(lease.slot);
        self.drain(lease, now);
    }

    /// From ready to draining; the replica was withdrawn. Its successor starts now.
    fn drain(&mut self, lease: Lease, now: Timestamp) {
        self.prove(now);
        let deadline = now + self.limits.drain_timeout;
        let deadline = self.closed.map_or(deadline, |closed| closed.min(deadline));
        let replica = self.replica_mut(lease).expect("the caller looked it up");
        assert_eq!(replica.state, State::Ready, "only ready replicas drain");
        replica.state = State::Draining { deadline };
        let idle = replica.ongoing == 0;
        self.ready -= 1;
        self.draining += 1;
        if idle {
            self.remove(lease, now);
        } else {
            self.note_leaving(lease.slot, Leaving::Draining);
            self.refill(now);
        }
    }

    /// A draining replica is gone.
    fn remove(&mut self, lease: Lease, now: Timestamp) {
        let busy = self.replica_mut(lease).is_some_and(|replica| replica.ongoing > 0);
        self.draining -= 1;
        self.vacate(lease.slot);
        self.actions.push_back(if busy { Action::Cut(lease) } else { Action::Drop(lease) });
        self.refill(now);
    }

    fn vacate(&mut self, slot: u32) {
        self.replicas[slot as usize] = None;
        self.vacant.push(slot);
        if self.vacant.len() == self.replicas.len() {
            // An empty pool may stay so, and there may be thousands of them.
            (self.replicas, self.vacant) = (Vec::new(), Vec::new());
            self.queue.shrink();
        }
    }

    fn replica_mut(&mut self, lease: Lease) -> Option<&mut Replica> {
        let replica = self.replicas.get_mut(lease.slot as usize)?.as_mut()?;
        (replica.id == lease.id).then_some(replica)
    }

    /// Orders one more replica.
    fn start(&mut self, now: Timestamp) {
        let lease = self.occupy(|id| Replica::new(id, now));
        self.starting += 1;
        self.actions.push_back(Action::Start(lease));
    }

    /// Finds a slot for a new replica.
    fn occupy(&mut self, replica: impl FnOnce(ReplicaId) -> Replica) -> Lease {
        let id = ReplicaId(self.next_id);
        self.next_id += 1;
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.replicas.push(None);
            u32::try_from(self.replicas.len() - 1).expect("fewer replicas than 2^32")
        });
        self.replicas[slot as usize] = Some(replica(id));
        Lease { slot, id }
    }

    /// A request found nothing that may ever serve it, or only pinned replicas that are busy:
    /// start without asking a policy, but not more than an operator wants.
    fn wake(&mut self, now: Timestamp) {
        self.asleep = false;
        let usable = self.usable();
        let (least, most) = match self.held {
            Some(held) => (0, held),
            None => (self.limits.min, self.limits.max),
        };
        let wanted = self.limits.initial.max(usable + 1).min(most);
        self.target = self.target.max(wanted).max(least);
        self.loading = true;
        if self.failures > 0 || self.room_at.is_some_and(|at| at > now) {
            return self.refill(now);
        }
        let room = self.limits.max - self.active();
        for _ in 0..wanted.saturating_sub(usable).min(room) {
            self.start(now);
        }
    }

    /// Replicas that count towards `max`.
    fn active(&self) -> u32 {
        self.starting + self.ready
    }

    /// Replicas that take requests, now or once they have started or finished others.
    fn usable(&self) -> u32 {
        self.active() - self.spent
    }

    /// Whether a replica has been given all the requests it may serve. A pinned one may serve any
    /// number.
    fn is_spent(&self, slot: u32) -> bool {
        self.life_left(slot) == Some(0)
    }

    /// How many requests a replica may still be given; none if any number.
    fn life_left(&self, slot: u32) -> Option<u64> {
        let replica = self.replicas[slot as usize].as_ref().expect("the caller found it");
        let most = self.limits.max_requests.filter(|_| !replica.pinned);
        most.map(|most| most.saturating_sub(replica.assigned))
    }

    fn at(&mut self, slot: u32) -> &mut Replica {
        self.replicas[slot as usize].as_mut().expect("the caller found it")
    }
}
