//! Answers every request with a greeting, as a handler of WASI 0.3.
//!
//! One instance serves many requests at once: while one waits, the others go on.

use wasip3::{
    http::types::{ErrorCode, Fields, Request, Response},
    spawn_local, wit_future, wit_stream,
};

const GREETING: &[u8] = b"Hello from Samovar!\n";

struct Hello;

wasip3::http::service::export!(Hello);

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::from_list(&[
            ("content-type".into(), b"text/plain".to_vec()),
            ("content-length".into(), GREETING.len().to_string().into_bytes()),
        ])
        .expect("the headers are well-formed");
        let (mut body, reader) = wit_stream::new();
        // Dropping the writing end answers with the default: no trailers.
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(reader), trailers);
        // The host reads the body only after it has the response.
        spawn_local(async move {
            body.write_all(GREETING.to_vec()).await; // Rest stays when the client has gone.
        });
        Ok(response)
    }
}
