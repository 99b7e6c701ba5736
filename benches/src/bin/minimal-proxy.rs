//! The yardstick for forwarding: a reverse proxy of hyper's parts and nothing else. It streams
//! bodies and keeps connections; it checks nothing and cleans nothing.
//!
//! Every client's connection has one to the server behind, which is the cheapest pool there is: no
//! look-up, and a connection is never given back.
//!
//! `minimal-proxy --listen 127.0.0.1:0 --to ADDRESS` prints its address once it listens, and runs
//! until it is killed.

use std::{net::SocketAddr, sync::Arc};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use samovar_benches::frame::{self, Error};
use tokio::{net::TcpStream, sync::Mutex};

/// The allocator of the samovar binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The connection to the server behind, once there is one.
type Upstream = Arc<Mutex<Option<SendRequest<Incoming>>>>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (listen, to) = frame::addresses()?;
    frame::serve(listen, || {
        let upstream = Upstream::default();
        move |request| forward(request, to, Arc::clone(&upstream))
    })
    .await
}

/// Sends a request on. A client has one at a time, so nobody waits for the lock.
async fn forward(
    request: Request<Incoming>,
    to: SocketAddr,
    upstream: Upstream,
) -> Result<Response<Incoming>, Error> {
    let mut upstream = upstream.lock().await;
    if let Some(sender) = upstream.as_mut()
        && sender.ready().await.is_ok()
    {
        return Ok(sender.send_request(request).await?);
    }
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(upstream.insert(sender).send_request(request).await?)
}
