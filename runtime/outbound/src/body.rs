//! The body of a response.

use crate::error::{Error, of_hyper};
use crate::outgoing::Upload;
use crate::pool::Lease;
use crate::settings::Patience;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use samovar_proxy::headers;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// The body of a response.
///
/// It fails with an [`Error`] if it is larger than allowed, or if the next bytes take too long
/// while somebody waits for them; time in which nobody asks for them does not count. After an
/// error it is at its end.
///
/// Its connection is used for other requests once all of it was received. Dropping it before that
/// gives the response up: with HTTP/1.1 the connection is closed, with HTTP/2 the stream.
pub struct Body {
    /// None after an error.
    incoming: Option<Incoming>,
    left_bytes: u64,
    /// The connection, while it is needed.
    lease: Option<Lease>,
    rules: Rules,
    /// When the wait ends that is under way, if there is one.
    pause: Option<Pin<Box<Sleep>>>,
    is_paused: bool,
}

/// What a body has to obey.
pub(crate) struct Rules {
    pub(crate) target: String,
    pub(crate) body_bytes_max: u64,
    pub(crate) head_bytes_max: usize,
    pub(crate) patience: Patience,
    pub(crate) upload: Arc<Upload>,
}

impl Body {
    pub(crate) fn new(incoming: Incoming, lease: Lease, rules: Rules) -> Body {
        let left_bytes = rules.body_bytes_max;
        let (incoming, lease) = (Some(incoming), Some(lease));
        let mut body = Body { incoming, left_bytes, lease, rules, pause: None, is_paused: false };
        body.settle();
        body
    }

    /// Lets go of the connection once all is received.
    fn settle(&mut self) {
        if self.incoming.as_ref().is_some_and(HttpBody::is_end_stream) {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        // A stream with a request that is still being sent goes with the body.
        let keeps = matches!(self.lease, Some(Lease::Stream(_))) && !self.rules.upload.is_over();
        if !keeps && let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }

    /// Whether the next bytes take too long.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let (end, bound) = self.rules.patience.end(Instant::now());
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if !std::mem::replace(&mut self.is_paused, true) {
            pause.as_mut().reset(end);
        }
        let target = || self.rules.target.clone();
        pause.as_mut().poll(cx).map(|()| Error::BetweenBytesTimeout { target: target(), bound })
    }

    /// Takes a frame of the right size.
    fn accept(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or_else(|| {
            let limit_bytes = self.rules.body_bytes_max;
            Error::ResponseBodyTooLarge { target: self.rules.target.clone(), limit_bytes }
        })?;
        frame.trailers_mut().map(headers::clean_trailers);
        Ok(frame)
    }

    /// What went wrong: the body of the request, if that is what failed.
    fn explain(&self, error: hyper::Error) -> Error {
        let target = &self.rules.target;
        let of_request = self.rules.upload.take_error(target);
        of_request.unwrap_or_else(|| of_hyper(error, target, self.rules.head_bytes_max))
    }

    /// Ends the body and closes its connection.
    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.incoming = None;
        self.lease = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending => {
                return match this.poll_pause(cx) {
                    Poll::Ready(late) => this.fail(late),
                    Poll::Pending => Poll::Pending,
                };
            }
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => {
                let error = this.explain(error);
                return this.fail(error);
            }
            Poll::Ready(None) => {
                this.let_go();
                return Poll::Ready(None);
            }
        };
        this.is_paused = false;
        match this.accept(frame) {
            Ok(frame) => {
                this.settle();
                Poll::Ready(Some(Ok(frame)))
            }
            Err(error) => this.fail(error),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Body");
        shown.field("target", &self.rules.target).field("incoming", &self.incoming);
        shown.field("is_received", &self.lease.is_none()).finish()
    }
}
