//! One instance of a handler, and how it is called.
//!
//! A WASI 0.2 instance serves one request at a time. It is called in place by the task of the
//! connection, which takes the instance out of its slot for that time: no queue and no task switch.
//! A WASI 0.3 instance serves many at a time, so a task of its own drives it and requests are sent
//! there.

use super::component::{Handler, HandlerCode};
use super::guest::{Guest, GuestLimits};
use crate::clock;
use crate::logs::GuestOutput;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, Stream as _};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use wasmtime::Store;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p2};

/// What a handler answers with.
pub type GuestResponse = http::Response<WasiBody>;
/// Where the answer to one request arrives: the head of a response or why there is none.
pub type Reply = oneshot::Receiver<Result<GuestResponse, wasmtime::Error>>;
type ReplySender = oneshot::Sender<Result<GuestResponse, wasmtime::Error>>;

/// How one instance is doing: its CPU time, and why it ended.
///
/// CPU time is wall time inside the instance's polls. Reading a thread's CPU clock costs a system
/// call; polls are short and preemption is rare, so this is close.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Up to the current turn, since the budget was last renewed.
    used_nanos: AtomicU64,
    turn_started_nanos: AtomicU64,
    exceeded: AtomicBool,
    failed: AtomicBool,
}

impl Vitals {
    /// The budget starts anew.
    pub fn renew(&self) {
        self.used_nanos.store(0, Relaxed);
    }

    /// Time used since the budget was renewed, the current turn included.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_nanos.load(Relaxed)) + self.in_this_turn()
    }

    /// Time since the instance was last polled.
    pub fn in_this_turn(&self) -> Duration {
        let now = clock::now().as_nanos();
        Duration::from_nanos(now.saturating_sub(self.turn_started_nanos.load(Relaxed)))
    }

    /// The instance was stopped because its budget was spent.
    pub fn note_exceeded(&self) {
        self.exceeded.store(true, Relaxed);
    }

    /// Whether the instance was stopped because its budget was spent.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    /// The instance trapped, made the host panic or was cut. Noted before its bodies are dropped,
    /// so that a body that ends early is not taken for a complete one.
    pub fn note_failed(&self) {
        self.failed.store(true, Release);
    }

    /// Whether the instance trapped, made the host panic or was cut.
    pub fn is_failed(&self) -> bool {
        self.failed.load(Acquire)
    }

    fn turn<R>(&self, work: impl FnOnce() -> R) -> R {
        let started = clock::now().as_nanos();
        self.turn_started_nanos.store(started, Relaxed);
        let result = work();
        self.used_nanos.fetch_add(clock::now().as_nanos().saturating_sub(started), Relaxed);
        result
    }
}

/// How an instance ends, and what it gives back then.
pub struct End {
    /// An asynchronous one ends at once when this is cancelled.
    pub cut: Arc<CancellationToken>,
    /// How long work may go on after the last response.
    pub grace: Duration,
    /// Its room on the machine, free again when its memory is. A trial start has none.
    pub place: Option<OwnedSemaphorePermit>,
}

/// An instance that is ready to serve.
pub enum Instance {
    /// Called in place.
    Sync(Box<SyncInstance>),
    /// Driven by its own task.
    Async(AsyncInstance),
}

