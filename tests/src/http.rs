//! A small HTTP client for both listeners.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::wait::within;

/// The body of a request.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is known as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A client of one listener. Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Body>,
    address: SocketAddr,
    token: Option<String>,
}

impl Http {
    /// A client that speaks HTTP/1.1 to `address`.
    pub fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { client, address, token: None }
    }

    /// A client that speaks HTTP/2 from the first byte.
    pub fn http2(address: SocketAddr) -> Self {
        let client =
            Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
        Self { client, address, token: None }
    }

    /// The same client, sending `token` with every request.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The address this client talks to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of `path` (which starts with a slash).
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request for `path`, with the token if there is one.
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(self.url(path));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path), "").await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path), "").await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(self.request(Method::POST, path), body).await
    }

    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(self.request(Method::PUT, path), body).await
    }

    pub async fn put_json(&self, path: &str, body: &Value) -> Reply {
        let request = self.request(Method::PUT, path).header("content-type", "application/json");
        self.send(request, body.to_string()).await
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Panics
    /// When there is no complete answer.
    pub async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Reply {
        let request = request.body(full(body)).expect("the test wrote a valid request");
        let what = format!("{} {}", request.method(), request.uri());
        match self.try_send(request).await {
            Ok(reply) => reply,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Like [`Http::get`], but a broken connection is an answer too.
    pub async fn try_get(&self, path: &str) -> Result<Reply, String> {
        let request = self.request(Method::GET, path).body(full("")).expect("a valid request");
        self.try_send(request).await
    }

    /// Sends `request` and reads the whole answer, or says what broke.
    pub async fn try_send(&self, request: Request<Body>) -> Result<Reply, String> {
        let response = self.open(request).await?;
        let (head, body) = response.into_parts();
        let body = within("read a response body", body.collect()).await;
        let body = body.map_err(|error| format!("broken body: {}", chain(&error)))?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends `request` and returns as soon as the head of the answer is there.
    pub async fn open(&self, request: Request<Body>) -> Result<Response<Incoming>, String> {
        let answer = within("wait for a response head", self.client.request(request)).await;
        answer.map_err(|error| format!("no response: {}", chain(&error)))
    }

    /// Opens `GET path` and returns as soon as the head of the answer is there.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn open_get(&self, path: &str) -> Response<Incoming> {
        let request = self.request(Method::GET, path).body(full("")).expect("a valid request");
        self.open(request).await.expect("the server answers")
    }
}

/// The next piece of a body: `Ok(None)` at its proper end, `Err` if it was cut.
pub async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, String> {
    loop {
        match within("read the next piece of a body", body.frame()).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(chain(&error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// This answer, which must have the status `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The error in this answer, which must have this status and code, and a message.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        let seen = (self.status, self.json()["error"]["code"].clone());
        assert_eq!(seen, (status, Value::from(code)), "{}", self.text());
        let error = self.json()["error"].clone();
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        error
    }

    /// Like [`Reply::refused`] for errors that the host made in place of a handler: they carry
    /// their code in the header `samovar-error` too.
    #[track_caller]
    pub fn host_error(&self, status: u16, code: &str) -> Value {
        let error = self.refused(status, code);
        assert_eq!(self.header("samovar-error"), Some(code), "{:?}", self.headers);
        error
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("status {}, not JSON ({error}): {}", self.status, self.text()),
        }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of the header `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
