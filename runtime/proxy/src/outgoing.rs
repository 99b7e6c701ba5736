//! The body of a request on its way to a replica.

use crate::socket::Vitals;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A request's body that notes when hyper has no more use for it.
pub(crate) struct Outgoing<B> {
    body: B,
    watch: Watch,
}

/// Apart from [`Outgoing`], so that the body can be taken out of it.
struct Watch(Arc<Vitals>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.note_body_done();
    }
}

impl<B> Outgoing<B> {
    pub(crate) fn new(body: B, vitals: &Arc<Vitals>) -> Self {
        Outgoing { body, watch: Watch(Arc::clone(vitals)) }
    }

    pub(crate) fn into_inner(self) -> B {
        self.body
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(_))) = polled {
            self.watch.0.note_body_failed();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