impl Instance {
    /// Makes an instance. `on_exit` is called once if an asynchronous instance ends by itself,
    /// with the reason.
    ///
    /// # Errors
    ///
    /// When instantiation traps or the pool of the engine is exhausted.
    pub async fn start(
        code: &HandlerCode,
        limits: &GuestLimits,
        output: &GuestOutput,
        end: End,
        on_exit: impl FnOnce(String) + Send + 'static,
    ) -> wasmtime::Result<Instance> {
        let meter = Arc::new(Vitals::default());
        let mut store = Guest::store(&code.engine, limits, output, Arc::clone(&meter));
        match &code.handler {
            Handler::Sync(pre) => {
                let instantiate = Box::pin(pre.instantiate_async(&mut store));
                let proxy = Guarded { inner: instantiate, meter: &meter }.await?;
                let _place = end.place;
                Ok(Instance::Sync(Box::new(SyncInstance { store, proxy, meter, _place })))
            }
            Handler::Async(pre) => {
                let instantiate = Box::pin(pre.instantiate_async(&mut store));
                let service = Guarded { inner: instantiate, meter: &meter }.await?;
                let (calls, receiver) = mpsc::unbounded_channel();
                let meter_of_driver = Arc::clone(&meter);
                let driver = Driver { proxy: Proxy::P3(service), meter: meter_of_driver, end };
                tokio::spawn(async move {
                    if let Err(error) = driver.run(store, receiver).await {
                        on_exit(format!("{error:#}"));
                    }
                });
                Ok(Instance::Async(AsyncInstance { calls, meter }))
            }
        }
    }
}

/// An instance of a WASI 0.2 handler.
pub struct SyncInstance {
    store: Store<Guest>,
    proxy: p2::bindings::Proxy,
    meter: Arc<Vitals>,
    /// Below the store: given back after it is dropped.
    _place: Option<OwnedSemaphorePermit>,
}

impl SyncInstance {
    /// Calls the handler. The future is the whole call and gives the instance back; the head of the
    /// response arrives at the [`Reply`] as soon as the guest has set it. Dropping the future ends
    /// the instance.
    pub fn call(self: Box<Self>, request: http::Request<WasiBody>) -> (SyncCall, Reply) {
        let (sender, reply) = oneshot::channel();
        let meter = Arc::clone(&self.meter);
        meter.renew();
        let inner = Box::pin(self.run(request, sender));
        (SyncCall { inner: Guarded { inner, meter } }, reply)
    }

    async fn run(
        mut self: Box<Self>,
        request: http::Request<WasiBody>,
        sender: ReplySender,
    ) -> wasmtime::Result<Ended> {
        self.store.set_epoch_deadline(1);
        let result = self.handle(request, sender).await;
        if result.is_err() {
            self.meter.note_failed();
        }
        Ok(Ended { instance: self, result })
    }

    async fn handle(
        &mut self,
        request: http::Request<WasiBody>,
        sender: ReplySender,
    ) -> wasmtime::Result<()> {
        let mut http = self.store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let out = http.new_response_outparam_from_callback(move |answer| {
            // Nobody waits any more if the client left.
            _ = sender.send(answer.map_err(wasmtime::Error::from));
        })?;
        let handler = self.proxy.wasi_http_incoming_handler();
        handler.call_handle(&mut self.store, request, out).await
    }
}

/// How a call ended.
pub struct Ended {
    /// The instance. After an error it must not be called again, only dropped.
    pub instance: Box<SyncInstance>,
    /// The trap, if there was one.
    pub result: wasmtime::Result<()>,
}

type SyncRun = Pin<Box<dyn Future<Output = wasmtime::Result<Ended>> + Send>>;

/// A running call of a [`SyncInstance`]. It fails only if the host panicked.
pub struct SyncCall {
    inner: Guarded<SyncRun, Arc<Vitals>>,
}

impl SyncCall {
    /// How the instance is doing.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.inner.meter
    }
}

impl Future for SyncCall {
    type Output = wasmtime::Result<Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.poll_unpin(cx)
    }
}

/// A future whose turns are measured and whose panics become errors: a guest that makes the host
/// panic costs its own instance only.
struct Guarded<F, M> {
    inner: F,
    meter: M,
}

impl<F, M, T> Future for Guarded<F, M>
where
    F: Future<Output = wasmtime::Result<T>> + Unpin,
    M: AsRef<Vitals> + Unpin,
{
    type Output = wasmtime::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Guarded { inner, meter } = self.get_mut();
        let meter: &Vitals = (*meter).as_ref();
        let turn = AssertUnwindSafe(|| Pin::new(inner).poll(cx));
        meter.turn(|| std::panic::catch_unwind(turn)).unwrap_or_else(|panic| {
            meter.note_failed();
            Poll::Ready(Err(wasmtime::format_err!("the host panicked: {}", panic_text(&*panic))))
        })
    }
}

