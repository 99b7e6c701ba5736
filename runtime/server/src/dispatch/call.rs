//! One request on one replica: calling it, watching its deadline, giving the replica back.

mod native;

use super::answer::{Failure, FailureCode};
use super::body::{BodyEnd, Overflow, ResponseBody, Source, StreamLimits, Unwatched};
use super::check_answer;
use super::work::Units;
use crate::calls::Running;
use crate::deployment::{Recording, Revision};
use crate::warm_pool::{Granted, WarmPool, Work};
use crate::wasm::replica::{
    AsyncInstance, Ended, GuestResponse, Reply, SyncCall, SyncInstance, Vitals,
};
use futures::FutureExt as _;
use http::{Request, Response};
pub use native::Served;
use samovar_core::pool::{Health, Outcome};
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::WasiBody;

/// What is known of the request.
pub struct Context<'a> {
    /// The revision that serves it.
    pub revision: &'a Revision,
    /// When it arrived.
    pub arrived: Timestamp,
    /// The longest time to the head of its response.
    pub longest: Duration,
    /// What it may call, for a replica that calls others.
    pub running: Option<Arc<Running>>,
    /// Whether it asks for the head of a response only.
    pub is_head: bool,
    /// Set once its body was too large.
    pub overflow: Overflow,
}

/// Serves a request with the replica it was given.
pub async fn run(
    context: Context<'_>,
    granted: Granted,
    notes: Notes,
    request: Request<WasiBody>,
) -> Result<Served, Failure> {
    let Granted { lease, work, cut } = granted;
    let place = Place {
        pool: Arc::clone(&context.revision.pool),
        lease,
        arrived: context.arrived,
        cut,
        is_open: true,
        running: context.running.clone(),
        notes,
    };
    match work {
        Work::Sync(instance) => {
            run_sync(context, place, instance, request).await.map(Served::Answer)
        }
        Work::Async(instance) => {
            run_async(context, place, instance, request).await.map(Served::Answer)
        }
        Work::Native(replica) => native::run(context, place, replica, request).await,
    }
}

/// A request's place on its replica. Given back exactly once.
struct Place {
    pool: Arc<WarmPool>,
    lease: Lease,
    arrived: Timestamp,
    cut: Arc<CancellationToken>,
    is_open: bool,
    /// The request among those that call others; ended before its place is free.
    running: Option<Arc<Running>>,
    notes: Notes,
}

/// Who is told that the request has ended.
#[derive(Default)]
pub struct Notes {
    /// Tells it when it is dropped.
    pub recording: Option<Recording>,
    /// The request's work, where it is measured.
    pub units: Option<Units>,
}

impl Place {
    fn finish(mut self, outcome: Outcome, health: Health, instance: Option<Box<SyncInstance>>) {
        self.is_open = false;
        self.end_calls();
        self.pool.finish(self.lease, instance, self.arrived, outcome, health);
        if let Some(units) = self.notes.units.take() {
            units.ended(outcome);
        }
    }

    /// Nothing waits for its calls any more.
    fn end_calls(&self) {
        if let Some(running) = &self.running {
            running.end();
        }
    }

    /// The head of its response is there: it has no deadline any more.
    fn answered(&self) {
        if let Some(running) = &self.running {
            running.answered();
        }
    }

    /// The replica cannot be reached any more.
    fn crashed(&self, reason: &str) {
        self.pool.crashed(self.lease, reason.to_owned());
    }

    /// Notes a trap in the deployment's log.
    fn note(&self, text: &str) {
        self.pool.note(self.lease, text);
    }
}

impl Drop for Place {
    /// The client left, or the task was ended: a call in place is gone with its instance.
    fn drop(&mut self) {
        if self.is_open {
            self.end_calls();
            self.pool.finish(self.lease, None, self.arrived, Outcome::Cancelled, Health::Condemned);
            if let Some(units) = self.notes.units.take() {
                units.ended(Outcome::Cancelled);
            }
        }
    }
}

// === WASI 0.2: in place ===

