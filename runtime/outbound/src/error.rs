//! Why a request got no response, or not all of it.

use crate::address::Denied;
use crate::settings::Bound;
use crate::target::UrlFault;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Any error below ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no response, or why the body of its response broke off.
///
/// `target` is scheme, host, and the port unless it is the usual one. In brackets: the code of
/// `wasi:http` that says the same.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL points nowhere, or could be understood in two ways. (`HTTP-request-URI-invalid`)
    #[error("the URL `{url}` cannot be used: {fault}")]
    Url {
        /// The URL without its query, which may be secret.
        url: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// The request would turn the connection into something else: `CONNECT` or `Upgrade`.
    /// (`HTTP-request-denied`)
    #[error("{target}: {what} is not offered to handlers, which have no tunnels")]
    Tunnel {
        /// Where the request was to go.
        target: String,
        /// What was asked for.
        what: &'static str,
    },
    /// No rule allows it. (`HTTP-request-denied`)
    #[error("{target} is not allowed: {}", no_rule(*rules))]
    NotAllowed {
        /// Where the request was to go.
        target: String,
        /// How many rules there are.
        rules: usize,
    },
    /// None of the addresses of the host may be connected to. (`destination-IP-prohibited`)
    #[error("{target} is not allowed: it is at {}", Addresses(denied))]
    Address {
        /// Where the request was to go.
        target: String,
        /// All its addresses.
        denied: Vec<Denied>,
    },
    /// The name has no address. (`DNS-error`, or `destination-not-found`)
    #[error("{target}: look up the name")]
    Dns {
        /// Where the request was to go.
        target: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The name was not looked up in time. (`DNS-timeout`)
    #[error("{target}: the name was not looked up {bound}")]
    DnsTimeout {
        /// Where the request was to go.
        target: String,
        /// Which limit.
        bound: Bound,
    },
    /// No address accepted a connection. (`connection-refused` if the source says so, else
    /// `destination-unavailable`)
    #[error("{target}: connect to {address}")]
    Connect {
        /// Where the request was to go.
        target: String,
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// No address accepted a connection, or TLS was not set up, in time. (`connection-timeout`)
    #[error("{target} did not accept a connection {bound}")]
    ConnectTimeout {
        /// Where the request was to go.
        target: String,
        /// Which limit.
        bound: Bound,
    },
    /// All connections of the deployment were in use. (`connection-limit-reached`)
    #[error("{target}: none of the {max} connections of the deployment was free {bound}")]
    ConnectionLimit {
        /// Where the request was to go.
        target: String,
        /// [`Settings::connections_max`](crate::Settings::connections_max).
        max: usize,
        /// Which limit.
        bound: Bound,
    },
    /// The certificate is not trusted, or for another name. (`TLS-certificate-error`)
    #[error("{target} has a certificate that is not trusted")]
    Certificate {
        /// Where the request was to go.
        target: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// TLS could not be set up. (`TLS-protocol-error`)
    #[error("{target}: set up TLS")]
    Tls {
        /// Where the request was to go.
        target: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The head of the response took too long. (`HTTP-response-timeout`)
    #[error("{target} did not answer {bound}")]
    FirstByteTimeout {
        /// Where the request went.
        target: String,
        /// Which limit.
        bound: Bound,
    },
    /// The body of the response paused too long. (`connection-read-timeout`)
    #[error("{target} did not send the next bytes of its response {bound}")]
    BetweenBytesTimeout {
        /// Where the request went.
        target: String,
        /// Which limit.
        bound: Bound,
    },
    /// The body of the request is too large. (`HTTP-request-body-size`)
    #[error("{target}: the body of the request has more than {limit_bytes} bytes")]
    RequestBodyTooLarge {
        /// Where the request was to go.
        target: String,
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// The body of the request failed: the handler's fault. (`internal-error`)
    #[error("{target}: the body of the request broke off")]
    RequestBody {
        /// Where the request went.
        target: String,
        /// Its error.
        source: BoxError,
    },
    /// The head of the response is too large. (`HTTP-response-header-section-size`)
    #[error("{target}: the head of the response has more than {limit_bytes} bytes or 100 headers")]
    HeadTooLarge {
        /// Where the request went.
        target: String,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// The body of the response is too large. (`HTTP-response-body-size`)
    #[error("{target}: the body of the response has more than {limit_bytes} bytes")]
    ResponseBodyTooLarge {
        /// Where the request went.
        target: String,
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// The other side closed the connection before all of the response was there. It may have
    /// acted on the request. (`connection-terminated`, or `HTTP-response-incomplete` in a body)
    #[error("{target} closed the connection before the response was complete")]
    Closed {
        /// Where the request went.
        target: String,
        /// How the connection ended.
        source: BoxError,
    },
    /// What the other side sent is not HTTP, or not what was asked for. (`HTTP-protocol-error`)
    #[error("{target}: the response is not valid HTTP")]
    Protocol {
        /// Where the request went.
        target: String,
        /// What is wrong with it.
        source: BoxError,
    },
    /// Something of ours failed. (`internal-error`)
    #[error("{target}: {reason}")]
    Internal {
        /// Where the request was to go.
        target: String,
        /// What failed.
        reason: String,
    },
}

fn no_rule(rules: usize) -> String {
    match rules {
        0 => "the allow-list for outbound requests is empty".to_owned(),
        1 => "the only rule of the allow-list does not match".to_owned(),
        _ => format!("none of the {rules} rules of the allow-list matches"),
    }
}

/// A few addresses, for reading.
struct Addresses<'a>(&'a [Denied]);

/// More do not help anybody who reads.
const SHOWN_MAX: usize = 4;

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, denied) in self.0.iter().take(SHOWN_MAX).enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{denied}")?;
        }
        match self.0.len().checked_sub(SHOWN_MAX) {
            Some(rest @ 1..) => write!(f, " and {rest} more"),
            Some(0) | None => Ok(()),
        }
    }
}

/// A response that nobody asked for.
#[derive(Debug, thiserror::Error)]
#[error("it switches protocols, which was not asked for")]
pub(crate) struct Switched;

/// What hyper's error means while a response is awaited or read.
pub(crate) fn of_hyper(error: hyper::Error, target: &str, head_bytes_max: usize) -> Error {
    let target = target.to_owned();
    if error.is_parse_too_large() {
        Error::HeadTooLarge { target, limit_bytes: head_bytes_max }
    } else if error.is_parse() || is_malformed(&error) {
        Error::Protocol { target, source: Box::new(error) }
    } else {
        Error::Closed { target, source: Box::new(error) }
    }
}

/// Whether what was received is not as HTTP says. Of bodies with HTTP/1.1 hyper tells it by the
/// kind of the error below its own, and of all with HTTP/2 by who ended the stream.
fn is_malformed(error: &hyper::Error) -> bool {
    let Some(below) = std::error::Error::source(error) else { return false };
    if let Some(error) = below.downcast_ref::<h2::Error>() {
        return error.is_library();
    }
    let kind = below.downcast_ref().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}
