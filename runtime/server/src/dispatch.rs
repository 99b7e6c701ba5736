//! Serving one request with a deployment, wherever it comes from: the data plane, or a handler that
//! calls another deployment.
//!
//! The task that asks does the work: it gets a replica from the deployment's pool, waiting in the
//! queue if need be, calls it and hands the answer back as it comes.

mod answer;
pub mod batch;
mod bodiless;
mod body;
mod call;
pub mod front;
mod work;

use crate::calls::{Call, Origin, Registry, Running};
use crate::clock;
use crate::deployment::{Deployment, Deployments, Recording, RequestLimits, Revision};
use crate::spec::DeploymentName;
use crate::warm_pool::{Admission, Granted, Waiting};
pub use answer::{Failure, FailureCode};
pub use batch::{Batches, Item};
pub use bodiless::settled;
pub use body::{BrokenBody, Overflow, RequestBody, ResponseBody};
use call::{Notes, Served};
use http::request::Parts;
use http::{HeaderMap, Request, Response, header};
use http_body::Body as _;
use samovar_core::pool::Refusal;
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi_http::WasiBody;

/// Tries to find a pool that takes the request, while revisions change.
const ADMISSIONS_MAX: u32 = 100;
/// Replicas that are tried for a request none of which can be reached.
const REPLICAS_TRIED_MAX: u32 = 3;
/// Before the next one is tried, times those tried before.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(5);

/// A request for a deployment.
pub struct Inbound {
    /// As the handler sees it; its body is bounded.
    pub request: Request<WasiBody>,
    /// Set once its body was too large.
    pub overflow: Overflow,
    /// When it arrived.
    pub arrived: Timestamp,
    /// Tells who listens.
    pub recording: Option<Recording>,
    /// Who made it, if that was another deployment.
    pub origin: Origin,
}

/// What became of a request that one kind of revision was to serve.
enum Handled {
    Answer(Response<ResponseBody>),
    /// A revision that serves requests in another way is live now.
    Moved(Box<Inbound>, Arc<Revision>),
}

/// What became of a request that wanted a replica for itself.
enum Admitted {
    To(Arc<Revision>, Granted),
    /// This revision is live now, and serves requests in batches.
    Moved(Arc<Revision>),
}

/// Serves requests.
pub struct Dispatch {
    /// What there is to serve them.
    pub deployments: Arc<Deployments>,
    /// Who waits for whom.
    pub calls: Arc<Registry>,
}

impl Dispatch {
    /// Serves a request with a deployment.
    ///
    /// # Errors
    ///
    /// What the caller is told instead of an answer.
    pub async fn serve(
        &self,
        deployment: &Deployment,
        inbound: Inbound,
    ) -> Result<Response<ResponseBody>, Failure> {
        self.serve_with(deployment, deployment.live(), inbound).await
    }

    /// Serves a request with a revision, or the live one if that takes no more.
    ///
    /// # Errors
    ///
    /// What the caller is told instead of an answer.
    pub async fn serve_with(
        &self,
        deployment: &Deployment,
        revision: Arc<Revision>,
        inbound: Inbound,
    ) -> Result<Response<ResponseBody>, Failure> {
        match revision.front.clone() {
            Some(front) => Box::pin(self.serve_behind(&front, deployment, revision, inbound)).await,
            None => self.serve_pooled(deployment, revision, inbound).await,
        }
    }

    /// Serves a request with the replicas of a revision.
    async fn serve_pooled(
        &self,
        deployment: &Deployment,
        live: Arc<Revision>,
        inbound: Inbound,
    ) -> Result<Response<ResponseBody>, Failure> {
        let (mut live, mut inbound) = (live, inbound);
        loop {
            let handled = if live.is_batched() {
                Box::pin(self.serve_batched(deployment, live, inbound)).await?
            } else if live.is_guest() {
                self.serve_guest(deployment, live, inbound).await?
            } else {
                self.serve_native(deployment, live, inbound).await?
            };
            match handled {
                Handled::Answer(response) => return Ok(response),
                Handled::Moved(back, newer) => (inbound, live) = (*back, newer),
            }
        }
    }

    /// Serves a call of a handler.
    ///
    /// # Errors
    ///
    /// What the caller is told instead of an answer.
    pub async fn call(
        &self,
        name: &DeploymentName,
        request: Request<WasiBody>,
        origin: Origin,
    ) -> Result<Response<ResponseBody>, Failure> {
        let Some(deployment) = self.deployments.get(name) else {
            let message = format!("there is no deployment `{name}`");
            return Err(Failure::new(FailureCode::NoDeployment, message));
        };
        let arrived = clock::now();
        let recording = deployment.recorder.arrived(arrived);
        let live = deployment.live();
        let request = if live.is_guest() { request } else { settled(request).await };
        let (mut parts, body) = request.into_parts();
        if !live.is_guest() {
            samovar_proxy::headers::clean_request(&mut parts.headers);
        }
        let bytes_max = live.request_limits.body_bytes;
        check_length(body.size_hint().lower(), bytes_max)?;
        let (body, overflow) = RequestBody::boxed(body, bytes_max);
        let request = Request::from_parts(parts, body);
        self.serve(&deployment, Inbound { request, overflow, arrived, recording, origin }).await
    }

