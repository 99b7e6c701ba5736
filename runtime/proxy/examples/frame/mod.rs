//! What both proxies share: where to listen and what to forward to, and the side of the clients.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// Whatever goes wrong.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Reads `--listen ADDRESS --to ADDRESS`, prints where it listens, and forwards every request with
/// the function that `connected` makes for each connection.
pub async fn run<F, A, B>(connected: impl Fn(SocketAddr) -> F) -> Result<(), Error>
where
    F: Fn(Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Error>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    let (listen, to) = addresses().ok_or("usage: --listen ADDRESS --to ADDRESS")?;
    let listener = TcpListener::bind(listen).await?;
    #[expect(clippy::print_stdout, reason = "the address is for whoever started it")]
    {
        println!("http://{}", listener.local_addr()?);
    }
    // The same settings as in runtime/server/src/ingress.rs.
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .max_buf_size(256 << 10);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (http, service) = (http.clone(), service_fn(connected(to)));
        tokio::spawn(async move {
            // A client that goes away is no news.
            _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Where to listen, and what to forward to.
fn addresses() -> Option<(SocketAddr, SocketAddr)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, here, to, there]: [String; 4] = arguments.try_into().ok()?;
    let is_right = listen == "--listen" && to == "--to";
    if is_right { Some((here.parse().ok()?, there.parse().ok()?)) } else { None }
}
