//! The data plane: HTTP in, handlers out.
//!
//! One task per connection. It finds the deployment, asks its pool for a replica, calls the replica
//! and streams the answer, without handing the request to another task where the handler is called
//! in place.

mod answer;
mod body;
mod call;
mod work;

use crate::clock;
use crate::deployment::{Deployment, Deployments, Recording, Revision};
use crate::warm_pool::{Admission, Granted};
use answer::{Failure, FailureCode};
use body::{RequestBody, ResponseBody};
use call::{Notes, Served};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use samovar_core::pool::Refusal;
use samovar_core::time::Timestamp;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes of one request's head that are read at most; a deployment may allow less.
const HEAD_BYTES_MAX: usize = 256 << 10;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 1000;
/// Tries to find a pool that takes the request, while revisions change.
const ADMISSIONS_MAX: u32 = 100;
/// Replicas that are tried for a request none of which can be reached.
const REPLICAS_TRIED_MAX: u32 = 3;
/// Before the next one is tried, times those tried before.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(5);
/// Who sent a request, proxies on the way included.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Everything a connection needs.
pub struct Ingress {
    deployments: Arc<Deployments>,
    http: auto::Builder<TokioExecutor>,
}

impl Ingress {
    /// A data plane that serves `deployments`.
    pub fn new(deployments: Arc<Deployments>) -> Arc<Self> {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32);
        Arc::new(Ingress { deployments, http })
    }

    /// Accepts connections until `stop`, then lets those that are open finish their requests.
    /// `connections` tells when the last one has ended.
    pub async fn run(
        self: Arc<Self>,
        listener: TcpListener,
        stop: CancellationToken,
        connections: TaskTracker,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Arc::clone(&self).connection(stream, peer, stop.clone());
                    connections.spawn(connection);
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those of ended connections come back.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) {
        _ = stream.set_nodelay(true);
        let ingress = Arc::clone(&self);
        let service = hyper::service::service_fn(move |request| {
            let ingress = Arc::clone(&ingress);
            async move { Ok::<_, Infallible>(ingress.respond(request, peer).await) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!("connection ended: {error}");
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<ResponseBody> {
        match self.serve(request, peer).await {
            Ok(response) => response,
            Err(failure) => failure.into_response(),
        }
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<ResponseBody>, Failure> {
        let routes = self.deployments.routes();
        let path = request.uri().path();
        let Some((deployment, prefix)) = routes.find(path) else {
            let message = format!("no deployment is routed at {path}");
            return Err(Failure::new(FailureCode::NoDeployment, message));
        };
        let deployment = Arc::clone(deployment);
        drop(routes);
        let arrived = clock::now();
        let mut recording = deployment.recorder.arrived(arrived);
        let live = deployment.live();
        if !live.is_guest() {
            let request = forwarded(request, peer);
            return serve_native(&deployment, live, request, prefix, arrived, recording).await;
        }
        let check = |revision: &Revision| check_limits(revision, &request);
        let (revision, granted) = admit(&deployment, live, check, arrived).await?;
        if let Some(recording) = &mut recording {
            recording.granted();
        }
        let limits = &revision.request_limits;
        let (request, overflow) = prepare(request, prefix, limits.body_bytes);
        let is_head = request.method() == http::Method::HEAD;
        let context = call::Context { revision: &revision, arrived, is_head, overflow };
        let notes = Notes { recording, units: None };
        match call::run(context, granted, notes, request).await? {
            Served::Answer(response) => Ok(response),
            // The deployment became native while the request waited.
            Served::Unsent(_, _, failure) => Err(failure),
        }
    }
}

/// Serves a request with a process or a worker. One that cannot be reached is left for another.
async fn serve_native(
    deployment: &Deployment,
    mut live: Arc<Revision>,
    request: Request<Incoming>,
    prefix: usize,
    arrived: Timestamp,
    recording: Option<Recording>,
) -> Result<Response<ResponseBody>, Failure> {
    check_limits(&live, &request)?;
    let is_head = request.method() == http::Method::HEAD;
    let (mut request, overflow) = prepare(request, prefix, live.request_limits.body_bytes);
    let mut notes = Notes { recording, units: None };
    if let Some(workload) = &live.workload {
        let (units, measured) = work::measure(workload, &deployment.work, request).await?;
        request = measured;
        notes.units = Some(units);
    }
    let mut tried = 0;
    loop {
        let (revision, granted) = admit(deployment, live, |_| Ok(()), arrived).await?;
        if let Some(recording) = &mut notes.recording {
            recording.granted();
        }
        let overflow = overflow.clone();
        let context = call::Context { revision: &revision, arrived, is_head, overflow };
        match call::run(context, granted, notes, request).await? {
            Served::Answer(response) => return Ok(response),
            Served::Unsent(unsent, kept, failure) => {
                tried += 1;
                // Its end is noticed in a moment, and then it is not chosen again.
                tokio::time::sleep(UNREACHABLE_PAUSE * tried).await;
                if tried == REPLICAS_TRIED_MAX {
                    return Err(failure);
                }
                (request, notes, live) = (unsent, kept, deployment.live());
            }
        }
    }
}

/// Says for whom the request is sent on.
fn forwarded(mut request: Request<Incoming>, peer: SocketAddr) -> Request<Incoming> {
    // Before ours is added, or a client could name it as one that goes no further.
    samovar_proxy::headers::clean_request(request.headers_mut());
    let address = peer.ip().to_canonical();
    // Several lines are one list.
    let before = request.headers().get_all(&FORWARDED_FOR).iter();
    let mut text = String::new();
    for line in before.filter_map(|value| value.to_str().ok()) {
        text.push_str(line);
        text.push_str(", ");
    }
    text.push_str(&address.to_string());
    let value = HeaderValue::from_str(&text).expect("a header's text and an address");
    request.headers_mut().insert(FORWARDED_FOR, value);
    request
}

/// Checks what can be checked without a replica, then gets one, waiting in the queue if need be.
async fn admit(
    deployment: &Deployment,
    live: Arc<Revision>,
    check: impl Fn(&Revision) -> Result<(), Failure>,
    arrived: Timestamp,
) -> Result<(Arc<Revision>, Granted), Failure> {
    let mut revision = live;
    for _ in 0..ADMISSIONS_MAX {
        check(&revision)?;
        match revision.pool.arrive(arrived) {
            Admission::Granted(granted) => return Ok((revision, granted)),
            Admission::Waiting(waiting) => {
                let longest = revision.request_limits.queue_timeout;
                return match waiting.wait(longest).await {
                    Some(Ok(granted)) => Ok((revision, granted)),
                    Some(Err(refusal)) => Err(refused(deployment, &revision, refusal)),
                    None => {
                        deployment.note_timed_out();
                        let message = format!("no replica was free within {longest:?}");
                        Err(Failure::new(FailureCode::QueueTimeout, message))
                    }
                };
            }
            // A newer revision is live, or will be in a moment.
            Admission::Refused(Refusal::Closed) if !deployment.is_deleted() => {
                tokio::task::yield_now().await;
                revision = deployment.live();
            }
            Admission::Refused(refusal) => return Err(refused(deployment, &revision, refusal)),
        }
    }
    Err(Failure::new(FailureCode::ShuttingDown, "the deployment is being replaced"))
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

fn check_limits(revision: &Revision, request: &Request<Incoming>) -> Result<(), Failure> {
    let limits = &revision.request_limits;
    let bytes = header_bytes(request.headers()) + request.uri().path().len();
    if bytes > limits.headers_bytes {
        let message =
            format!("request headers have {bytes} bytes, allowed are {}", limits.headers_bytes);
        return Err(Failure::new(FailureCode::RequestHeaders, message));
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length.filter(|length| *length > limits.body_bytes) {
        let message = format!("request body has {length} bytes, allowed are {}", limits.body_bytes);
        return Err(Failure::new(FailureCode::RequestBody, message));
    }
    Ok(())
}

/// Bytes of all header names and values.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// The request as the handler sees it: without the route's prefix, its body bounded.
fn prepare(
    request: Request<Incoming>,
    prefix: usize,
    body_bytes_max: u64,
) -> (Request<wasmtime_wasi_http::WasiBody>, body::Overflow) {
    let (mut parts, body) = request.into_parts();
    parts.uri = handler_uri(parts.uri, prefix, &parts.headers);
    let (body, overflow) = RequestBody::boxed(body, body_bytes_max);
    (Request::from_parts(parts, body), overflow)
}

/// Takes `prefix` bytes off the path and fills in what WASI wants to know: scheme and authority.
fn handler_uri(uri: Uri, prefix: usize, headers: &HeaderMap) -> Uri {
    let mut parts = uri.into_parts();
    if prefix > 0
        && let Some(path) = parts.path_and_query.take()
    {
        let rest = &path.as_str()[prefix..];
        let rest = if rest.starts_with('/') { rest.parse() } else { format!("/{rest}").parse() };
        parts.path_and_query = Some(rest.unwrap_or(path));
    }
    parts.scheme.get_or_insert(http::uri::Scheme::HTTP);
    if parts.authority.is_none() {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
        parts.authority = host.or_else(|| Some(http::uri::Authority::from_static("localhost")));
    }
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).expect("scheme, authority and path are all there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, prefix: usize, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "example.org:81".parse().unwrap());
        let uri = handler_uri(uri.parse().unwrap(), prefix, &headers);
        assert_eq!(uri.to_string(), expected);
    }

    #[test]
    fn the_prefix_is_taken_off_the_path() {
        check("/hello/a/b?c=d", 6, "http://example.org:81/a/b?c=d");
        check("/hello", 6, "http://example.org:81/");
        check("/hello?x", 6, "http://example.org:81/?x");
        check("/a", 0, "http://example.org:81/a");
        check("http://other.example/hello/x", 6, "http://other.example/x");
    }
}
