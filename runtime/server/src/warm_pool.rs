//! A pool with real instances: `samovar_core::pool::Pool` behind its lock, and what it decides
//! carried out.
//!
//! The lock is short: it is held for one decision and the moving of a pointer, never while a guest
//! runs, an instance is made or anything is dropped.

use crate::clock;
use crate::logs::{DeploymentLog, GuestOutput, LogStream};
use crate::wasm::component::HandlerCode;
use crate::wasm::guest::GuestLimits;
use crate::wasm::replica::{AsyncInstance, End, Instance, SyncInstance};
use parking_lot::Mutex;
use samovar_core::histogram::Histogram;
use samovar_core::limits::PoolLimits;
use samovar_core::observation::Observation;
use samovar_core::pool::{Action, Arrival, Counts, Health, Outcome, Pool, Refusal, Ticket, Totals};
use samovar_core::replica::{Lease, ReplicaId};
use samovar_core::time::Timestamp;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// Where a revision's code comes from. Loading is put off until the first replica starts.
pub trait CodeSource: Send + Sync {
    /// The linked code; loaded at most once.
    fn code(
        &self,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Arc<HandlerCode>, String>> + Send + '_>>;
}

/// What all pools of the server share.
#[derive(Clone)]
pub struct Shared {
    /// Instances the machine may hold; one permit each.
    pub slots: Arc<Semaphore>,
    /// Rung when a pool may need the control loop before its next tick.
    pub attention: Arc<Notify>,
    /// Where replicas start and live: with the requests, not with the control loops.
    pub runtime: Handle,
    /// Whether guests may make the host panic; for tests.
    pub fault_injection: bool,
}

/// What one pool needs to make its replicas.
pub struct PoolSettings {
    /// The decisions' bounds.
    pub limits: PoolLimits,
    /// Each instance's limits.
    pub guest: GuestLimits,
    /// How long one replica may take to start.
    pub start_timeout: Duration,
}

/// The pool of one revision.
pub struct WarmPool {
    settings: PoolSettings,
    code: Arc<dyn CodeSource>,
    log: Arc<DeploymentLog>,
    shared: Shared,
    inner: Mutex<Inner>,
    /// For the tasks that start replicas.
    this: Weak<WarmPool>,
}

struct Inner {
    pool: Pool<Waiter>,
    slots: Vec<Slot>,
    last_start_error: Option<String>,
}

type Waiter = oneshot::Sender<Result<Granted, Refusal>>;

/// What a slot of the pool holds. The id tells whether a lease is still good.
#[derive(Default)]
struct Slot {
    id: Option<ReplicaId>,
    instance: Option<Instance>,
    /// Tells those who use the instance to let go of it.
    cut: Arc<CancellationToken>,
}

/// A replica to serve one request with. [`WarmPool::finish`] must be called for it.
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
    /// In place; given back with [`WarmPool::finish`] if it may serve on.
    Sync(Box<SyncInstance>),
    /// Through its task.
    Async(AsyncInstance),
}

/// What became of an arriving request.
pub enum Admission {
    /// It is served now.
    Granted(Granted),
    /// It waits.
    Waiting(Waiting),
    /// It is refused.
    Refused(Refusal),
}

/// A request in the queue. Dropping it leaves the queue.
pub struct Waiting {
    pool: Arc<WarmPool>,
    ticket: Ticket,
    receiver: Option<oneshot::Receiver<Result<Granted, Refusal>>>,
}

impl WarmPool {
    /// An empty pool. [`WarmPool::plan`] starts what its minimum asks for.
    pub fn new(
        settings: PoolSettings,
        code: Arc<dyn CodeSource>,
        log: Arc<DeploymentLog>,
        shared: Shared,
    ) -> Arc<Self> {
        let pool = Pool::new(settings.limits.clone(), clock::now());
        let inner = Mutex::new(Inner { pool, slots: Vec::new(), last_start_error: None });
        Arc::new_cyclic(|this| WarmPool { settings, code, log, shared, inner, this: this.clone() })
    }

    /// A request arrives.
    pub fn arrive(self: &Arc<Self>, now: Timestamp) -> Admission {
        let mut inner = self.inner.lock();
        let mut receiver = None;
        let arrival = inner.pool.arrive(
            || {
                let (sender, waiting) = oneshot::channel();
                receiver = Some(waiting);
                sender
            },
            now,
        );
        let admission = match arrival {
            Arrival::Assigned(lease) => Admission::Granted(inner.grant(lease)),
            Arrival::Refused(refusal) => Admission::Refused(refusal),
            Arrival::Queued(ticket) => {
                let pool = Arc::clone(self);
                Admission::Waiting(Waiting { pool, ticket, receiver })
            }
        };
        self.settle(inner);
        admission
    }

