//! The body of a replica's answer.

use crate::error::BodyError;
use crate::headers;
use crate::upstream::Upstream;
use crate::wire::{BoxError, Wire};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The body of a replica's answer.
///
/// Its connection is kept for the next request as soon as all of the answer was received. If it is
/// dropped before that, the connection is closed, so that the replica notices.
pub struct Answer<B: Body<Data = Bytes> + Unpin + 'static> {
    body: Incoming,
    /// The connection, while it is needed.
    wire: Option<Box<Wire<B>>>,
    /// Where the connection goes if it can be used again.
    home: Option<Arc<Upstream<B>>>,
}

impl<B> Answer<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new(
        body: Incoming,
        mut wire: Box<Wire<B>>,
        home: Option<Arc<Upstream<B>>>,
    ) -> Self {
        let is_complete = body.is_end_stream();
        if !is_complete && !wire.is_request_done() {
            wire.detach();
        }
        let mut answer = Answer { body, wire: Some(wire), home };
        answer.settle(is_complete);
        answer
    }

    /// Lets go of the connection if it is idle, or if the answer `is_complete`.
    fn settle(&mut self, is_complete: bool) {
        let is_idle = self.wire.as_ref().is_some_and(|wire| wire.is_idle());
        if !is_idle && !is_complete {
            return;
        }
        let wire = self.wire.take();
        if let (true, Some(wire), Some(home)) = (is_idle, wire, self.home.take()) {
            home.give_back(wire);
        }
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.wire {
            Some(wire) => wire.poll_frame(cx, &mut this.body),
            // All of it was received.
            None => Pin::new(&mut this.body).poll_frame(cx),
        };
        let frame = match ready!(polled) {
            Some(Ok(mut frame)) => {
                frame.trailers_mut().map(headers::clean_trailers);
                frame
            }
            Some(Err(error)) => {
                let mut wire = this.wire.take();
                let is_request_broken = wire.as_ref().is_some_and(|wire| wire.is_request_broken());
                let end = wire.as_mut().and_then(|wire| wire.take_end());
                return Poll::Ready(Some(Err(BodyError::of(error, end, is_request_broken))));
            }
            None => {
                this.settle(true);
                return Poll::Ready(None);
            }
        };
        this.settle(this.body.is_end_stream());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body<Data = Bytes> + Unpin + 'static> fmt::Debug for Answer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Answer");
        shown.field("body", &self.body).field("is_received", &self.wire.is_none()).finish()
    }
}
