//! Calls from one deployment to another: who waits for whom, and what a call inherits.
//!
//! A request that calls others is known here from its first call on; a process gets the id of its
//! request in a header, signed so that nobody else can claim to act for it. The decisions are those
//! of [`samovar_core::calls`].

mod header;
mod running;

use crate::clock;
use crate::dispatch::{Failure, FailureCode};
use crate::spec::DeploymentName;
use crate::warm_pool::WarmPool;
pub use header::CALL_HEADER;
use header::Signer;
use http::HeaderMap;
use parking_lot::Mutex;
pub use running::Running;
use samovar_core::calls::{CallId, Calls, Extent, Place, PoolId, Review};
use samovar_core::replica::ReplicaId;
use samovar_core::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// All calls under way.
pub struct Registry {
    known: Mutex<Known>,
    signer: Signer,
}

/// The graph, and those who wait for its verdicts.
#[derive(Default)]
struct Known {
    graph: Calls,
    /// Calls that wait, to be told if a pool shrinks and they can't be served any more.
    waiting: HashMap<CallId, oneshot::Sender<String>>,
    /// Pools whose requests call others.
    pools: HashMap<PoolId, Weak<WarmPool>>,
}

impl Known {
    /// Tells those who can't be served any more. Answers which pools need a replica more.
    fn take(&mut self, review: Review) -> Vec<Arc<WarmPool>> {
        for refused in review.refused {
            if let Some(waiting) = self.waiting.remove(&refused.call) {
                _ = waiting.send(refused.to_string());
            }
        }
        self.pools(&review.grow)
    }

    fn pools(&self, ids: &[PoolId]) -> Vec<Arc<WarmPool>> {
        ids.iter().filter_map(|id| self.pools.get(id)?.upgrade()).collect()
    }
}

impl Registry {
    /// Knows of no call.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn new() -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Registry { known: Mutex::default(), signer: Signer::new()? }))
    }

    /// Takes the header off a request and answers who made it: a process, or somebody outside.
    ///
    /// # Errors
    ///
    /// When the header is not one that this server made.
    pub fn origin(
        self: &Arc<Self>,
        headers: &mut HeaderMap,
        callee: &DeploymentName,
    ) -> Result<Origin, Failure> {
        if !headers.contains_key(&CALL_HEADER) {
            return Ok(Origin::default());
        }
        let values: Vec<_> = headers.get_all(&CALL_HEADER).iter().cloned().collect();
        headers.remove(&CALL_HEADER);
        let parent = self.signer.read(&values).map_err(|reason| {
            let message = format!("the header `{CALL_HEADER}` {reason}");
            Failure::new(FailureCode::BadAncestry, message)
        })?;
        Ok(Origin { call: Some(self.call(parent, callee)), ..Origin::default() })
    }

    /// The requests of this pool call others.
    pub fn add_pool(&self, pool: &Arc<WarmPool>) {
        self.known.lock().pools.insert(pool.id(), Arc::downgrade(pool));
    }

    /// A pool has ended.
    pub fn remove_pool(&self, pool: PoolId) {
        let mut known = self.known.lock();
        known.graph.forget(pool);
        known.pools.remove(&pool);
    }

    /// A replica takes no more requests. Called under the lock of its pool.
    pub fn drains(&self, pool: PoolId, replica: ReplicaId) {
        self.known.lock().graph.drains(pool, replica);
    }

    /// A replica takes no more requests but keeps its room, of which so many places are idle, until
    /// it has ended. Called under the lock of its pool. Answers which pools need a replica more.
    pub fn spent(&self, extent: Extent, replica: ReplicaId, idle: u32) -> Vec<Arc<WarmPool>> {
        let mut known = self.known.lock();
        let review = known.graph.spent(extent, replica, idle);
        known.take(review)
    }

    /// A replica is gone. Called under the lock of its pool.
    pub fn gone(&self, pool: PoolId, replica: ReplicaId) {
        self.known.lock().graph.gone(pool, replica);
    }

    fn call(self: &Arc<Self>, parent: CallId, callee: &DeploymentName) -> Call {
        let id = self.known.lock().graph.call(parent, &Arc::from(callee.as_str()));
        Call { registry: Arc::clone(self), id }
    }

    /// A call was given a place. Called under the lock of the pool.
    pub fn granted(&self, call: CallId, place: Place) {
        let mut known = self.known.lock();
        known.waiting.remove(&call);
        known.graph.granted(call, place);
    }

    /// A call has ended.
    pub fn ended(&self, call: CallId) {
        let mut known = self.known.lock();
        known.waiting.remove(&call);
        known.graph.ended(call);
    }

    /// Time has passed and calls still wait for this pool, whose lock is held. Answers which pools
    /// need a replica more.
    pub fn review(&self, extent: Extent) -> Vec<Arc<WarmPool>> {
        let mut known = self.known.lock();
        let review = known.graph.review(extent);
        known.take(review)
    }
}

/// Who made a request, and what it inherits. The default is somebody outside.
#[derive(Default)]
pub struct Origin {
    /// The call it is.
    pub call: Option<Call>,
    /// When the caller stops waiting for an answer.
    pub deadline: Option<Timestamp>,
    /// How many cold deployments have passed it on to the one that stands in for them.
    pub passed_on: u32,
}

impl Origin {
    /// The shorter of `longest` and the time the caller waits on.
    pub fn rest(&self, longest: Duration) -> Duration {
        match self.deadline {
            Some(deadline) => longest.min(deadline.since(clock::now())),
            None => longest,
        }
    }
}

/// A call that is not served yet. Dropping it forgets it.
pub struct Call {
    registry: Arc<Registry>,
    id: CallId,
}

/// A call that waits. Ready with the chain if it can't be served any more.
pub type Verdict = oneshot::Receiver<String>;

impl Call {
    /// Names it.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// The call waits for a place in `pool`.
    ///
    /// # Errors
    ///
    /// The chain, when its own ancestors hold every place that there will ever be.
    pub fn waits(&self, pool: &WarmPool) -> Result<Verdict, String> {
        let extent = pool.extent();
        let (grow, verdict) = {
            let mut known = self.registry.known.lock();
            let waits = known.graph.waits(self.id, extent).map_err(|chain| chain.to_string())?;
            let (sender, verdict) = oneshot::channel();
            known.waiting.insert(self.id, sender);
            (known.pools(&waits.grow), verdict)
        };
        grow.iter().for_each(|pool| pool.make_way());
        Ok(verdict)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.registry.ended(self.id);
    }
}
