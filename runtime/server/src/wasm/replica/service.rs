//! Instances of WASI 0.3 handlers, which serve many requests at a time.

use super::guarded::Guarded;
use super::heavy::{Heavy, Movable};
use super::life::Life;
use super::{End, Reply, ReplySender, Vitals};
use crate::calls::Running;
use crate::wasm::guest::Guest;
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, Stream as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::mpsc;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

/// A handle on an instance of a WASI 0.3 handler. When all are dropped the instance finishes what
/// goes on in the background and ends.
#[derive(Clone)]
pub struct AsyncInstance {
    calls: mpsc::UnboundedSender<Call>,
    vitals: Arc<Vitals>,
}

struct Call {
    request: http::Request<WasiBody>,
    running: Option<Arc<Running>>,
    sender: ReplySender,
}

impl AsyncInstance {
    pub(super) fn start(
        store: Store<Guest>,
        driver: Driver,
        heavy: &Heavy,
        on_exit: impl FnOnce(String) + Send + 'static,
    ) -> Self {
        let (calls, receiver) = mpsc::unbounded_channel();
        let vitals = Arc::clone(&driver.vitals);
        let life = Box::pin(driver.run(store, receiver));
        let life = Movable::new(life, Arc::clone(&vitals), heavy.clone());
        tokio::spawn(async move {
            if let Err(error) = life.await {
                on_exit(format!("{error:#}"));
            }
        });
        AsyncInstance { calls, vitals }
    }

    /// How the instance is doing.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// Hands a request to the instance. The reply is cancelled if the instance ends. `running` is
    /// what the request may call.
    pub fn call(&self, request: http::Request<WasiBody>, running: Option<Arc<Running>>) -> Reply {
        let (sender, reply) = oneshot::channel();
        // If the driver has ended, the sender is dropped with the call, which cancels the reply.
        _ = self.calls.send(Call { request, running, sender });
        reply
    }
}

/// Ready when the host has taken in the request, or failed to.
type Sent = Pin<Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>>;

/// What drives an instance.
pub(super) struct Driver {
    service: Service,
    vitals: Arc<Vitals>,
    life: Option<Life>,
    end: End,
}

impl Driver {
    pub(super) fn new(
        service: Service,
        vitals: &Arc<Vitals>,
        life: Option<Life>,
        end: End,
    ) -> Self {
        Driver { service, vitals: Arc::clone(vitals), life, end }
    }

    async fn run(
        self,
        mut store: Store<Guest>,
        mut calls: mpsc::UnboundedReceiver<Call>,
    ) -> wasmtime::Result<()> {
        // Arguments are dropped last to first: the store before `self`, which holds its place.
        let life = Box::pin(self.live(&mut store, &mut calls));
        let life = Guarded::new(life, &*self.vitals);
        // Deadlines are kept out here: inside `run_concurrent` a busy guest keeps timers from
        // being looked at.
        let result = tokio::select! {
            result = life => result,
            () = self.end.cut.cancelled() => Err(wasmtime::format_err!("cut at the drain time-out")),
        };
        if result.is_err() {
            self.vitals.note_failed();
        }
        result
    }

    async fn live(
        &self,
        store: &mut Store<Guest>,
        calls: &mut mpsc::UnboundedReceiver<Call>,
    ) -> wasmtime::Result<()> {
        store.set_epoch_deadline(1);
        store.run_concurrent(async |accessor| self.serve(accessor, calls).await).await??;
        let rest = store.run_concurrent(async |accessor| {
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        });
        let has_finished = tokio::time::timeout(self.end.grace, rest).await.is_ok();
        match &self.life {
            Some(life) if has_finished => {
                self.vitals.renew();
                let drain = tokio::time::timeout(self.end.grace, life.drain(store)).await;
                drain.map_err(|_| {
                    wasmtime::format_err!("`drain` took longer than {:?}", self.end.grace)
                })?
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Takes calls until the pool lets go of the instance.
    async fn serve(
        &self,
        accessor: &Accessor<Guest>,
        calls: &mut mpsc::UnboundedReceiver<Call>,
    ) -> wasmtime::Result<()> {
        let handle = *self.service.wasi_http_handler().func_handle().func();
        let mut running = pin!(FuturesUnordered::new());
        std::future::poll_fn(|cx| {
            loop {
                match running.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(()))) => {
                        self.vitals.renew();
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
                let Some(call) = call else { return Poll::Ready(Ok(())) };
                if running.is_empty() {
                    self.vitals.renew();
                }
                running.push(self.answer(accessor, call));
            }
        })
        .await
    }

    /// One call, to the head of its response.
    async fn answer(&self, accessor: &Accessor<Guest>, call: Call) -> wasmtime::Result<()> {
        let Call { request, running, sender } = call;
        let handle = self.service.wasi_http_handler().func_handle();
        let (call, sent) = accessor.with(|mut access| {
            let (request, sent) = Request::from_http(access.data_mut().http().hooks, request);
            let sent: Sent = Box::pin(sent);
            let request = access.data_mut().http().table.push(request)?;
            let call = handle.start_call_concurrent(access.as_context_mut(), (request,))?;
            if let Some(running) = &running {
                access.data_mut().serve_in(call.task(), running);
            }
            wasmtime::error::Ok((call, sent))
        })?;
        let answer = async {
            let (response,) = handle.finish_call_concurrent(accessor, call).await?;
            accessor.with(|mut access| {
                let response = access.data_mut().http().table.delete(response?)?;
                response.into_http_with_getter(&mut access, sent, Guest::http)
            })
        };
        // Nobody waits any more if the client left.
        _ = sender.send(answer.await);
        Ok(())
    }
}
