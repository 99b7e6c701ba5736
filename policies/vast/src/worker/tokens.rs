//! How the first worker counts the work of text generation, in tokens.
//!
//! Source: `tgi/metrics.py` of `vast-ai/vast-pyworker` at 42cc75e.

use serde_json::{Value, json};

/// The status of a request that is its caller's own fault.
const UNPROCESSABLE: u16 = 422;

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Tokens of the requests that came since the last report; a sum, never a rate.
    cur_load: f64,
    /// Tokens being worked on.
    working: f64,
    requests_working: i64,
    requests_received: i64,
}

/// Tokens of a request with a prompt of that many characters.
pub fn tokens(chars: u64, new_tokens: f64) -> f64 {
    chars as f64 / 4.0 + new_tokens
}

impl Tokens {
    /// A request comes.
    pub fn start(&mut self, tokens: f64) {
        self.cur_load += tokens;
        self.working += tokens;
        self.requests_working += 1;
        self.requests_received += 1;
    }

    /// A request was answered.
    pub fn finish(&mut self, tokens: f64) {
        self.working -= tokens;
        self.requests_working -= 1;
    }

    /// A request failed with a status, if there was one. The load stays; a request that could not
    /// be processed stays in the capacity as well.
    pub fn error(&mut self, tokens: f64, status: Option<u16>) {
        self.requests_working -= 1;
        self.requests_received -= 1;
        if status != Some(UNPROCESSABLE) {
            self.working -= tokens;
        }
    }

    /// The counters of a report, which starts a new sum.
    pub fn report(&mut self) -> Value {
        let cur_load = std::mem::take(&mut self.cur_load);
        json!({
            "cur_load": cur_load,
            "cur_capacity": self.working,
            "num_requests_working": self.requests_working,
            "num_requests_recieved": self.requests_received,
        })
    }
}
