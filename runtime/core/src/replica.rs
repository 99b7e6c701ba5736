//! One replica's life.
//!
//! ```text
//!            started                 drain / condemn / retire
//! Starting ───────────▶ Ready ─────────────────────────────────▶ Draining
//!     │          adopted ─▲ │           crash / release / shed       │ last request ended,
//!     │ failed, refused     │ removed while idle,                    │ or drain_timeout
//!     │ or lost             │ or spent and its last request ended    │
//!     ▼                     ▼                                        ▼
//!   gone                   gone                                     gone
//! ```

use crate::time::Timestamp;
use std::time::Duration;

/// Names one replica of a pool, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

/// A replica and the place its instance has in the pool's owner. The slot is used again once the
/// replica is gone; the id is not, so a late event about a gone replica is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// Index of the replica's slot.
    pub slot: u32,
    /// The replica in it.
    pub id: ReplicaId,
}

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Being made; counts as capacity that is on its way.
    Starting,
    /// Serves, or waits for requests; a spent one takes no more.
    Ready,
    /// Takes no new requests; gone when its last one ended or at the deadline.
    Draining {
        /// When its remaining requests are cut.
        deadline: Timestamp,
    },
}

/// What a replica is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaKind {
    /// A WebAssembly instance.
    Wasm,
    /// A native process started by the host.
    Process,
    /// A worker that registered itself.
    External,
}

/// One replica as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplicaView {
    /// Its id.
    pub id: ReplicaId,
    /// What it is made of.
    pub kind: ReplicaKind,
    /// Its state.
    pub state: State,
    /// Requests it serves.
    pub ongoing: u32,
    /// How long it has been idle; none while it serves, starts or drains.
    pub idle: Option<Duration>,
    /// Time since its start was ordered, or since it registered itself.
    pub age: Duration,
    /// Work it reports itself, in units per second.
    pub load: Option<f64>,
    /// Most work it can do, in units per second.
    pub max_perf: Option<f64>,
}

/// What the pool knows of one replica.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub id: ReplicaId,
    pub state: State,
    /// Requests it serves.
    pub ongoing: u32,
    /// Places taken, of as many as the pool's `concurrency`: one per request, or per batch.
    pub places: u32,
    /// Requests given to it so far.
    pub assigned: u64,
    /// When its last request ended, or when it became ready.
    pub idle_since: Timestamp,
    pub ordered: Timestamp,
    /// When it became ready; no meaning before.
    pub ready_since: Timestamp,
    /// It came by itself, and the pool does not send it away.
    pub pinned: bool,
    /// It died by itself, which is noticed once.
    pub crashed: bool,
    /// Neighbours in the list of ready replicas with as many requests; see `pool::free`.
    pub previous: Option<u32>,
    pub next: Option<u32>,
}

impl Replica {
    pub fn new(id: ReplicaId, now: Timestamp) -> Self {
        Replica {
            id,
            state: State::Starting,
            ongoing: 0,
            places: 0,
            assigned: 0,
            idle_since: now,
            ordered: now,
            ready_since: now,
            pinned: false,
            crashed: false,
            previous: None,
            next: None,
        }
    }

    /// These requests are given to it, as many as go into one place.
    pub fn take(&mut self, requests: u32) {
        self.ongoing += requests;
        self.places += 1;
        self.assigned += u64::from(requests);
    }

    /// One place is free again: these requests have left it.
    pub fn leave(&mut self, requests: u32) {
        self.ongoing -= requests;
        self.places -= 1;
    }

    pub fn view(&self, now: Timestamp) -> ReplicaView {
        let idle =
            (self.state == State::Ready && self.ongoing == 0).then(|| now.since(self.idle_since));
        ReplicaView {
            id: self.id,
            kind: if self.pinned { ReplicaKind::External } else { ReplicaKind::Wasm },
            state: self.state,
            ongoing: self.ongoing,
            idle,
            age: now.since(self.ordered),
            load: None,
            max_perf: None,
        }
    }
}
