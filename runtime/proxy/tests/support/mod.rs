//! Replicas played by the test itself, byte by byte, and requests to them.

#![allow(dead_code, reason = "not every test file uses everything")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use samovar_proxy::{Address, Answer, Counts, Options, SendError, SendFailure, Upstream};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub type Body = UnsyncBoxBody<Bytes, io::Error>;
pub type Sent = Result<Response<Answer<Body>>, SendError<Body>>;

/// What takes this long hangs.
const HANG: Duration = Duration::from_secs(30);

/// Fails if the test hangs.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, what).await.expect("it hangs")
}

/// A replica that does what the test does.
pub struct Replica {
    listener: TcpListener,
    pub upstream: Arc<Upstream<Body>>,
}

impl Replica {
    pub async fn new() -> Self {
        Self::with(Options { idle_timeout: HANG, ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        Replica { listener, upstream: Upstream::new(address, options) }
    }

    pub async fn accept(&self) -> Peer<TcpStream> {
        Peer(soon(self.listener.accept()).await.unwrap().0)
    }

    /// Sends the request in a task of its own.
    pub fn send(&self, request: Request<Body>) -> tokio::task::JoinHandle<Sent> {
        let upstream = Arc::clone(&self.upstream);
        tokio::spawn(async move { upstream.send(request).await })
    }

    /// What becomes of a request whose answer is these bytes, after which the replica closes.
    pub async fn answer_and_close(&self, request: Request<Body>, bytes: &[u8]) -> Sent {
        let sent = self.send(request);
        let mut peer = self.accept().await;
        peer.head().await;
        peer.write(bytes).await;
        drop(peer);
        soon(sent).await.unwrap()
    }

    /// The same for a GET.
    pub async fn get_and_close(&self, bytes: &[u8]) -> Sent {
        self.answer_and_close(get("/"), bytes).await
    }

    pub fn counts(&self) -> (usize, usize) {
        let Counts { open, idle } = self.upstream.counts();
        (open, idle)
    }

    /// Waits until so many connections are open.
    pub async fn open(&self, expected: usize) {
        soon(until(|| self.upstream.counts().open == expected)).await;
    }

    /// Waits until so many connections are idle.
    pub async fn idle(&self, expected: usize) {
        soon(until(|| self.upstream.counts().idle == expected)).await;
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The replica's end of a connection.
pub struct Peer<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The head of a request, without its last empty line.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = soon(self.0.read_u8()).await.expect("the connection ends in a head");
            head.push(byte);
        }
        String::from_utf8(head).unwrap().trim_end().replace("\r\n", "\n")
    }

    /// So many bytes of a body.
    pub async fn body(&mut self, bytes: usize) -> String {
        let mut body = vec![0; bytes];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        String::from_utf8(body).unwrap()
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Answers with this body.
    pub async fn answer(&mut self, body: &str) {
        let length = body.len();
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }

    /// Whether the server closes the connection; what it sends before is thrown away.
    pub async fn sees_the_end(&mut self) {
        // A connection with unread bytes is reset; that is an end too.
        _ = soon(tokio::io::copy(&mut self.0, &mut tokio::io::sink())).await;
    }
}

pub fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(empty()).unwrap()
}

pub fn post(body: Body) -> Request<Body> {
    Request::post("/").body(body).unwrap()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that the test writes, of unknown length.
pub fn channel() -> (http_body_util::channel::Sender<Bytes, io::Error>, Body) {
    let (sender, body) = http_body_util::channel::Channel::new(1);
    (sender, body.boxed_unsync())
}

/// The whole body of an answer.
pub async fn text(response: Response<Answer<Body>>) -> String {
    let body = soon(response.into_body().collect()).await.expect("the body is complete");
    String::from_utf8(body.to_bytes().into()).unwrap()
}

/// The request got no answer; whether it came back, and why.
#[track_caller]
pub fn refused(sent: Sent) -> (bool, SendFailure) {
    let error = sent.map(|response| response.into_parts().0).expect_err("there is an answer");
    (error.request.is_some(), error.failure)
}
