//! A pool with real instances: `samovar_core::pool::Pool` behind its lock, and what it decides
//! carried out.
//!
//! The lock is short: it is held for one decision and the moving of a pointer, never while a guest
//! runs, an instance is made or anything is dropped.

mod batching;
mod calling;
mod make;
mod manual;
mod slot;
mod waiting;

use crate::api;
use crate::calls::Registry;
use crate::clock;
use crate::dispatch::Batches;
use crate::logs::{DeploymentLog, LogStream};
use crate::native::NativeReplica;
use crate::wasm::replica::heavy::Heavy;
use crate::wasm::replica::{Instance, SyncInstance};
pub use batching::Ticketed;
pub use make::{CodeSource, Source};
use parking_lot::Mutex;
use samovar_core::calls::{CallId, PoolId};
use samovar_core::histogram::Histogram;
use samovar_core::limits::PoolLimits;
use samovar_core::observation::Observation;
use samovar_core::pool::{Action, Arrival, Counts, Health, Outcome, Pool, Totals};
use samovar_core::replica::{Lease, ReplicaId, ReplicaKind, ReplicaView, State};
use samovar_core::time::Timestamp;
use slot::{Body, Inner, Slot, Waiter};
pub use slot::{Granted, Work};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
pub use waiting::{Admission, Waiting};

/// Counts the pools that were made.
static POOLS: AtomicU64 = AtomicU64::new(0);

/// What all pools of the server share.
#[derive(Clone)]
pub struct Shared {
    /// Instances the machine may hold; one permit each.
    pub slots: Arc<Semaphore>,
    /// Rung when a pool may need the control loop before its next tick.
    pub attention: Arc<Notify>,
    /// Where replicas start and live: with the requests, not with the control loops.
    pub runtime: Handle,
    /// The threads of guests that compute for long.
    pub heavy: Heavy,
    /// Whether guests may make the host panic; for tests.
    pub fault_injection: bool,
    /// Instances that are saying goodbye.
    pub farewells: TaskTracker,
}

/// What one pool needs to make its replicas.
pub struct PoolSettings {
    /// The decisions' bounds.
    pub limits: PoolLimits,
    /// How long one replica may take to start.
    pub start_timeout: Duration,
    /// Serves its batches; none if requests go alone.
    pub batches: Option<Arc<Batches>>,
    /// Where its requests are known that call others; none if they can't.
    pub calls: Option<Arc<Registry>>,
}

/// The pool of one revision.
pub struct WarmPool {
    id: PoolId,
    settings: PoolSettings,
    source: Source,
    log: Arc<DeploymentLog>,
    shared: Shared,
    inner: Mutex<Inner>,
    /// Cancelled when the pool is closed and nothing waits: what loads is given up.
    closing: CancellationToken,
    /// For the tasks that start replicas.
    this: Weak<WarmPool>,
}

impl WarmPool {
    /// An empty pool. [`WarmPool::plan`] starts what its minimum asks for.
    pub fn new(
        settings: PoolSettings,
        source: Source,
        log: Arc<DeploymentLog>,
        shared: Shared,
    ) -> Arc<Self> {
        let mut decisions = Pool::new(settings.limits.clone(), clock::now());
        if settings.calls.is_some() {
            decisions.watch_leaving();
        }
        let inner = Mutex::new(Inner::new(decisions));
        let closing = CancellationToken::new();
        let pool = Arc::new_cyclic(|this| {
            let this = this.clone();
            let id = PoolId(POOLS.fetch_add(1, Ordering::Relaxed));
            WarmPool { id, settings, source, log, shared, inner, closing, this }
        });
        if let Some(calls) = &pool.settings.calls {
            calls.add_pool(&pool);
        }
        pool
    }

