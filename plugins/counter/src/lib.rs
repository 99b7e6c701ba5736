//! Counts the calls this instance has served.
//!
//! A replica lives on between requests, and so do its variables: the answer grows as long as the
//! same replica answers, and starts again at 1 with a new one. Never keep anything here that must
//! not be lost.

use std::sync::atomic::{AtomicU64, Ordering};

use samovar_sdk::{handler, wasip2};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counter;

wasip2::http::proxy::export!(Counter);

impl wasip2::exports::http::incoming_handler::Guest for Counter {
    fn handle(_request: IncomingRequest, response_out: ResponseOutparam) {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        handler::respond(response_out, 200, "text/plain", format!("{calls}\n").as_bytes());
    }
}
