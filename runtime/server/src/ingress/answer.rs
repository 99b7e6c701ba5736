//! Answers the host gives itself, when a handler cannot.

use super::body::ResponseBody;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use std::time::Duration;

/// Names the failure in a header, so that a client can tell our 502 from the handler's.
const ERROR_HEADER: &str = "samovar-error";

/// Why the host answers. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCode {
    /// No route fits the path.
    NoDeployment,
    /// The queue is full.
    QueueFull,
    /// The request waited too long for a replica.
    QueueTimeout,
    /// The handler sent no response head in time.
    RequestTimeout,
    /// The handler trapped.
    GuestTrap,
    /// The handler used up its CPU time.
    CpuLimit,
    /// The handler returned without answering.
    NoResponse,
    /// The response's head is larger than allowed.
    ResponseTooLarge,
    /// Replicas do not start.
    StartFailed,
    /// The process or worker could not be reached, or failed before it answered.
    ReplicaFailed,
    /// The process or worker does not speak HTTP as it should.
    BadAnswer,
    /// The client's own request body broke off.
    RequestAborted,
    /// The request's body is larger than allowed.
    RequestBody,
    /// The request's head is larger than allowed.
    RequestHeaders,
    /// The server or the deployment is going away.
    ShuttingDown,
}

impl FailureCode {
    /// The code as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureCode::NoDeployment => "no-deployment",
            FailureCode::QueueFull => "queue-full",
            FailureCode::QueueTimeout => "queue-timeout",
            FailureCode::RequestTimeout => "request-timeout",
            FailureCode::GuestTrap => "guest-trap",
            FailureCode::CpuLimit => "cpu-limit",
            FailureCode::NoResponse => "no-response",
            FailureCode::ResponseTooLarge => "response-too-large",
            FailureCode::StartFailed => "start-failed",
            FailureCode::ReplicaFailed => "replica-failed",
            FailureCode::BadAnswer => "bad-answer",
            FailureCode::RequestAborted => "request-aborted",
            FailureCode::RequestBody => "request-body-too-large",
            FailureCode::RequestHeaders => "request-headers-too-large",
            FailureCode::ShuttingDown => "shutting-down",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            FailureCode::NoDeployment => StatusCode::NOT_FOUND,
            FailureCode::QueueFull | FailureCode::StartFailed | FailureCode::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            FailureCode::QueueTimeout | FailureCode::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            FailureCode::GuestTrap
            | FailureCode::CpuLimit
            | FailureCode::NoResponse
            | FailureCode::ReplicaFailed
            | FailureCode::BadAnswer
            | FailureCode::ResponseTooLarge => StatusCode::BAD_GATEWAY,
            FailureCode::RequestAborted => StatusCode::BAD_REQUEST,
            FailureCode::RequestBody => StatusCode::PAYLOAD_TOO_LARGE,
            FailureCode::RequestHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// An answer of the host.
#[derive(Debug)]
pub struct Failure {
    code: FailureCode,
    message: String,
    retry_after: Option<Duration>,
}

impl Failure {
    /// An answer with this code. The message is for the caller's developers.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Failure { code, message: message.into(), retry_after: None }
    }

    /// When to try again.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// As HTTP.
    pub fn into_response(self) -> Response<ResponseBody> {
        let code = self.code.as_str();
        let body = serde_json::json!({ "error": { "code": code, "message": self.message } });
        let body = Bytes::from(format!("{body}\n"));
        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(code));
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: zero would ask for a retry at once.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            let seconds = HeaderValue::from_str(&seconds.to_string());
            headers.insert(header::RETRY_AFTER, seconds.expect("digits are a header value"));
        }
        response
    }
}
