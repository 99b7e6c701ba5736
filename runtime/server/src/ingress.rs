//! The data plane: HTTP in, handlers out.
//!
//! One task per connection. It finds the deployment, asks its pool for a replica, calls the replica
//! and streams the answer, without handing the request to another task where the handler is called
//! in place.

mod patient;

use crate::clock;
use crate::dispatch::{
    Dispatch, Failure, FailureCode, Inbound, Overflow, RequestBody, ResponseBody,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use parking_lot::Mutex;
use patient::{Patience, Patient, Version};
use samovar_core::time::Timestamp;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes of one request's head that are read at most; a deployment may allow less.
const HEAD_BYTES_MAX: usize = 256 << 10;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what it is sent, where no deployment says how long its
/// answers may stand still.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a silent client of HTTP/2 is asked whether it is there, and how long it may take to
/// answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How often a crowd is told of in the log.
const CROWD_TOLD_EVERY: Duration = Duration::from_secs(10);
/// Streams one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 1000;
/// Who sent a request, proxies on the way included.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Everything a connection needs.
pub struct Ingress {
    dispatch: Arc<Dispatch>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    /// Connections there may be.
    places: Arc<Semaphore>,
    crowd_told: Mutex<Option<Timestamp>>,
}

impl Ingress {
    /// A data plane for what `dispatch` serves, with so many connections at most.
    pub fn new(dispatch: Arc<Dispatch>, connections_max: usize) -> Arc<Self> {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32);
        let places = Arc::new(Semaphore::new(connections_max));
        Arc::new(Ingress { dispatch, http1, http2, places, crowd_told: Mutex::default() })
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
                accepted = self.accept(&listener) => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let connection = Arc::clone(&self).connection(stream, peer, stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// The next connection, when there is a place for it. Until then it waits in the kernel.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let places = Arc::clone(&self.places);
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                self.note_crowd(clock::now());
                places.acquire_owned().await.expect("the semaphore is never closed")
            }
        };
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer, place))
    }

    /// Tells of a crowd, but not each time that one of it comes in.
    fn note_crowd(&self, now: Timestamp) {
        let mut told = self.crowd_told.lock();
        if told.is_none_or(|told| now.since(told) >= CROWD_TOLD_EVERY) {
            *told = Some(now);
            tracing::warn!("as many connections as descriptors allow: others wait");
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) {
        _ = stream.set_nodelay(true);
        let version = tokio::select! {
            version = patient::version(&stream, HEAD_TIMEOUT) => version,
            () = stop.cancelled() => return,
        };
        let Some(version) = version else { return };
        let ingress = Arc::clone(&self);
        let patience = Arc::new(Patience::new(SEND_TIMEOUT));
        // Answers of HTTP/2 share a connection, which moves on if one of them does not.
        let of_answers = (version == Version::Http1).then(|| Arc::clone(&patience));
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (ingress, of_answers) = (Arc::clone(&ingress), of_answers.clone());
            async move {
                if let Some(patience) = &of_answers {
                    patience.set_sends(!request.body().is_end_stream());
                }
                let response = ingress.respond(request, peer).await;
                if let Some(patience) = of_answers {
                    patience.set(response.body().stall().unwrap_or(SEND_TIMEOUT));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let stream = TokioIo::new(Patient::new(stream, patience));
        let ended = match version {
            Version::Http1 => to_its_end(self.http1.serve_connection(stream, service), stop).await,
            // On the heap: it is large, and most connections are none of it.
            Version::Http2 => {
                Box::pin(to_its_end(self.http2.serve_connection(stream, service), stop)).await
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
        let routes = self.dispatch.deployments.routes();
        let path = request.uri().path();
        let Some((deployment, prefix)) = routes.find(path) else {
            let message = format!("no deployment is routed at {path}");
            return Err(Failure::new(FailureCode::NoDeployment, message));
        };
        let deployment = Arc::clone(deployment);
        drop(routes);
        let arrived = clock::now();
        let recording = deployment.recorder.arrived(arrived);
        let live = deployment.live();
        let mut request = request;
        let origin = self.dispatch.calls.origin(request.headers_mut(), &deployment.name)?;
        if !live.is_guest() {
            request = forwarded(request, peer);
        }
        let (request, overflow) = prepare(request, prefix, live.request_limits.body_bytes);
        let inbound = Inbound { request, overflow, arrived, recording, origin };
        self.dispatch.serve(&deployment, inbound).await
    }
}

/// Serves a connection until it ends, or until `stop` and the requests that it has then.
async fn to_its_end<C: GracefulConnection>(
    connection: C,
    stop: CancellationToken,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
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

/// The request as the handler sees it: without the route's prefix, its body bounded.
fn prepare(
    request: Request<Incoming>,
    prefix: usize,
    body_bytes_max: u64,
) -> (Request<wasmtime_wasi_http::WasiBody>, Overflow) {
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
