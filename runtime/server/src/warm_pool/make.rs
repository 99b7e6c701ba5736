//! Making replicas, and what happens when one is made or ends by itself.

use super::WarmPool;
use super::slot::Body;
use crate::clock;
use crate::logs::{GuestOutput, LogStream};
use crate::native::{ExternalSource, NativeReplica, ProcessSource, StartError};
use crate::wasm::component::HandlerCode;
use crate::wasm::guest::GuestLimits;
use crate::wasm::replica::{End, Instance, Making};
use crate::wasm::surroundings::Surroundings;
use samovar_core::replica::Lease;
use std::pin::Pin;
use std::sync::{Arc, Weak};

/// Where a revision's code comes from. Loading is put off until the first replica starts.
pub trait CodeSource: Send + Sync {
    /// The linked code; loaded at most once.
    fn code(&self) -> Pin<Box<dyn Future<Output = Result<Arc<HandlerCode>, String>> + Send + '_>>;
}

/// What the replicas of a pool are made from.
pub enum Source {
    /// A component.
    Guest {
        /// Its code.
        code: Arc<dyn CodeSource>,
        /// What each instance may use.
        limits: GuestLimits,
        /// What each instance may reach.
        surroundings: Arc<Surroundings>,
    },
    /// A command.
    Process(Box<ProcessSource>),
    /// Workers that register themselves.
    External(ExternalSource),
}

impl WarmPool {
    pub(super) fn start(&self, lease: Lease) {
        let Some(this) = self.this.upgrade() else {
            return; // The pool itself is being dropped.
        };
        self.shared.runtime.spawn(async move {
            let made = tokio::select! {
                made = this.make(lease) => made,
                () = this.closing.cancelled(), if !this.is_guest() => Err(StartError::GivenUp),
            };
            this.started(lease, made);
        });
    }

    /// Whether replicas are instances. Those start in a moment and are not given up on the way.
    fn is_guest(&self) -> bool {
        matches!(self.source, Source::Guest { .. })
    }

    async fn make(self: &Arc<Self>, lease: Lease) -> Result<Body, StartError> {
        match &self.source {
            Source::Guest { code, limits, surroundings } => {
                self.make_guest(lease, &**code, limits, surroundings).await
            }
            Source::Process(process) => {
                let place = self.place()?;
                let replica = process.start(lease.id, place).await?;
                Ok(self.watched(lease, replica))
            }
            Source::External(external) => {
                let replica = external.start(lease.id).await?;
                Ok(self.watched(lease, replica))
            }
        }
    }

    fn place(&self) -> Result<tokio::sync::OwnedSemaphorePermit, StartError> {
        let place = Arc::clone(&self.shared.slots).try_acquire_owned();
        place.map_err(|_| {
            StartError::no_room("the machine holds no more instances (`up --slots`)".to_owned())
        })
    }

    async fn make_guest(
        self: &Arc<Self>,
        lease: Lease,
        code: &dyn CodeSource,
        limits: &GuestLimits,
        surroundings: &Arc<Surroundings>,
    ) -> Result<Body, StartError> {
        let place = self.place()?;
        let code = code.code().await.map_err(StartError::Failed)?;
        let output = GuestOutput {
            log: Arc::clone(&self.log),
            replica: Some(lease.id.0),
            fault_injection: self.shared.fault_injection,
        };
        let pool = Weak::clone(&self.this);
        let on_exit = move |reason: String| {
            if let Some(pool) = pool.upgrade() {
                pool.lost(lease, reason);
            }
        };
        let cut = self.inner.lock().slot(lease).map(|slot| Arc::clone(&slot.cut));
        let cut = cut.ok_or(StartError::GivenUp)?;
        let end = End {
            cut,
            grace: self.settings.limits.drain_timeout,
            place: Some(place),
            farewell: Some(self.shared.farewells.token()),
        };
        let heavy = &self.shared.heavy;
        let making = Making { code: &code, limits, surroundings, output: &output, heavy };
        let start = Instance::start(making, end, on_exit);
        match tokio::time::timeout(self.settings.start_timeout, start).await {
            Ok(Ok(instance)) => Ok(Body::Guest(instance)),
            Ok(Err(error)) => Err(StartError::Failed(format!("{error:#}"))),
            Err(_) => {
                let longest = self.settings.start_timeout;
                Err(StartError::Failed(format!("not ready after {longest:?}")))
            }
        }
    }

