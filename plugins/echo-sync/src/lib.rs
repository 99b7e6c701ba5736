//! Answers with the request's body, as a handler of WASI 0.2.
//!
//! The host moves the bytes from one stream to the other (`splice`), so they never enter this
//! instance's memory and a body may be as long as it likes.

use wasip2::{
    http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam},
    io::streams::StreamError,
};

/// Most bytes to move at once; the host may move fewer.
const CHUNK_BYTES: u64 = 1024 * 1024;

struct Echo;

wasip2::http::proxy::export!(Echo);

impl wasip2::exports::http::incoming_handler::Guest for Echo {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        let headers = Fields::new();
        let content_type = request.headers().get("content-type");
        if !content_type.is_empty() {
            headers.set("content-type", &content_type).expect("it was in a request");
        }
        let response = OutgoingResponse::new(headers);
        let outgoing = response.body().expect("a new response gives its body once");
        ResponseOutparam::set(response_out, Ok(response));

        let body = request.consume().expect("a new request gives its body once");
        let input = body.stream().expect("a new body gives its stream once");
        let output = outgoing.write().expect("a new body gives its stream once");
        loop {
            match output.blocking_splice(&input, CHUNK_BYTES) {
                Ok(_) => {}
                Err(StreamError::Closed) => break,
                // Without `finish` the client sees that the answer is cut off.
                Err(StreamError::LastOperationFailed(_)) => return,
            }
        }
        _ = output.blocking_flush(); // Fails when the client has gone.
        drop(output); // The stream is a child of the body and must go first.
        _ = OutgoingBody::finish(outgoing, None);
    }
}
