//! Which headers go on to the other side. Headers that concern one connection only (RFC 9110,
//! section 7.6.1) do not.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING,
};
use http::{Method, StatusCode};

/// Removes from a request what concerns the client's connection only: `Connection` and the headers
/// it names, `Keep-Alive`, `Proxy-*`, `TE` but for `trailers`, `Transfer-Encoding` and `Upgrade`.
///
/// `Expect` goes too: the server itself tells the client to go on, by reading the body.
/// `Content-Length` goes with `Transfer-Encoding`, which overrides it. `Connection` cannot take
/// `Host`, `Content-Length` and `Trailer` away.
///
/// [`Upstream::send`](crate::Upstream::send) does this as well. Who adds headers that a client must
/// not take away calls it before that: a second call does nothing.
pub fn clean_request(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_hop_by_hop(name) || *name == EXPECT) {
        return;
    }
    let wants_trailers = elements(headers, &TE).any(|coding| {
        let name = coding.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"trailers")
    });
    remove_hop_by_hop(headers);
    headers.remove(EXPECT);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes from an answer what concerns the replica's connection only, as [`clean_request`] does,
/// and a length that the answer cannot have.
pub fn clean_response(status: StatusCode, headers: &mut HeaderMap) {
    if headers.keys().any(is_hop_by_hop) {
        remove_hop_by_hop(headers);
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    }
}

/// Removes from trailers what would change how a message is read if it were taken for a header.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in [CONTENT_LENGTH, HOST, TRAILER] {
        trailers.remove(name);
    }
}

/// Makes the headers of a request say how its body is sent. `bytes` is how long the body is; None
/// if that is not known.
pub(crate) fn frame_request(headers: &mut HeaderMap, method: &Method, bytes: Option<u64>) {
    let announced = headers.get(CONTENT_LENGTH);
    match (bytes, announced) {
        (Some(bytes), Some(announced)) => {
            let is_true = announced.to_str().ok().and_then(|text| text.parse().ok()) == Some(bytes);
            if !is_true || headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            }
        }
        // Without this hyper would send a GET without its body.
        (None, None) if matches!(*method, Method::GET | Method::HEAD) => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        (None | Some(_), None) | (None, Some(_)) => {}
    }
}

/// How the head of an answer says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In one way that we know.
    Clear,
    /// In two ways. The transfer coding counts, but what follows the body is not to be trusted.
    Doubtful,
    /// By a coding that we do not know.
    Unknown,
}

/// How the head of an answer says where its body ends.
pub(crate) fn framing(headers: &HeaderMap) -> Framing {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Framing::Clear,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            let has_length = headers.contains_key(CONTENT_LENGTH);
            if has_length { Framing::Doubtful } else { Framing::Clear }
        }
        (Some(_), _) => Framing::Unknown,
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("proxy-")
        || matches!(
            name,
            "connection" | "http2-settings" | "keep-alive" | "te" | "transfer-encoding" | "upgrade"
        )
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named = elements(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| ![HOST, CONTENT_LENGTH, TRAILER].contains(name));
    let known = headers.keys().filter(|name| is_hop_by_hop(name)).cloned();
    let removed: Vec<HeaderName> = named.chain(known).collect();
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in removed {
        headers.remove(name);
    }
}

/// The elements of a header that is a list.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests;
