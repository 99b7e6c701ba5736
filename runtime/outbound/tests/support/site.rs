//! A site that behaves, over HTTP/1.1 and, with TLS, HTTP/2.

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A site. It counts its connections.
pub struct Site {
    port: u16,
    scheme: &'static str,
    accepted: Arc<AtomicUsize>,
    open: Open,
}

/// The tasks of connections.
type Open = Arc<Mutex<JoinSet<()>>>;

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// How a site speaks TLS that has a certificate for this host.
    fn serve(&self, host: &str, protocols: &[&str]) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

impl Site {
    pub async fn http() -> Site {
        Site::start(None).await
    }

    /// With a certificate for `host`, and these protocols on offer.
    pub async fn https(authority: &Authority, host: &str, protocols: &[&str]) -> Site {
        let config = authority.serve(host, protocols);
        Site::start(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(tls: Option<TlsAcceptor>) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepted = Arc::new(AtomicUsize::new(0));
        let open = Open::default();
        let (count, connections) = (Arc::clone(&accepted), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let tls = tls.clone();
                connections.lock().spawn(async move {
                    let Some(tls) = tls else { return serve(stream).await };
                    // A client that does not trust the certificate leaves.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream).await;
                    }
                });
            }
        });
        Site { port, scheme, accepted, open }
    }

    /// Closes all connections, in the middle of whatever is on them.
    pub fn close_all(&self) {
        self.open.lock().abort_all();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        self.at("site.example", path)
    }

    pub fn at(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.port)
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let http = Builder::new(TokioExecutor::new());
    _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

/// What a site answers, by the first part of the path.
async fn answer(request: Request<Incoming>) -> Result<Reply, Infallible> {
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (what, rest) = (parts.next().unwrap(), parts.next().unwrap_or_default());
    Ok(match what {
        "bytes" => reply(vec![b'x'; rest.parse().unwrap()]),
        // No length is announced.
        "pieces" => {
            let pieces = (0..rest.parse().unwrap()).map(|_| Ok(Frame::data("1234567890".into())));
            Response::new(StreamBody::new(stream::iter(pieces)).boxed_unsync())
        }
        "trailers" => {
            let trailers = HeaderMap::from_iter([
                (HeaderName::from_static("x-sum"), HeaderValue::from_static("1")),
                (HeaderName::from_static("content-length"), HeaderValue::from_static("2")),
            ]);
            let frames = [Frame::data("some".into()), Frame::trailers(trailers)];
            let body = StreamBody::new(stream::iter(frames.map(Ok))).boxed_unsync();
            Response::builder().header("trailer", "x-sum").body(body).unwrap()
        }
        "head" => {
            let value = "x".repeat(rest.parse().unwrap());
            Response::builder().header("x-large", value).body(body("")).unwrap()
        }
        "redirect" => {
            let location = format!("http://{rest}");
            Response::builder().status(302).header("location", location).body(body("")).unwrap()
        }
        "silent" => std::future::pending().await,
        "stall" => {
            let (mut sender, stalled) = http_body_util::channel::Channel::<Bytes>::new(1);
            tokio::spawn(async move {
                sender.send_data("some".into()).await.unwrap();
                std::future::pending::<()>().await;
            });
            Response::new(stalled.boxed_unsync())
        }
        // Before it has read anything.
        "early" => {
            tokio::spawn(request.into_body().collect());
            reply("early")
        }
        _ => echo(request).await,
    })
}

/// The head of the request as the site has it, and its body.
async fn echo(request: Request<Incoming>) -> Reply {
    let version = if request.version() == Version::HTTP_2 { "h2" } else { "h1" };
    let mut lines = vec![format!("{} {} {version}", request.method(), request.uri())];
    for (name, value) in request.headers() {
        lines.push(format!("{name}: {}", value.to_str().unwrap()));
    }
    lines[1..].sort();
    match request.into_body().collect().await {
        Ok(body) => lines.push(String::from_utf8(body.to_bytes().into()).unwrap()),
        Err(error) => lines.push(error.to_string()),
    }
    reply(lines.join("\n"))
}

fn reply(text: impl Into<Bytes>) -> Reply {
    Response::new(body(text))
}

fn body(text: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, Infallible> {
    Full::new(text.into()).boxed_unsync()
}
