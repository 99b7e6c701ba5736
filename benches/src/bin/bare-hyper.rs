//! The yardstick: hyper with the HTTP settings of Samovar's data plane and nothing behind it. It
//! answers every request with the bytes that the hello handlers answer with.
//!
//! Prints its address once it listens, and runs until it is killed.

#![allow(clippy::print_stdout, reason = "the address is for whoever started it")]

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// The allocator of the samovar binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GREETING: &[u8] = b"Hello from Samovar!\n";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
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
        let http = http.clone();
        tokio::spawn(async move {
            let service = service_fn(async |_request| Ok::<_, Infallible>(hello()));
            // A client that goes away is no news.
            _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn hello() -> Response<Full<Bytes>> {
    Response::builder()
        .header(header::CONTENT_TYPE, "text/plain")
        .header(header::CONTENT_LENGTH, GREETING.len())
        .body(Full::new(Bytes::from_static(GREETING)))
        .expect("the headers are well-formed")
}
