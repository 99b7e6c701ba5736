//! `minimal-proxy` with an [`Upstream`] instead of hyper's client: what the crate costs that
//! Samovar forwards with, without the rest of Samovar.
//!
//! `pooled-proxy --listen 127.0.0.1:0 --to ADDRESS` prints its address once it listens, and runs
//! until it is killed.

use std::sync::Arc;

use hyper::body::Incoming;
use samovar_benches::frame::{self, Error};
use samovar_proxy::{Address, Options, Upstream};

/// The allocator of the samovar binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (listen, to) = frame::addresses()?;
    let upstream = Upstream::<Incoming>::new(Address::Tcp(to), Options::default());
    frame::serve(listen, || {
        let upstream = Arc::clone(&upstream);
        move |request| {
            let upstream = Arc::clone(&upstream);
            async move { Ok(upstream.send(request).await?) }
        }
    })
    .await
}
