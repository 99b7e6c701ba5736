//! Answers every request with what was asked for.
//!
//! A handler of WASI 0.3: one instance serves many requests at once. While one of them waits, for
//! instance for a body, the others go on.

use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Handler;

wasip3::http::service::export!(Handler);

impl wasip3::exports::http::handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        // The route of the deployment is not part of the path any more.
        let path = request.get_path_with_query().unwrap_or_else(|| "/".into());
        let (status, text) = match request.get_method() {
            Method::Get => (200, format!("You asked for {path}\n")),
            other => (405, format!("{other:?} is not supported\n")),
        };
        respond(status, text.into_bytes())
    }
}

/// A response with this text. The host takes the body after it has the head, so the body is sent
/// by a task of its own.
fn respond(status: u16, text: Vec<u8>) -> Result<Response, ErrorCode> {
    let headers = [
        ("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec()),
        ("content-length".to_owned(), text.len().to_string().into_bytes()),
    ];
    let headers = Fields::from_list(&headers).expect("the headers are well-formed");
    let (mut body, reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None)); // Dropped means: no trailers.
    let (response, _sent) = Response::new(headers, Some(reader), trailers);
    response.set_status_code(status).expect("the status is a number of three digits");
    spawn_local(async move {
        body.write_all(text).await; // Gives back what a client that has gone did not take.
    });
    Ok(response)
}
