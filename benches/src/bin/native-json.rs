//! The yardstick for work on JSON: hyper with the settings of Samovar's data plane, and the same
//! Rust that the guests `json-transform` are made of, compiled for this machine.
//!
//! Prints its address once it listens, and runs until it is killed.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use samovar_benches::{
    compare::workload::transform,
    frame::{self, Error},
};

/// The allocator of the samovar binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Error> {
    frame::serve((Ipv4Addr::LOCALHOST, 0).into(), || answer).await
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let json = transform::transform(&body)?;
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(json.into()))?)
}
