//! The yardstick: hyper with the HTTP settings of Samovar's data plane and nothing behind it. It
//! answers with the bytes that the hello handlers answer with, and a `POST` with its own body.
//!
//! Listens on the port in `PORT`, as a replica of Samovar does, or on a free one. Prints its
//! address once it listens, and runs until it is killed.

use std::{env, net::Ipv4Addr};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use samovar_benches::frame::{self, Error};

/// The allocator of the samovar binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GREETING: &[u8] = b"Hello from Samovar!\n";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let port = env::var("PORT").map_or(Ok(0), |port| port.parse())?;
    let listen = (Ipv4Addr::LOCALHOST, port).into();
    frame::serve(listen, || async |request| Ok(answer(request))).await
}

fn answer(request: Request<Incoming>) -> Response<Either<Full<Bytes>, Incoming>> {
    if request.method() == Method::POST {
        return Response::new(Either::Right(request.into_body()));
    }
    Response::builder()
        .header(header::CONTENT_TYPE, "text/plain")
        .header(header::CONTENT_LENGTH, GREETING.len())
        .body(Either::Left(Full::new(Bytes::from_static(GREETING))))
        .expect("the headers are well-formed")
}
