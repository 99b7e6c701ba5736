//! Answers with the request's body, as a handler of WASI 0.3.
//!
//! The stream of the request becomes the stream of the response, trailers included. The bytes
//! never enter this instance's memory, and it has nothing left to do once it has answered.

use wasip3::{
    http::types::{ErrorCode, Fields, Request, Response},
    wit_future,
};

struct Echo;

wasip3::http::service::export!(Echo);

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        let content_type = request.get_headers().get("content-type");
        if !content_type.is_empty() {
            headers.set("content-type", &content_type).expect("it was in a request");
        }
        // Dropping the writing end tells the sender the default: the body was taken well.
        let (_, taken) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, taken);
        let (response, _sent) = Response::new(headers, Some(body), trailers);
        Ok(response)
    }
}
