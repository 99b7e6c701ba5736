//! Where a replica listens.

use crate::socket::Socket;
use http::HeaderValue;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use tokio::net::{TcpStream, UnixStream};

/// Where a replica listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port of a known machine, mostly this one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// A port of a machine by name, which is looked up anew for each connection.
    Host {
        /// A DNS name or an IP address without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

impl Address {
    /// A new connection. Of a name with several addresses the first that accepts is taken.
    pub(crate) async fn connect(&self) -> io::Result<Socket> {
        let stream = match self {
            Address::Tcp(address) => TcpStream::connect(address).await?,
            Address::Host { host, port } => TcpStream::connect((host.as_str(), *port)).await?,
            Address::Unix(path) => {
                return Ok(Socket::Unix(TokioIo::new(UnixStream::connect(path).await?)));
            }
        };
        stream.set_nodelay(true)?;
        Ok(Socket::Tcp(TokioIo::new(stream)))
    }

    /// The `Host` of requests that name none.
    pub(crate) fn host(&self) -> HeaderValue {
        let host = match self {
            Address::Unix(_) => return HeaderValue::from_static("localhost"),
            Address::Tcp(_) | Address::Host { .. } => self.to_string(),
        };
        // A name that cannot be in a header cannot be looked up either.
        HeaderValue::try_from(host).unwrap_or_else(|_| HeaderValue::from_static("localhost"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Host { host, port } if host.parse::<Ipv6Addr>().is_ok() => {
                write!(f, "[{host}]:{port}")
            }
            Address::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &Address, shown: &str, host: &str) {
        assert_eq!((address.to_string().as_str(), address.host().to_str().unwrap()), (shown, host));
    }

    #[test]
    fn addresses_are_shown_and_named() {
        check(&Address::Tcp("127.0.0.1:80".parse().unwrap()), "127.0.0.1:80", "127.0.0.1:80");
        check(&Address::Unix("/run/a".into()), "unix:/run/a", "localhost");
        let named = |host: &str| Address::Host { host: host.into(), port: 8000 };
        check(&named("gpu.example"), "gpu.example:8000", "gpu.example:8000");
        check(&named("::1"), "[::1]:8000", "[::1]:8000");
        check(&named("a\nb"), "a\nb:8000", "localhost");
    }
}
