//! Fetches the URL in its query, as a handler of WASI 0.3.
//!
//! ```text
//! GET /?url=https://example.com/    ->  the page
//! ```
//!
//! A deployment reaches nothing unless its settings say what, so this one needs for instance
//!
//! ```toml
//! [deployments.fetch.outbound]
//! allow = ["https://example.com"]
//! ```
//!
//! Status, type and body of the answer are passed on; the body streams through without entering
//! this instance's memory. What cannot be fetched is answered with 502 and the reason, a refusal of
//! the host with 403. Redirects are passed on and not followed.

use samovar_sdk::handler;
use wasip3::{
    http::{
        client,
        types::{ErrorCode, Fields, Request, Response, Scheme},
    },
    spawn_local, wit_future, wit_stream,
};

struct Fetch;

wasip3::http::service::export!(Fetch);

impl wasip3::exports::http::handler::Guest for Fetch {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let Some(url) = handler::query(&target, "url") else {
            return Ok(text(400, "say which: /?url=https://example.com/\n".into()));
        };
        let Some(request) = get(&url) else {
            return Ok(text(400, format!("{url:?} is no URL of http or https\n")));
        };
        match client::send(request).await {
            Ok(response) => Ok(passed_on(response)),
            Err(ErrorCode::HttpRequestDenied) => {
                Ok(text(403, format!("this deployment may not fetch {url}\n")))
            }
            Err(error) => Ok(text(502, format!("{url}: {error}\n"))),
        }
    }
}

/// A GET of `url`, if that is a URL.
fn get(url: &str) -> Option<Request> {
    let (scheme, rest) = match url.split_once("://")? {
        ("http", rest) => (Scheme::Http, rest),
        ("https", rest) => (Scheme::Https, rest),
        _ => return None,
    };
    let rest = rest.split('#').next()?;
    let start = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(start);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(&path)).ok()?;
    Some(request)
}

fn passed_on(response: Response) -> Response {
    let received = response.get_headers();
    let headers = Fields::new();
    for name in ["content-type", "location"] {
        let values = received.get(name);
        if !values.is_empty() {
            headers.set(name, &values).expect("it was received");
        }
    }
    let status = response.get_status_code();
    // Dropping the writing end tells the sender the default: the body was taken well.
    let (_, taken) = wit_future::new(|| Ok(()));
    let (body, trailers) = Response::consume_body(response, taken);
    let (answer, _sent) = Response::new(headers, Some(body), trailers);
    answer.set_status_code(status).expect("it was received");
    answer
}

fn text(status: u16, text: String) -> Response {
    let headers = Fields::from_list(&[("content-type".into(), b"text/plain".to_vec())])
        .expect("the header is well-formed");
    let (mut body, reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(reader), trailers);
    response.set_status_code(status).expect("the status is one of HTTP's");
    spawn_local(async move {
        body.write_all(text.into_bytes()).await; // Rest stays when the client has gone.
    });
    response
}
