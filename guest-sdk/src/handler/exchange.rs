//! Reading a body and answering in `wasi:http` 0.2.

use wasip2::{
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::{OutputStream, StreamError},
};

/// Most bytes `blocking-write-and-flush` takes at once, by its definition.
const WRITE_BYTES_MAX: usize = 4096;
/// Bytes to ask for in one read. The host may give fewer.
const READ_BYTES: u64 = 64 * 1024;

/// Why a request body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than the caller allowed.
    TooLarge,
    /// The client went away, or it was read before.
    Broken,
}

/// Reads the whole request body, at most `bytes_max` of it.
///
/// # Errors
///
/// [`BodyError::TooLarge`] as soon as there is more; [`BodyError::Broken`] when the client goes
/// away in the middle, or when the body was read before.
pub fn read_body(request: &IncomingRequest, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let body = request.consume().map_err(|()| BodyError::Broken)?;
    let stream = body.stream().map_err(|()| BodyError::Broken)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(chunk) if bytes.len() + chunk.len() > bytes_max => return Err(BodyError::TooLarge),
            Ok(chunk) if bytes.is_empty() => bytes = chunk,
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(BodyError::Broken),
        }
    }
}

/// Answers with `body`. A client that has gone in the meantime is not an error.
///
/// # Panics
///
/// When `status` is not between 100 and 599, or `content_type` cannot be a header's value.
pub fn respond(out: ResponseOutparam, status: u16, content_type: &str, body: &[u8]) {
    let headers = Fields::from_list(&[
        ("content-type".into(), content_type.into()),
        ("content-length".into(), body.len().to_string().into_bytes()),
    ])
    .expect("the content type can be a header's value");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("the status is one of HTTP's");
    let outgoing = response.body().expect("a new response gives its body once");
    ResponseOutparam::set(out, Ok(response));
    let stream = outgoing.write().expect("a new body gives its stream once");
    if write_all(&stream, body).is_err() {
        return; // The client has gone.
    }
    drop(stream); // The stream is a child of the body and must go first.
    _ = OutgoingBody::finish(outgoing, None);
}

/// Writes all of `bytes` and waits until the host has passed them on.
///
/// # Errors
///
/// When the other side has gone.
pub fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    if bytes.len() <= WRITE_BYTES_MAX {
        return stream.blocking_write_and_flush(bytes);
    }
    while !bytes.is_empty() {
        let permitted = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if permitted == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(permitted.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    stream.blocking_flush()
}
