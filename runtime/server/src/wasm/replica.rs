//! One instance of a handler, and how it is called.
//!
//! A WASI 0.2 instance serves one request at a time, or one batch. It is called in place by the
//! task of the connection, which takes the instance out of its slot for that time: no queue and no
//! task switch. A WASI 0.3 instance serves many at a time, so a task of its own drives it and
//! requests are sent there.

mod guarded;
pub mod heavy;
mod life;
mod service;
mod sync;
mod vitals;

use super::component::{Handler, HandlerCode};
use super::guest::{Guest, GuestLimits};
use super::surroundings::Surroundings;
use crate::logs::GuestOutput;
use futures::channel::oneshot;
use guarded::Guarded;
use heavy::Heavy;
pub use life::LifeExports;
pub use service::AsyncInstance;
use std::sync::Arc;
use std::time::Duration;
pub use sync::{Ended, SyncCall, SyncInstance};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
pub use vitals::Vitals;
use wasmtime_wasi_http::WasiBody;

/// What a handler answers with.
pub type GuestResponse = http::Response<WasiBody>;
/// Where the answer to one request arrives: the head of a response or why there is none.
pub type Reply = oneshot::Receiver<Result<GuestResponse, wasmtime::Error>>;
type ReplySender = oneshot::Sender<Result<GuestResponse, wasmtime::Error>>;

/// How an instance ends, and what it gives back then.
pub struct End {
    /// An asynchronous one ends at once when this is cancelled.
    pub cut: Arc<CancellationToken>,
    /// How long work may go on after the last response, and `drain` may take.
    pub grace: Duration,
    /// Its room on the machine, free again when its memory is. A trial start has none.
    pub place: Option<OwnedSemaphorePermit>,
    /// Tells the server that it has not said goodbye yet.
    pub farewell: Option<TaskTrackerToken>,
}

/// What an instance is made with.
pub struct Making<'a> {
    /// Its code; stays loaded as long as the instance lives.
    pub code: &'a Arc<HandlerCode>,
    /// What it may use.
    pub limits: &'a GuestLimits,
    /// What it may reach.
    pub surroundings: &'a Arc<Surroundings>,
    /// Where its output goes.
    pub output: &'a GuestOutput,
    /// The threads it computes on if it does so for long.
    pub heavy: &'a Heavy,
}

/// An instance that is ready to serve.
pub enum Instance {
    /// Called in place.
    Sync(Box<SyncInstance>),
    /// Driven by its own task.
    Async(AsyncInstance),
}

impl Instance {
    /// Makes an instance, and lets it get ready if it wants to. `on_exit` is called once if an
    /// asynchronous instance ends by itself, with the reason.
    ///
    /// # Errors
    ///
    /// When instantiation traps, the pool of the engine is exhausted, or the guest says that it
    /// cannot start.
    pub async fn start(
        making: Making<'_>,
        end: End,
        on_exit: impl FnOnce(String) + Send + 'static,
    ) -> wasmtime::Result<Instance> {
        let Making { code, limits, surroundings, output, heavy } = making;
        let end = End { farewell: end.farewell.filter(|_| code.life.is_some()), ..end };
        let vitals = Arc::new(Vitals::default());
        let is_async = matches!(code.handler, Handler::Async(..));
        let reach = Arc::clone(surroundings);
        let mut store = Guest::store(code, limits, reach, output, Arc::clone(&vitals), is_async);
        let instantiate = Box::pin(code.pre.instantiate_async(&mut store));
        let instance = Guarded::new(instantiate, &*vitals).await?;
        let life = code.life.as_ref().map(|life| life.load(&mut store, &instance)).transpose()?;
        if let Some(life) = &life {
            Guarded::new(Box::pin(life.init(&mut store)), &*vitals).await?;
        }
        Ok(match &code.handler {
            Handler::Sync(indices) => {
                let proxy = indices.load(&mut store, &instance)?;
                let entry = sync::Entry::Http(proxy);
                Instance::Sync(Box::new(SyncInstance::new(store, entry, vitals, life, end, heavy)))
            }
            Handler::Batch(indices) => {
                let entry = sync::Entry::Batch(indices.load(&mut store, &instance)?);
                Instance::Sync(Box::new(SyncInstance::new(store, entry, vitals, life, end, heavy)))
            }
            Handler::Async(indices) => {
                let service = indices.load(&mut store, &instance)?;
                let driver = service::Driver::new(service, &vitals, life, end);
                Instance::Async(AsyncInstance::start(store, driver, heavy, on_exit))
            }
        })
    }
}
