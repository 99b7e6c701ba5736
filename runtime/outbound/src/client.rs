//! The client of one deployment.

use crate::body::{Body, Rules};
use crate::connect::Connector;
use crate::error::{BoxError, Error, Switched, of_hyper};
use crate::head;
use crate::outgoing::{Outgoing, Upload};
use crate::pool::{Counts, Lease, Pool, Turn};
use crate::resolve::{Resolve, SystemResolver};
use crate::rule::AllowList;
use crate::settings::{Bound, CallOptions, Patience, Settings, SettingsError};
use crate::target::Target;
use crate::tls::Tls;
use crate::wire::Protocols;
use bytes::Bytes;
use http::header::UPGRADE;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as HttpBody;
use http_body_util::Empty;
use hyper::body::Incoming;
use samovar_proxy::headers;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How often a request is tried again of which nothing was sent, because its connection had just
/// been closed. Connections are looked at before they are used, so once is rare already.
const RETRIES_MAX: usize = 3;

/// The HTTP client of one deployment, with connections of its own. Clones share them.
///
/// Needs a tokio runtime with time and I/O. Redirects are not followed: the handler gets them, and
/// whatever it does about them is a request like any other. Variables of the environment that name
/// proxies are not read.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    allow: AllowList,
    limits: Limits,
    protocols: Protocols,
    connector: Connector,
    pool: Arc<Pool>,
}

struct Limits {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
    connections: usize,
    request_body: u64,
    response_body: u64,
    response_head: usize,
}

/// Where a request goes, for all who deal with it.
struct Call {
    target: Target,
    shown: String,
    path: PathAndQuery,
    options: CallOptions,
    start: Instant,
}

/// A connection for a request, and whether it was used before.
struct Found {
    lease: Lease,
    is_used: bool,
}

/// What became of a request.
enum Sent {
    Answered(Box<Response<Incoming>>),
    /// Nothing was sent.
    Unsent(Box<Request<Outgoing>>, hyper::Error),
}

impl Client {
    /// A client that looks names up as the system does.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] if the settings cannot work.
    pub fn new(settings: Settings) -> Result<Client, SettingsError> {
        Client::with_resolver(settings, Arc::new(SystemResolver))
    }

    /// A client that looks names up with `resolver`.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] if the settings cannot work.
    pub fn with_resolver(
        settings: Settings,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Client, SettingsError> {
        if settings.connections_max == 0 {
            return Err(SettingsError::NoConnections);
        }
        let tls = Tls::new(&settings.ca_files)?;
        Ok(Client(Arc::new(Inner {
            allow: settings.allow,
            limits: Limits {
                connect: settings.connect_timeout,
                first_byte: settings.first_byte_timeout,
                between_bytes: settings.between_bytes_timeout,
                connections: settings.connections_max,
                request_body: settings.request_body_max,
                response_body: settings.response_body_max,
                response_head: settings.response_head_max,
            },
            protocols: Protocols::new(settings.response_head_max),
            connector: Connector { addresses: settings.addresses, resolver, tls },
            pool: Pool::new(settings.connections_max, settings.idle_timeout),
        })))
    }

    /// The connections there are.
    pub fn counts(&self) -> Counts {
        self.0.pool.counts()
    }

    /// Sends a request with an absolute URL and waits for the head of its response.
    ///
    /// The host of the URL is also what `Host` says, whatever the request has there. Headers that
    /// concern one connection only, `Expect`, and `samovar-call` are removed; `Content-Length` is
    /// corrected. A request is tried again if nothing of it was sent, because its connection was
    /// closed while it was idle; and one that only reads and has no body, as `GET`, also if a kept
    /// connection was closed before any of its answer came.
    ///
    /// Dropping the future gives the request up and closes its connection, or its stream.
    ///
    /// # Errors
    ///
    /// [`Error`] says what is not allowed, or went wrong.
    pub async fn send<B>(
        &self,
        request: Request<B>,
        options: CallOptions,
    ) -> Result<Response<Body>, Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let start = Instant::now();
        let inner = &self.0;
        let target = inner.admit(request.method(), request.uri(), request.headers())?;
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let call = Call { shown: target.to_string(), target, path, options, start };
        let (request, upload) = inner.outgoing(request, &call)?;
        // Large, and not needed for requests that are not allowed.
        Box::pin(inner.exchange(request, upload, call)).await
    }
}

impl Inner {
    /// Where the request goes, if it may go there.
    fn admit(
        &self,
        method: &Method,
        url: &Uri,
        headers: &http::HeaderMap,
    ) -> Result<Target, Error> {
        let target =
            Target::of(url).map_err(|fault| Error::Url { url: without_query(url), fault })?;
        let tunnel = |what| Error::Tunnel { target: target.to_string(), what };
        if *method == Method::CONNECT {
            return Err(tunnel("`CONNECT`"));
        }
        if headers.contains_key(UPGRADE) {
            return Err(tunnel("`Upgrade`"));
        }
        if !self.allow.allows_target(&target) {
            let rules = self.allow.rules().len();
            return Err(Error::NotAllowed { target: target.to_string(), rules });
        }
        Ok(target)
    }

