//! Sites elsewhere, which handlers under test call: over HTTP/1.1 and, with TLS, HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A site. It counts its connections, and ends when it is dropped.
///
/// | path | behaviour |
/// | --- | --- |
/// | `/head` | answers protocol, method and target, then the headers, a line each |
/// | `/mirror` | answers with the request's body, piece by piece |
/// | `/swallow` | reads the request's body and answers its length |
/// | `/bytes/1000` | answers with so many bytes |
/// | `/redirect/URL` | sends the client to a URL |
/// | `/silent` | never answers |
/// | `/stall` | sends the head and some bytes, then nothing more |
pub struct Site {
    address: SocketAddr,
    scheme: &'static str,
    accepted: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Authority {
    /// One with a new key.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("it signs for itself"))
    }

    /// Writes its certificate into `folder`, as settings have it.
    pub fn file(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.0.pem()).expect("write a file of the test");
        path
    }

    /// How a site speaks TLS that has a certificate for this host.
    fn certify(&self, host: &str, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("a name or an address");
        let certificate = params.signed_by(&key, &self.0).expect("it signs");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("its own format");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("it knows TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("key and certificate belong together");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// Without TLS.
    pub async fn http() -> Site {
        Site::start(None).await
    }

    /// With a certificate for `host`, and these protocols on offer.
    pub async fn https(authority: &Authority, host: &str, protocols: &[&str]) -> Site {
        Site::start(Some(authority.certify(host, protocols))).await
    }

    async fn start(tls: Option<TlsAcceptor>) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let tls = tls.clone();
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(stream).await };
                    // A client that does not trust the certificate leaves.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream).await;
                    }
                });
            }
        });
        Site { address, scheme, accepted, listening }
    }

    /// The port it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of `path`, at 127.0.0.1.
    pub fn url(&self, path: &str) -> String {
        self.at("127.0.0.1", path)
    }

    /// The URL of `path`, its host written like this.
    pub fn at(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.port())
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let http = Builder::new(TokioExecutor::new());
    // How a connection ends is the client's business.
    let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let (what, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    Ok(match what {
        "head" => Response::new(full(head(&request))),
        "mirror" => Response::new(request.into_body().boxed_unsync()),
        "swallow" => {
            let body = request.into_body().collect().await.map(|body| body.to_bytes().len());
            Response::new(full(body.map_or("broken".to_owned(), |length| length.to_string())))
        }
        "bytes" => Response::new(full(vec![b'x'; rest.parse().expect("a number")])),
        "redirect" => {
            let response = Response::builder().status(302).header("location", rest);
            response.body(full("")).expect("the URL is a header's value")
        }
        "silent" => std::future::pending().await,
        "stall" => {
            let (mut sender, body) = Channel::<Bytes, hyper::Error>::new(1);
            tokio::spawn(async move {
                if sender.send_data(Bytes::from_static(b"some")).await.is_ok() {
                    std::future::pending::<()>().await;
                }
            });
            Response::new(body.boxed_unsync())
        }
        _ => Response::new(full("no such behaviour")),
    })
}

/// The head of a request as the site has it.
fn head(request: &Request<Incoming>) -> String {
    let version = if request.version() == Version::HTTP_2 { "h2" } else { "h1" };
    let target = request.uri().path_and_query().expect("it is not CONNECT");
    let mut text = format!("{version} {} {target}\n", request.method());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}
