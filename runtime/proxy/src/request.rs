//! The head of a request as a replica gets it.

use crate::headers;
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use http_body::Body;

/// Makes a request, of whatever version, one of HTTP/1.1 for a replica: with a URI in origin form,
/// a `Host`, and without what concerns the client's connection. `host` is for a request that names
/// none.
pub(crate) fn prepare<B: Body<Data = Bytes>>(request: &mut Request<B>, host: &HeaderValue) {
    let uri = std::mem::take(request.uri_mut());
    set_host(request.headers_mut(), uri.authority(), host);
    *request.uri_mut() = origin_form(uri);
    *request.version_mut() = Version::HTTP_11;
    headers::clean_request(request.headers_mut());
    let body = request.body();
    let bytes = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let method = request.method().clone();
    headers::frame_request(request.headers_mut(), &method, bytes);
}

/// Makes the request name one host: that of its URI, which counts if there is one (RFC 9112,
/// section 3.2.2), else that of its header.
fn set_host(headers: &mut HeaderMap, authority: Option<&Authority>, default: &HeaderValue) {
    let mut named = headers.get_all(HOST).iter();
    let (first, is_double) = (named.next(), named.next().is_some());
    let target = authority.map(without_user);
    let host = match (target, first) {
        (Some(target), first) if first.is_none_or(|first| first != target) => {
            HeaderValue::from_str(target).unwrap_or_else(|_| default.clone())
        }
        (_, Some(first)) if is_double => first.clone(),
        (_, Some(_)) => return,
        (_, None) => default.clone(),
    };
    headers.insert(HOST, host);
}

fn without_user(authority: &Authority) -> &str {
    let authority = authority.as_str();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() && uri.path_and_query().is_some() {
        return uri;
    }
    let path = uri.into_parts().path_and_query;
    Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;

    /// The first line and the host of a request with this URI and these `Host` headers.
    #[track_caller]
    fn check(uri: &str, hosts: &[&str], expected: &str) {
        let mut request = Request::get(uri).version(Version::HTTP_2).body(Empty::new()).unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, host.parse().unwrap());
        }
        prepare(&mut request, &HeaderValue::from_static("replica"));
        let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
        let [host] = hosts[..] else { panic!("one host, not {hosts:?}") };
        let (uri, version) = (request.uri(), request.version());
        assert_eq!(format!("{uri} {version:?} {}", host.to_str().unwrap()), expected);
    }

    #[test]
    fn the_host_is_kept() {
        check("/a?b=c", &["example.org"], "/a?b=c HTTP/1.1 example.org");
        check("*", &["example.org:81"], "* HTTP/1.1 example.org:81");
    }

    #[test]
    fn an_absolute_uri_is_turned_to_origin_form() {
        check("http://example.org/a?b", &["example.org"], "/a?b HTTP/1.1 example.org");
        check("https://example.org", &["example.org"], "/ HTTP/1.1 example.org");
        check("http://example.org?b", &["example.org"], "/?b HTTP/1.1 example.org");
    }

    #[test]
    fn a_request_without_a_host_gets_one() {
        check("http://example.org:81/", &[], "/ HTTP/1.1 example.org:81");
        check("/", &[], "/ HTTP/1.1 replica");
    }

    #[test]
    fn the_uri_counts_more_than_the_header() {
        check("http://example.org/", &["other.org"], "/ HTTP/1.1 example.org");
        check("http://user:secret@example.org/", &["other.org"], "/ HTTP/1.1 example.org");
    }

    #[test]
    fn of_several_hosts_the_first_counts() {
        check("/", &["one.org", "two.org"], "/ HTTP/1.1 one.org");
        check("http://one.org/", &["one.org", "two.org"], "/ HTTP/1.1 one.org");
    }
}