/// Where a call stands when its response's head is there, or never will be.
struct Head {
    /// The response; none if the guest gave none.
    response: Option<Result<GuestResponse, wasmtime::Error>>,
    /// Set if the call has ended as well.
    ended: Option<wasmtime::Result<Ended>>,
}

/// Drives the call until the head of its response is there.
fn poll_head(call: &mut SyncCall, reply: &mut Reply, cx: &mut TaskContext<'_>) -> Poll<Head> {
    if let Poll::Ready(ended) = call.poll_unpin(cx) {
        let response = reply.try_recv().unwrap_or_default();
        return Poll::Ready(Head { response, ended: Some(ended) });
    }
    match reply.poll_unpin(cx) {
        Poll::Ready(Ok(response)) => Poll::Ready(Head { response: Some(response), ended: None }),
        // The guest dropped its chance to answer but goes on; the end of the call decides.
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
    }
}

async fn run_sync(
    context: Context<'_>,
    place: Place,
    instance: Box<SyncInstance>,
    request: Request<WasiBody>,
) -> Result<Response<ResponseBody>, Failure> {
    let (mut call, mut reply) = instance.call(request, context.running.clone());
    // Most guests answer in their first turn: only the others need a timer.
    let first = poll_fn(|cx| Poll::Ready(poll_head(&mut call, &mut reply, cx))).await;
    let head = match first {
        Poll::Ready(head) => head,
        Poll::Pending => {
            let longest = context.longest;
            let rest = poll_fn(|cx| poll_head(&mut call, &mut reply, cx));
            let cut = Arc::clone(&place.cut);
            tokio::select! {
                head = tokio::time::timeout(longest, rest) => match head {
                    Ok(head) => head,
                    Err(_) => return Err(timed_out(longest, place)),
                },
                () = cut.cancelled() => return Err(was_cut(place)),
            }
        }
    };
    match head.ended {
        Some(ended) => answer_ended(&context, place, &call, head.response, ended),
        None => {
            let response = head.response.expect("a head without an end has a response");
            answer_running(&context, place, call, response)
        }
    }
}

