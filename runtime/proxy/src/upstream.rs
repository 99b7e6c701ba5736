//! A replica, and the connections to it.

use crate::address::Address;
use crate::answer::Answer;
use crate::error::{SendError, SendFailure, Unasked};
use crate::headers::{self, Framing};
use crate::idle::Idle;
use crate::request;
use crate::socket::Socket;
use crate::wire::{BoxError, Open, Wire};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Headers that hyper reads without allocating room for them.
const HEADERS_MAX: usize = 100;
/// Bytes that hyper buffers per connection and direction unless told otherwise.
const BUFFER_BYTES: usize = 400 << 10;

/// How a replica is talked to.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a connection may take to be accepted, looking up a name included. Default: 5 s.
    pub connect_timeout: Duration,
    /// Idle connections that are kept at most; the longest idle one goes first. Default: 128. Each
    /// costs two open files on this machine when the replica is on it, and some kilobytes.
    pub idle_max: usize,
    /// A connection that was idle for so long is not used again. Default: 1.5 s. It should be
    /// shorter than the replica's own limit (2 s in gunicorn, 5 s in uvicorn and Node.js): a
    /// request that is sent while the replica closes the connection fails.
    pub idle_timeout: Duration,
    /// Bytes of an answer's head, or of its trailers, at most. Default: 64 KiB.
    pub head_bytes_max: usize,
    /// Headers of an answer at most. Default: 100; any other number costs an allocation per answer.
    pub headers_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connect_timeout: Duration::from_secs(5),
            idle_max: 128,
            idle_timeout: Duration::from_millis(1500),
            head_bytes_max: 64 << 10,
            headers_max: HEADERS_MAX,
        }
    }
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// All of them: with a request, or idle.
    pub open: usize,
    /// Those that wait for a request. The replica may have closed some of them already.
    pub idle: usize,
}

