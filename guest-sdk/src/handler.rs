//! Short cuts for handlers: read the query and, with the feature `handler`, read a body and answer
//! in `wasi:http` 0.2.
//!
//! ```no_run
//! # #[cfg(feature = "handler")] mod example {
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
//! # }
//! ```

#[cfg(feature = "handler")]
mod exchange;

#[cfg(feature = "handler")]
pub use exchange::{BodyError, read_body, respond, write_all};

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
