//! What a request has of a connection.

use super::slot::Slot;
use super::{Pool, Shared};
use crate::outgoing::Outgoing;
use crate::target::Target;
use crate::wire::{Http1, Http2, Wire};
use futures::future::Either;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use std::sync::Arc;
use tokio::runtime::Handle;

/// A connection, or a stream of one, for one request and its response.
///
/// Dropping it gives the request up: it closes the connection, or leaves the others of it alone.
pub(crate) enum Lease {
    One(One),
    Stream(Stream),
}

/// A connection with HTTP/1.1.
pub(crate) struct One {
    pool: Arc<Pool>,
    target: Target,
    wire: Http1,
    slot: Slot,
}

/// A stream of a connection with HTTP/2.
pub(crate) struct Stream {
    pool: Arc<Pool>,
    target: Target,
    number: u64,
    wire: Http2,
    /// There until the stream ends.
    slot: Option<Arc<Slot>>,
}

impl Lease {
    pub(super) fn one(pool: &Arc<Pool>, target: Target, wire: Http1, slot: Slot) -> Lease {
        Lease::One(One { pool: Arc::clone(pool), target, wire, slot })
    }

    /// The version in which requests are to be sent.
    pub(crate) fn version(&self) -> Version {
        match self {
            Lease::One(_) => Version::HTTP_11,
            Lease::Stream(_) => Version::HTTP_2,
        }
    }

    /// Sends a request. The error has it if nothing of it was sent.
    pub(crate) fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>> + use<>
    {
        match self {
            Lease::One(one) => Either::Left(one.wire.sender.try_send_request(request)),
            Lease::Stream(stream) => Either::Right(stream.wire.sender.try_send_request(request)),
        }
    }

    /// All of the response was received: the connection is for others now, once the rest of the
    /// request is sent.
    pub(crate) fn finish(self) {
        let Lease::One(mut one) = self else { return };
        if one.wire.sender.is_ready() {
            one.rest();
        } else if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if one.wire.sender.ready().await.is_ok() {
                    one.rest();
                }
            });
        }
    }
}

impl One {
    fn rest(self) {
        self.pool.rest(self.target, Wire::Http1(self.wire), self.slot);
    }
}

impl Stream {
    /// A stream of `shared` that was counted.
    pub(super) fn new(pool: &Arc<Pool>, target: &Target, shared: &Shared) -> Stream {
        let (pool, slot) = (Arc::clone(pool), Some(Arc::clone(&shared.slot)));
        let (target, wire) = (target.clone(), shared.wire.clone());
        Stream { pool, target, number: shared.number, wire, slot }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.slot = None;
        self.pool.end_stream(&self.target, self.number);
    }
}