/// A replica that takes requests with bodies of type `B`, and the connections to it.
pub struct Upstream<B: Body<Data = Bytes> + Unpin + 'static> {
    address: Address,
    options: Options,
    http: http1::Builder,
    /// The `Host` of requests that name none.
    host: HeaderValue,
    idle: Mutex<Idle<Box<Wire<B>>>>,
    open: Arc<AtomicUsize>,
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// A replica at `address`. Connections are opened when they are needed.
    pub fn new(address: Address, options: Options) -> Arc<Self> {
        let mut http = http1::Builder::new();
        http.max_header_size(options.head_bytes_max);
        if options.head_bytes_max > BUFFER_BYTES {
            http.max_buf_size(options.head_bytes_max);
        }
        if options.headers_max != HEADERS_MAX {
            http.max_headers(options.headers_max);
        }
        let host = address.host();
        let idle = Mutex::new(Idle::new(options.idle_max, options.idle_timeout));
        Arc::new(Upstream { address, options, http, host, idle, open: Arc::default() })
    }

    /// Where the replica listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request and answers when the head of the response is there.
    ///
    /// The head of the request is made fit for the replica: see [`headers::clean_request`]. Its URI
    /// is turned to origin form, its `Host` is set from the URI if that names one, its
    /// `Content-Length` to the length of its body if that is known; a body of unknown length is
    /// sent in chunks. Trailers are sent if `Trailer` names them.
    ///
    /// There is no time limit but that for connecting. Dropping the future closes the connection,
    /// so that the replica notices. No request is sent twice.
    ///
    /// # Errors
    ///
    /// See [`SendFailure`]. If nothing was sent, the request is in the error.
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<B>,
    ) -> Result<Response<Answer<B>>, SendError<B>> {
        if request.method() == Method::CONNECT {
            return Err(unsent(request, SendFailure::Tunnel));
        }
        request::prepare(&mut request, &self.host);
        while let Some(mut wire) = self.take_idle() {
            match wire.exchange(request).await {
                Ok(response) => return self.answer(wire, response),
                // The replica closed the connection while it was idle. That is one connection less.
                Err((_, Some(returned))) => request = returned,
                Err((error, None)) => return Err(self.lost(&wire, error)),
            }
        }
        let mut wire = match self.connect().await {
            Ok(wire) => wire,
            Err(failure) => return Err(unsent(request, failure)),
        };
        match wire.exchange(request).await {
            Ok(response) => self.answer(wire, response),
            Err((error, Some(request))) => Err(unsent(request, SendFailure::of_unsent(error))),
            Err((error, None)) => Err(self.lost(&wire, error)),
        }
    }

    /// Closes the connections that were idle for too long. To be called now and then: without
    /// requests nothing else closes them.
    pub fn sweep(&self) {
        let now = Instant::now();
        let old = self.idle.lock().sweep(now);
        drop(old); // Outside of the lock.
    }

    /// Closes all idle connections and keeps none from here on. Requests under way go on, and
    /// further ones can still be sent.
    pub fn close(&self) {
        let kept = self.idle.lock().close();
        drop(kept); // Outside of the lock.
    }

    /// How many connections there are.
    pub fn counts(&self) -> Counts {
        let idle = self.idle.lock().len();
        Counts { open: self.open.load(Ordering::Relaxed), idle }
    }

    /// Keeps a connection for the next request.
    pub(crate) fn give_back(&self, wire: Box<Wire<B>>) {
        let now = Instant::now();
        let surplus = self.idle.lock().put(wire, now);
        drop(surplus); // Outside of the lock.
    }

    fn take_idle(&self) -> Option<Box<Wire<B>>> {
        let now = Instant::now();
        self.idle.lock().take(now)
    }

    async fn connect(&self) -> Result<Box<Wire<B>>, SendFailure> {
        let address = || self.address.clone();
        let limit = self.options.connect_timeout;
        let socket = match timeout(limit, self.address.connect()).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(source)) => return Err(SendFailure::Connect { address: address(), source }),
            Err(_) => return Err(SendFailure::ConnectTimeout { address: address(), limit }),
        };
        self.wire(socket).await.map_err(|error| {
            let source = io::Error::other(error);
            SendFailure::Connect { address: address(), source }
        })
    }

    async fn wire(&self, socket: Socket) -> Result<Box<Wire<B>>, hyper::Error> {
        Wire::new(socket, &self.http, Open::new(&self.open)).await
    }

    /// The response as it goes on to the client.
    fn answer(
        self: &Arc<Self>,
        wire: Box<Wire<B>>,
        response: Response<Incoming>,
    ) -> Result<Response<Answer<B>>, SendError<B>> {
        let (mut head, body) = response.into_parts();
        let framing = headers::framing(&head.headers);
        let unasked = if head.status == StatusCode::SWITCHING_PROTOCOLS {
            Some(Unasked::Upgrade)
        } else {
            (framing == Framing::Unknown).then_some(Unasked::TransferCoding)
        };
        if let Some(unasked) = unasked {
            let failure = SendFailure::NotHttp { source: Box::new(unasked) };
            return Err(SendError { request: None, failure });
        }
        // To HTTP/1.0 hyper would send the next body of unknown length as none at all.
        let may_keep = framing == Framing::Clear && head.version == Version::HTTP_11;
        head.version = Version::HTTP_11;
        headers::clean_response(head.status, &mut head.headers);
        let home = may_keep.then(|| Arc::clone(self));
        Ok(Response::from_parts(head, Answer::new(body, wire, home)))
    }

    /// What hyper's error means for a request of which something may have been sent.
    fn lost(&self, wire: &Wire<B>, error: hyper::Error) -> SendError<B> {
        let failure = if wire.is_request_broken() {
            SendFailure::RequestBody { source: Box::new(error) }
        } else {
            SendFailure::of(error, self.options.head_bytes_max, self.options.headers_max)
        };
        SendError { request: None, failure }
    }
}

fn unsent<B>(request: Request<B>, failure: SendFailure) -> SendError<B> {
    SendError { request: Some(Box::new(request)), failure }
}
