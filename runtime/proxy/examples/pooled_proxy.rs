//! [`minimal_proxy`](../minimal_proxy.rs) with an [`Upstream`] instead of hyper's client: what this
//! crate costs, to be compared with that.
//!
//! `pooled_proxy --listen 127.0.0.1:0 --to ADDRESS` prints its address once it listens, and runs
//! until it is killed.

mod frame;

use frame::Error;
use hyper::body::Incoming;
use samovar_proxy::{Address, Options, Upstream};
use std::sync::{Arc, OnceLock};

/// The allocator of the samovar binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let upstream = OnceLock::<Arc<Upstream<Incoming>>>::new();
    frame::run(|to| {
        let upstream = upstream.get_or_init(|| Upstream::new(Address::Tcp(to), Options::default()));
        let upstream = Arc::clone(upstream);
        move |request| {
            let upstream = Arc::clone(&upstream);
            async move { Ok(upstream.send(request).await?) }
        }
    })
    .await
}
