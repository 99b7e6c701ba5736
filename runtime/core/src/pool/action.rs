//! What a pool orders and answers, and what its owner tells it.

use super::queue::{Member, Ticket};
use crate::replica::Lease;
use crate::time::Timestamp;

/// What the owner has to do next. `W` is what it gave for a waiting request.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub enum Action<W> {
    /// Make an instance in this slot, then call `started`, `start_failed` or `start_refused`.
    Start(Lease),
    /// The replica is gone and served nothing any more: drop its instance, or let the worker go.
    Drop(Lease),
    /// The replica is gone although it served requests: cut them.
    Cut(Lease),
    /// A waiting request got a replica.
    Wake(W, Lease),
    /// Waiting requests got a place on a replica together, in the order they came. Only in a pool
    /// that batches. To be ended with [`super::Pool::finish_batch`] or
    /// [`super::Pool::retry_batch`], also if all their clients have left.
    Batch(Vec<Member<W>>, Lease),
    /// A waiting request will not get one.
    Refuse(W, Refusal),
}

/// Why a replica takes no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It drains, and another one may take its room.
    Draining,
    /// It was given the last request of its life, and counts towards `max` until that has ended.
    /// Told again each time another one has ended.
    Spent {
        /// Places it has that nobody gets any more.
        idle: u32,
    },
}

/// Why a request gets no replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many wait as may.
    QueueFull,
    /// Replicas of this pool fail to start; the next attempt is at `retry_at`.
    StartFailing {
        /// When the pool tries again.
        retry_at: Timestamp,
    },
    /// The pool takes no new requests; a newer revision may.
    Closed,
}

/// What happens to a request on arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is served now, by this replica.
    Assigned(Lease),
    /// It waits; an action will wake or refuse it.
    Queued(Ticket),
    /// It is refused now.
    Refused(Refusal),
}

/// What a request's end says about its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can serve on.
    Sound,
    /// It trapped, timed out or was cut: no more requests, gone when the last one ended.
    Condemned,
}