    /// A request has ended. `instance` is what [`Work::Sync`] gave, if it may serve on.
    pub fn finish(
        &self,
        lease: Lease,
        instance: Option<Box<SyncInstance>>,
        arrived: Timestamp,
        outcome: Outcome,
        health: Health,
    ) {
        let now = clock::now();
        let mut inner = self.inner.lock();
        // An instance whose replica was cut meanwhile has no slot any more; it is dropped below.
        let mut orphan = None;
        match inner.slot(lease) {
            Some(slot) if instance.is_some() => slot.instance = instance.map(Instance::Sync),
            Some(_) => {}
            None => orphan = instance,
        }
        inner.pool.finish(lease, arrived, outcome, health, now);
        self.settle(inner);
        drop(orphan);
    }

    /// Brings the pool towards its target. Answers when it wants to be called again.
    pub fn plan(&self, now: Timestamp) -> Option<Timestamp> {
        let mut inner = self.inner.lock();
        inner.pool.plan(now);
        let wake = inner.pool.next_wake(now);
        self.settle(inner);
        wake
    }

    /// Takes a decision over.
    pub fn set_target(&self, target: u32, remove_first: &[ReplicaId], now: Timestamp) {
        let mut inner = self.inner.lock();
        inner.pool.set_target(target, remove_first, now);
        self.settle(inner);
    }

    /// Takes no more requests; finishes those it has.
    pub fn close(&self, now: Timestamp) {
        let mut inner = self.inner.lock();
        inner.pool.close(now);
        self.settle(inner);
        self.shared.attention.notify_one();
    }

    /// What a policy is told.
    pub fn observe(&self, with_replicas: bool, now: Timestamp) -> Observation {
        self.inner.lock().pool.observe(with_replicas, now)
    }

    /// What is in the pool now.
    pub fn counts(&self) -> Counts {
        self.inner.lock().pool.counts()
    }

    /// Counts since the pool was made.
    pub fn totals(&self) -> Totals {
        self.inner.lock().pool.totals()
    }

    /// Latencies since the pool was made.
    pub fn latencies(&self) -> Histogram {
        self.inner.lock().pool.latencies().clone()
    }

    /// Whether the pool was emptied by its idle TTL and waits for a request.
    pub fn is_asleep(&self) -> bool {
        self.inner.lock().pool.is_asleep()
    }

    /// Whether a closed pool has nothing left.
    pub fn is_finished(&self) -> bool {
        self.inner.lock().pool.is_finished()
    }

    /// Why the last start failed; none if it succeeded.
    pub fn last_start_error(&self) -> Option<String> {
        self.inner.lock().last_start_error.clone()
    }

    /// The bounds the pool was made with.
    pub fn limits(&self) -> &PoolLimits {
        &self.settings.limits
    }

    /// Carries out what the pool decided, and lets go of the lock for all that takes time.
    fn settle(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        let Some(mut action) = inner.pool.next_action() else {
            return;
        };
        let mut starts = Vec::new();
        let mut dropped = Vec::new();
        loop {
            match action {
                Action::Start(lease) => {
                    inner.occupy(lease);
                    starts.push(lease);
                }
                Action::Drop(lease) => dropped.push(inner.vacate(lease)),
                Action::Cut(lease) => {
                    let slot = inner.vacate(lease);
                    if let Some(slot) = &slot {
                        slot.cut.cancel();
                    }
                    dropped.push(slot);
                }
                Action::Wake(waiter, lease) => {
                    let granted = inner.grant(lease);
                    if let Err(Ok(granted)) = waiter.send(Ok(granted)) {
                        // Its client left in this very moment.
                        inner.give_back(granted);
                    }
                }
                Action::Refuse(waiter, refusal) => _ = waiter.send(Err(refusal)),
            }
            match inner.pool.next_action() {
                Some(next) => action = next,
                None => break,
            }
        }
        drop(inner);
        drop(dropped);
        for lease in starts {
            self.start(lease);
        }
    }

    fn start(&self, lease: Lease) {
        let Some(this) = self.this.upgrade() else {
            return; // The pool itself is being dropped.
        };
        self.shared.runtime.spawn(async move {
            let made = this.make(lease).await;
            this.started(lease, made);
        });
    }

