//! One connection to a replica, and who drives it.
//!
//! hyper's connection is a future that does the reading and writing. As long as one request is all
//! that happens, it is polled in place, by the task that waits for the answer.

use crate::outgoing::Outgoing;
use crate::socket::{Io, Socket, Vitals};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::task::AbortHandle;
use tokio::task::coop::unconstrained;

/// An error as hyper wants it from bodies.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection to a replica. Dropping it closes the connection.
pub(crate) struct Wire<B: Body<Data = Bytes> + Unpin + 'static> {
    sender: SendRequest<Outgoing<B>>,
    driver: Driver<B>,
    vitals: Arc<Vitals>,
    _open: Open,
}

/// Who drives a connection.
#[expect(clippy::large_enum_variant, reason = "it is part of a wire, which is boxed")]
enum Driver<B: Body<Data = Bytes> + Unpin + 'static> {
    /// Whoever waits for it.
    InPlace(Connection<Io, Outgoing<B>>),
    /// A task, which ends with the wire.
    Task(AbortHandle),
    /// Nobody: the connection has ended, with this error.
    Ended(Option<hyper::Error>),
}

/// Counts a connection while it is open.
pub(crate) struct Open(Arc<AtomicUsize>);

impl Open {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B> Driver<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Reads and writes what can be read and written now, if nobody else does it.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Driver::InPlace(connection) = self
            && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
        {
            *self = Driver::Ended(ended.err());
        }
    }
}

/// Nobody to wake.
///
/// A connection in place and what comes through it are polled like this first. What is ready is
/// taken then without leaving a waker, which hyper would wake, in the middle of the poll, for
/// nothing. Only what is not ready is polled once more with the real one.
fn unheard() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl<B> Wire<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// A connection over `socket`, on which nothing was sent yet.
    pub(crate) async fn new(
        socket: Socket,
        http: &Builder,
        open: Open,
    ) -> Result<Box<Self>, hyper::Error> {
        let vitals = Arc::new(Vitals::default());
        let io = Io::new(socket, Arc::clone(&vitals));
        let (sender, connection) = http.handshake(io).await?;
        Ok(Box::new(Wire { sender, driver: Driver::InPlace(connection), vitals, _open: open }))
    }

    /// Whether the last request and its answer are complete and nothing else was received, so that
    /// the next request can be sent. As of the last time the connection was driven.
    pub(crate) fn is_idle(&self) -> bool {
        let is_here = matches!(self.driver, Driver::InPlace(_));
        // hyper is ready for a request only once both messages are complete, and looks then whether
        // there are further bytes.
        is_here && self.sender.is_ready() && !self.vitals.is_deaf()
    }

    /// Whether the body of the request was handed over, or given up.
    pub(crate) fn is_request_done(&self) -> bool {
        self.vitals.is_body_done()
    }

    /// Whether the body of the request failed.
    pub(crate) fn is_request_broken(&self) -> bool {
        self.vitals.is_body_failed()
    }

    /// Sends a request and waits for the head of its answer. The error comes with the request if
    /// nothing of it was sent: hyper looks whether the replica has closed the connection, or sent
    /// something unasked, before it writes.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Request<B>>)> {
        self.vitals.reset();
        let request = request.map(|body| Outgoing::new(body, &self.vitals));
        // Without `unconstrained` it could be that tokio wants a pause and wakes nobody after it.
        let mut reply = pin!(unconstrained(self.sender.try_send_request(request)));
        let driver = &mut self.driver;
        let mut is_sent = false;
        let reply = std::future::poll_fn(move |cx| {
            // Nothing can be there right after sending.
            if std::mem::replace(&mut is_sent, true) {
                driver.drive(&mut unheard());
                let reply = reply.as_mut().poll(&mut unheard());
                if reply.is_ready() {
                    return reply;
                }
            }
            driver.drive(cx);
            reply.as_mut().poll(&mut unheard())
        });
        reply.await.map_err(|mut error| {
            let unsent = error.take_message().map(|request| request.map(Outgoing::into_inner));
            (error.into_error(), unsent)
        })
    }

    /// The next piece of the answer's body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut body = Pin::new(body);
        if matches!(self.driver, Driver::Task(_)) {
            return body.poll_frame(cx);
        }
        let mut polled = body.as_mut().poll_frame(&mut unheard());
        for waker in [Waker::noop(), cx.waker()] {
            if polled.is_pending() {
                self.driver.drive(&mut Context::from_waker(waker));
                polled = body.as_mut().poll_frame(&mut unheard());
            }
        }
        polled
    }

    /// Gives the connection a task of its own, so that the rest of the request is sent even while
    /// nobody asks for the answer's body.
    pub(crate) fn detach(&mut self) {
        self.driver = match std::mem::replace(&mut self.driver, Driver::Ended(None)) {
            Driver::InPlace(connection) => {
                // What went wrong shows in the answer's body.
                let task = tokio::spawn(async move { _ = connection.await });
                Driver::Task(task.abort_handle())
            }
            driver @ (Driver::Task(_) | Driver::Ended(_)) => driver,
        };
    }

    /// How the connection ended, if that is known.
    pub(crate) fn take_end(&mut self) -> Option<hyper::Error> {
        match &mut self.driver {
            Driver::Ended(error) => error.take(),
            Driver::InPlace(_) | Driver::Task(_) => None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin + 'static> Drop for Wire<B> {
    fn drop(&mut self) {
        if let Driver::Task(task) = &self.driver {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SendFailure;
    use http_body_util::Full;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    /// What becomes of a request over a connection on which the replica sent `bytes` and closed,
    /// all before the request. The request comes back.
    async fn unsent(bytes: &[u8]) -> SendFailure {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(bytes).await.unwrap();
        drop(theirs);
        ours.readable().await.unwrap();
        let (count, socket) = (Arc::default(), Socket::Unix(TokioIo::new(ours)));
        let mut wire = Wire::new(socket, &Builder::new(), Open::new(&count)).await.unwrap();
        let request = Request::post("/a").body(Full::new(Bytes::from("body"))).unwrap();
        let (error, request) = wire.exchange(request).await.expect_err("there is an answer");
        assert_eq!(request.expect("nothing was sent").uri(), "/a");
        assert!(!wire.is_idle());
        SendFailure::of_unsent(error)
    }

    #[tokio::test]
    async fn a_replica_that_speaks_first_speaks_no_http() {
        let failure = unsent(b"220 mail.example ESMTP\r\n").await;
        assert!(matches!(failure, SendFailure::NotHttp { .. }), "{failure:?}");
        let failure = unsent(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert!(matches!(failure, SendFailure::NotHttp { .. }), "{failure:?}");
    }

    #[tokio::test]
    async fn a_replica_that_closes_first_gives_the_request_back() {
        let failure = unsent(b"").await;
        assert!(matches!(failure, SendFailure::ClosedBeforeAnswer { .. }), "{failure:?}");
    }
}
