//! The side of the clients, the same in every server that Samovar is measured against.

use std::{env, error::Error as StdError, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// Whatever goes wrong.
pub type Error = Box<dyn StdError + Send + Sync>;

/// Prints where it listens, and answers every request with the function that `connected` makes for
/// its connection.
pub async fn serve<F, A, B>(listen: SocketAddr, connected: impl Fn() -> F) -> Result<(), Error>
where
    F: Fn(Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<Response<B>, Error>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Error>> + Send + 'static,
{
    let listener = TcpListener::bind(listen).await?;
    println!("http://{}", listener.local_addr()?);
    // The same settings as in runtime/server/src/ingress.rs.
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .max_buf_size(256 << 10);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (http, service) = (http.clone(), service_fn(connected()));
        tokio::spawn(async move {
            // A client that goes away is no news.
            _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Where a proxy listens, and what it forwards to: `--listen ADDRESS --to ADDRESS`.
///
/// # Errors
///
/// When the program was started with anything else.
pub fn addresses() -> Result<(SocketAddr, SocketAddr), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--listen", listen, "--to", to] => Ok((listen.parse()?, to.parse()?)),
        _ => Err("usage: --listen ADDRESS --to ADDRESS".into()),
    }
}
