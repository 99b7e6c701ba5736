//! The body of a request on its way.

use crate::error::{BoxError, Error};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// The body of a request, counted while it is sent.
pub(crate) struct Outgoing {
    body: UnsyncBoxBody<Bytes, BoxError>,
    left_bytes: u64,
    upload: Arc<Upload>,
}

/// How far a request's body is.
pub(crate) struct Upload {
    state: Mutex<State>,
    limit_bytes: u64,
}

struct State {
    moved_at: Instant,
    is_over: bool,
    fault: Option<Fault>,
}

enum Fault {
    TooLarge,
    Broken(BoxError),
}

/// What hyper is told when a body may not go on. The request's error says more.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request cannot be sent")]
struct Stopped;

impl Outgoing {
    /// A body of at most `limit_bytes`, and what tells how far it is.
    pub(crate) fn new<B>(body: B, limit_bytes: u64, now: Instant) -> (Outgoing, Arc<Upload>)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let is_over = body.is_end_stream();
        let state = Mutex::new(State { moved_at: now, is_over, fault: None });
        let upload = Arc::new(Upload { state, limit_bytes });
        let body = body.map_err(Into::into).boxed_unsync();
        (Outgoing { body, left_bytes: limit_bytes, upload: Arc::clone(&upload) }, upload)
    }
}

impl Upload {
    /// When the last piece was taken up, or the request was made.
    pub(crate) fn moved_at(&self) -> Instant {
        self.state.lock().moved_at
    }

    /// Whether all of the body was taken up, or nobody wants the rest.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// The error of the request if its body is what failed. It is told once.
    pub(crate) fn take_error(&self, target: &str) -> Option<Error> {
        let target = target.to_owned();
        match self.state.lock().fault.take()? {
            Fault::TooLarge => {
                Some(Error::RequestBodyTooLarge { target, limit_bytes: self.limit_bytes })
            }
            Fault::Broken(source) => Some(Error::RequestBody { target, source }),
        }
    }

    fn stop(&self, fault: Fault) -> Stopped {
        let mut state = self.state.lock();
        (state.is_over, state.fault) = (true, Some(fault));
        Stopped
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else {
            this.upload.state.lock().is_over = true;
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let stopped = this.upload.stop(Fault::Broken(error));
                return Poll::Ready(Some(Err(stopped.into())));
            }
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match this.left_bytes.checked_sub(bytes) {
            Some(left) => this.left_bytes = left,
            None => return Poll::Ready(Some(Err(this.upload.stop(Fault::TooLarge).into()))),
        }
        let mut state = this.upload.state.lock();
        (state.moved_at, state.is_over) = (Instant::now(), this.body.is_end_stream());
        drop(state);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.upload.state.lock().is_over = true;
    }
}
