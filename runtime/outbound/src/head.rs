//! The heads of requests and responses.

use crate::outgoing::Outgoing;
use crate::target::Target;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use http_body::Body as _;
use samovar_proxy::headers;

/// Says who is calling whom between deployments. Nobody else has to know.
const CALL: HeaderName = HeaderName::from_static("samovar-call");

/// Counts for each header with HTTP/2 (RFC 9113, section 6.5.2).
const HEADER_BYTES_EXTRA: usize = 32;

/// Removes what does not go to the other side: what concerns one connection only, `Expect`,
/// `Host`, which the URL says, and what is between deployments.
pub(crate) fn clean(headers: &mut HeaderMap) {
    headers::clean_request(headers);
    headers.remove(HOST);
    headers.remove(CALL);
}

/// How many bytes the headers of a request say that its body has, if they say it in one way.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next()?.to_str().ok()?;
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    length.parse().ok().filter(|_| is_number && lengths.next().is_none())
}

/// Makes a request with clean headers fit for a connection to `target`. It may be fit for one of
/// another version already.
pub(crate) fn fit(
    request: &mut Request<Outgoing>,
    target: &Target,
    path: &PathAndQuery,
    version: Version,
) {
    let is_http1 = version == Version::HTTP_11;
    *request.version_mut() = version;
    *request.uri_mut() = if is_http1 { Uri::from(path.clone()) } else { absolute(target, path) };
    let (exact, method) = (request.body().size_hint().exact(), request.method().clone());
    let headers = request.headers_mut();
    frame(headers, &method, exact);
    if is_http1 {
        headers.insert(HOST, host(target));
        if headers.contains_key(TE) {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
    } else {
        for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
            headers.remove(name);
        }
    }
}

/// Makes the headers say how the body is sent, whatever the handler wrote.
fn frame(headers: &mut HeaderMap, method: &Method, exact: Option<u64>) {
    let announced = announced(headers);
    match exact {
        Some(bytes) if headers.contains_key(CONTENT_LENGTH) && announced != Some(bytes) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        Some(_) => {}
        None if announced.is_some() => {}
        None => {
            headers.remove(CONTENT_LENGTH);
            // Without this hyper would send a GET without its body.
            if matches!(*method, Method::GET | Method::HEAD) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
    }
}

fn host(target: &Target) -> HeaderValue {
    HeaderValue::try_from(target.authority()).expect("hosts are in ASCII")
}

fn absolute(target: &Target, path: &PathAndQuery) -> Uri {
    let uri = Uri::builder().scheme(target.scheme.as_str()).authority(target.authority());
    uri.path_and_query(path.clone()).build().expect("a target and a path are a URL")
}

/// Bytes of the head of a response with HTTP/2.
pub(crate) fn http2_bytes(headers: &HeaderMap) -> usize {
    let lengths = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    lengths.map(|bytes| bytes + HEADER_BYTES_EXTRA).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use tokio::time::Instant;

    type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

    fn known(text: &'static str) -> Body {
        Full::new(Bytes::from(text)).map_err(Into::into).boxed_unsync()
    }

    fn unknown() -> Body {
        StreamBody::new(futures::stream::empty()).boxed_unsync()
    }

    /// The head as it is sent, line by line.
    fn sent(request: &str, body: Body, version: Version) -> String {
        let mut lines = request.lines();
        let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
        let mut head = Request::builder().method(method).uri(url);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            head = head.header(name, value);
        }
        let body = Outgoing::new(body, u64::MAX, Instant::now()).0;
        let mut request = head.body(body).unwrap();
        let target = Target::of(request.uri()).unwrap();
        let path = request.uri().path_and_query().unwrap().clone();
        clean(request.headers_mut());
        // A request may have been fit for the other version before.
        for earlier in [Version::HTTP_11, Version::HTTP_2] {
            fit(&mut request, &target, &path, earlier);
        }
        fit(&mut request, &target, &path, version);
        let mut lines = vec![format!("{} {}", request.method(), request.uri())];
        let headers = request.headers().iter();
        lines.extend(headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
        lines[1..].sort();
        lines.join("\n")
    }

    #[track_caller]
    fn check(request: &str, body: fn() -> Body, http1: &str, http2: &str) {
        assert_eq!(sent(request, body(), Version::HTTP_11), http1);
        assert_eq!(sent(request, body(), Version::HTTP_2), http2);
    }

    #[test]
    fn the_host_is_that_of_the_url() {
        check(
            "GET https://Example.COM.:443/a?b\nhost: evil.example\naccept: x",
            || known(""),
            "GET /a?b\naccept: x\nhost: example.com",
            "GET https://example.com/a?b\naccept: x",
        );
        check(
            "GET http://[0::1]:8080",
            || known(""),
            "GET /\nhost: [::1]:8080",
            "GET http://[::1]:8080/",
        );
    }

    #[test]
    fn what_concerns_one_connection_or_one_server_stays_here() {
        let head = "GET http://a.example/\nsamovar-call: 1.2\nconnection: close, x-a\n\
                    x-a: 1\nkeep-alive: 5\nproxy-authorization: b\n\
                    te: trailers, gzip\nexpect: 100-continue";
        check(
            head,
            || known(""),
            "GET /\nconnection: te\nhost: a.example\nte: trailers",
            "GET http://a.example/\nte: trailers",
        );
    }

    #[test]
    fn lengths_are_those_of_the_body() {
        let post = |length: &str| format!("POST http://a.example/\n{length}");
        let http1 = |length: &str| format!("POST /\n{length}host: a.example");
        let check1 = |head: &str, body: Body, expected: &str| {
            assert_eq!(sent(&post(head), body, Version::HTTP_11), http1(expected));
        };
        check1("content-length: 4", known("body"), "content-length: 4\n");
        check1("content-length: 5", known("body"), "content-length: 4\n");
        check1("content-length: 4\ncontent-length: 9", known("body"), "content-length: 4\n");
        check1("content-length: 4, 4", known("body"), "content-length: 4\n");
        check1("transfer-encoding: chunked", known("body"), "");
        check1("content-length: 5", unknown(), "content-length: 5\n");
        check1("content-length: 5\ncontent-length: 6", unknown(), "");
        check1("content-length: +5", unknown(), "");
    }

    #[test]
    fn a_get_with_a_body_says_so() {
        check(
            "GET http://a.example/",
            unknown,
            "GET /\nhost: a.example\ntransfer-encoding: chunked",
            "GET http://a.example/",
        );
    }

    #[test]
    fn heads_are_counted_as_http2_says() {
        let mut headers = HeaderMap::new();
        headers.insert("abc", HeaderValue::from_static("de"));
        headers.append("abc", HeaderValue::from_static(""));
        assert_eq!(http2_bytes(&headers), (3 + 2 + 32) + (3 + 32));
    }
}