    async fn serve_guest(
        &self,
        deployment: &Deployment,
        live: Arc<Revision>,
        inbound: Inbound,
    ) -> Result<Handled, Failure> {
        let Inbound { request, overflow, arrived, mut recording, mut origin } = inbound;
        let (head, body) = request.into_parts();
        let check = |revision: &Revision| check_limits(&revision.request_limits, &head);
        let (revision, granted) =
            match self.admit(deployment, live, check, arrived, &origin).await? {
                Admitted::To(revision, granted) => (revision, granted),
                Admitted::Moved(newer) => {
                    let request = Request::from_parts(head, body);
                    let back = Inbound { request, overflow, arrived, recording, origin };
                    return Ok(Handled::Moved(Box::new(back), newer));
                }
            };
        if let Some(recording) = &mut recording {
            recording.granted();
        }
        let is_head = head.method == http::Method::HEAD;
        let longest = origin.rest(revision.request_limits.request_timeout);
        let lease = granted.lease;
        let running = self.running((&revision, lease), &mut origin, &head.headers, longest);
        let request = Request::from_parts(head, body);
        let context =
            call::Context { revision: &revision, arrived, longest, running, is_head, overflow };
        let notes = Notes { recording, units: None };
        match call::run(context, granted, notes, request).await? {
            Served::Answer(response) => Ok(Handled::Answer(response)),
            // The deployment became native while the request waited.
            Served::Unsent(unsent) => Err(unsent.failure),
        }
    }

    /// Serves a request with a process or a worker. One that cannot be reached is left for another.
    async fn serve_native(
        &self,
        deployment: &Deployment,
        mut live: Arc<Revision>,
        inbound: Inbound,
    ) -> Result<Handled, Failure> {
        let Inbound { request, overflow, arrived, recording, mut origin } = inbound;
        let (head, body) = request.into_parts();
        check_limits(&live.request_limits, &head)?;
        let mut request = Request::from_parts(head, body);
        let is_head = request.method() == http::Method::HEAD;
        let mut notes = Notes { recording, units: None };
        if let Some(workload) = &live.workload {
            let longest = live.request_limits.request_timeout;
            let (units, measured) =
                work::measure(workload, &deployment.work, request, longest).await?;
            request = measured;
            notes.units = Some(units);
        }
        let mut tried = 0;
        loop {
            let admitted = self.admit(deployment, live, |_| Ok(()), arrived, &origin).await?;
            let (revision, granted) = match admitted {
                Admitted::To(revision, granted) => (revision, granted),
                Admitted::Moved(newer) => {
                    let recording = notes.recording;
                    let back = Inbound { request, overflow, arrived, recording, origin };
                    return Ok(Handled::Moved(Box::new(back), newer));
                }
            };
            if let Some(recording) = &mut notes.recording {
                recording.granted();
            }
            let longest = origin.rest(revision.request_limits.request_timeout);
            let at = (&*revision, granted.lease);
            let running = self.running(at, &mut origin, request.headers(), longest);
            let overflow = overflow.clone();
            let context =
                call::Context { revision: &revision, arrived, longest, running, is_head, overflow };
            match call::run(context, granted, notes, request).await? {
                Served::Answer(response) => return Ok(Handled::Answer(response)),
                Served::Unsent(unsent) => {
                    tried += 1;
                    // Its end is noticed in a moment, and then it is not chosen again.
                    tokio::time::sleep(UNREACHABLE_PAUSE * tried).await;
                    if tried == REPLICAS_TRIED_MAX {
                        return Err(unsent.failure);
                    }
                    (request, notes, live) = (unsent.request, unsent.notes, deployment.live());
                }
            }
        }
    }

    /// The request among those that call others, if its revision does that.
    fn running(
        &self,
        (revision, lease): (&Revision, Lease),
        origin: &mut Origin,
        headers: &HeaderMap,
        longest: Duration,
    ) -> Option<Arc<Running>> {
        match &revision.caller {
            Some(name) => {
                let (until, at) = (clock::now() + longest, (&revision.pool, lease));
                Some(Running::start(&self.calls, name, at, origin, headers, until))
            }
            // It ends by itself, whatever it was asked for.
            None => {
                origin.call = None;
                None
            }
        }
    }