    /// The request as it is sent, but for what depends on the version of HTTP.
    fn outgoing<B>(
        &self,
        request: Request<B>,
        call: &Call,
    ) -> Result<(Request<Outgoing>, Arc<Upload>), Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let limit_bytes = self.limits.request_body;
        let (mut parts, body) = request.into_parts();
        head::clean(&mut parts.headers);
        let announced = head::announced(&parts.headers).unwrap_or(0);
        if announced.max(body.size_hint().lower()) > limit_bytes {
            return Err(Error::RequestBodyTooLarge { target: call.shown.clone(), limit_bytes });
        }
        let (body, upload) = Outgoing::new(body, limit_bytes, call.start);
        Ok((Request::from_parts(parts, body), upload))
    }

    async fn exchange(
        &self,
        mut request: Request<Outgoing>,
        upload: Arc<Upload>,
        call: Call,
    ) -> Result<Response<Body>, Error> {
        for retry in 0.. {
            let Found { mut lease, is_used } = self.connection(&call).await?;
            head::fit(&mut request, &call.target, &call.path, lease.version());
            let may_retry = is_used && retry < RETRIES_MAX;
            let again = may_retry.then(|| repeated(&request, call.start)).flatten();
            match (self.try_send(&mut lease, request, &upload, &call).await, again) {
                (Ok(Sent::Answered(response)), _) => {
                    return self.receive(*response, lease, upload, call);
                }
                (Ok(Sent::Unsent(unsent, _)), _) if may_retry => request = *unsent,
                (Ok(Sent::Unsent(_, error)), _) => {
                    return Err(of_hyper(error, &call.shown, self.limits.response_head));
                }
                // The site closed the connection just when it was used again.
                (Err(Error::Closed { .. }), Some(again)) => request = again,
                (Err(error), _) => return Err(error),
            }
        }
        unreachable!("the last retry returns")
    }

    /// A connection for the request, or a new one.
    async fn connection(&self, call: &Call) -> Result<Found, Error> {
        let patience = call.patience(call.options.connect, self.limits.connect);
        let (end, bound) = patience.end(call.start);
        let slot = match self.pool.turn(&call.target, end).await {
            Some(Turn::Reuse(lease)) => return Ok(Found { lease, is_used: true }),
            Some(Turn::Connect(slot)) => slot,
            None => {
                let (target, max) = (call.shown.clone(), self.limits.connections);
                return Err(Error::ConnectionLimit { target, max, bound });
            }
        };
        let (target, shown) = (&call.target, &call.shown);
        let socket = self.connector.connect(target, shown, call.start, patience).await?;
        let closed = |source| Error::Closed { target: shown.clone(), source };
        let wire = self.protocols.begin(socket).await.map_err(closed)?;
        Ok(Found { lease: self.pool.take_in(target, wire, slot), is_used: false })
    }

    async fn try_send(
        &self,
        lease: &mut Lease,
        request: Request<Outgoing>,
        upload: &Upload,
        call: &Call,
    ) -> Result<Sent, Error> {
        let patience = call.patience(call.options.first_byte, self.limits.first_byte);
        let sent = match head_of(lease.send(request), upload, patience).await {
            Ok(sent) => sent,
            Err(bound) => {
                return Err(Error::FirstByteTimeout { target: call.shown.clone(), bound });
            }
        };
        match sent {
            Ok(response) => Ok(Sent::Answered(Box::new(response))),
            Err(mut failed) => match failed.take_message() {
                Some(request) => Ok(Sent::Unsent(Box::new(request), failed.into_error())),
                None => Err(upload.take_error(&call.shown).unwrap_or_else(|| {
                    of_hyper(failed.into_error(), &call.shown, self.limits.response_head)
                })),
            },
        }
    }

    /// The response as the handler gets it.
    fn receive(
        &self,
        response: Response<Incoming>,
        lease: Lease,
        upload: Arc<Upload>,
        call: Call,
    ) -> Result<Response<Body>, Error> {
        let (mut parts, incoming) = response.into_parts();
        let patience = call.patience(call.options.between_bytes, self.limits.between_bytes);
        let target = call.shown;
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Protocol { target, source: Box::new(Switched) });
        }
        let limit_bytes = self.limits.response_head;
        if parts.version == Version::HTTP_2 && head::http2_bytes(&parts.headers) > limit_bytes {
            return Err(Error::HeadTooLarge { target, limit_bytes });
        }
        let limit_bytes = self.limits.response_body;
        if incoming.size_hint().lower() > limit_bytes {
            return Err(Error::ResponseBodyTooLarge { target, limit_bytes });
        }
        headers::clean_response(parts.status, &mut parts.headers);
        let rules = Rules {
            target,
            body_bytes_max: limit_bytes,
            head_bytes_max: self.limits.response_head,
            patience,
            upload,
        };
        Ok(Response::from_parts(parts, Body::new(incoming, lease, rules)))
    }
}

impl Call {
    fn patience(&self, asked: Option<Duration>, set: Duration) -> Patience {
        Patience { limit: asked.unwrap_or(set), deadline: self.options.deadline }
    }
}

/// A request once more, if it does no harm: one that only reads and has no body (RFC 9110, section
/// 9.2.2).
fn repeated(request: &Request<Outgoing>, now: Instant) -> Option<Request<Outgoing>> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let (body, _) = Outgoing::new(Empty::<Bytes>::new(), 0, now);
    let mut again = Request::new(body);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

/// Waits for the head of a response. Each piece of the request's body begins the wait anew.
async fn head_of<T>(
    sent: impl Future<Output = T>,
    upload: &Upload,
    patience: Patience,
) -> Result<T, Bound> {
    let mut sent = pin!(sent);
    let mut start = Instant::now();
    loop {
        let (end, bound) = patience.end(start);
        if let Ok(answer) = timeout_at(end, &mut sent).await {
            return Ok(answer);
        }
        let moved_at = upload.moved_at();
        if bound == Bound::Deadline || moved_at <= start {
            return Err(bound);
        }
        start = moved_at;
    }
}

/// For errors: the query may have secrets in it, and so may what is before the host.
fn without_query(url: &Uri) -> String {
    let scheme = url.scheme_str().map_or(String::new(), |scheme| format!("{scheme}://"));
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}{host}{}", url.path())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connections", &self.counts()).finish_non_exhaustive()
    }
}
