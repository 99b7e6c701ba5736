//! The HTTP routes of the load balancer, with its request bodies checked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::balancer::{Admission, Admitted, NO_WORKER};
use crate::Config;

/// Where the recorded client believes the server to be.
const ORIGIN: &str = "http://testserver";

/// Seconds a connection without requests is kept.
const KEEP_ALIVE_S: u32 = 60;

/// Calls of one balancer, one after the other: method, path and body.
#[derive(Deserialize)]
pub(super) struct Calls {
    endpoint: Option<String>,
    #[serde(default = "max_batch_size")]
    max_batch_size: u64,
    calls: Vec<(String, String, Value)>,
}

fn max_batch_size() -> u64 {
    8
}

/// The balancer as its routes see it.
struct Balancer {
    endpoint: String,
    max_batch_size: u64,
    servers: Vec<String>,
    /// Requests that came to the endpoint.
    request_count: u64,
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Docs,
    NumRequests,
    Info,
    UpdateServers,
    Predict,
}

/// A status, and what the body says.
type Reply = (u16, Value);

impl Calls {
    pub(super) fn answer(self) -> Result<Value, String> {
        let endpoint = self.endpoint.unwrap_or_else(|| Config::default().endpoint);
        let endpoint = Config { endpoint, ..Config::default() }.endpoint_path();
        let mut balancer = Balancer {
            endpoint,
            max_batch_size: self.max_batch_size,
            servers: Vec::new(),
            request_count: 0,
        };
        let mut answers = Vec::new();
        for (method, path, body) in self.calls {
            answers.push(balancer.call(&method.to_uppercase(), &path, body)?);
        }
        // A worker that is new to the balancer has no batch in flight.
        let status: BTreeMap<_, _> = balancer.servers.iter().map(|server| (server, true)).collect();
        Ok(json!({
            "answers": answers,
            "keep_alive": KEEP_ALIVE_S,
            "servers": balancer.servers,
            "status_table": status,
        }))
    }
}

impl Balancer {
    fn call(&mut self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if ["/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"].contains(&path) {
            return Err(format!("`{path}` belongs to the web framework, which is not modelled"));
        }
        let path = if path.is_empty() { "/" } else { path };
        if path == self.endpoint {
            self.request_count += 1;
        }
        let Some((route, allowed)) = self.route(path) else {
            let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
            if path != "/" && self.route(&other).is_some() {
                let query = if query.is_empty() { String::new() } else { format!("?{query}") };
                let location = format!("{ORIGIN}{other}{query}");
                return Ok(json!({"status": 307, "location": location, "text": ""}));
            }
            return Ok(replied(method, (404, json!({"detail": "Not Found"}))));
        };
        if method != allowed {
            return Ok(replied(method, (405, json!({"detail": "Method Not Allowed"}))));
        }
        let reply = match route {
            Route::Docs => return Ok(json!({"status": 307, "location": "/docs", "text": ""})),
            Route::NumRequests => (200, json!(0)),
            // The time of the last request is a float, which the answer has no place for.
            Route::Info if self.request_count > 0 => {
                return Ok(json!({"status": 500, "text": "Internal Server Error"}));
            }
            Route::Info => (200, self.info()),
            Route::UpdateServers => self.update_servers(body),
            Route::Predict => self.predict(&body)?,
        };
        Ok(replied(method, reply))
    }

    /// The route at a path and the one method it takes.
    fn route(&self, path: &str) -> Option<(Route, &'static str)> {
        match path {
            "/" => Some((Route::Docs, "GET")),
            "/num-requests" => Some((Route::NumRequests, "GET")),
            "/system/info" => Some((Route::Info, "GET")),
            "/system/update-servers" => Some((Route::UpdateServers, "PUT")),
            path if path == self.endpoint => Some((Route::Predict, "POST")),
            _ => None,
        }
    }

    fn info(&self) -> Value {
        json!({
            "num_workers": self.servers.len(),
            "servers": self.servers,
            "num_requests": 0,
            "processing_time": 0,
            "global_request_count": self.request_count,
        })
    }

    /// Replaces the list of workers.
    fn update_servers(&mut self, body: Value) -> Reply {
        let items = match body {
            Value::Null => return invalid(vec![missing(&["body"], &Value::Null)]),
            Value::Array(items) => items,
            other => {
                return invalid(vec![json!({
                    "type": "list_type",
                    "loc": ["body"],
                    "msg": "Input should be a valid list",
                    "input": other,
                })]);
            }
        };
        let wrong = items.iter().enumerate().filter(|(_, item)| !item.is_string());
        let wrong: Vec<_> =
            wrong.map(|(index, item)| not_text(json!(["body", index]), item)).collect();
        if !wrong.is_empty() {
            return invalid(wrong);
        }
        let servers = items.iter().filter_map(|item| item.as_str().map(str::to_owned));
        self.servers = servers.collect();
        (200, Value::Null)
    }

    /// A request for the model, whose body is an object with a text.
    fn predict(&self, body: &Value) -> Result<Reply, String> {
        let fields = match body {
            Value::Null => return Ok(invalid(vec![missing(&["body"], body)])),
            Value::Object(fields) => fields,
            other => {
                return Ok(invalid(vec![json!({
                    "type": "model_attributes_type",
                    "loc": ["body"],
                    "msg": "Input should be a valid dictionary or object to extract fields from",
                    "input": other,
                })]));
            }
        };
        if let Some(error) = text_error(fields) {
            return Ok(invalid(vec![error]));
        }
        let admission = Admission::without_proxy(self.servers.len() as u64, 1, self.max_batch_size);
        match admission.outcome() {
            Admitted::Refused => Ok((503, json!({"detail": NO_WORKER}))),
            Admitted::Batched | Admitted::Proxied => {
                Err("the request waits for a worker, and the recorded balancer has none".into())
            }
        }
    }
}

/// What is wrong with the field `text`, if anything is.
fn text_error(fields: &Map<String, Value>) -> Option<Value> {
    match fields.get("text") {
        Some(Value::String(_)) => None,
        Some(other) => Some(not_text(json!(["body", "text"]), other)),
        None => Some(missing(&["body", "text"], &Value::Object(fields.clone()))),
    }
}

fn not_text(place: Value, input: &Value) -> Value {
    let message = "Input should be a valid string";
    json!({"type": "string_type", "loc": place, "msg": message, "input": input})
}

fn missing(place: &[&str], input: &Value) -> Value {
    json!({"type": "missing", "loc": place, "msg": "Field required", "input": input})
}

fn invalid(errors: Vec<Value>) -> Reply {
    (422, json!({"detail": errors}))
}

/// The reply as the recorded client shows it. A reply to `HEAD` has no body.
fn replied(method: &str, (status, json): Reply) -> Value {
    match method {
        "HEAD" => json!({"status": status, "text": ""}),
        _ => json!({"status": status, "json": json}),
    }
}
