//! The pool's slow side: targets, time-outs, and what policies and operators look at.

use super::{Pool, Refusal, Totals};
use crate::histogram::Histogram;
use crate::limits::PoolLimits;
use crate::observation::Observation;
use crate::replica::{Lease, Replica, ReplicaId, ReplicaView, State};
use crate::time::Timestamp;

/// How many replicas are in which state, and how many requests wait and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Replicas being made.
    pub starting: u32,
    /// Replicas that serve or could serve.
    pub ready: u32,
    /// Replicas on their way out.
    pub draining: u32,
    /// Replicas the pool tries to hold.
    pub target: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Requests being served.
    pub ongoing: u32,
}

impl<W> Pool<W> {
    /// What is in the pool now.
    pub fn counts(&self) -> Counts {
        Counts {
            starting: self.starting,
            ready: self.ready,
            draining: self.draining,
            target: self.target,
            queued: self.queue.len(),
            ongoing: self.meter.ongoing(),
        }
    }

    /// Counts since the pool was made.
    pub fn totals(&self) -> Totals {
        self.meter.totals()
    }

    /// Latencies of all requests since the pool was made.
    pub fn latencies(&self) -> &Histogram {
        self.meter.latencies()
    }

    /// The bounds the pool was made with.
    pub fn limits(&self) -> &PoolLimits {
        &self.limits
    }

    /// Whether the pool was not used for `idle_ttl` and is empty, apart from pinned replicas. It
    /// waits for a request that these have no room for.
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Whether a closed pool has nothing left: no replica, no request.
    pub fn is_finished(&self) -> bool {
        self.closed.is_some() && self.replica_count() == 0 && self.queue.len() == 0
    }

    /// Replicas of any state.
    pub fn replica_count(&self) -> u32 {
        self.starting + self.ready + self.draining
    }

    /// Takes a decision over. A sleeping pool stays empty whatever the decision, until a request
    /// comes. Replicas to remove first are given best first; only idle ones are removed.
    ///
    /// With `shed` the machine's room limits this pool, and others wait for it. Then ready replicas
    /// above the target drain at once: those to remove first, then idle ones, longest idle first,
    /// then the least busy. They finish their requests and take no more.
    ///
    /// While an operator holds the number of replicas, it is not the decision that counts but what
    /// the operator wants, or less with `shed`.
    pub fn set_target(
        &mut self,
        target: u32,
        remove_first: &[ReplicaId],
        shed: bool,
        now: Timestamp,
    ) {
        if self.asleep || self.closed.is_some() {
            return;
        }
        let target = match self.held {
            Some(held) if shed => held.min(target),
            Some(held) => held,
            None => target,
        };
        self.aim(target);
        for id in remove_first {
            if self.excess() == 0 {
                break;
            }
            if let Some(lease) = self.removable(*id, shed, now) {
                self.retire(lease, now);
            }
        }
        if shed {
            self.shed(now);
        }
        self.plan(now);
    }

    pub(super) fn aim(&mut self, target: u32) {
        let target = target.min(self.limits.max);
        self.loading |= self.target == 0 && target > 0 && self.usable() == 0;
        self.target = target;
    }

    /// Takes no more requests. Those that wait or run are finished until the drain time-out; what
    /// is left then is refused or cut.
    pub fn close(&mut self, now: Timestamp) {
        if self.closed.is_none() {
            self.closed = Some(now + self.limits.drain_timeout);
            self.target = 0;
            self.plan(now);
        }
    }

    /// Brings the pool towards its target and carries out what has come due.
    pub fn plan(&mut self, now: Timestamp) {
        self.fall_asleep(now);
        self.retire_aged(now);
        self.cut_overdue(now);
        self.flush(now);
        self.shed_held(now);
        self.shrink(now);
        self.refill(now);
    }

