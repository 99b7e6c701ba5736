//! Batches as the pool's owner sees them, and why each one may leave.

use super::{Served, World};
use crate::limits::BatchSince;
use crate::pool::{Health, Member, Outcome};
use crate::replica::{Lease, State};
use crate::time::Timestamp;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Batches {
    /// Requests of broken batches that wait again.
    pub alone: BTreeSet<u32>,
    last_sent: Option<Timestamp>,
    sent: u64,
    requests: u64,
}

impl World {
    pub(super) fn batch_leaves(&mut self, members: &[Member<u32>], lease: Lease) {
        let limits = self.limits.batch.expect("only in pools that batch");
        let size = members.len();
        assert!((1..=limits.max_size as usize).contains(&size), "a batch has its bounds");
        let why = self.why_a_batch_may_leave();
        assert!(why.is_some(), "it left too early");
        assert!(why != Some(Why::Alone) || size == 1, "who is tried again is alone");
        self.assert_least_busy(lease);
        let batch = self.batches.sent;
        for member in members {
            let (first, arrived) = self.waiting.pop_front().expect("one waits");
            assert_eq!(
                (first, arrived),
                (member.waiter, member.arrived),
                "first come, first served"
            );
            assert!(self.tickets.contains(&(first, member.ticket)), "it has its ticket");
            self.batches.alone.remove(&first);
            self.serve(first, lease, arrived, Some(batch));
        }
        self.assert_not_cut_short(limits.max_size, size, lease, why);
        self.batches.last_sent = Some(self.now);
        self.batches.sent += 1;
        self.batches.requests += size as u64;
    }

    fn why_a_batch_may_leave(&self) -> Option<Why> {
        let limits = self.limits.batch?;
        let (first, arrived) = *self.waiting.front()?;
        let since = match limits.since {
            BatchSince::Oldest => arrived,
            BatchSince::PreviousSend => self.batches.last_sent.unwrap_or(arrived),
        };
        let full = limits.max_size.min(self.limits.queue_max);
        if self.batches.alone.contains(&first) {
            Some(Why::Alone)
        } else if self.waiting.len() >= full as usize {
            Some(Why::Full)
        } else if self.is_closed {
            Some(Why::Closing)
        } else {
            (since + limits.timeout <= self.now).then_some(Why::Late)
        }
    }

    /// A batch takes all that may go.
    fn assert_not_cut_short(&self, most: u32, size: usize, lease: Lease, why: Option<Why>) {
        let is_whole = size == most as usize || self.waiting.is_empty() || why == Some(Why::Alone);
        assert!(is_whole || self.is_spent(lease.id), "some were left behind");
    }

    /// Replicas that left since the batch did are not asked; they are only fewer to compare with.
    fn assert_least_busy(&self, lease: Lease) {
        let replicas = self.pool.replicas.iter().flatten();
        let others = replicas.filter(|replica| {
            let is_here = replica.state == State::Ready && replica.id != lease.id;
            is_here && !self.is_spent(replica.id)
        });
        let calmest = others.map(|replica| self.places(replica.id)).min();
        let busy = self.places(lease.id);
        assert!(calmest.is_none_or(|calmest| busy <= calmest), "the least busy one takes it");
    }

    pub(super) fn finish_batch(&mut self, batch: u64, outcome: Outcome, health: Health) {
        let members = self.end_batch(batch);
        let lease = members[0].1.lease;
        let ends: Vec<_> = members.iter().map(|(_, served)| (served.arrived, outcome)).collect();
        members.iter().for_each(|_| self.tally.ended(outcome));
        self.ends(lease, health);
        self.pool.finish_batch(lease, &ends, health, self.now);
        self.settle(Some(lease));
        self.assert_nothing_due();
    }

    /// The batch of a request breaks off; so many of it have left, the others are served again.
    pub(super) fn retry(&mut self, index: usize, left: usize, health: Health) {
        let index = index.checked_rem(self.served.len()).unwrap_or(0);
        let Some(batch) = self.served.get(index).and_then(|(_, served)| served.batch) else {
            return;
        };
        let members = self.end_batch(batch);
        let lease = members[0].1.lease;
        let (gone, again) = members.split_at(left.min(members.len()));
        let ends: Vec<_> =
            gone.iter().map(|(_, served)| (served.arrived, Outcome::Cancelled)).collect();
        gone.iter().for_each(|_| self.tally.ended(Outcome::Cancelled));
        let again = again.iter().map(|(request, served)| {
            let place = self.waiting.partition_point(|(waiting, _)| waiting < request);
            self.waiting.insert(place, (*request, served.arrived));
            self.batches.alone.insert(*request);
            let known = self.tickets.iter().find(|(known, _)| known == request);
            let (_, ticket) = *known.expect("it waited");
            Member { waiter: *request, ticket, arrived: served.arrived }
        });
        let again: Vec<_> = again.collect();
        self.ends(lease, health);
        self.pool.retry_batch(lease, &ends, again, health, self.now);
        self.settle(Some(lease));
        self.assert_nothing_due();
    }

    fn end_batch(&mut self, batch: u64) -> Vec<(u32, Served)> {
        self.served.extract_if(.., |(_, served)| served.batch == Some(batch)).collect()
    }

    pub(super) fn flush(&mut self) {
        self.pool.flush(self.now);
        self.settle(None);
        self.assert_nothing_due();
    }

    /// After what sends batches none is due beside a free place.
    pub(super) fn assert_nothing_due(&self) {
        if self.pool.free.least_busy().is_some() && !self.waiting.is_empty() {
            assert_eq!(self.why_a_batch_may_leave(), None, "a batch waits beside room");
        }
    }

    pub(super) fn audit_batches(&self) {
        let Some(stats) = self.pool.batches() else {
            assert_eq!(self.limits.batch, None, "only pools that batch count batches");
            return;
        };
        assert_eq!((stats.sent(), stats.requests()), (self.batches.sent, self.batches.requests));
        assert_eq!(stats.waits().total(), self.batches.requests, "each wait is counted");
        let has_room = self.pool.free.least_busy().is_some();
        let why = self.why_a_batch_may_leave();
        let is_at_once = why.is_some_and(|why| why != Why::Late);
        assert!(!(has_room && is_at_once), "only the time is left to the owner");
        let due = self.pool.batch_due();
        assert_eq!(due.is_some(), has_room && !self.waiting.is_empty(), "there is a time for it");
        if let Some(due) = due {
            assert_eq!(due <= self.now, why.is_some(), "due when it may leave");
        }
    }
}

/// Why a batch leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Alone,
    Full,
    Closing,
    Late,
}
