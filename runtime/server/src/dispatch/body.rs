//! Bodies in both directions, with their limits.

use super::answer::{Failure, FailureCode};
use crate::deployment::RequestLimits;
use crate::wasm::replica::Vitals;
use bytes::Bytes;
use futures::stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// Set once a request's body was larger than allowed. None if its length was known before.
pub type Overflow = Option<Arc<AtomicBool>>;

/// A body that is there.
pub fn full(body: Bytes) -> WasiBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> WasiBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Whether a frame is data, and none of it. Such frames say nothing, and clients of HTTP/2 that get
/// many of them take that for an attack.
fn is_empty(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(Bytes::is_empty)
}

/// Reads a whole request's body, which is within its limit.
///
/// # Errors
///
/// When it breaks off, which it also does if it is too large, or is not there after `longest`.
pub async fn read(body: WasiBody, longest: Duration) -> Result<Bytes, Failure> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(longest, body.collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) => {
            let message = format!("the request's body broke off: {error}");
            Err(Failure::new(FailureCode::RequestAborted, message))
        }
        Err(_) => {
            let message = format!("the request's body was not complete within {longest:?}");
            Err(Failure::new(FailureCode::RequestTimeout, message))
        }
    }
}

/// A request's body on its way to a guest.
pub struct RequestBody<B> {
    inner: B,
    left: u64,
    overflow: Arc<AtomicBool>,
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes, Error: Into<WasiError>> + Send + Unpin + 'static,
{
    /// A body of at most `bytes_max` bytes. One whose length is known was checked before.
    pub fn boxed(inner: B, bytes_max: u64) -> (WasiBody, Overflow) {
        if inner.is_end_stream() {
            return (empty(), None);
        }
        if inner.size_hint().exact().is_some() {
            return (inner.map_err(Into::into).boxed_unsync(), None);
        }
        let overflow = Arc::new(AtomicBool::new(false));
        let body = RequestBody { inner, left: bytes_max, overflow: Arc::clone(&overflow) };
        (body.boxed_unsync(), Some(overflow))
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes, Error: Into<WasiError>> + Unpin,
{
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        let frame = loop {
            match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) if is_empty(&frame) => {}
                Some(Ok(frame)) => break frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                self.overflow.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(WasiError::HttpRequestBodySize(None))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body on its way to a client.
pub enum ResponseBody {
    /// All of it is here.
    Full(Option<Bytes>),
    /// It comes from a replica, piece by piece.
    Stream(Box<StreamBody>),
}

/// Where a streamed body comes from.
pub struct Source {
    /// What was taken out of `inner` before.
    pub pieces: Vec<Frame<Bytes>>,
    /// The guest's end of it.
    pub inner: WasiBody,
    /// How the guest is doing; none if it comes from elsewhere.
    pub vitals: Option<Arc<Vitals>>,
}

/// What a streamed body may and must be.
pub struct StreamLimits {
    /// Bytes it may have.
    pub bytes_max: u64,
    /// Bytes it must have; none if the head does not say. Zero if no body is sent at all.
    pub announced: Option<u64>,
    /// The longest silence.
    pub stall: Duration,
}

/// Tells whoever serves the request how its body ended. Dropped without it when the client left.
pub trait BodyEnd: Send {
    /// The body is complete, or failed.
    fn ended(&mut self, complete: bool);
}

/// Nobody has to be told.
pub struct Unwatched;

impl BodyEnd for Unwatched {
    fn ended(&mut self, _complete: bool) {}
}

/// A body that a guest is still writing.
pub struct StreamBody {
    /// What was taken out of `inner` before.
    pieces: VecDeque<Frame<Bytes>>,
    inner: WasiBody,
    /// Bytes that may still come.
    left: u64,
    /// Bytes that must still come, if the head said how many. hyper asks for no more than those, so
    /// the body ends with the last of them.
    announced: Option<u64>,
    /// The longest silence.
    stall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs: only while the client wants more and the guest is silent.
    is_armed: bool,
    vitals: Option<Arc<Vitals>>,
    end: Box<dyn BodyEnd>,
    is_done: bool,
}

/// Why a response broke off. Its head was sent, so all that is left is to abort.
#[derive(Debug, thiserror::Error)]
pub enum BrokenBody {
    /// The guest failed or broke the rules of the protocol.
    #[error("the handler failed while it wrote the body")]
    Guest,
    /// The guest was silent for too long.
    #[error("the handler wrote nothing for {0:?}")]
    Stalled(Duration),
    /// More bytes than allowed.
    #[error("the response body is larger than allowed")]
    TooLarge,
}

impl ResponseBody {
    /// A body that is complete.
    pub fn full(bytes: Bytes) -> Self {
        ResponseBody::Full(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    /// How long it may stand still; none if it is complete.
    pub fn stall(&self) -> Option<Duration> {
        match self {
            ResponseBody::Full(_) => None,
            ResponseBody::Stream(stream) => Some(stream.stall),
        }
    }

    /// A body that a guest is still writing.
    pub fn stream(source: Source, limits: StreamLimits, end: Box<dyn BodyEnd>) -> Self {
        let mut stream = StreamBody {
            pieces: source.pieces.into(),
            inner: source.inner,
            vitals: source.vitals,
            left: limits.bytes_max,
            announced: limits.announced,
            stall: limits.stall,
            timer: None,
            is_armed: false,
            end,
            is_done: false,
        };
        stream.note_announced();
        ResponseBody::Stream(Box::new(stream))
    }

    /// A body that comes from elsewhere.
    pub fn foreign<B>(body: B, limits: &RequestLimits) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let inner = body.map_err(|_| WasiError::HttpProtocolError).boxed_unsync();
        let source = Source { pieces: Vec::new(), inner, vitals: None };
        let bytes_max = limits.response_body_bytes;
        let limits = StreamLimits { bytes_max, announced: None, stall: limits.stall_timeout };
        ResponseBody::stream(source, limits, Box::new(Unwatched))
    }

    /// The body of a guest that has returned. What it wrote is there already, most often in one
    /// piece; then it is sent with its length, in one write.
    ///
    /// # Errors
    ///
    /// Gives back the pieces taken so far if there is more to it than one piece of data.
    pub fn collect(inner: &mut WasiBody) -> Result<Self, Vec<Frame<Bytes>>> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = || match Pin::new(&mut *inner).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => Ok(Some(frame)),
            Poll::Ready(None) => Ok(None),
            Poll::Ready(Some(Err(error))) => {
                // It would look complete to whoever asks once more.
                *inner = http_body_util::StreamBody::new(stream::iter([Err(error)])).boxed_unsync();
                Err(())
            }
            Poll::Pending => Err(()),
        };
        let first = match next() {
            Ok(Some(first)) => first,
            Ok(None) => return Ok(ResponseBody::Full(None)),
            Err(()) => return Err(Vec::new()),
        };
        match next() {
            Ok(None) => match first.into_data() {
                Ok(bytes) => Ok(ResponseBody::full(bytes)),
                Err(trailers) => Err(vec![trailers]),
            },
            Ok(Some(second)) => Err(vec![first, second]),
            Err(()) => Err(vec![first]),
        }
    }
}

impl StreamBody {
    /// The body is complete with the last byte that was announced.
    fn note_announced(&mut self) {
        if self.announced == Some(0) && !self.is_done {
            self.is_done = true;
            self.end.ended(true);
        }
    }

    /// Ready when the guest has been silent for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall)));
        if !self.is_armed {
            self.is_armed = true;
            timer.as_mut().reset(Instant::now() + self.stall);
        }
        timer.as_mut().poll(cx)
    }

    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let frame = loop {
            let frame = match self.pieces.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(piece))),
                None => Pin::new(&mut self.inner).poll_frame(cx),
            };
            if !matches!(&frame, Poll::Ready(Some(Ok(frame))) if is_empty(frame)) {
                break frame;
            }
        };
        let Poll::Ready(frame) = frame else {
            std::task::ready!(self.poll_stalled(cx));
            return Poll::Ready(Some(Err(BrokenBody::Stalled(self.stall))));
        };
        self.is_armed = false;
        match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match self.left.checked_sub(bytes) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(Some(Err(BrokenBody::TooLarge))),
                }
                if let Some(announced) = &mut self.announced {
                    *announced = announced.saturating_sub(bytes);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => Poll::Ready(Some(Err(BrokenBody::Guest))),
            // A guest that failed drops its end of the body, which looks like the end of it.
            None if self.vitals.as_ref().is_some_and(|vitals| vitals.is_failed()) => {
                Poll::Ready(Some(Err(BrokenBody::Guest)))
            }
            None => Poll::Ready(None),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match &mut *self {
            ResponseBody::Full(bytes) => Poll::Ready(bytes.take().map(|all| Ok(Frame::data(all)))),
            ResponseBody::Stream(stream) => {
                if stream.is_done {
                    return Poll::Ready(None);
                }
                let frame = std::task::ready!(stream.poll_stream(cx));
                if matches!(frame, Some(Ok(_))) {
                    stream.note_announced();
                } else {
                    stream.is_done = true;
                    stream.end.ended(frame.is_none());
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Full(bytes) => bytes.is_none(),
            ResponseBody::Stream(stream) => stream.is_done,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            // A length the guest announced is in the head, where hyper looks first.
            ResponseBody::Stream(_) => SizeHint::default(),
        }
    }
}
