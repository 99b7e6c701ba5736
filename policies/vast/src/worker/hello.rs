//! The smallest of the first workers: a counter that reports its load.
//!
//! Source: `server.py`, `notify.py` and `helloautoscaler/backend.py` of `vast-ai/vast-pyworker` at
//! 42cc75e.

use serde_json::{Value, json};

/// Seconds between two reports.
const INTERVAL_S: f64 = 10.0;

/// Performance in requests per second, as it claims.
const MAX_PERF: f64 = 0.5;

/// The worker and the messages it posted.
#[derive(Debug)]
pub struct Hello {
    requests: u64,
    requests_in_interval: u64,
    messages: Vec<Value>,
}

impl Default for Hello {
    /// A worker that has just said that it is loaded.
    fn default() -> Self {
        let mut hello = Self { requests: 0, requests_in_interval: 0, messages: Vec::new() };
        hello.post(json!({"loadtime": "seconds", "max_perf": MAX_PERF}));
        hello
    }
}

impl Hello {
    /// Takes a request and answers with its status. What reaches a handler counts, however it ends.
    pub fn call(&mut self, method: &str, path: &str, body: &Value) -> u16 {
        let path = path.split('?').next().unwrap_or(path);
        let is_internal = path
            .strip_prefix("report_")
            .is_some_and(|what| ["capacity", "loading", "loaded", "done", "error"].contains(&what));
        match (method, path) {
            (_, "") => 404,
            ("POST", "increment") => {
                self.track();
                match body {
                    Value::Null => 415,
                    Value::Object(fields) => match fields.get("amount") {
                        None => 400,
                        Some(Value::Number(_) | Value::Bool(_)) => 200,
                        Some(_) => 500,
                    },
                    _ => 500,
                }
            }
            ("GET", "value") => {
                self.track();
                200
            }
            // This worker lacks the check of the token, so a token of any kind fails.
            ("POST", _) if is_internal => match body {
                Value::Null => 415,
                Value::Object(fields) if !fields.contains_key("mtoken") => 401,
                _ => 500,
            },
            ("OPTIONS", _) => 200,
            ("GET" | "POST" | "PUT" | "DELETE" | "HEAD", _) => 404,
            _ => 405,
        }
    }

    fn track(&mut self) {
        self.requests += 1;
        self.requests_in_interval += 1;
    }

    /// One turn of the loop that reports.
    pub fn report(&mut self) {
        let cur_load = self.requests_in_interval as f64 / INTERVAL_S;
        self.post(json!({"cur_load": cur_load, "num_requests_recieved": self.requests}));
        self.requests_in_interval = 0;
    }

    /// Reports an error.
    pub fn fail(&mut self, message: &str) {
        self.post(json!({"error_msg": message}));
    }

    fn post(&mut self, mut message: Value) {
        message["id"] = "7".into();
        message["mtoken"] = "tok".into();
        self.messages.push(json!(["http://control/worker_status/", message]));
    }

    /// What was posted so far, as address and message.
    pub fn messages(self) -> Vec<Value> {
        self.messages
    }
}