impl AsRef<Vitals> for Vitals {
    fn as_ref(&self) -> &Vitals {
        self
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// A handle on an instance of a WASI 0.3 handler. When all are dropped the instance finishes what
/// goes on in the background and ends.
#[derive(Clone)]
pub struct AsyncInstance {
    calls: mpsc::UnboundedSender<Call>,
    meter: Arc<Vitals>,
}

struct Call {
    request: http::Request<WasiBody>,
    sender: ReplySender,
}

impl AsyncInstance {
    /// How the instance is doing.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.meter
    }

    /// Hands a request to the instance. The reply is cancelled if the instance ends.
    pub fn call(&self, request: http::Request<WasiBody>) -> Reply {
        let (sender, reply) = oneshot::channel();
        // If the driver has ended, the sender is dropped with the call, which cancels the reply.
        _ = self.calls.send(Call { request, sender });
        reply
    }
}

struct Driver {
    proxy: Proxy,
    meter: Arc<Vitals>,
    end: End,
}

impl Driver {
    async fn run(
        self,
        mut store: Store<Guest>,
        mut calls: mpsc::UnboundedReceiver<Call>,
    ) -> wasmtime::Result<()> {
        // Arguments are dropped last to first: the store before `self`, which holds its place.
        let life = Box::pin(self.live(&mut store, &mut calls));
        let life = Guarded { inner: life, meter: &*self.meter };
        // Deadlines are kept out here: inside `run_concurrent` a busy guest keeps timers from
        // being looked at.
        let result = tokio::select! {
            result = life => result,
            () = self.end.cut.cancelled() => Err(wasmtime::format_err!("cut at the drain time-out")),
        };
        if result.is_err() {
            self.meter.note_failed();
        }
        result
    }

    async fn live(
        &self,
        store: &mut Store<Guest>,
        calls: &mut mpsc::UnboundedReceiver<Call>,
    ) -> wasmtime::Result<()> {
        store.run_concurrent(async |accessor| self.serve(accessor, calls).await).await??;
        let rest = store.run_concurrent(async |accessor| {
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        });
        _ = tokio::time::timeout(self.end.grace, rest).await;
        Ok(())
    }

    /// Takes calls until the pool lets go of the instance.
    async fn serve(
        &self,
        accessor: &Accessor<Guest>,
        calls: &mut mpsc::UnboundedReceiver<Call>,
    ) -> wasmtime::Result<()> {
        let Proxy::P3(service) = &self.proxy else { unreachable!("only made for WASI 0.3") };
        let handle = *service.wasi_http_handler().func_handle().func();
        let mut running = pin!(FuturesUnordered::new());
        std::future::poll_fn(|cx| {
            loop {
                match running.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(_))) => {
                        self.meter.renew();
                        continue;
                    }
                    Poll::Ready(Some(Err(trap))) => return Poll::Ready(Err(trap)),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                // The guest may say that it takes no more calls for now.
                if accessor.poll_ready_for_concurrent_call(handle, cx).is_pending() {
                    return Poll::Pending;
                }
                let Poll::Ready(call) = calls.poll_recv(cx) else { return Poll::Pending };
                let Some(Call { request, sender }) = call else { return Poll::Ready(Ok(())) };
                if running.is_empty() {
                    self.meter.renew();
                }
                let prepared = accessor.with(|mut store| {
                    let store = wasmtime::AsContextMut::as_context_mut(&mut store);
                    Prepared::new(store, &self.proxy, request, Guest::http, sender)
                });
                running.push(async move { prepared?.run(accessor, std::future::pending()).await });
            }
        })
        .await
    }
}
