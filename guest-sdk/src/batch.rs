//! Handlers of many requests at once.
//!
//! The host collects requests (`batching` in the deployment's settings) and hands them over in one
//! call, so that one costly step, such as a model's forward pass, is shared between them.
//! [`together`] keeps the answers in place where some requests are refused before that step.
//!
//! ```
//! use samovar_sdk::batch::{self, BatchHandler, Request, Response};
//!
//! #[derive(serde::Deserialize)]
//! struct Question {
//!     number: f64,
//! }
//!
//! struct Doubler;
//!
//! impl BatchHandler for Doubler {
//!     fn handle(requests: Vec<Request>) -> Vec<Result<Response, String>> {
//!         batch::together(requests, Request::json::<Question>, |questions| {
//!             let doubled = questions.iter().map(|question| question.number * 2.0);
//!             doubled.map(|number| Response::json(&number)).collect()
//!         })
//!     }
//! }
//!
//! samovar_sdk::batch_handler!(Doubler);
//!
//! // Batch handlers are ordinary Rust, so they are tested without a host.
//! let requests = [r#"{"number": 2}"#, "two"].map(|body| Request::post("/", body));
//! let answers = Doubler::handle(requests.into());
//! assert_eq!(answers[0], Ok(Response::json(&4.0)));
//! assert_eq!(answers[1].as_ref().unwrap().status, 422);
//! ```

use std::fmt::Display;

use serde::{Serialize, de::DeserializeOwned};

use crate::handler;

/// Answers many requests in one call. Name the type in [`batch_handler!`](crate::batch_handler).
pub trait BatchHandler {
    /// As many answers as there are requests, in their order. An error fails one request alone,
    /// with status 500 and its text; another number of answers fails all of them.
    fn handle(requests: Vec<Request>) -> Vec<Result<Response, String>>;
}

/// A request with all of its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Below the deployment's route: `/predict?top=3`.
    pub path_with_query: String,
    /// In the order they came. Names are in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// A response with all of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// From 200 to 599.
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A POST without headers, for tests.
    pub fn post(path_with_query: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let (path_with_query, body) = (path_with_query.into(), body.into());
        Self { method: "POST".into(), path_with_query, headers: Vec::new(), body }
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        handler::path(&self.path_with_query)
    }

    /// The first value of `name` in the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        handler::query(&self.path_with_query, name)
    }

    /// The first value of a header. `name` must be in lower case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    ///
    /// The response that says what is wrong with it and where, with status 422.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Response> {
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let value = serde_path_to_error::deserialize(&mut json).map_err(refusal)?;
        json.end().map_err(refusal)?;
        Ok(value)
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// The response that says that it is not UTF-8, with status 422.
    pub fn text(&self) -> Result<&str, Response> {
        str::from_utf8(&self.body).map_err(refusal)
    }
}

fn refusal(reason: impl Display) -> Response {
    Response::text(format!("{reason}\n")).with_status(422)
}

impl Response {
    /// A response with status 200.
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.into())];
        Self { status: 200, headers, body: body.into() }
    }

    /// A response with status 200 and a body of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new("text/plain; charset=utf-8", text.into())
    }

    /// A response with status 200 and a body of JSON.
    ///
    /// # Panics
    ///
    /// When the value cannot be JSON: a map whose keys are no text, or a `Serialize` that fails.
    pub fn json(value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("the value can be JSON");
        Self::new("application/json", body)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Answers with `serve` all requests that `read` can read, in one call, and the others with the
/// response that `read` gave in its place. Without any request left, `serve` is not called.
///
/// # Panics
///
/// When `serve` makes another number of responses than it got requests.
pub fn together<T>(
    requests: Vec<Request>,
    read: impl Fn(&Request) -> Result<T, Response>,
    serve: impl FnOnce(Vec<T>) -> Vec<Response>,
) -> Vec<Result<Response, String>> {
    let mut good = Vec::with_capacity(requests.len());
    let refused: Vec<Option<Response>> =
        requests.iter().map(|request| read(request).map(|item| good.push(item)).err()).collect();
    let expected = good.len();
    let served = if good.is_empty() { Vec::new() } else { serve(good) };
    assert_eq!(served.len(), expected, "there must be one response per request");
    let mut served = served.into_iter();
    let mut next = || served.next().expect("they were counted");
    refused.into_iter().map(|refused| Ok(refused.unwrap_or_else(&mut next))).collect()
}

/// Makes a type that implements [`BatchHandler`](crate::batch::BatchHandler) the batch handler of
/// this component.
///
/// Use it once per crate. On targets other than WebAssembly it exports nothing, so that the same
/// crate can be tested natively.
#[macro_export]
macro_rules! batch_handler {
    ($handler:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::private::BatchExport<$handler>;
            $crate::private::batch_bindings::export!(
                Exported with_types_in $crate::private::batch_bindings
            );
        };
        // Keeps the compiler from calling the handler unused where nothing is exported.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            _ = <$handler as $crate::batch::BatchHandler>::handle;
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bodies: &[&str]) -> Vec<Result<Response, String>> {
        let requests = bodies.iter().map(|body| Request::post("/", *body)).collect();
        together(requests, Request::json::<u32>, |numbers| {
            numbers.iter().map(|number| Response::json(&(number + 1))).collect()
        })
    }

    #[test]
    fn refused_requests_keep_their_place() {
        let answers = numbers(&["1", "x", "3", "4 5"]);
        let statuses: Vec<_> = answers.iter().map(|a| a.as_ref().unwrap().status).collect();
        assert_eq!(statuses, [200, 422, 200, 422]);
        assert_eq!(answers[2], Ok(Response::json(&4)));
    }

    #[test]
    fn refusal_says_where() {
        #[derive(Debug, serde::Deserialize)]
        struct Inner {
            #[serde(rename = "deep")]
            _deep: u32,
        }
        let request = Request::post("/", r#"{"a": {"deep": "no"}}"#);
        let read = request.json::<std::collections::BTreeMap<String, Inner>>();
        let text = String::from_utf8(read.unwrap_err().body).unwrap();
        assert!(text.starts_with("a.deep: invalid type"), "{text}");
    }

    #[test]
    fn nothing_is_served_when_all_are_refused() {
        let requests = vec![Request::post("/", "x")];
        let serve = |_: Vec<u32>| panic!("there is nothing to serve");
        assert_eq!(together(requests, Request::json::<u32>, serve).len(), 1);
    }

    #[test]
    #[should_panic(expected = "one response per request")]
    fn missing_responses_are_noticed() {
        together(vec![Request::post("/", "1")], Request::json::<u32>, |_| Vec::new());
    }

    #[test]
    fn request_reads_its_parts() {
        let mut request = Request::post("/a?b=c+d", "text");
        request.headers.push(("x-one".into(), b"1".to_vec()));
        assert_eq!((request.path(), request.query("b").as_deref()), ("/a", Some("c d")));
        assert_eq!((request.header("x-one"), request.header("x-two")), (Some(&b"1"[..]), None));
        assert_eq!(request.text(), Ok("text"));
        assert_eq!(Request::post("/", [0xff]).text().unwrap_err().status, 422);
    }
}