    /// Checks what can be checked without a replica, then gets one, waiting in the queue if need be.
    async fn admit(
        &self,
        deployment: &Deployment,
        live: Arc<Revision>,
        check: impl Fn(&Revision) -> Result<(), Failure>,
        arrived: Timestamp,
        origin: &Origin,
    ) -> Result<Admitted, Failure> {
        let mut revision = live;
        let call = origin.call.as_ref().map(Call::id);
        for _ in 0..ADMISSIONS_MAX {
            if revision.is_batched() {
                return Ok(Admitted::Moved(revision));
            }
            check(&revision)?;
            match revision.pool.arrive(arrived, call) {
                Admission::Granted(granted) => return Ok(Admitted::To(revision, granted)),
                Admission::Waiting(waiting) => {
                    let granted = self.wait(deployment, &revision, waiting, origin).await?;
                    return Ok(Admitted::To(revision, granted));
                }
                // A newer revision is live, or will be in a moment.
                Admission::Refused(Refusal::Closed) if !deployment.is_deleted() => {
                    tokio::task::yield_now().await;
                    revision = deployment.live();
                }
                Admission::Refused(refusal) => {
                    return Err(refused(deployment, &revision, refusal));
                }
            }
        }
        Err(Failure::new(FailureCode::ShuttingDown, "the deployment is being replaced"))
    }

    /// Waits for a replica.
    async fn wait(
        &self,
        deployment: &Deployment,
        revision: &Revision,
        waiting: Waiting,
        origin: &Origin,
    ) -> Result<Granted, Failure> {
        let longest = origin.rest(revision.request_limits.queue_timeout);
        let waiting = waiting.wait(longest);
        match unless_stuck(deployment, revision, origin, waiting).await? {
            Some(Ok(granted)) => Ok(granted),
            Some(Err(refusal)) => Err(refused(deployment, revision, refusal)),
            None => Err(waited_too_long(deployment, longest)),
        }
    }
}

/// A request left the queue because its time was over.
fn waited_too_long(deployment: &Deployment, longest: Duration) -> Failure {
    deployment.note_timed_out();
    let message = format!("no replica was free within {longest:?}");
    Failure::new(FailureCode::QueueTimeout, message)
}

/// Waits in the queue of a revision, unless the request is a call whose own ancestors hold all
/// there will ever be, now or after a pool has shrunk.
async fn unless_stuck<T>(
    deployment: &Deployment,
    revision: &Revision,
    origin: &Origin,
    waiting: impl Future<Output = T>,
) -> Result<T, Failure> {
    let Some(call) = &origin.call else { return Ok(waiting.await) };
    let chain = match call.waits(&revision.pool) {
        Ok(verdict) => tokio::select! {
            biased;
            done = waiting => return Ok(done),
            Ok(chain) = verdict => chain,
        },
        Err(chain) => chain,
    };
    deployment.note_loop();
    Err(Failure::new(FailureCode::CallLoop, chain))
}

fn refused(deployment: &Deployment, revision: &Revision, refusal: Refusal) -> Failure {
    match refusal {
        Refusal::QueueFull => {
            let message = format!("{} requests wait already", revision.pool.limits().queue_max);
            Failure::new(FailureCode::QueueFull, message).retry_after(Duration::from_secs(1))
        }
        Refusal::StartFailing { retry_at } => {
            let reason = revision.pool.last_start_error().unwrap_or_default();
            let message = format!("replicas of `{}` do not start: {reason}", deployment.name);
            Failure::new(FailureCode::StartFailed, message)
                .retry_after(retry_at.since(clock::now()))
        }
        Refusal::Closed => Failure::new(FailureCode::ShuttingDown, "the deployment is going away"),
    }
}

/// Checks the head of a request and the length it announces.
fn check_limits(limits: &RequestLimits, head: &Parts) -> Result<(), Failure> {
    let bytes = header_bytes(&head.headers) + head.uri.path().len();
    if bytes > limits.headers_bytes {
        let message =
            format!("request headers have {bytes} bytes, allowed are {}", limits.headers_bytes);
        return Err(Failure::new(FailureCode::RequestHeaders, message));
    }
    let length = head.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    check_length(length.unwrap_or(0), limits.body_bytes)
}

fn check_length(bytes: u64, most: u64) -> Result<(), Failure> {
    if bytes > most {
        let message = format!("request body has {bytes} bytes, allowed are {most}");
        return Err(Failure::new(FailureCode::RequestBody, message));
    }
    Ok(())
}

/// Checks the head of a replica's answer.
fn check_answer(limits: &RequestLimits, headers: &HeaderMap) -> Result<(), Failure> {
    let (bytes, most) = (header_bytes(headers), limits.response_headers_bytes);
    if bytes <= most {
        return Ok(());
    }
    let message = format!("response headers have {bytes} bytes, allowed are {most}");
    Err(Failure::new(FailureCode::ResponseTooLarge, message))
}

/// Bytes of all header names and values.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
