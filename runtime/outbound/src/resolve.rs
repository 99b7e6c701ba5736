//! How names become addresses.

use futures::future::BoxFuture;
use std::io;
use std::net::IpAddr;

/// How names become addresses. A [`Client`](crate::Client) asks for each new connection, checks
/// what it gets, and connects to that and nothing else: a name cannot point elsewhere afterwards.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a name, the best first.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system, with its files and servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
