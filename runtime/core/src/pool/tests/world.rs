//! A pool's owner that carries everything out by random, and checks the pool after each step.
//!
//! It knows what an owner knows: what it was told to do and what it told the pool. From that it
//! recomputes everything the pool counts along the way.

mod audit;
mod batches;
mod calm;
mod manual;
mod replicas;

use crate::limits::PoolLimits;
use crate::pool::{
    Action, Arrival, Counts, FAILED_STARTS_MAX, Health, Outcome, Pool, Refusal, Ticket,
};
use crate::replica::{Lease, ReplicaId, State};
use crate::time::Timestamp;
use batches::Batches;
pub use calm::Requests;
use replicas::Trouble;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What the owner knows about a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Starting,
    Ready,
    Gone,
}

/// A request that was assigned and has not ended, on a replica that may be cut already.
#[derive(Clone, Copy, Debug)]
struct Served {
    lease: Lease,
    arrived: Timestamp,
    /// Its batch, if the pool batches.
    batch: Option<u64>,
}

/// One random step. Indices are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Step {
    Arrive,
    Cancel(usize),
    /// With its whole batch, if it is in one.
    Finish(usize, Outcome, Health),
    /// Its batch breaks off: so many of it have left, the others are served again.
    Retry(usize, usize, Health),
    Flush,
    /// Of any replica there ever was, late ones included; so are the next five.
    Started(usize),
    StartFailed(usize),
    /// The next attempt is this much later.
    StartRefused(usize, Duration),
    Condemn(usize),
    Crashed(usize),
    Release(usize),
    Adopt,
    /// The target, which to remove first, and whether to shed.
    SetTarget(u32, Vec<usize>, bool),
    Plan,
    /// Time passes until the pool wants to be called, and it is.
    PlanWhenDue,
    Pass(Duration),
    Observe,
    Close,
    Hold(Option<u32>),
    Add(u32),
    /// Of any replica there ever was; so is the next.
    Remove(usize),
    Restart(usize),
    OneMore,
    /// A thread read the clock some time ago and gets the lock only now.
    Behind(Duration, Box<Step>),
}

/// Everything `Observation` sums up since the last look.
#[derive(Debug, Default)]
struct Tally {
    /// Whether something happened before what had happened; then averages are not exact.
    is_crossed: bool,
    looked: Option<Timestamp>,
    queued_area: f64,
    ongoing_area: f64,
    arrived: u64,
    completed: u64,
    failed: u64,
    rejected: u64,
}

impl Tally {
    fn ended(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Completed => self.completed += 1,
            Outcome::Failed | Outcome::Cancelled => self.failed += 1,
        }
    }
}

pub struct World {
    pub pool: Pool<u32>,
    pub now: Timestamp,
    limits: PoolLimits,
    leases: Vec<Lease>,
    lives: BTreeMap<ReplicaId, Life>,
    /// The order in which replicas were last given or rid of a request.
    touched: BTreeMap<ReplicaId, u64>,
    touches: u64,
    /// How many requests each replica was given.
    given: BTreeMap<ReplicaId, u64>,
    /// All tickets ever given.
    tickets: Vec<(u32, Ticket)>,
    /// In the order they came.
    waiting: VecDeque<(u32, Timestamp)>,
    served: Vec<(u32, Served)>,
    requests: u32,
    batches: Batches,
    held: Option<u32>,
    /// Up to which request one more than so many replicas was asked for.
    lifted: Option<(u32, u32)>,
    trouble: Trouble,
    ready_since: BTreeMap<ReplicaId, Timestamp>,
    /// Replicas that came by themselves, and those of all replicas that left by themselves.
    pinned: BTreeSet<ReplicaId>,
    left: BTreeSet<ReplicaId>,
    /// Replicas that became ready, and that failed.
    came: u64,
    failed: u64,
    is_closed: bool,
    tally: Tally,
}