    /// A request arrives, by a call if another deployment makes it.
    pub fn arrive(self: &Arc<Self>, now: Timestamp, call: Option<CallId>) -> Admission {
        let mut inner = self.inner.lock();
        let mut receiver = None;
        let arrival = inner.pool.arrive(
            || {
                let (sender, waiting) = oneshot::channel();
                receiver = Some(waiting);
                Waiter::Alone(sender, call)
            },
            now,
        );
        let admission = match arrival {
            Arrival::Assigned(lease) => {
                self.tell_granted(&inner.pool, call, lease);
                Admission::Granted(inner.grant(lease))
            }
            Arrival::Refused(refusal) => Admission::Refused(refusal),
            Arrival::Queued(ticket) => {
                let pool = Arc::clone(self);
                Admission::Waiting(Waiting { pool, ticket, call, receiver })
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
        let orphan = inner.put_back(lease, instance);
        inner.pool.finish(lease, arrived, outcome, health, now);
        self.settle(inner);
        drop(orphan);
    }

    /// Brings the pool towards its target. Answers when it wants to be called again.
    pub fn plan(&self, now: Timestamp) -> Option<Timestamp> {
        let mut inner = self.inner.lock();
        inner.pool.plan(now);
        let short = self.review_calls(&inner.pool);
        self.give_up_unwanted(&inner);
        let wake = inner.pool.next_wake(now);
        self.settle(inner);
        short.iter().for_each(|pool| pool.make_way());
        wake
    }

    /// Takes a decision over.
    /// With `shed`, others wait for the room: what is above the target finishes its requests and
    /// goes.
    pub fn set_target(&self, target: u32, remove_first: &[ReplicaId], shed: bool, now: Timestamp) {
        let mut inner = self.inner.lock();
        inner.pool.set_target(target, remove_first, shed, now);
        self.settle(inner);
    }

    /// Takes no more requests; finishes those it has.
    pub fn close(&self, now: Timestamp) {
        let mut inner = self.inner.lock();
        inner.pool.close(now);
        inner.is_closed = true;
        self.give_up_unwanted(&inner);
        self.settle(inner);
        self.shared.attention.notify_one();
    }

    /// What a closed pool still loads is for the requests that wait there, or for nobody.
    fn give_up_unwanted(&self, inner: &Inner) {
        if inner.is_closed && inner.pool.counts().queued == 0 {
            self.closing.cancel();
        }
    }

    /// What a policy is told.
    pub fn observe(&self, with_replicas: bool, now: Timestamp) -> Observation {
        let mut inner = self.inner.lock();
        let mut seen = inner.pool.observe(with_replicas, now);
        if let Source::Guest { surroundings, .. } = &self.source {
            surroundings.gauges.report(&mut seen);
        } else {
            let natives = inner.natives();
            for view in &mut seen.replicas {
                view.kind = self.kind(view);
                if let Some(report) = natives.get(&view.id).and_then(|native| native.report()) {
                    view.load = report.load;
                    view.max_perf = report.max_perf;
                }
            }
        }
        seen
    }

    /// Closes connections to native replicas that were idle for too long.
    pub fn close_idle_connections(&self) {
        if matches!(self.source, Source::Guest { .. }) {
            return;
        }
        let native: Vec<_> = {
            let inner = self.inner.lock();
            inner.natives().into_values().map(Arc::clone).collect()
        };
        native.iter().for_each(|replica| replica.close_idle_connections());
    }

    /// What a replica is. The pool only knows which ones it did not order.
    fn kind(&self, view: &ReplicaView) -> ReplicaKind {
        match self.source {
            _ if view.kind == ReplicaKind::External => ReplicaKind::External,
            Source::Guest { .. } => ReplicaKind::Wasm,
            Source::Process(_) => ReplicaKind::Process,
            Source::External(_) => ReplicaKind::External,
        }
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

    /// Why the last start had to wait for room on the machine; none since one succeeded.
    pub fn no_room(&self) -> Option<String> {
        self.inner.lock().no_room.clone()
    }

    /// The bounds the pool was made with.
    pub fn limits(&self) -> &PoolLimits {
        &self.settings.limits
    }

    /// Carries out what the pool decided, and lets go of the lock for all that takes time.
    fn settle(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        if self.settings.batches.is_some() {
            self.set_timer(&mut inner);
        }
        let short = self.tell_leaving(&mut inner);
        let Some(mut action) = inner.pool.next_action() else {
            drop(inner);
            short.iter().for_each(|pool| pool.make_way());
            return;
        };
        let mut batches = Vec::new();
        let mut starts = Vec::new();
        let mut dropped = Vec::new();
        loop {
            match action {
                Action::Start(lease) => {
                    inner.occupy(lease);
                    starts.push(lease);
                }
                Action::Drop(lease) => {
                    self.tell_gone(lease);
                    dropped.push(inner.vacate(lease));
                }
                Action::Cut(lease) => {
                    self.tell_gone(lease);
                    let slot = inner.vacate(lease);
                    if let Some(slot) = &slot {
                        slot.cut.cancel();
                    }
                    dropped.push(slot);
                }
                Action::Wake(Waiter::Alone(waiter, call), lease) => {
                    self.tell_granted(&inner.pool, call, lease);
                    let granted = inner.grant(lease);
                    if let Err(Ok(granted)) = waiter.send(Ok(granted)) {
                        // Its client left in this very moment.
                        self.tell_ended(call);
                        inner.give_back(granted);
                    }
                }
                Action::Wake(Waiter::InBatch(_), _) => unreachable!("batches leave together"),
                Action::Batch(members, lease) => {
                    let call = self.tell_batch(&inner.pool, &members, lease);
                    batches.push((inner.grant(lease), members, call));
                }
                Action::Refuse(Waiter::Alone(waiter, _), refusal) => _ = waiter.send(Err(refusal)),
                Action::Refuse(Waiter::InBatch(item), refusal) => item.refuse(refusal),
            }
            match inner.pool.next_action() {
                Some(next) => action = next,
                None => break,
            }
        }
        drop(inner);
        dropped.into_iter().flatten().for_each(|slot| self.let_go(slot));
        for lease in starts {
            self.start(lease);
        }
        for (granted, members, call) in batches {
            self.serve_batch(granted, members, call);
        }
        short.iter().for_each(|pool| pool.make_way());
    }

    /// Drops what was in a slot; an instance that wants to know it is told first.
    fn let_go(&self, slot: Slot) {
        let Some(Body::Guest(Instance::Sync(instance))) = slot.body else { return };
        if !instance.wants_farewell() {
            return;
        }
        let (log, replica) = (Arc::clone(&self.log), slot.id.map(|id| id.0));
        let farewell = async move {
            if let Err(error) = instance.farewell().await {
                log.push_text(replica, LogStream::System, &format!("`drain` failed: {error:#}"));
            }
        };
        self.shared.farewells.spawn_on(farewell, &self.shared.runtime);
    }

    /// The single replicas of the pool and what is known of them, and the last failures.
    pub fn replicas(&self, revision: u64) -> (Vec<api::Replica>, Vec<api::ReplicaFailure>) {
        let inner = self.inner.lock();
        let (views, natives) = (inner.pool.replica_views(clock::now()), inner.natives());
        let describe = |view| self.describe(view, natives.get(&view.id).copied(), revision);
        let replicas = views.iter().map(describe).collect();
        (replicas, inner.failures.iter().cloned().collect())
    }

    fn describe(
        &self,
        view: &ReplicaView,
        native: Option<&Arc<NativeReplica>>,
        revision: u64,
    ) -> api::Replica {
        let kind = self.kind(view).into();
        let state = match view.state {
            State::Starting => api::ReplicaState::Starting,
            State::Ready => api::ReplicaState::Ready,
            State::Draining { .. } => api::ReplicaState::Draining,
        };
        let described = api::Replica {
            id: view.id.0,
            revision,
            kind,
            state,
            ongoing: view.ongoing,
            age_ms: u64::try_from(view.age.as_millis()).unwrap_or(u64::MAX),
            ..api::Replica::default()
        };
        match (native, &self.source) {
            (Some(native), _) => native.describe(described),
            (None, Source::Process(process)) => process.describe_start(view.id, described),
            (None, Source::External(external)) => external.describe_start(view.id, described),
            (None, Source::Guest { surroundings, .. }) => {
                api::Replica { load: surroundings.gauges.load(view.id), ..described }
            }
        }
    }
}