    /// When [`Pool::plan`] has something to do that no other call brings about; none if never.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let mut due: Option<Timestamp> = None;
        let mut note = |at: Timestamp| due = Some(due.map_or(at, |due| due.min(at)));
        let excess = self.excess() > 0;
        if excess && self.held.is_some() && self.closed.is_none() && !self.sheddable().is_empty() {
            note(now);
        }
        for replica in self.replicas.iter().flatten() {
            match replica.state {
                State::Draining { deadline } => note(deadline),
                State::Starting => {}
                // Pinned ones go with the pool, at its deadline or when they are idle.
                State::Ready if replica.pinned => {}
                State::Ready => {
                    if let Some(age) = self.limits.max_age {
                        note(replica.ordered + age);
                    }
                    if excess && replica.ongoing == 0 {
                        note(replica.idle_since + self.limits.scaledown_ttl);
                    }
                }
            }
        }
        if let Some(at) = self.start_at(now) {
            note(at);
        }
        if let Some(at) = self.sleep_at() {
            note(at);
        }
        if let Some(at) = self.batch_due() {
            note(at);
        }
        if let Some(deadline) = self.closed
            && (self.queue.len() > 0 || self.ready > 0)
        {
            note(deadline);
        }
        // A time that has passed is due at once, not before now.
        due.map(|due| due.max(now))
    }

    /// What a policy is told. Everything "since" starts anew. The pool's owner fills in `work` and
    /// `custom`.
    pub fn observe(&mut self, with_replicas: bool, now: Timestamp) -> Observation {
        let reading = self.meter.look(now);
        let replicas = if with_replicas { self.replica_views(now) } else { Vec::new() };
        Observation {
            now,
            since: reading.since,
            min: self.limits.min,
            max: self.limits.max,
            concurrency: self.limits.requests_at_once(),
            queue_max: self.limits.queue_max,
            starting: self.starting,
            ready: self.ready,
            draining: self.draining,
            target: self.target,
            queued: self.queue.len(),
            ongoing: self.meter.ongoing(),
            queued_average: reading.queued_average,
            ongoing_average: reading.ongoing_average,
            arrived: reading.counts.arrived,
            completed: reading.counts.completed,
            failed: reading.counts.failed + reading.counts.cancelled,
            rejected: reading.counts.rejected,
            oldest_wait: self.queue.first().map(|first| now.since(first.since)),
            latency: reading.latency,
            last_used: self.meter.last_used(),
            created: self.created,
            work: None,
            custom: Vec::new(),
            replicas,
        }
    }

    /// The single replicas, by slot. Pinned ones are said to be external, all others to be Wasm
    /// instances, and what they report is none: the pool's owner fills in what it knows.
    pub fn replica_views(&self, now: Timestamp) -> Vec<ReplicaView> {
        self.replicas.iter().flatten().map(|replica| replica.view(now)).collect()
    }

    /// Starts what is missing, unless replicas fail or find no room and the next attempt is not
    /// due. Requests do not wait for replicas that are hopeless.
    pub(super) fn refill(&mut self, now: Timestamp) {
        self.prove(now);
        self.rouse(now);
        while self.start_at(now).is_some_and(|at| at <= now) {
            self.start(now);
        }
        self.end_loading();
        self.give_up(now);
    }

    /// What was asked for may be there without the last start: a worker came, or less is wanted.
    /// Then the next replacement is not waited for.
    pub(super) fn end_loading(&mut self) {
        self.loading &= self.starting > 0 || self.is_short();
    }

    /// When the next replica may be started; none if none is missing or there is no room.
    fn start_at(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.is_short() {
            return None;
        }
        let at = match self.failures {
            0 => Some(now),
            // After a failure one attempt at a time, until one succeeds.
            _ => {
                let next = (self.starting == 0).then_some(self.retry_at);
                [next, self.proof_at()].into_iter().flatten().min()
            }
        };
        at.max(at.and(self.room_at))
    }

    /// Whether a replica is missing that may exist.
    pub(super) fn is_short(&self) -> bool {
        self.usable() < self.floor() && self.active() < self.limits.max
    }

    /// Usable replicas that must be there as far as `max` allows, starting ones included.
    fn floor(&self) -> u32 {
        let waiting = self.queue.first().map_or(0, |first| match self.lifted {
            Some((ticket, wanted)) if first.ticket <= ticket => wanted,
            Some(_) | None => 1,
        });
        match (self.closed, self.held) {
            (Some(_), held) => waiting.min(held.unwrap_or(u32::MAX)),
            (None, Some(held)) => self.target.max(waiting.min(held)),
            (None, None) if self.asleep => waiting,
            (None, None) => self.target.max(waiting),
        }
    }

    /// Ready replicas above the floor. Those that start do not count: a warm replica is not given
    /// up for one that may fail. Neither do spent ones, or their successors would be given up. As
    /// many go as there are, pinned ones left out.
    fn excess(&self) -> u32 {
        (self.ready - self.spent).saturating_sub(self.floor())
    }

    /// Cuts replicas, and ends a closed pool, whose drain time-out has passed.
    fn cut_overdue(&mut self, now: Timestamp) {
        if self.closed.is_some_and(|deadline| deadline <= now) {
            self.refuse_waiting(Refusal::Closed, now);
            for lease in self.leases(|replica| replica.state == State::Ready) {
                self.retire(lease, now);
            }
        }
        let overdue = self.leases(|replica| match replica.state {
            State::Draining { deadline } => deadline <= now,
            State::Starting | State::Ready => false,
        });
        for lease in overdue {
            self.remove(lease, now);
        }
    }

    fn retire_aged(&mut self, now: Timestamp) {
        let Some(most) = self.limits.max_age else {
            return;
        };
        let aged = self.leases(|replica| {
            replica.state == State::Ready && !replica.pinned && replica.ordered + most <= now
        });
        for lease in aged {
            self.retire(lease, now);
        }
    }

    /// Empties a pool that was not used for `idle_ttl`, its minimum included; pinned replicas stay.
    /// Starting replicas are not idle, so a pool that still loads does not fall asleep. One that is
    /// empty because nothing is wanted does: the next request wakes it.
    fn fall_asleep(&mut self, now: Timestamp) {
        if self.sleep_at().is_none_or(|at| at > now) {
            return;
        }
        self.asleep = true;
        self.target = 0;
        for lease in self.leases(|replica| replica.state == State::Ready && !replica.pinned) {
            self.retire(lease, now);
        }
    }

    fn sleep_at(&self) -> Option<Timestamp> {
        let ttl = self.limits.idle_ttl?;
        let busy = self.meter.ongoing() > 0 || self.queue.len() > 0 || self.starting > 0;
        let is_fixed = self.held.is_some() || self.closed.is_some();
        let is_missing = self.ready == 0 && self.floor() > 0;
        if busy || self.asleep || is_fixed || is_missing {
            return None;
        }
        // Replacements that loaded do not count, or replicas that age would keep a pool awake.
        Some(self.meter.last_used().max(self.loaded).unwrap_or(self.created) + ttl)
    }

    /// Removes idle replicas above the target, longest idle first.
    fn shrink(&mut self, now: Timestamp) {
        let excess = self.excess();
        if excess == 0 {
            return;
        }
        let mut idle: Vec<(Timestamp, Lease)> = Vec::new();
        for (slot, replica) in self.replicas.iter().enumerate() {
            if let Some(replica) = replica
                && self.may_go(replica, now)
            {
                idle.push((replica.idle_since, Lease { slot: slot as u32, id: replica.id }));
            }
        }
        idle.sort_unstable_by_key(|(since, lease)| (*since, lease.id));
        for (_, lease) in idle.into_iter().take(excess as usize) {
            self.retire(lease, now);
        }
    }

    /// An operator's number is not left to idleness.
    pub(super) fn shed_held(&mut self, now: Timestamp) {
        if self.held.is_some() && self.closed.is_none() {
            self.shed(now);
        }
    }

    /// Drains replicas above the target, busy ones too: idle ones first, longest idle first, then
    /// the least busy. Spent ones go by themselves.
    fn shed(&mut self, now: Timestamp) {
        let excess = self.excess();
        if excess == 0 {
            return;
        }
        let mut leases = self.sheddable();
        leases.sort_by_key(|lease| {
            let replica = self.at(lease.slot);
            (replica.ongoing, replica.idle_since, replica.id)
        });
        for lease in leases.into_iter().take(excess as usize) {
            self.retire(lease, now);
        }
    }

    fn sheddable(&self) -> Vec<Lease> {
        let mut leases = self.leases(|replica| replica.state == State::Ready && !replica.pinned);
        leases.retain(|lease| !self.is_spent(lease.slot));
        leases
    }

    /// Whether a replica is idle for long enough to be removed. A closing pool does not wait.
    fn may_go(&self, replica: &Replica, now: Timestamp) -> bool {
        if replica.state != State::Ready || replica.ongoing > 0 {
            return false;
        }
        let due = replica.idle_since + self.limits.scaledown_ttl;
        self.closed.is_some() || (!replica.pinned && due <= now)
    }

    /// Whether the replica may be removed first; with `shed` it may be busy, but not spent.
    fn removable(&self, id: ReplicaId, shed: bool, now: Timestamp) -> Option<Lease> {
        let known = self.leases(|replica| replica.id == id);
        let lease = *known.first()?;
        let replica = self.replicas[lease.slot as usize].as_ref()?;
        let may_drain = shed && replica.state == State::Ready && !replica.pinned;
        let is_ready_to_go = self.may_go(replica, now) || (may_drain && !self.is_spent(lease.slot));
        is_ready_to_go.then_some(lease)
    }

    pub(super) fn leases(&self, wanted: impl Fn(&Replica) -> bool) -> Vec<Lease> {
        let all = self.replicas.iter().enumerate();
        all.filter_map(|(slot, replica)| {
            let replica = replica.as_ref().filter(|replica| wanted(replica))?;
            Some(Lease { slot: slot as u32, id: replica.id })
        })
        .collect()
    }
}