impl World {
    pub fn new(limits: PoolLimits) -> Self {
        World {
            pool: Pool::new(limits.clone(), Timestamp::ZERO),
            now: Timestamp::ZERO,
            limits,
            leases: Vec::new(),
            lives: BTreeMap::new(),
            touched: BTreeMap::new(),
            touches: 0,
            given: BTreeMap::new(),
            tickets: Vec::new(),
            waiting: VecDeque::new(),
            served: Vec::new(),
            requests: 0,
            batches: Batches::default(),
            held: None,
            lifted: None,
            trouble: Trouble::default(),
            ready_since: BTreeMap::new(),
            pinned: BTreeSet::new(),
            left: BTreeSet::new(),
            came: 0,
            failed: 0,
            is_closed: false,
            tally: Tally::default(),
        }
    }

    pub fn step(&mut self, step: &Step) {
        let spent_before = self.spent();
        self.act(step);
        self.audit();
        let acted = if let Step::Behind(lag, _) = step { self.before(*lag) } else { self.now };
        self.audit_replacement(&spent_before, acted);
    }

    fn act(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Arrive => self.arrive(),
            Step::Cancel(index) => self.cancel(*index),
            Step::Finish(index, outcome, health) => {
                if !self.served.is_empty() {
                    self.finish(index % self.served.len(), *outcome, *health);
                }
            }
            Step::Retry(index, left, health) => self.retry(*index, *left, *health),
            Step::Flush => self.flush(),
            Step::Started(index) => self.replica_event(*index, Self::started),
            Step::StartFailed(index) => self.replica_event(*index, Self::start_failed),
            Step::StartRefused(index, pause) => {
                self.replica_event(*index, |world, lease| world.start_refused(lease, *pause));
            }
            Step::Condemn(index) => self.replica_event(*index, Self::condemn),
            Step::Crashed(index) => self.replica_event(*index, Self::crashed),
            Step::Release(index) => self.replica_event(*index, Self::release),
            Step::Adopt => self.adopt(),
            Step::SetTarget(target, first, shed) => self.set_target(*target, first, *shed),
            Step::Plan => self.plan(),
            Step::PlanWhenDue => {
                if let Some(due) = self.pool.next_wake(now) {
                    self.pass(due.since(now));
                    self.plan();
                }
            }
            Step::Pass(time) => self.pass(*time),
            Step::Observe => self.observe(),
            Step::Close => {
                self.is_closed = true;
                self.pool.close(now);
                self.settle(None);
            }
            Step::Hold(count) => self.hold(*count),
            Step::Add(count) => self.add(*count),
            Step::Remove(index) => self.replica_event(*index, Self::remove),
            Step::Restart(index) => self.replica_event(*index, Self::restart),
            Step::OneMore => self.one_more(),
            Step::Behind(lag, step) => {
                self.now = self.before(*lag);
                self.tally.is_crossed = true;
                self.act(step);
                self.now = now;
            }
        }
    }

    fn before(&self, lag: Duration) -> Timestamp {
        Timestamp::from_nanos(self.now.as_nanos().saturating_sub(lag.as_nanos() as u64))
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.tally.queued_area += self.waiting.len() as f64 * time.as_secs_f64();
        self.tally.ongoing_area += self.served.len() as f64 * time.as_secs_f64();
    }

    fn arrive(&mut self) {
        let request = self.requests;
        self.requests += 1;
        let expected = self.expected_arrival();
        let got = self.pool.arrive(|| request, self.now);
        match (got, expected) {
            (Arrival::Queued(ticket), Expected::Queued) => {
                self.tickets.push((request, ticket));
                self.waiting.push_back((request, self.now));
            }
            (Arrival::Assigned(lease), Expected::On(id)) if lease.id == id => {
                self.serve(request, lease, self.now, None);
            }
            (Arrival::Refused(got), Expected::Refused(expected)) if got == expected => {
                self.tally.rejected += u64::from(got != Refusal::Closed);
            }
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
        self.tally.arrived += u64::from(got != Arrival::Refused(Refusal::Closed));
        self.settle(None);
        self.assert_nothing_due();
    }

    /// The reference for dispatch: look at all replicas, every time.
    fn expected_arrival(&self) -> Expected {
        let counts = self.pool.counts();
        let replicas = self.pool.replicas.iter().flatten();
        let room = replicas.filter(|replica| {
            let has_room = self.places(replica.id) < self.limits.concurrency;
            replica.state == State::Ready && has_room && !self.is_spent(replica.id)
        });
        let best = room
            .min_by_key(|r| (self.places(r.id), std::cmp::Reverse(self.touched[&r.id])))
            .filter(|_| self.limits.batch.is_none())
            .map(|replica| replica.id);
        if self.is_closed {
            Expected::Refused(Refusal::Closed)
        } else if let Some(best) = best {
            Expected::On(best)
        } else if self.waiting.len() as u32 >= self.limits.queue_max {
            Expected::Refused(Refusal::QueueFull)
        } else if counts.starting + counts.ready > self.spent().len() as u32 {
            Expected::Queued
        } else {
            let Trouble { failures, retry_at, .. } = self.trouble;
            let is_hopeless = failures >= FAILED_STARTS_MAX && self.now < retry_at;
            match is_hopeless {
                true => Expected::Refused(Refusal::StartFailing { retry_at }),
                false => Expected::Queued,
            }
        }
    }

    fn cancel(&mut self, index: usize) {
        if self.tickets.is_empty() {
            return;
        }
        let (request, ticket) = self.tickets[index % self.tickets.len()];
        let place = self.waiting.iter().position(|(waiting, _)| *waiting == request);
        assert_eq!(self.pool.cancel(ticket, self.now), place.map(|_| request));
        if let Some(place) = place {
            self.waiting.remove(place);
            self.batches.alone.remove(&request);
            self.tally.rejected += 1;
        }
        self.settle(None);
    }

    fn finish(&mut self, index: usize, outcome: Outcome, health: Health) {
        if let Some(batch) = self.served[index].1.batch {
            return self.finish_batch(batch, outcome, health);
        }
        let (_, Served { lease, arrived, .. }) = self.served.swap_remove(index);
        self.ends(lease, health);
        self.tally.ended(outcome);
        self.pool.finish(lease, arrived, outcome, health, self.now);
        self.settle(Some(lease));
    }

    /// Something that a replica served has ended.
    fn ends(&mut self, lease: Lease, health: Health) {
        if health == Health::Condemned {
            self.left.insert(lease.id);
        }
        self.touch(lease.id);
    }

    /// An event that comes late must change nothing.
    fn told(&mut self, is_due: bool, event: impl FnOnce(&mut Pool<u32>, Timestamp), lease: Lease) {
        let before = sketch(&self.pool);
        event(&mut self.pool, self.now);
        assert!(is_due || before == sketch(&self.pool), "a late event changed the pool");
        self.settle(Some(lease));
    }

    pub fn plan(&mut self) {
        self.pool.plan(self.now);
        self.settle(None);
        self.assert_nothing_due();
        let next = self.pool.next_wake(self.now);
        assert!(next.is_none_or(|next| next > self.now), "one plan does all that is due");
    }

    fn observe(&mut self) {
        let seen = self.pool.observe(true, self.now);
        let tally = std::mem::take(&mut self.tally);
        let since = tally.looked.map_or(Duration::ZERO, |looked| self.now.since(looked));
        assert_eq!(seen.since, since);
        for (got, area) in
            [(seen.queued_average, tally.queued_area), (seen.ongoing_average, tally.ongoing_area)]
        {
            assert_eq!(got.is_some(), !since.is_zero(), "no time, no average");
            let off = got.unwrap_or(0.0) * since.as_secs_f64() - area;
            let is_near = got.is_none() || off.abs() < 1e-6 || tally.is_crossed;
            assert!(is_near, "average off by {off}");
        }
        let ended = tally.completed + tally.failed;
        assert_eq!((seen.arrived, seen.completed), (tally.arrived, tally.completed));
        assert_eq!((seen.failed, seen.rejected), (tally.failed, tally.rejected));
        assert_eq!(seen.latency.is_some(), ended > 0);
        let oldest = self.waiting.front().map(|(_, since)| self.now.since(*since));
        assert_eq!(seen.oldest_wait, oldest);
        assert_eq!(seen.replicas.len() as u32, seen.starting + seen.ready + seen.draining);
        self.tally.looked = Some(self.now);
    }

    /// Carries out what the pool asks for. `event` is the replica the event was about: only it
    /// may wake requests.
    fn settle(&mut self, event: Option<Lease>) {
        self.audit_proof();
        while let Some(action) = self.pool.next_action() {
            match action {
                Action::Start(lease) => {
                    let used = self.alive().any(|other| other.slot == lease.slot);
                    assert!(!used && !self.lives.contains_key(&lease.id), "a fresh replica");
                    self.audit_start();
                    self.lives.insert(lease.id, Life::Starting);
                    self.leases.push(lease);
                }
                Action::Drop(lease) => {
                    assert_eq!(self.busy(lease.id), 0, "only idle replicas are dropped");
                    self.leave(lease, event);
                }
                Action::Cut(lease) => {
                    assert!(self.busy(lease.id) > 0, "only busy replicas are cut");
                    self.leave(lease, event);
                }
                Action::Wake(request, lease) => {
                    assert_eq!(event, Some(lease), "a request is woken by its replica's event");
                    let (first, arrived) = self.waiting.pop_front().expect("one waits");
                    assert_eq!(first, request, "first come, first served");
                    self.serve(request, lease, arrived, None);
                }
                Action::Batch(members, lease) => self.batch_leaves(&members, lease),
                Action::Refuse(request, refusal) => {
                    let (first, _) = self.waiting.pop_front().expect("one waits");
                    assert_eq!(first, request, "refused in order");
                    self.batches.alone.remove(&request);
                    assert_ne!(refusal, Refusal::QueueFull, "it is in the queue");
                    self.tally.rejected += 1;
                }
            }
        }
        self.note_ready();
    }

    fn serve(&mut self, request: u32, lease: Lease, arrived: Timestamp, batch: Option<u64>) {
        assert!(self.served.iter().all(|(other, _)| *other != request), "served once");
        assert_eq!(batch.is_some(), self.limits.batch.is_some(), "in batches or not");
        assert_eq!(self.lives[&lease.id], Life::Ready, "served by a ready replica");
        assert!(!self.is_spent(lease.id), "a spent replica takes no more");
        *self.given.entry(lease.id).or_default() += 1;
        self.touch(lease.id);
        self.served.push((request, Served { lease, arrived, batch }));
        assert!(self.places(lease.id) <= self.limits.concurrency, "nobody above concurrency");
    }

    fn leave(&mut self, lease: Lease, event: Option<Lease>) {
        let life = self.lives.insert(lease.id, Life::Gone);
        self.audit_leaving(lease.id);
        let lost = life == Some(Life::Starting) && event == Some(lease);
        assert!(lost || life == Some(Life::Ready), "gone once");
    }

    fn touch(&mut self, id: ReplicaId) {
        self.touches += 1;
        self.touched.insert(id, self.touches);
    }

    fn busy(&self, id: ReplicaId) -> u32 {
        self.served.iter().filter(|(_, served)| served.lease.id == id).count() as u32
    }

    /// Requests or batches on a replica.
    fn places(&self, id: ReplicaId) -> u32 {
        let served = self.served.iter().filter(|(_, served)| served.lease.id == id);
        let places = served.map(|(request, served)| served.batch.unwrap_or(u64::from(*request)));
        places.collect::<BTreeSet<_>>().len() as u32
    }

    fn is_spent(&self, id: ReplicaId) -> bool {
        if self.pinned.contains(&id) {
            return false;
        }
        let given = self.given.get(&id).copied().unwrap_or(0);
        self.limits.max_requests.is_some_and(|most| given >= most)
    }

    /// Ready replicas that take no more requests.
    fn spent(&self) -> Vec<ReplicaId> {
        let replicas = self.pool.replicas.iter().flatten();
        let ready = replicas.filter(|replica| replica.state == State::Ready);
        ready.map(|replica| replica.id).filter(|id| self.is_spent(*id)).collect()
    }

    fn alive(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().filter(|lease| self.lives[&lease.id] != Life::Gone)
    }
}

/// What the pool should answer.
#[derive(Debug)]
enum Expected {
    On(ReplicaId),
    Queued,
    Refused(Refusal),
}

/// What an owner can see of a pool.
type Sketch = (Counts, bool, usize, Vec<(ReplicaId, State, u32)>);

fn sketch(pool: &Pool<u32>) -> Sketch {
    let replicas = pool.replicas.iter().flatten();
    let replicas = replicas.map(|replica| (replica.id, replica.state, replica.ongoing)).collect();
    (pool.counts(), pool.is_asleep(), pool.actions.len(), replicas)
}
