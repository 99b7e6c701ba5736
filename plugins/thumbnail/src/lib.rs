//! Makes thumbnails: a PNG or JPEG picture in, a smaller PNG out.
//!
//! ```text
//! POST /?width=200&height=100&fit=cover
//! ```
//!
//! `width` and `height` are in pixels, 1 to 2048; without both the longest side becomes 128.
//! `fit` says what happens to the shape when both are given:
//!
//! | `fit` | |
//! | --- | --- |
//! | `contain` (default) | all of the picture, as large as fits into the box |
//! | `cover` | fills the box, cuts off what sticks out |
//! | `fill` | fills the box, stretched |
//!
//! A picture is never made larger by `contain`. Wrong parameters and broken pictures are answered
//! with 400, too large ones with 413, other formats with 415 and other methods with 405.

mod options;
mod picture;

use samovar_sdk::{
    handler::{self, BodyError},
    wasip2,
};
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

use options::Options;

/// Longest picture file to take. The deployment's own limit may be lower.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// An answer that is not a picture: status and text.
type Refusal = (u16, String);

struct Thumbnail;

wasip2::http::proxy::export!(Thumbnail);

impl wasip2::exports::http::incoming_handler::Guest for Thumbnail {
    fn handle(request: IncomingRequest, response_out: ResponseOutparam) {
        match thumbnail(&request) {
            Ok(png) => handler::respond(response_out, 200, "image/png", &png),
            Err((status, text)) => {
                handler::respond(
                    response_out,
                    status,
                    "text/plain",
                    format!("{text}\n").as_bytes(),
                );
            }
        }
    }
}

fn thumbnail(request: &IncomingRequest) -> Result<Vec<u8>, Refusal> {
    if !matches!(request.method(), Method::Post | Method::Put) {
        return Err((405, "send a picture with POST".into()));
    }
    let target = request.path_with_query().unwrap_or_default();
    let options = Options::parse(|name| handler::query(&target, name))?;
    let file = handler::read_body(request, BODY_BYTES_MAX).map_err(|error| match error {
        BodyError::TooLarge => (413, format!("the picture is over {BODY_BYTES_MAX} bytes")),
        BodyError::Broken => (400, "the request body broke off".into()),
    })?;
    picture::shrink(&file, &options)
}
