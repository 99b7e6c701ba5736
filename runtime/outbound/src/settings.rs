//! What a deployment may set, and what a single request may.

use crate::address::AddressPolicy;
use crate::rule::AllowList;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// What the requests of one deployment may do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What may be reached. Default: nothing.
    pub allow: AllowList,
    /// Which resolved addresses may be connected to. Default: public ones.
    pub addresses: AddressPolicy,
    /// Contents of PEM files with certificates of authorities that are trusted beside the
    /// system's. Default: none.
    pub ca_files: Vec<Vec<u8>>,
    /// How long a connection may take: waiting for a free one of `connections_max`, looking up the
    /// name, connecting and TLS together. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long the head of the response may take once the request is on its way, counted from
    /// when the last piece of its body was taken up. Default: 30 s.
    pub first_byte_timeout: Duration,
    /// How long the body of a response may pause while somebody waits for it. Default: 30 s.
    pub between_bytes_timeout: Duration,
    /// How long an unused connection is kept. Default: 90 s.
    pub idle_timeout: Duration,
    /// Connections at once, unused ones included; unused ones are closed when others are needed.
    /// At least 1. Default: 64.
    pub connections_max: usize,
    /// Bytes of a request's body. Default: 64 MiB.
    pub request_body_max: u64,
    /// Bytes of a response's body. Default: 64 MiB.
    pub response_body_max: u64,
    /// Bytes of a response's head: with HTTP/1.1 as it is sent, with HTTP/2 the names and values
    /// and 32 bytes for each header (RFC 9113, section 6.5.2). It may also have at most 100
    /// headers with HTTP/1.1. Default: 64 KiB.
    pub response_head_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            allow: AllowList::default(),
            addresses: AddressPolicy::default(),
            ca_files: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            between_bytes_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            connections_max: 64,
            request_body_max: 64 << 20,
            response_body_max: 64 << 20,
            response_head_max: 64 << 10,
        }
    }
}

/// Settings with which there can be no [`Client`](crate::Client).
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No connection would ever be made.
    #[error("the limit of connections has to be at least 1")]
    NoConnections,
    /// A file of certificates has none, or something else.
    #[error("file {number} of the certificate authorities cannot be used: {reason}")]
    Authority {
        /// Which of `ca_files`, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// What one request asks for, instead of what the deployment set. Default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Instead of [`Settings::connect_timeout`].
    pub connect: Option<Duration>,
    /// Instead of [`Settings::first_byte_timeout`].
    pub first_byte: Option<Duration>,
    /// Instead of [`Settings::between_bytes_timeout`].
    pub between_bytes: Option<Duration>,
    /// When all of it ends, the body of the response included, whatever the other limits are.
    pub deadline: Option<Instant>,
}

/// Which limit of time was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The one that was set for this step.
    Limit(Duration),
    /// The deadline of the whole request.
    Deadline,
}

/// To be read after a verb: "did not answer …".
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Limit(limit) => write!(f, "within {limit:?}"),
            Bound::Deadline => f.write_str("before the deadline of the request"),
        }
    }
}

/// How long a step may take, and how long all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) limit: Duration,
    pub(crate) deadline: Option<Instant>,
}

impl Patience {
    /// When a step ends that begins at `start`, and why.
    pub(crate) fn end(self, start: Instant) -> (Instant, Bound) {
        // Whoever sets a limit beyond what the clock can count wants none.
        let at = start.checked_add(self.limit).unwrap_or_else(|| start + FAR);
        match self.deadline {
            Some(deadline) if deadline < at => (deadline, Bound::Deadline),
            Some(_) | None => (at, Bound::Limit(self.limit)),
        }
    }
}

/// Longer than any request: 30 years, as tokio takes it for "never".
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_cuts_a_limit_short() {
        let (now, limit) = (Instant::now(), Duration::from_secs(5));
        let end = |deadline: Option<u64>| {
            let deadline = deadline.map(|after| now + Duration::from_secs(after));
            Patience { limit, deadline }.end(now)
        };
        assert_eq!(end(None), (now + limit, Bound::Limit(limit)));
        assert_eq!(end(Some(9)), (now + limit, Bound::Limit(limit)));
        assert_eq!(end(Some(2)), (now + Duration::from_secs(2), Bound::Deadline));
        let endless = Patience { limit: Duration::MAX, deadline: None }.end(now);
        assert!(endless.0 > now + Duration::from_secs(86_400));
    }
}
