//! Instances that serve one request, or one batch, at a time.

use super::super::bindings::BatchHandler;
use super::super::bindings::batch;
use super::guarded::Guarded;
use super::heavy::{Heavy, Movable};
use super::life::Life;
use super::{End, Reply, ReplySender, Vitals};
use crate::calls::Running;
use crate::wasm::guest::Guest;
use futures::FutureExt as _;
use futures::channel::oneshot;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p2};

/// How the instance is called.
pub(super) enum Entry {
    /// With a request of WASI 0.2.
    Http(p2::bindings::Proxy),
    /// With whole requests, many at a time.
    Batch(BatchHandler),
}

/// An instance that is called in place.
pub struct SyncInstance {
    store: Store<Guest>,
    entry: Entry,
    vitals: Arc<Vitals>,
    life: Option<Life>,
    /// The threads it computes on if it does so for long.
    heavy: Heavy,
    /// How long it may take to say goodbye.
    grace: Duration,
    /// Below the store: given back after it is dropped.
    _place: Option<OwnedSemaphorePermit>,
}

impl SyncInstance {
    pub(super) fn new(
        store: Store<Guest>,
        entry: Entry,
        vitals: Arc<Vitals>,
        life: Option<Life>,
        end: End,
        heavy: &Heavy,
    ) -> Self {
        let heavy = heavy.clone();
        SyncInstance { store, entry, vitals, life, heavy, grace: end.grace, _place: end.place }
    }

    /// Calls the handler. The future is the whole call and gives the instance back; the head of the
    /// response arrives at the [`Reply`] as soon as the guest has set it. Dropping the future ends
    /// the instance. `running` is what the request may call.
    pub fn call(
        self: Box<Self>,
        request: http::Request<WasiBody>,
        running: Option<Arc<Running>>,
    ) -> (SyncCall, Reply) {
        let (sender, reply) = oneshot::channel();
        (self.turn(running, |instance| Box::pin(instance.run(request, sender))), reply)
    }

    /// Calls a batch handler with whole requests.
    pub fn call_batch(
        self: Box<Self>,
        requests: Vec<batch::Request>,
        running: Option<Arc<Running>>,
    ) -> BatchCall {
        self.turn(running, |instance| Box::pin(instance.run_batch(requests)))
    }

    fn turn<T: Send + 'static>(
        mut self: Box<Self>,
        running: Option<Arc<Running>>,
        run: impl FnOnce(Box<Self>) -> CallRun<T>,
    ) -> InPlace<T> {
        let (vitals, heavy) = (Arc::clone(&self.vitals), self.heavy.clone());
        vitals.renew();
        self.store.set_epoch_deadline(1);
        self.store.data_mut().serve(running);
        let guest = Guarded::new(run(self), Arc::clone(&vitals));
        InPlace { inner: Movable::new(guest, vitals, heavy) }
    }

    async fn run(
        mut self: Box<Self>,
        request: http::Request<WasiBody>,
        sender: ReplySender,
    ) -> wasmtime::Result<Ended> {
        let result = self.handle(request, sender).await;
        Ok(self.ended(result))
    }

    async fn run_batch(
        mut self: Box<Self>,
        requests: Vec<batch::Request>,
    ) -> wasmtime::Result<Ended<Vec<Result<batch::Response, String>>>> {
        let result = match &self.entry {
            Entry::Batch(handler) => {
                let exports = handler.samovar_handler_batch();
                exports.call_handle_batch(&mut self.store, &requests).await
            }
            Entry::Http(_) => unreachable!("pools of batches hold batch handlers"),
        };
        Ok(self.ended(result))
    }

    fn ended<T>(mut self: Box<Self>, result: wasmtime::Result<T>) -> Ended<T> {
        self.store.data_mut().serve(None);
        match &result {
            Ok(_) => self.vitals.note_ended(),
            Err(_) => self.vitals.note_failed(),
        }
        Ended { instance: self, result }
    }

    async fn handle(
        &mut self,
        request: http::Request<WasiBody>,
        sender: ReplySender,
    ) -> wasmtime::Result<()> {
        let Entry::Http(proxy) = &self.entry else {
            unreachable!("pools of requests hold handlers of requests")
        };
        let mut http = self.store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let out = http.new_response_outparam_from_callback(move |answer| {
            // Nobody waits any more if the client left.
            _ = sender.send(answer.map_err(wasmtime::Error::from));
        })?;
        let handler = proxy.wasi_http_incoming_handler();
        handler.call_handle(&mut self.store, request, out).await
    }

    /// Whether it wants to be told that it goes.
    pub fn wants_farewell(&self) -> bool {
        self.life.is_some()
    }

    /// Tells it that it goes, and drops it.
    ///
    /// # Errors
    ///
    /// A trap, or when it took longer than its grace.
    pub async fn farewell(mut self: Box<Self>) -> wasmtime::Result<()> {
        let Some(life) = self.life.take() else { return Ok(()) };
        self.vitals.renew();
        let vitals = Arc::clone(&self.vitals);
        let drain = Guarded::new(Box::pin(life.drain(&mut self.store)), &*vitals);
        match tokio::time::timeout(self.grace, drain).await {
            Ok(done) => done,
            Err(_) => Err(wasmtime::format_err!("`drain` took longer than {:?}", self.grace)),
        }
    }
}

/// How a call ended.
pub struct Ended<T = ()> {
    /// The instance. After an error it must not be called again, only dropped.
    pub instance: Box<SyncInstance>,
    /// The trap, if there was one.
    pub result: wasmtime::Result<T>,
}

type CallRun<T> = Pin<Box<dyn Future<Output = wasmtime::Result<Ended<T>>> + Send>>;

/// A running call of a [`SyncInstance`]. It fails only if the host panicked.
pub struct InPlace<T: Send + 'static> {
    inner: Movable<Guarded<CallRun<T>, Arc<Vitals>>>,
}

/// A call with one request.
pub type SyncCall = InPlace<()>;
/// A call with many.
pub type BatchCall = InPlace<Vec<Result<batch::Response, String>>>;

impl<T: Send + 'static> InPlace<T> {
    /// How the instance is doing.
    pub fn vitals(&self) -> &Arc<Vitals> {
        self.inner.vitals()
    }
}

impl<T: Send + 'static> Future for InPlace<T> {
    type Output = wasmtime::Result<Ended<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.poll_unpin(cx)
    }
}
