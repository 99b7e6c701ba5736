//! Answers every request with a greeting: the smallest handler, and the one to measure with.
//!
//! Every call into the host costs time, so it makes as few as the interface allows: one for the
//! headers, one for the response, one write.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const GREETING: &[u8] = b"Hello from Samovar!\n";

struct Hello;

wasip2::http::proxy::export!(Hello);

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(_request: IncomingRequest, response_out: ResponseOutparam) {
        let headers = Fields::from_list(&[
            ("content-type".into(), b"text/plain".to_vec()),
            ("content-length".into(), GREETING.len().to_string().into_bytes()),
        ])
        .expect("the headers are well-formed");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("a new response gives its body once");
        ResponseOutparam::set(response_out, Ok(response));

        let stream = body.write().expect("a new body gives its stream once");
        // Fails only when the client has gone, and then nobody reads the rest.
        _ = stream.blocking_write_and_flush(GREETING);
        drop(stream); // The stream is a child of the body and must go first.
        _ = OutgoingBody::finish(body, None);
    }
}
