//! Sites played by the test, a resolver that says what the test wants, and requests.

#![allow(dead_code, reason = "not every test file uses everything")]

pub mod peer;
pub mod site;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use samovar_outbound::{
    AddressPolicy, AllowList, Body, CallOptions, Client, Error, Resolve, Settings,
};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub type Sent = UnsyncBoxBody<Bytes, io::Error>;
pub type Answer = Result<Response<Body>, Error>;

/// What takes this long hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// A time limit that is meant to be reached.
pub const SHORT: Duration = Duration::from_millis(30);

/// Fails if the test hangs.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, what).await.expect("it hangs")
}

/// Waits until it is so.
pub async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(wait).await;
}

/// Names and their addresses. `slow.example` is never found.
#[derive(Clone, Default)]
pub struct Names(HashMap<String, Vec<IpAddr>>);

impl Names {
    /// Each line is a name and its addresses.
    pub fn new(lines: &[&str]) -> Arc<Names> {
        let entry = |line: &&str| {
            let mut words = line.split(' ').map(str::to_owned);
            let name = words.next().unwrap();
            (name, words.map(|address| address.parse().unwrap()).collect())
        };
        Arc::new(Names(lines.iter().map(entry).collect()))
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            if name == "slow.example" {
                std::future::pending::<()>().await;
            }
            let found = self.0.get(name).cloned();
            found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "nobody has this name"))
        })
    }
}

/// Allows everything on this machine, and has limits that are not reached.
pub fn settings() -> Settings {
    Settings {
        allow: AllowList::parse(["*://*:*"]).unwrap(),
        addresses: AddressPolicy::parse(["loopback"]).unwrap(),
        connect_timeout: HANG,
        first_byte_timeout: HANG,
        between_bytes_timeout: HANG,
        idle_timeout: HANG,
        ..Settings::default()
    }
}

pub fn client(settings: Settings) -> Client {
    with_names(settings, &["site.example 127.0.0.1", "other.example 127.0.0.1"])
}

pub fn with_names(settings: Settings, lines: &[&str]) -> Client {
    Client::with_resolver(settings, Names::new(lines)).unwrap()
}

pub fn get(url: impl AsRef<str>) -> Request<Sent> {
    Request::get(url.as_ref()).body(empty()).unwrap()
}

pub fn post(url: impl AsRef<str>, body: Sent) -> Request<Sent> {
    Request::post(url.as_ref()).body(body).unwrap()
}

pub fn empty() -> Sent {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(body: impl Into<Bytes>) -> Sent {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that the test writes, of unknown length.
pub fn channel() -> (http_body_util::channel::Sender<Bytes, io::Error>, Sent) {
    let (sender, body) = http_body_util::channel::Channel::new(1);
    (sender, body.boxed_unsync())
}

pub async fn send(client: &Client, request: Request<Sent>) -> Answer {
    soon(client.send(request, CallOptions::default())).await
}

/// Sends the request in a task of its own.
pub fn start(client: &Client, request: Request<Sent>) -> tokio::task::JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.send(request, CallOptions::default()).await })
}

/// The whole body of a response, or how it broke off.
pub async fn read(response: Response<Body>) -> Result<String, Error> {
    let body = soon(response.into_body().collect()).await?;
    Ok(String::from_utf8(body.to_bytes().into()).unwrap())
}

/// The whole body of the response to a GET.
pub async fn text(client: &Client, url: impl AsRef<str>) -> String {
    let response = send(client, get(url)).await.expect("there is a response");
    read(response).await.expect("the body is complete")
}

/// Why the request got no response.
pub async fn refused(client: &Client, request: Request<Sent>) -> Error {
    send(client, request).await.expect_err("there is a response")
}

/// The error with its causes.
pub fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
