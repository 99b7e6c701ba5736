//! New connections: look up, check, connect to what was checked, set up TLS.

use crate::address::{AddressPolicy, Denied};
use crate::error::Error;
use crate::host::Host;
use crate::resolve::Resolve;
use crate::settings::{Bound, Patience};
use crate::target::{Scheme, Target};
use crate::tls::Tls;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

/// Addresses of one name that are tried. With more, none would have a fair share of the time.
const ADDRESSES_MAX: usize = 16;

/// What new connections need to know.
pub(crate) struct Connector {
    pub(crate) addresses: AddressPolicy,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) tls: Tls,
}

/// A connection.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connector {
    /// A new connection to `target`, whose name is `shown`.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        shown: &str,
        start: Instant,
        patience: Patience,
    ) -> Result<Socket, Error> {
        let (end, bound) = patience.end(start);
        let found = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let looked_up = timeout_at(end, self.resolver.resolve(name)).await;
                let late = |_| Error::DnsTimeout { target: shown.to_owned(), bound };
                let failed = |source| Error::Dns { target: shown.to_owned(), source };
                looked_up.map_err(late)?.map_err(failed)?
            }
        };
        let addresses = self.check(found, shown)?;
        let stream = connect_one(&addresses, target.port, shown, (end, bound)).await?;
        match target.scheme {
            Scheme::Http => Ok(Socket::Plain(stream)),
            Scheme::Https => {
                let tls = Box::pin(self.encrypt(stream, target, shown));
                let late = |_| Error::ConnectTimeout { target: shown.to_owned(), bound };
                timeout_at(end, tls).await.map_err(late)?
            }
        }
    }

    /// The addresses that may be connected to. One at least.
    fn check(&self, found: Vec<IpAddr>, shown: &str) -> Result<Vec<IpAddr>, Error> {
        let target = shown.to_owned();
        if found.is_empty() {
            let source = io::Error::new(io::ErrorKind::NotFound, "it has no address");
            return Err(Error::Dns { target, source });
        }
        let mut denied: Vec<Denied> = Vec::new();
        let mut allowed = Vec::new();
        for address in found {
            match self.addresses.check(address) {
                Ok(()) => allowed.push(address),
                Err(why) => denied.push(why),
            }
        }
        if allowed.is_empty() {
            return Err(Error::Address { target, denied });
        }
        allowed.truncate(ADDRESSES_MAX);
        Ok(allowed)
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
        target: &Target,
        shown: &str,
    ) -> Result<Socket, Error> {
        let internal = |reason| Error::Internal { target: shown.to_owned(), reason };
        let connector = self.tls.connector().await.map_err(internal)?;
        let name = match &target.host {
            Host::Address(address) => ServerName::IpAddress((*address).into()),
            // Certificates are for names without underscores and the like.
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| {
                let source = io::Error::new(io::ErrorKind::InvalidInput, error);
                Error::Tls { target: shown.to_owned(), source }
            })?,
        };
        let stream = connector.connect(name, stream).await.map_err(|source| {
            let target = shown.to_owned();
            let inner = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
            match inner {
                Some(rustls::Error::InvalidCertificate(_)) => Error::Certificate { target, source },
                Some(_) | None => Error::Tls { target, source },
            }
        })?;
        Ok(Socket::Tls(Box::new(stream)))
    }
}

/// Connects to the first address that accepts. Each has an equal share of the time that is left.
async fn connect_one(
    addresses: &[IpAddr],
    port: u16,
    shown: &str,
    (end, bound): (Instant, Bound),
) -> Result<TcpStream, Error> {
    let late = || Error::ConnectTimeout { target: shown.to_owned(), bound };
    let mut last = late();
    for (index, &address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = now + end.saturating_duration_since(now) / left;
        let address = SocketAddr::new(address, port);
        last = match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match stream.set_nodelay(true) {
                Ok(()) => return Ok(stream),
                Err(source) => Error::Connect { target: shown.to_owned(), address, source },
            },
            Ok(Err(source)) => Error::Connect { target: shown.to_owned(), address, source },
            Err(_) => late(),
        };
    }
    Err(last)
}

impl Socket {
    /// Whether both sides agreed on HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        match self {
            Socket::Plain(_) => false,
            Socket::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
