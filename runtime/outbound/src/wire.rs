//! A connection with HTTP on it.

use crate::connect::Socket;
use crate::error::BoxError;
use crate::outgoing::Outgoing;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How often a connection with HTTP/2 is asked whether the other side is still there, while it has
/// streams, and how long it has to answer. Many requests depend on one such connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How connections speak.
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// A connection on which requests can be sent.
pub(crate) enum Wire {
    Http1(Http1),
    Http2(Http2),
}

/// A connection for one request at a time.
pub(crate) struct Http1 {
    pub(crate) sender: http1::SendRequest<Outgoing>,
    _driver: Driver,
}

/// A connection for many requests at once.
#[derive(Clone)]
pub(crate) struct Http2 {
    pub(crate) sender: http2::SendRequest<Outgoing>,
    _driver: Arc<Driver>,
}

/// The task that reads and writes. Dropping this closes the connection.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Protocols {
    /// With this limit for the heads of responses.
    pub(crate) fn new(head_bytes_max: usize) -> Protocols {
        let mut http1 = http1::Builder::new();
        // hyper needs a buffer of this size at least, which has to hold a head.
        http1.max_header_size(head_bytes_max).max_buf_size(head_bytes_max.max(BUFFER_BYTES_MIN));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        // What is a little too large is counted by us, for a clear error.
        let list_bytes_max = u32::try_from(head_bytes_max.saturating_mul(2)).unwrap_or(u32::MAX);
        http2.max_header_list_size(list_bytes_max).timer(TokioTimer::new());
        http2.keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_INTERVAL);
        Protocols { http1, http2 }
    }

    /// Begins to speak HTTP, in the version that both sides agreed on.
    pub(crate) async fn begin(&self, socket: Socket) -> Result<Wire, BoxError> {
        let is_http2 = socket.speaks_http2();
        let io = TokioIo::new(socket);
        if is_http2 {
            let (sender, connection) = self.http2.handshake(io).await?;
            let task = tokio::spawn(async move { _ = connection.await });
            let driver = Arc::new(Driver(task.abort_handle()));
            Ok(Wire::Http2(Http2 { sender, _driver: driver }))
        } else {
            let (sender, connection) = self.http1.handshake(io).await?;
            // How it ends shows in the response.
            let task = tokio::spawn(async move { _ = connection.await });
            Ok(Wire::Http1(Http1 { sender, _driver: Driver(task.abort_handle()) }))
        }
    }
}

/// The smallest buffer that hyper takes.
const BUFFER_BYTES_MIN: usize = 8192;

impl Wire {
    /// Whether a request can be sent at once, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Wire::Http1(wire) => wire.sender.is_ready(),
            Wire::Http2(wire) => wire.sender.is_ready(),
        }
    }
}
