//! A request on a process or an external worker: forwarded over HTTP, streaming both ways.

use super::{Context, Notes, Place, check_answer, stream, too_large_or, was_cut};
use crate::dispatch::answer::{Failure, FailureCode};
use crate::dispatch::body::{BodyEnd, ResponseBody, Source};
use crate::native::NativeReplica;
use crate::native::SendFault;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use samovar_core::pool::{Health, Outcome};
use std::sync::{Arc, OnceLock};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// What became of a request.
pub enum Served {
    /// It was answered.
    Answer(Response<ResponseBody>),
    /// The replica could not be reached. Nothing was sent, so another one may serve the request.
    Unsent(Box<Unsent>),
}

/// A request that was not sent.
pub struct Unsent {
    /// It, as it came.
    pub request: Request<WasiBody>,
    /// Who is to be told how it ends.
    pub notes: Notes,
    /// Why it was not sent.
    pub failure: Failure,
}

/// Forwards a request.
pub async fn run(
    context: Context<'_>,
    place: Place,
    replica: Arc<NativeReplica>,
    mut request: Request<WasiBody>,
) -> Result<Served, Failure> {
    if let Some(running) = &context.running {
        running.mark(request.headers_mut());
    }
    let place = SharedPlace(Some(place));
    let cut = Arc::clone(&place.0.as_ref().expect("taken at the end").cut);
    let longest = context.longest;
    let sent = tokio::select! {
        sent = tokio::time::timeout(longest, replica.send(request)) => sent,
        () = cut.cancelled() => return Err(was_cut(place.take())),
    };
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(fault)) => return refused(&context, place, &replica, fault),
        Err(_) => {
            let place = place.take();
            place.note(&format!("request timed out: no response head within {longest:?}"));
            place.finish(Outcome::Failed, Health::Sound, None);
            let message = format!("the replica sent no response within {longest:?}");
            return Err(Failure::new(FailureCode::RequestTimeout, message));
        }
    };
    if let Err(failure) = check_answer(&context.revision.request_limits, response.headers()) {
        place.take().finish(Outcome::Failed, Health::Sound, None);
        return Err(failure);
    }
    place.answered();
    let (parts, body) = response.into_parts();
    // What broke is of no use to a client that has the head already: it goes into the log.
    let broken = Arc::new(OnceLock::new());
    let why = Arc::clone(&broken);
    let inner = body.map_err(move |error| {
        _ = why.set(crate::native::told(&error));
        WasiError::HttpProtocolError
    });
    let end = Box::new(Watched { place, broken, _replica: replica });
    let inner = inner.boxed_unsync();
    let source = Source { pieces: Vec::new(), inner, vitals: None };
    let body = stream(&context, &parts, source, end);
    Ok(Served::Answer(Response::from_parts(parts, body)))
}

/// No response came.
fn refused(
    context: &Context<'_>,
    place: SharedPlace,
    replica: &NativeReplica,
    fault: SendFault,
) -> Result<Served, Failure> {
    let mut place = place.take();
    let message = fault.to_string();
    let code = match fault {
        SendFault::Unreachable { unsent, .. } => {
            place.note(&message);
            if replica.is_lost() {
                place.crashed(&message);
            }
            let failure = Failure::new(FailureCode::ReplicaFailed, message);
            let notes = unsent.is_some().then(|| std::mem::take(&mut place.notes));
            place.finish(Outcome::Failed, Health::Sound, None);
            return match (unsent, notes) {
                (Some(request), Some(notes)) => {
                    Ok(Served::Unsent(Box::new(Unsent { request: *request, notes, failure })))
                }
                _ => Err(failure),
            };
        }
        // The client's doing, and not worth a line in the log.
        SendFault::RequestBody(_) | SendFault::Envelope(_) => {
            let is_gone = matches!(fault, SendFault::RequestBody(_));
            let outcome = if is_gone { Outcome::Cancelled } else { Outcome::Failed };
            place.finish(outcome, Health::Sound, None);
            let failure = Failure::new(FailureCode::RequestAborted, message);
            return Err(too_large_or(&context.overflow, failure));
        }
        SendFault::HeadTooLarge(_) => FailureCode::ResponseTooLarge,
        SendFault::BadAnswer(_) => FailureCode::BadAnswer,
        SendFault::Closed(_) => FailureCode::ReplicaFailed,
    };
    place.note(&message);
    place.finish(Outcome::Failed, Health::Sound, None);
    Err(Failure::new(code, message))
}

/// A place on a replica that lives on when a request is given up: the connection is closed, which
/// the replica notices.
struct SharedPlace(Option<Place>);

impl SharedPlace {
    fn take(mut self) -> Place {
        self.0.take().expect("taken once")
    }

    fn answered(&self) {
        if let Some(place) = &self.0 {
            place.answered();
        }
    }
}

impl Drop for SharedPlace {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            place.finish(Outcome::Cancelled, Health::Sound, None);
        }
    }
}

/// A body that keeps its request's place, and the replica, until it ends.
struct Watched {
    place: SharedPlace,
    /// Why it broke off, if the replica did that.
    broken: Arc<OnceLock<String>>,
    _replica: Arc<NativeReplica>,
}

impl BodyEnd for Watched {
    fn ended(&mut self, complete: bool) {
        if let Some(place) = self.place.0.take() {
            if let Some(reason) = self.broken.get() {
                place.note(&format!("response broke off: {reason}"));
            }
            let outcome = if complete { Outcome::Completed } else { Outcome::Failed };
            place.finish(outcome, Health::Sound, None);
        }
    }
}
