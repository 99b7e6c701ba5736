//! Short cuts for handlers of `wasi:http` 0.2: read a body, read the query, answer.
//!
//! ```no_run
//! use samovar_sdk::{handler, wasip2};
//! use wasip2::http::types::{IncomingRequest, ResponseOutparam};
//!
//! struct Hello;
//!
//! impl wasip2::exports::http::incoming_handler::Guest for Hello {
//!     fn handle(request: IncomingRequest, out: ResponseOutparam) {
//!         let target = request.path_with_query().unwrap_or_default();
//!         let name = handler::query(&target, "name").unwrap_or("world".into());
//!         handler::respond(out, 200, "text/plain", format!("Hello, {name}!\n").as_bytes());
//!     }
//! }
//! # #[cfg(target_arch = "wasm32")]
//! wasip2::http::proxy::export!(Hello);
//! ```

use wasip2::{
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::StreamError,
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
    let headers = Fields::from_list(&[("content-type".into(), content_type.into())])
        .expect("the content type can be a header's value");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("the status is one of HTTP's");
    let outgoing = response.body().expect("a new response gives its body once");
    ResponseOutparam::set(out, Ok(response));
    let stream = outgoing.write().expect("a new body gives its stream once");
    for chunk in body.chunks(WRITE_BYTES_MAX) {
        if stream.blocking_write_and_flush(chunk).is_err() {
            return; // The client has gone.
        }
    }
    drop(stream); // The stream is a child of the body and must go first.
    _ = OutgoingBody::finish(outgoing, None);
}

/// The path of a request target: everything before the question mark.
///
/// ```
/// assert_eq!(samovar_sdk::handler::path("/a/b?c=d"), "/a/b");
/// ```
pub fn path(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// The first value of `name` in a request target's query, decoded.
///
/// ```
/// use samovar_sdk::handler::query;
///
/// assert_eq!(query("/a?n=1&text=a+b%21", "text").as_deref(), Some("a b!"));
/// assert_eq!(query("/a?flag", "flag").as_deref(), Some(""));
/// assert_eq!(query("/a?n=1", "m"), None);
/// ```
pub fn query(target: &str, name: &str) -> Option<String> {
    let (_, pairs) = target.split_once('?')?;
    let pairs = pairs.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(key, _)| decode(key) == name)?;
    Some(decode(value))
}

/// Percent-decodes; bytes that are not UTF-8 become replacement characters.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|hex| str::from_utf8(hex).ok());
        let escaped = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (byte, used) = match (first, escaped) {
            (b'%', Some(byte)) => (byte, 3),
            (b'+', _) => (b' ', 1),
            (other, _) => (other, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