    /// Notices when a native replica fails.
    fn watched(self: &Arc<Self>, lease: Lease, replica: NativeReplica) -> Body {
        let pool = Weak::clone(&self.this);
        replica.on_failure(move |reason| {
            if let Some(pool) = pool.upgrade() {
                pool.crashed(lease, reason);
            }
        });
        Body::Native(Arc::new(replica))
    }

    fn started(&self, lease: Lease, made: Result<Body, StartError>) {
        let now = clock::now();
        let mut inner = self.inner.lock();
        let mut orphan = None;
        match made {
            Ok(body) => {
                inner.last_start_error = None;
                inner.no_room = None;
                match inner.slot(lease) {
                    Some(slot) => slot.body = Some(body),
                    None => orphan = Some(body),
                }
                inner.pool.started(lease, now);
            }
            Err(StartError::NoRoom { reason, retry }) => {
                inner.no_room = Some(reason);
                inner.pool.start_refused(lease, now + retry, now);
                inner.vacate(lease);
            }
            Err(StartError::GivenUp) => {
                inner.pool.start_failed(lease, now);
                inner.vacate(lease);
            }
            Err(StartError::Failed(reason)) => {
                let reason = self.log.clean(reason);
                self.note(lease, &format!("replica could not start: {reason}"));
                tracing::warn!(replica = lease.id.0, "replica could not start: {reason}");
                inner.note_failure(lease, reason.clone());
                inner.last_start_error = Some(reason);
                inner.pool.start_failed(lease, now);
                inner.vacate(lease);
            }
        }
        self.settle(inner);
        self.shared.attention.notify_one();
        drop(orphan);
    }

    /// An asynchronous instance ended by itself.
    fn lost(&self, lease: Lease, reason: String) {
        self.note(lease, &format!("instance ended: {reason}"));
        let mut inner = self.inner.lock();
        inner.pool.condemn(lease, clock::now());
        self.settle(inner);
    }

    /// A native replica failed by itself.
    pub fn crashed(&self, lease: Lease, reason: String) {
        let reason = self.log.clean(reason);
        let mut inner = self.inner.lock();
        if inner.slot(lease).is_none() {
            return; // It was on its way out.
        }
        self.note(lease, &format!("replica failed: {reason}"));
        tracing::warn!(replica = lease.id.0, "replica failed: {reason}");
        inner.note_failure(lease, reason.clone());
        inner.last_start_error = Some(reason);
        inner.pool.crashed(lease, clock::now());
        self.settle(inner);
        self.shared.attention.notify_one();
    }

    /// Takes in a worker that registered itself. None if there is no room for it, or the pool
    /// takes no more requests.
    pub fn adopt(self: &Arc<Self>, replica: NativeReplica) -> Option<Lease> {
        let mut inner = self.inner.lock();
        let lease = inner.pool.adopt(clock::now())?;
        inner.last_start_error = None;
        inner.no_room = None;
        inner.occupy(lease);
        let body = self.watched(lease, replica);
        inner.slot(lease).expect("it was occupied just now").body = Some(body);
        self.settle(inner);
        self.shared.attention.notify_one();
        Some(lease)
    }

    /// A worker that registered itself leaves: it finishes its requests.
    pub fn release(&self, lease: Lease) {
        let mut inner = self.inner.lock();
        inner.pool.release(lease, clock::now());
        self.settle(inner);
        self.shared.attention.notify_one();
    }

    /// Adds a line about a replica to the deployment's log.
    pub fn note(&self, lease: Lease, text: &str) {
        self.log.push_text(Some(lease.id.0), LogStream::System, text);
    }
}
