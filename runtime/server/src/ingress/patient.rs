//! Patience with clients, and its end: with those that say nothing, those that take nothing, and
//! those that go on sending after the last answer.

use rustix::net::RecvFlags;
use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// What a client of HTTP/2 says first; RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2, without having asked for it before.
    Http2,
}

/// Waits until a client has said what it speaks, and leaves it to be read. None if it says too
/// little within `longest`, or leaves.
pub async fn version(stream: &TcpStream, longest: Duration) -> Option<Version> {
    let peek = || {
        let mut said = [0; PREFACE.len()];
        let (count, _) = rustix::net::recv(stream, &mut said, RecvFlags::PEEK)?;
        if count == 0 {
            return Ok(None);
        }
        match &said[..count] {
            said if !PREFACE.starts_with(said) => Ok(Some(Version::Http1)),
            said if said.len() == PREFACE.len() => Ok(Some(Version::Http2)),
            // Looked at again when there is more.
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    };
    let said = async {
        loop {
            let ready = stream.ready(Interest::READABLE).await.ok()?;
            match stream.try_io(Interest::READABLE, peek) {
                Ok(version) => return version,
                // There will not be more, and waiting for it would not wait.
                Err(_) if ready.is_read_closed() => return None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    };
    tokio::time::timeout(longest, said).await.ok()?
}

/// How long a client may take nothing of what it is sent, and whether it may still be sending.
#[derive(Debug)]
pub struct Patience {
    longest_nanos: AtomicU64,
    sends: AtomicBool,
}

impl Patience {
    /// So long.
    pub fn new(longest: Duration) -> Self {
        Patience { longest_nanos: AtomicU64::new(nanos(longest)), sends: AtomicBool::new(false) }
    }

    /// So long from now on.
    pub fn set(&self, longest: Duration) {
        self.longest_nanos.store(nanos(longest), Ordering::Relaxed);
    }

    /// Whether the last request has more than a head.
    pub fn set_sends(&self, sends: bool) {
        self.sends.store(sends, Ordering::Relaxed);
    }

    fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_nanos.load(Ordering::Relaxed))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long what a client still sends is taken, and thrown away, when there will be no more answers.
const LINGER: Duration = Duration::from_secs(2);

/// A connection whose client must take what it is sent: if it takes nothing for too long, writing
/// fails.
///
/// The kernel resets a connection that is closed while there is something to read, and a client that
/// is still sending its request would not see why it was refused. So what it sends is taken for a
/// while after the last answer, if the last request had a body; RFC 9112, section 9.6.
pub struct Patient<S> {
    stream: S,
    patience: Arc<Patience>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs: only while there is something the client does not take.
    is_armed: bool,
    /// Whether the client was told that there are no more answers, and the timer runs.
    lingers: bool,
}

impl<S> Patient<S> {
    /// Waits for the client of `stream` for so long.
    pub fn new(stream: S, patience: Arc<Patience>) -> Self {
        Patient { stream, patience, timer: None, is_armed: false, lingers: false }
    }

    /// An error if the client has not taken anything for too long.
    fn check<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_armed = false;
            return written;
        }
        let longest = self.patience.longest();
        if !self.is_armed {
            self.is_armed = true;
            self.set_timer(longest);
        }
        ready!(self.poll_timer(cx));
        let message = format!("the client has taken nothing for {longest:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S> Patient<S> {
    fn set_timer(&mut self, after: Duration) {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        timer.as_mut().reset(Instant::now() + after);
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// Takes what the client still sends, until it ends or time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [MaybeUninit::uninit(); 8 << 10];
        // The timer first: reading may use up this task's turn each time.
        while self.poll_timer(cx).is_pending() {
            let mut scrap = ReadBuf::uninit(&mut scrap);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut scrap));
            if read.is_err() || scrap.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.check(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.check(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lingers {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.patience.sends.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            self.lingers = true;
            self.set_timer(LINGER);
        }
        self.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    /// What is found of a client that says these pieces, one after the other.
    async fn found(pieces: &[&[u8]], leaves: bool) -> Option<Version> {
        let (mut client, server) = pair().await;
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let client = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if !leaves {
                std::future::pending::<()>().await;
            }
        });
        let version = version(&server, Duration::from_millis(400)).await;
        client.abort();
        version
    }

    #[tokio::test]
    async fn the_first_words_tell() {
        assert_eq!(found(&[b"GET / HTTP/1.1\r\n"], false).await, Some(Version::Http1));
        assert_eq!(found(&[b"P", b"OST"], false).await, Some(Version::Http1));
        assert_eq!(found(&[PREFACE], false).await, Some(Version::Http2));
        assert_eq!(
            found(&[&PREFACE[..3], &PREFACE[3..20], &PREFACE[20..]], false).await,
            Some(Version::Http2)
        );
    }

    #[tokio::test]
    async fn silence_ends() {
        assert_eq!(found(&[], false).await, None);
        assert_eq!(found(&[&PREFACE[..9]], false).await, None);
        assert_eq!(found(&[], true).await, None);
        assert_eq!(found(&[b"P"], true).await, None);
    }

    fn patience(millis: u64) -> Arc<Patience> {
        let patience = Patience::new(Duration::MAX);
        patience.set(Duration::from_millis(millis));
        Arc::new(patience)
    }

    #[tokio::test]
    async fn who_takes_nothing_is_left() {
        let (mut client, server) = pair().await;
        let mut server = Patient::new(server, patience(100));
        let sent = server.write_all(&vec![0; 64 << 20]).await;
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // One that takes something now and then is waited for.
        let (mut slow, server) = pair().await;
        let mut server = Patient::new(server, patience(400));
        let sent = tokio::spawn(async move { server.write_all(&vec![0; 16 << 20]).await });
        let mut taken = vec![0; 1 << 20];
        for _ in 0..16 {
            slow.read_exact(&mut taken).await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        sent.await.unwrap().unwrap();
        _ = client.shutdown().await;
    }

    #[tokio::test]
    async fn who_still_sends_is_told_why_it_was_refused() {
        let (mut client, server) = pair().await;
        let mut server = Patient::new(server, patience(100));
        server.patience.set_sends(true);
        let client = tokio::spawn(async move {
            // More than the kernel holds.
            client.write_all(&vec![0; 32 << 20]).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        });
        server.read_u8().await.unwrap();
        server.write_all(b"too much").await.unwrap();
        server.shutdown().await.unwrap();
        drop(server);
        assert_eq!(client.await.unwrap(), "too much");
    }

    #[tokio::test]
    async fn nobody_lingers_for_good() {
        let (mut client, server) = pair().await;
        let mut server = Patient::new(server, patience(100));
        server.patience.set_sends(true);
        let sending = tokio::spawn(async move {
            while client.write_all(&[0; 1 << 10]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        server.read_u8().await.unwrap();
        let began = Instant::now();
        server.shutdown().await.unwrap();
        assert!(began.elapsed() >= LINGER);
        drop(server);
        sending.await.unwrap();
        // One that has nothing more to say does not keep anybody waiting.
        let (_client, server) = pair().await;
        let mut server = Patient::new(server, patience(100));
        server.shutdown().await.unwrap();
        assert!(!server.lingers);
    }
}
