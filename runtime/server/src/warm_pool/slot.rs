//! What the slots of a pool hold.

use crate::api;
use crate::clock;
use crate::dispatch::Item;
use crate::native::NativeReplica;
use crate::wasm::replica::{AsyncInstance, Instance, SyncInstance};
use samovar_core::calls::CallId;
use samovar_core::pool::{Health, Outcome, Pool, Refusal};
use samovar_core::replica::{Lease, ReplicaId};
use samovar_core::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Failures of replicas that are kept.
const FAILURES_MAX: usize = 20;

/// A pool and what its replicas are, under one lock.
pub(super) struct Inner {
    pub pool: Pool<Waiter>,
    pub slots: Vec<Slot>,
    pub last_start_error: Option<String>,
    /// Why the last start had to wait for room on the machine; none since one succeeded.
    pub no_room: Option<String>,
    pub failures: VecDeque<api::ReplicaFailure>,
    /// Whether it takes no more requests.
    pub is_closed: bool,
    /// When batches are looked at next; none if nobody is going to.
    pub flush_at: Option<Timestamp>,
}

/// A request that waits.
pub(super) enum Waiter {
    /// It is told what became of it. It may be a call of another deployment.
    Alone(oneshot::Sender<Result<Granted, Refusal>>, Option<CallId>),
    /// It leaves with others.
    InBatch(Box<Item>),
}

/// What a slot of the pool holds. The id tells whether a lease is still good.
#[derive(Default)]
pub(super) struct Slot {
    pub id: Option<ReplicaId>,
    pub body: Option<Body>,
    /// Tells those who use the replica to let go of it.
    pub cut: Arc<CancellationToken>,
}

impl Slot {
    /// The native replica in it.
    fn native(&self) -> Option<&Arc<NativeReplica>> {
        match &self.body {
            Some(Body::Native(replica)) => Some(replica),
            Some(Body::Guest(_)) | None => None,
        }
    }
}

/// A replica that is ready to serve.
pub(super) enum Body {
    /// An instance of a component.
    Guest(Instance),
    /// A process or an external worker.
    Native(Arc<NativeReplica>),
}

/// A replica to serve one request with. `WarmPool::finish` must be called for it.
pub struct Granted {
    /// Which replica.
    pub lease: Lease,
    /// How to call it.
    pub work: Work,
    /// When this is cancelled the request has to end.
    pub cut: Arc<CancellationToken>,
}

/// How a replica is called.
pub enum Work {
    /// In place; given back with `WarmPool::finish` if it may serve on.
    Sync(Box<SyncInstance>),
    /// Through its task.
    Async(AsyncInstance),
    /// Over HTTP.
    Native(Arc<NativeReplica>),
}

impl Inner {
    /// A pool without replicas.
    pub fn new(pool: Pool<Waiter>) -> Self {
        Inner {
            pool,
            slots: Vec::new(),
            last_start_error: None,
            no_room: None,
            failures: VecDeque::new(),
            is_closed: false,
            flush_at: None,
        }
    }

    pub fn slot(&mut self, lease: Lease) -> Option<&mut Slot> {
        self.slots.get_mut(lease.slot as usize).filter(|slot| slot.id == Some(lease.id))
    }

    /// Puts an instance back that may serve on. Gives it back if its replica was cut meanwhile and
    /// has no slot any more; to be dropped without the lock.
    pub fn put_back(
        &mut self,
        lease: Lease,
        instance: Option<Box<SyncInstance>>,
    ) -> Option<Box<SyncInstance>> {
        match self.slot(lease) {
            Some(slot) => {
                if let Some(instance) = instance {
                    slot.body = Some(Body::Guest(Instance::Sync(instance)));
                }
                None
            }
            None => instance,
        }
    }

    pub fn occupy(&mut self, lease: Lease) {
        let index = lease.slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots[index] = Slot { id: Some(lease.id), ..Slot::default() };
    }

    pub fn vacate(&mut self, lease: Lease) -> Option<Slot> {
        let slot = self.slot(lease).map(std::mem::take);
        // An empty pool may stay so, and there may be thousands of them.
        if self.slots.iter().all(|slot| slot.id.is_none()) {
            self.slots = Vec::new();
        }
        slot
    }

    pub fn grant(&mut self, lease: Lease) -> Granted {
        let slot = self.slot(lease).expect("an assigned replica has a slot");
        let work = match slot.body.take() {
            Some(Body::Guest(Instance::Sync(instance))) => Work::Sync(instance),
            Some(Body::Guest(Instance::Async(instance))) => {
                slot.body = Some(Body::Guest(Instance::Async(instance.clone())));
                Work::Async(instance)
            }
            Some(Body::Native(replica)) => {
                slot.body = Some(Body::Native(Arc::clone(&replica)));
                Work::Native(replica)
            }
            None => unreachable!("a replica that is assigned is ready and not in use"),
        };
        Granted { lease, work, cut: Arc::clone(&slot.cut) }
    }

    /// A request that was woken is not there any more.
    pub fn give_back(&mut self, granted: Granted) {
        let Granted { lease, work, .. } = granted;
        if let Work::Sync(instance) = work {
            self.put_back(lease, Some(instance));
        }
        let now = clock::now();
        self.pool.finish(lease, now, Outcome::Cancelled, Health::Sound, now);
    }

    /// The native replicas that are ready or drain.
    pub fn natives(&self) -> BTreeMap<ReplicaId, &Arc<NativeReplica>> {
        self.slots.iter().filter_map(|slot| Some((slot.id?, slot.native()?))).collect()
    }

    /// Keeps why a replica failed.
    pub fn note_failure(&mut self, lease: Lease, message: String) {
        let at_ms = clock::unix_ms();
        self.failures.push_back(api::ReplicaFailure { at_ms, replica: lease.id.0, message });
        if self.failures.len() > FAILURES_MAX {
            self.failures.pop_front();
        }
    }
}