/// The guest has returned: the replica is free, and the whole body is there.
fn answer_ended(
    context: &Context<'_>,
    place: Place,
    call: &SyncCall,
    response: Option<Result<GuestResponse, wasmtime::Error>>,
    ended: wasmtime::Result<Ended>,
) -> Result<Response<ResponseBody>, Failure> {
    let instance = match ended {
        Ok(Ended { instance, result: Ok(()) }) => instance,
        // The instance is dropped only now, after the failure was noted.
        Ok(Ended { result: Err(trap), .. }) | Err(trap) => {
            return Err(trapped(place, call.vitals(), &trap));
        }
    };
    let Some(response) = response else {
        place.finish(Outcome::Failed, Health::Sound, Some(instance));
        return Err(too_large_or(&context.overflow, no_response()));
    };
    let response = match checked(context, response) {
        Ok(response) => response,
        Err(failure) => {
            place.finish(Outcome::Failed, Health::Sound, Some(instance));
            return Err(failure);
        }
    };
    let vitals = Arc::clone(call.vitals());
    place.finish(Outcome::Completed, Health::Sound, Some(instance));
    let (parts, mut inner) = response.into_parts();
    let body = match ResponseBody::collect(&mut inner) {
        // A length on the answer to HEAD would be that of no body, not that of GET's.
        Ok(_) if context.is_head => ResponseBody::full(bytes::Bytes::new()),
        Ok(body) => body,
        Err(pieces) => {
            let source = Source { pieces, inner, vitals: Some(vitals) };
            stream(context, &parts, source, Box::new(Unwatched))
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// The guest goes on after its head was sent: it writes the body from a task of its own.
fn answer_running(
    context: &Context<'_>,
    place: Place,
    call: SyncCall,
    response: Result<GuestResponse, wasmtime::Error>,
) -> Result<Response<ResponseBody>, Failure> {
    // An unusable head ends the call with its instance: `place` and `call` are dropped here.
    let response = checked(context, response)?;
    place.answered();
    let vitals = Arc::clone(call.vitals());
    let (leave, left) = oneshot::channel();
    let end = WatchedSync { leave: Some(leave), is_complete: false };
    let rest_max = context.revision.request_limits.request_timeout;
    tokio::spawn(run_out(place, call, left, rest_max));
    let (parts, inner) = response.into_parts();
    let source = Source { pieces: Vec::new(), inner, vitals: Some(vitals) };
    let body = stream(context, &parts, source, Box::new(end));
    Ok(Response::from_parts(parts, body))
}

/// Lets a call end whose response is on its way. If the client leaves or the body breaks off, the
/// call ends at once and its instance with it. After a complete body the guest may go on for
/// `rest_max`.
async fn run_out(place: Place, call: SyncCall, left: oneshot::Receiver<()>, rest_max: Duration) {
    let vitals = Arc::clone(call.vitals());
    let cut = Arc::clone(&place.cut);
    let ended = tokio::select! {
        ended = call => ended,
        () = gone_or_late(left, rest_max) => {
            place.finish(Outcome::Cancelled, Health::Condemned, None);
            return;
        }
        () = cut.cancelled() => {
            vitals.note_failed();
            place.finish(Outcome::Failed, Health::Condemned, None);
            return;
        }
    };
    match ended {
        Ok(Ended { instance, result: Ok(()) }) => {
            place.finish(Outcome::Completed, Health::Sound, Some(instance));
        }
        Ok(Ended { result: Err(trap), .. }) | Err(trap) => {
            _ = trapped(place, &vitals, &trap);
        }
    }
}

/// Ready when the client has left, or when the body has been complete for `rest_max`.
async fn gone_or_late(left: oneshot::Receiver<()>, rest_max: Duration) {
    // An error means that the body was complete: the guest may go on for a while.
    if left.await.is_err() {
        tokio::time::sleep(rest_max).await;
    }
}

/// The body of a call that is running out.
struct WatchedSync {
    leave: Option<oneshot::Sender<()>>,
    is_complete: bool,
}

impl BodyEnd for WatchedSync {
    fn ended(&mut self, complete: bool) {
        self.is_complete = complete;
    }
}

impl Drop for WatchedSync {
    fn drop(&mut self) {
        if !self.is_complete
            && let Some(leave) = self.leave.take()
        {
            _ = leave.send(());
        }
    }
}

// === WASI 0.3: through the instance's task ===

async fn run_async(
    context: Context<'_>,
    place: Place,
    instance: AsyncInstance,
    request: Request<WasiBody>,
) -> Result<Response<ResponseBody>, Failure> {
    // If the client leaves, the guest's task goes on: wasmtime cannot end a single one. The
    // instance is sound all the same.
    let place = AsyncPlace(Some(place));
    let vitals = Arc::clone(instance.vitals());
    let longest = context.longest;
    let call = instance.call(request, context.running.clone());
    let reply = tokio::time::timeout(longest, call).await;
    let response = match reply {
        Ok(Ok(Ok(response))) => checked(&context, Ok(response)),
        Ok(Ok(Err(error))) if !is_trap(&error, &vitals) => checked(&context, Err(error)),
        Ok(Ok(Err(trap))) => return Err(trapped(place.take(), &vitals, &trap)),
        Ok(Err(_cancelled)) => {
            let trap = wasmtime::format_err!("the instance ended while it served the request");
            return Err(trapped(place.take(), &vitals, &trap));
        }
        Err(_) => return Err(timed_out(longest, place.take())),
    };
    match response {
        Ok(response) => {
            place.answered();
            let (parts, inner) = response.into_parts();
            let end = Box::new(WatchedAsync { place, vitals: Arc::clone(&vitals) });
            let source = Source { pieces: Vec::new(), inner, vitals: Some(vitals) };
            let body = stream(&context, &parts, source, end);
            Ok(Response::from_parts(parts, body))
        }
        Err(failure) => {
            place.take().finish(Outcome::Failed, Health::Sound, None);
            Err(failure)
        }
    }
}

/// Whether an error ended the instance. A handler may also just answer with an error.
fn is_trap(error: &wasmtime::Error, vitals: &Vitals) -> bool {
    let answered = error.is::<wasmtime_wasi_http::p3::bindings::http::types::ErrorCode>()
        || error.is::<wasmtime_wasi_http::Error>();
    vitals.is_exceeded() || !answered
}

/// A place on an instance that many requests share: leaving it does not harm the instance.
struct AsyncPlace(Option<Place>);

impl AsyncPlace {
    fn take(mut self) -> Place {
        self.0.take().expect("taken once")
    }

    fn answered(&self) {
        if let Some(place) = &self.0 {
            place.answered();
        }
    }
}

impl Drop for AsyncPlace {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            place.finish(Outcome::Cancelled, Health::Sound, None);
        }
    }
}

/// A body that keeps its request's place until it ends.
struct WatchedAsync {
    place: AsyncPlace,
    vitals: Arc<Vitals>,
}

impl BodyEnd for WatchedAsync {
    fn ended(&mut self, complete: bool) {
        if let Some(place) = self.place.0.take() {
            let health = if self.vitals.is_failed() { Health::Condemned } else { Health::Sound };
            let outcome = if complete { Outcome::Completed } else { Outcome::Failed };
            place.finish(outcome, health, None);
        }
    }
}

// === Answers ===

fn stream(
    context: &Context<'_>,
    head: &http::response::Parts,
    source: Source,
    end: Box<dyn BodyEnd>,
) -> ResponseBody {
    use http::StatusCode;
    let no_body = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let announced = if context.is_head || no_body {
        Some(0) // hyper sends none and does not ask for it.
    } else {
        let length = head.headers.get(http::header::CONTENT_LENGTH);
        length.and_then(|length| length.to_str().ok()?.parse().ok())
    };
    let limits = &context.revision.request_limits;
    let (bytes_max, stall) = (limits.response_body_bytes, limits.stall_timeout);
    ResponseBody::stream(source, StreamLimits { bytes_max, announced, stall }, end)
}

/// The guest's response, if its head is within the limits.
fn checked(
    context: &Context<'_>,
    response: Result<GuestResponse, wasmtime::Error>,
) -> Result<GuestResponse, Failure> {
    let response = response.map_err(|error| {
        let message = format!("the handler answered with an error: {error:#}");
        too_large_or(&context.overflow, Failure::new(FailureCode::NoResponse, message))
    })?;
    if is_set(&context.overflow) {
        return Err(too_large_or(&context.overflow, no_response()));
    }
    check_answer(&context.revision.request_limits, response.headers())?;
    Ok(response)
}

fn is_set(overflow: &Overflow) -> bool {
    overflow.as_ref().is_some_and(|overflow| overflow.load(Ordering::Relaxed))
}

/// A request body that was too large explains whatever the handler made of it.
pub fn too_large_or(overflow: &Overflow, failure: Failure) -> Failure {
    if !is_set(overflow) {
        return failure;
    }
    Failure::new(FailureCode::RequestBody, "request body is larger than allowed")
}

fn no_response() -> Failure {
    Failure::new(FailureCode::NoResponse, "the handler returned without answering")
}

fn trapped(place: Place, vitals: &Vitals, trap: &wasmtime::Error) -> Failure {
    let failure = if vitals.is_exceeded() {
        Failure::new(FailureCode::CpuLimit, "the handler used up its CPU time")
    } else {
        // The first line says what happened; the rest is a backtrace for the log.
        let message = trap.root_cause().to_string();
        Failure::new(FailureCode::GuestTrap, format!("the handler failed: {message}"))
    };
    place.note(&format!("request failed: {trap:#}"));
    place.finish(Outcome::Failed, Health::Condemned, None);
    failure
}

fn timed_out(longest: Duration, place: Place) -> Failure {
    place.note(&format!("request timed out: no response head within {longest:?}"));
    place.finish(Outcome::Failed, Health::Condemned, None);
    let message = format!("the handler sent no response within {longest:?}");
    Failure::new(FailureCode::RequestTimeout, message)
}

fn was_cut(place: Place) -> Failure {
    place.finish(Outcome::Failed, Health::Condemned, None);
    Failure::new(FailureCode::ShuttingDown, "the request was cut at the drain time-out")
}
