//! What goes wrong between the server and a replica.

use crate::address::Address;
use http::Request;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

/// Any error below ours.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendFailure {
    /// No connection to the replica. Nothing was sent.
    #[error("connect to the replica at {address}")]
    Connect {
        /// Where it should listen.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// The replica did not accept a connection in time. Nothing was sent.
    #[error("the replica at {address} did not accept a connection within {limit:?}")]
    ConnectTimeout {
        /// Where it should listen.
        address: Address,
        /// How long it had.
        limit: Duration,
    },
    /// The replica closed the connection, or its machine is gone.
    #[error("the replica closed the connection before it answered")]
    ClosedBeforeAnswer {
        /// How the connection ended.
        source: Source,
    },
    /// What the replica sent is not HTTP/1.1, or a part of it that was not asked for.
    #[error("the replica's answer is not valid HTTP")]
    NotHttp {
        /// What is wrong with it.
        source: Source,
    },
    /// The head of the replica's answer is larger than [`Options`](crate::Options) allow.
    #[error(
        "the head of the replica's answer has more than {bytes_max} bytes or {headers_max} headers"
    )]
    HeadTooLarge {
        /// Bytes allowed.
        bytes_max: usize,
        /// Headers allowed.
        headers_max: usize,
    },
    /// The body of the request failed or was shorter than announced: the client's fault.
    #[error("the body of the request broke off")]
    RequestBody {
        /// The error of the request's body.
        source: Source,
    },
    /// A request with the method `CONNECT`. Nothing was sent.
    #[error("a replica opens no tunnels: CONNECT cannot be forwarded")]
    Tunnel,
}

/// A request that got no answer.
pub struct SendError<B> {
    /// The request, if nothing of it was sent: it may be sent elsewhere, whatever its method. Its
    /// head is the one that would have been sent.
    pub request: Option<Box<Request<B>>>,
    /// What went wrong.
    pub failure: SendFailure,
}

impl<B> fmt::Debug for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SendError");
        shown.field("is_unsent", &self.request.is_some()).field("failure", &self.failure).finish()
    }
}

impl<B> fmt::Display for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl<B> std::error::Error for SendError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failure.source()
    }
}

/// Why an answer broke off after its head.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The replica closed the connection before the end of its answer.
    #[error("the replica closed the connection in the middle of its answer")]
    Closed {
        /// How the connection ended.
        source: Source,
    },
    /// What the replica sent after the head is not a valid body.
    #[error("the body of the replica's answer is not valid HTTP")]
    NotHttp {
        /// What is wrong with it.
        source: Source,
    },
    /// The body of the request failed while the answer was under way: the client's fault.
    #[error("the body of the request broke off")]
    RequestBody {
        /// The error of the request's body.
        source: Source,
    },
}

/// What the replica sent, when it is HTTP that nobody asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unasked {
    #[error("it switches protocols, which was not asked for")]
    Upgrade,
    #[error("it uses a transfer coding other than chunked, which was not asked for")]
    TransferCoding,
}

impl SendFailure {
    /// What hyper's error means for a request that was, or may have been, sent.
    pub(crate) fn of(error: hyper::Error, bytes_max: usize, headers_max: usize) -> Self {
        if error.is_user() {
            SendFailure::RequestBody { source: Box::new(error) }
        } else if error.is_parse_too_large() {
            SendFailure::HeadTooLarge { bytes_max, headers_max }
        } else if error.is_parse() {
            SendFailure::NotHttp { source: Box::new(error) }
        } else {
            SendFailure::ClosedBeforeAnswer { source: Box::new(error) }
        }
    }

    /// What hyper's error means for a request that was not sent over a new connection.
    pub(crate) fn of_unsent(error: hyper::Error) -> Self {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
        // A replica that speaks first speaks another protocol.
        let spoke = cause.is_some_and(|cause| !cause.is_incomplete_message() && !is_io(cause));
        let source = Box::new(error);
        if spoke {
            SendFailure::NotHttp { source }
        } else {
            SendFailure::ClosedBeforeAnswer { source }
        }
    }
}

impl BodyError {
    /// What hyper's error means. `connection` is how the connection ended, if that is known.
    pub(crate) fn of(
        error: hyper::Error,
        connection: Option<hyper::Error>,
        is_request_broken: bool,
    ) -> Self {
        if is_request_broken {
            return BodyError::RequestBody { source: Box::new(connection.unwrap_or(error)) };
        }
        let kind = error.source().and_then(|cause| cause.downcast_ref()).map(io::Error::kind);
        let source = Box::new(error);
        match kind {
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                BodyError::NotHttp { source }
            }
            _ => BodyError::Closed { source: Box::new(connection.unwrap_or(*source)) },
        }
    }
}

fn is_io(error: &hyper::Error) -> bool {
    error.source().is_some_and(|cause| cause.is::<io::Error>())
}
