//! What is still to happen, in the order of time.

use crate::requests::RequestRef;
use samovar_core::replica::Lease;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A replica of a deployment, in few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReplicaRef {
    pub deployment: u32,
    pub slot: u32,
    /// Fewer than 2^32 replicas are ever started.
    pub id: u32,
}

impl ReplicaRef {
    pub fn new(deployment: usize, lease: Lease) -> Self {
        let id = u32::try_from(lease.id.0).expect("fewer replicas than 2^32");
        ReplicaRef { deployment: deployment as u32, slot: lease.slot, id }
    }

    pub fn lease(self) -> Lease {
        Lease { slot: self.slot, id: samovar_core::replica::ReplicaId(u64::from(self.id)) }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The next request of a deployment's open loop arrives.
    Arrive(u32),
    /// A user sends a request.
    User { deployment: u32, user: u32 },
    /// A replica is through with its own part of a request.
    Worked(RequestRef),
    /// A request on a replica has taken too long.
    Overdue(RequestRef),
    /// The request that was given to a replica first may have taken too long.
    OldestServed(u32),
    /// The request that has waited longest may have waited too long.
    OldestWaiting(u32),
    /// A call that failed is made again.
    Recall { parent: RequestRef, call: u16, attempt: u16 },
    /// A replica is ready.
    Started(ReplicaRef),
    /// A replica could not start.
    StartFailed(ReplicaRef),
    /// A replica crashes.
    Crash(ReplicaRef),
    /// A control loop looks at its pool; only the newest such event of a deployment counts.
    Turn { deployment: u32, generation: u32 },
    /// A policy's late answer is there.
    Answered(u32),
    /// A row of the outcome is due.
    Row,
    /// The clock jumps.
    Jump(u32),
    /// A node is lost.
    NodeLost(u32),
    /// A node is back.
    NodeBack(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    /// Events of one moment happen in the order they were planned.
    number: u64,
    event: Event,
}

impl Ord for Entry {
    /// The earliest is the greatest, because the heap gives that one first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The events to come.
#[derive(Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Entry>,
    planned: u64,
}

impl Events {
    /// Plans an event, in nanoseconds since the start.
    pub fn plan(&mut self, at: u64, event: Event) {
        self.planned += 1;
        self.heap.push(Entry { at, number: self.planned, event });
    }

    /// The next event, unless it is after `last`.
    pub fn next(&mut self, last: u64) -> Option<(u64, Event)> {
        let first = self.heap.peek()?;
        if first.at > last {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_as_planned() {
        let mut events = Events::default();
        for (at, deployment) in [(5, 0), (3, 1), (5, 2), (4, 3)] {
            events.plan(at, Event::Arrive(deployment));
        }
        let mut order = Vec::new();
        while let Some((at, Event::Arrive(deployment))) = events.next(5) {
            order.push((at, deployment));
        }
        assert_eq!(order, [(3, 1), (4, 3), (5, 0), (5, 2)]);
    }

    #[test]
    fn events_after_the_limit_stay() {
        let mut events = Events::default();
        events.plan(7, Event::Row);
        assert_eq!(events.next(6), None);
        assert_eq!(events.next(7), Some((7, Event::Row)));
    }

    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Entry>() <= 32);
    }
}
