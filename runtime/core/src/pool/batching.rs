//! Batches: requests that leave the queue together for one place on one replica.
//!
//! In a pool with [`BatchLimits`] no request is served singly. A batch leaves when it is full, or
//! when its time has come, and a replica has a place for it; without one it leaves as soon as there
//! is one. So nothing that is due waits beside a free place, except for the time: the pool has no
//! clock, and its owner calls [`Pool::flush`] at [`Pool::batch_due`].
//!
//! A batch that broke off may be served once more, each request alone, so that the one that broke
//! it fails alone; see [`Pool::retry_batch`].

use super::queue::{First, Member};
use super::{Action, Health, Outcome, Pool};
use crate::histogram::Histogram;
use crate::limits::{BATCH_SIZE_MAX, BatchLimits, BatchSince, PoolLimits};
use crate::replica::Lease;
use crate::time::Timestamp;

const SIZES: usize = BATCH_SIZE_MAX.ilog2() as usize + 1;

/// What was sent in batches since the pool was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batches {
    sizes: [u64; SIZES],
    requests: u64,
    waits: Histogram,
}

impl Batches {
    /// How many batches left.
    pub fn sent(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// How many requests were in them. One that was tried again counts again.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// How many batches had at most so many requests: for 1, 2, 4 and so on up to
    /// [`BATCH_SIZE_MAX`].
    pub fn sizes(&self) -> impl Iterator<Item = (u32, u64)> {
        self.sizes.iter().enumerate().scan(0, |sum, (index, count)| {
            *sum += count;
            Some((1 << index, *sum))
        })
    }

    /// How long the requests waited from their arrival until they left in a batch.
    pub fn waits(&self) -> &Histogram {
        &self.waits
    }

    fn count(&mut self, size: u32) {
        self.sizes[size.next_power_of_two().ilog2() as usize] += 1;
        self.requests += u64::from(size);
    }
}

/// What a pool that batches knows of its batches.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Batching {
    limits: BatchLimits,
    /// Waiting requests that make a batch leave before its time.
    full: u32,
    last_sent: Option<Timestamp>,
    stats: Batches,
}

impl Batching {
    pub fn new(limits: &PoolLimits) -> Option<Box<Self>> {
        let batch = limits.batch?;
        // Behind a queue that is full nobody can join.
        let full = batch.max_size.min(limits.queue_max);
        let stats = Batches::default();
        Some(Box::new(Batching { limits: batch, full, last_sent: None, stats }))
    }

    /// When a batch leaves that is not full.
    fn due_at(&self, first: First) -> Timestamp {
        let since = match self.limits.since {
            BatchSince::Oldest => first.since,
            BatchSince::PreviousSend => self.last_sent.unwrap_or(first.since),
        };
        since + self.limits.timeout
    }
}

impl<W> Pool<W> {
    /// What was sent in batches since the pool was made; none if it does not batch.
    pub fn batches(&self) -> Option<&Batches> {
        self.batching.as_ref().map(|batching| &batching.stats)
    }

    /// When [`Pool::flush`] has something to do that no other call brings about; may have passed.
    /// None if nothing waits, or if no replica has a place: then the call that makes one sends what
    /// is due. Every call may change it. Takes constant time.
    pub fn batch_due(&self) -> Option<Timestamp> {
        let batching = self.batching.as_ref()?;
        self.free.least_busy()?;
        self.queue.first().map(|first| batching.due_at(first))
    }

    /// Sends the batches that are due as far as replicas have places. [`Pool::plan`] does it too.
    pub fn flush(&mut self, now: Timestamp) {
        while let Some(slot) = self.free.least_busy()
            && let Some(size) = self.due_size(now)
        {
            self.send(slot, size, now);
        }
        self.rouse(now);
    }

    /// A batch has ended. `ends` says for each of its requests when it arrived and how it ended;
    /// one whose client left before is cancelled.
    pub fn finish_batch(
        &mut self,
        lease: Lease,
        ends: &[(Timestamp, Outcome)],
        health: Health,
        now: Timestamp,
    ) {
        self.retry_batch(lease, ends, Vec::new(), health, now);
    }

    /// A batch has broken off: the requests of `again` wait once more, before all that were never
    /// served, and each is served in a batch of its own. They have their tickets again, and may
    /// make the queue longer than its bound. The rest of the batch has ended as `ends` says.
    pub fn retry_batch(
        &mut self,
        lease: Lease,
        ends: &[(Timestamp, Outcome)],
        again: Vec<Member<W>>,
        health: Health,
        now: Timestamp,
    ) {
        let requests = ends.len() + again.len();
        assert!(requests > 0, "a batch has requests");
        for (arrived, outcome) in ends {
            self.meter.finished(*arrived, *outcome, now);
        }
        if !again.is_empty() {
            let count = again.len() as u32;
            again.into_iter().for_each(|member| self.queue.put_back(member));
            self.meter.put_back(count, self.queue.len(), now);
        }
        self.ended(lease, requests as u32, health, now);
        if self.closed.is_some() {
            self.plan(now);
        } else {
            // Those that go back may find places on other replicas, or none that is left.
            self.flush(now);
            self.refill(now);
        }
    }

    /// How many requests may leave now if they wait; none if they have to wait on.
    fn due_size(&self, now: Timestamp) -> Option<u32> {
        let batching = self.batching.as_ref()?;
        let first = self.queue.first()?;
        if first.is_alone {
            return Some(1);
        }
        let is_due = self.closed.is_some()
            || self.queue.len() >= batching.full
            || batching.due_at(first) <= now;
        is_due.then_some(batching.limits.max_size)
    }

    /// Sends up to `size` requests to the replica in `slot`, which is in the free lists. No more
    /// than it may still serve in its life.
    fn send(&mut self, slot: u32, size: u32, now: Timestamp) {
        self.withdraw(slot);
        let left = self.life_left(slot).unwrap_or(u64::MAX);
        let size = u64::from(size.min(self.queue.len())).min(left) as u32;
        let members: Vec<_> = (0..size).filter_map(|_| self.queue.take()).collect();
        let replica = self.at(slot);
        replica.take(size);
        let lease = Lease { slot, id: replica.id };
        self.meter.sent(size, self.queue.len(), now);
        if let Some(batching) = &mut self.batching {
            batching.last_sent = Some(now);
            batching.stats.count(size);
            for member in &members {
                batching.stats.waits.record(now.since(member.arrived));
            }
        }
        self.actions.push_back(Action::Batch(members, lease));
        self.offer(slot, now);
    }

    /// A pool may sleep while a request waits for its batch: a pinned replica had a place for it.
    /// Without one the pool wakes up.
    pub(super) fn rouse(&mut self, now: Timestamp) {
        if self.asleep && self.queue.len() > 0 && self.free.least_busy().is_none() {
            self.wake(now);
        }
    }
}