    async fn make(self: &Arc<Self>, lease: Lease) -> Result<Instance, String> {
        let place = Arc::clone(&self.shared.slots).try_acquire_owned();
        let place = place.map_err(|_| "the machine holds no more instances (`up --slots`)")?;
        let code = self.code.code().await?;
        let output = GuestOutput {
            log: Arc::clone(&self.log),
            replica: lease.id.0,
            fault_injection: self.shared.fault_injection,
        };
        let pool = Weak::clone(&self.this);
        let on_exit = move |reason: String| {
            if let Some(pool) = pool.upgrade() {
                pool.lost(lease, reason);
            }
        };
        let cut = self.inner.lock().slot(lease).map(|slot| Arc::clone(&slot.cut));
        let cut = cut.ok_or("the replica is not wanted any more")?;
        let end = End { cut, grace: self.settings.limits.drain_timeout, place: Some(place) };
        let start = Instance::start(&code, &self.settings.guest, &output, end, on_exit);
        match tokio::time::timeout(self.settings.start_timeout, start).await {
            Ok(Ok(instance)) => Ok(instance),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err(format!("not ready after {:?}", self.settings.start_timeout)),
        }
    }

    fn started(&self, lease: Lease, made: Result<Instance, String>) {
        let now = clock::now();
        let mut inner = self.inner.lock();
        let mut orphan = None;
        match made {
            Ok(instance) => {
                inner.last_start_error = None;
                match inner.slot(lease) {
                    Some(slot) => slot.instance = Some(instance),
                    None => orphan = Some(instance),
                }
                inner.pool.started(lease, now);
                self.shared.attention.notify_one();
            }
            Err(reason) => {
                self.note(lease, &format!("replica could not start: {reason}"));
                tracing::warn!(replica = lease.id.0, "replica could not start: {reason}");
                inner.last_start_error = Some(reason);
                inner.pool.start_failed(lease, now);
                inner.vacate(lease);
                self.shared.attention.notify_one();
            }
        }
        self.settle(inner);
        drop(orphan);
    }

    /// An asynchronous instance ended by itself.
    fn lost(&self, lease: Lease, reason: String) {
        self.note(lease, &format!("instance ended: {reason}"));
        let mut inner = self.inner.lock();
        inner.pool.condemn(lease, clock::now());
        self.settle(inner);
    }

    /// Adds a line about a replica to the deployment's log.
    pub fn note(&self, lease: Lease, text: &str) {
        self.log.push_text(Some(lease.id.0), LogStream::System, text);
    }
}

impl Inner {
    fn slot(&mut self, lease: Lease) -> Option<&mut Slot> {
        self.slots.get_mut(lease.slot as usize).filter(|slot| slot.id == Some(lease.id))
    }

    fn occupy(&mut self, lease: Lease) {
        let index = lease.slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        self.slots[index] = Slot { id: Some(lease.id), ..Slot::default() };
    }

    fn vacate(&mut self, lease: Lease) -> Option<Slot> {
        self.slot(lease).map(std::mem::take)
    }

    fn grant(&mut self, lease: Lease) -> Granted {
        let slot = self.slot(lease).expect("an assigned replica has a slot");
        let work = match slot.instance.take() {
            Some(Instance::Sync(instance)) => Work::Sync(instance),
            Some(Instance::Async(instance)) => {
                slot.instance = Some(Instance::Async(instance.clone()));
                Work::Async(instance)
            }
            None => unreachable!("a replica that is assigned is ready and not in use"),
        };
        Granted { lease, work, cut: Arc::clone(&slot.cut) }
    }

    /// A request that was woken is not there any more.
    fn give_back(&mut self, granted: Granted) {
        let Granted { lease, work, .. } = granted;
        if let (Some(slot), Work::Sync(instance)) = (self.slot(lease), work) {
            slot.instance = Some(Instance::Sync(instance));
        }
        let now = clock::now();
        self.pool.finish(lease, now, Outcome::Cancelled, Health::Sound, now);
    }
}

impl Waiting {
    /// Waits for a replica, at most for `longest`. `None` when the time is over.
    pub async fn wait(mut self, longest: Duration) -> Option<Result<Granted, Refusal>> {
        let receiver = self.receiver.as_mut().expect("only taken when dropped");
        match tokio::time::timeout(longest, receiver).await {
            Ok(answer) => {
                self.receiver = None;
                Some(answer.unwrap_or(Err(Refusal::Closed)))
            }
            // Dropping `self` leaves the queue, or gives back what came in this very moment.
            Err(_) => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        let mut inner = self.pool.inner.lock();
        if inner.pool.cancel(self.ticket, clock::now()).is_none() {
            receiver.close();
            if let Ok(Ok(granted)) = receiver.try_recv() {
                inner.give_back(granted);
            }
        }
        self.pool.settle(inner);
    }
}
