//! A connection's socket, and what is to be known about the exchange that runs over it.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use tokio::net::{TcpStream, UnixStream};

/// A stream of bytes to a replica.
pub(crate) enum Socket {
    Tcp(TokioIo<TcpStream>),
    Unix(TokioIo<UnixStream>),
}

/// What is known about the request that a connection carries; its parts share it.
#[derive(Default)]
pub(crate) struct Vitals(AtomicU8);

/// The body of the request was handed over or given up.
const BODY_DONE: u8 = 1;
/// The body of the request failed.
const BODY_FAILED: u8 = 2;
/// The replica takes no more bytes.
const DEAF: u8 = 4;

impl Vitals {
    /// A new request begins.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(crate) fn note_body_done(&self) {
        self.set(BODY_DONE);
    }

    pub(crate) fn note_body_failed(&self) {
        self.set(BODY_FAILED);
    }

    pub(crate) fn is_body_done(&self) -> bool {
        self.has(BODY_DONE)
    }

    pub(crate) fn is_body_failed(&self) -> bool {
        self.has(BODY_FAILED)
    }

    pub(crate) fn is_deaf(&self) -> bool {
        self.has(DEAF)
    }

    // Whoever reads a flag in another task learns of the change through hyper's channels, which
    // order memory.
    fn set(&self, flag: u8) {
        self.0.fetch_or(flag, Ordering::Relaxed);
    }

    fn has(&self, flag: u8) -> bool {
        self.0.load(Ordering::Relaxed) & flag != 0
    }
}

/// A socket as hyper uses it.
///
/// A replica may answer and close before it has read the whole request. What it has answered is
/// still there to be read, but hyper gives up as soon as it cannot write. So once the replica takes
/// no more bytes they are thrown away here, and reading tells how the exchange ends: with the
/// answer or with the connection. Such a connection is never used again.
pub(crate) struct Io {
    socket: Socket,
    vitals: Arc<Vitals>,
}

impl Io {
    pub(crate) fn new(socket: Socket, vitals: Arc<Vitals>) -> Self {
        Io { socket, vitals }
    }

    /// `written`, or all `bytes` if the replica takes none.
    fn note(&self, written: io::Result<usize>, bytes: usize) -> io::Result<usize> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match written {
            Err(error)
                if [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&error.kind()) =>
            {
                self.vitals.set(DEAF);
                Ok(bytes)
            }
            written => written,
        }
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.vitals.is_deaf() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        Poll::Ready(self.note(ready!(written), bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = || slices.iter().map(|slice| slice.len()).sum();
        if self.vitals.is_deaf() {
            return Poll::Ready(Ok(bytes()));
        }
        let written = match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        Poll::Ready(self.note(ready!(written), bytes()))
    }

    fn is_write_vectored(&self) -> bool {
        true // Both kinds of sockets can.
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
