//! Answers the host gives itself, when a handler cannot.

use super::body::ResponseBody;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use samovar_schema::Fault;
use std::fmt;
use std::time::Duration;

/// Names the failure in a header, so that a client can tell our 502 from the handler's.
pub const ERROR_HEADER: &str = "samovar-error";

/// Why the host answers. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCode {
    /// No route fits the path.
    NoDeployment,
    /// The call can never be served: its own ancestors hold every place.
    CallLoop,
    /// The header that names a calling request is not one of this server's.
    BadAncestry,
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
    /// Nothing is served at this path.
    NotEndpoint,
    /// The endpoint takes another method.
    Method,
    /// The request's body does not fit the deployment's schema.
    InputSchema,
    /// The handler's answer does not fit the deployment's schema.
    OutputSchema,
    /// The request's body is not JSON, of which batches are made.
    BodyNotJson,
    /// A batch was answered in a way that cannot be split.
    BatchAnswer,
    /// The batch handler answered this request with an error.
    BatchItem,
    /// The cold start proxy gave no answer.
    ProxyFailed,
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
            FailureCode::CallLoop => "call-loop",
            FailureCode::BadAncestry => "bad-ancestry",
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
            FailureCode::NotEndpoint => "not-endpoint",
            FailureCode::Method => "method",
            FailureCode::InputSchema => "input-schema",
            FailureCode::OutputSchema => "output-schema",
            FailureCode::BodyNotJson => "body-not-json",
            FailureCode::BatchAnswer => "batch-answer",
            FailureCode::BatchItem => "batch-item",
            FailureCode::ProxyFailed => "proxy-failed",
            FailureCode::RequestAborted => "request-aborted",
            FailureCode::RequestBody => "request-body-too-large",
            FailureCode::RequestHeaders => "request-headers-too-large",
            FailureCode::ShuttingDown => "shutting-down",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            FailureCode::NoDeployment | FailureCode::NotEndpoint => StatusCode::NOT_FOUND,
            FailureCode::Method => StatusCode::METHOD_NOT_ALLOWED,
            FailureCode::InputSchema => StatusCode::UNPROCESSABLE_ENTITY,
            FailureCode::BatchItem => StatusCode::INTERNAL_SERVER_ERROR,
            FailureCode::QueueFull | FailureCode::StartFailed | FailureCode::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            FailureCode::QueueTimeout | FailureCode::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            FailureCode::GuestTrap
            | FailureCode::CpuLimit
            | FailureCode::NoResponse
            | FailureCode::ReplicaFailed
            | FailureCode::BadAnswer
            | FailureCode::OutputSchema
            | FailureCode::BatchAnswer
            | FailureCode::ProxyFailed
            | FailureCode::ResponseTooLarge => StatusCode::BAD_GATEWAY,
            FailureCode::CallLoop => StatusCode::LOOP_DETECTED,
            FailureCode::RequestAborted | FailureCode::BadAncestry | FailureCode::BodyNotJson => {
                StatusCode::BAD_REQUEST
            }
            FailureCode::RequestBody => StatusCode::PAYLOAD_TOO_LARGE,
            FailureCode::RequestHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

/// An answer of the host.
#[derive(Clone, Debug)]
pub struct Failure {
    code: FailureCode,
    /// In place of the one that goes with the code.
    status: Option<StatusCode>,
    message: String,
    retry_after: Option<Duration>,
    /// What does not fit a schema.
    faults: Vec<Fault>,
}

impl Failure {
    /// An answer with this code. The message is for the caller's developers.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Failure {
            code,
            status: None,
            message: message.into(),
            retry_after: None,
            faults: Vec::new(),
        }
    }

    /// When to try again.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// With another status than the one that goes with the code.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// What does not fit a schema.
    pub fn faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// As HTTP.
    pub fn into_response(self) -> Response<ResponseBody> {
        let code = self.code.as_str();
        let mut error = serde_json::json!({ "code": code, "message": self.message });
        if !self.faults.is_empty() {
            error["faults"] = self.faults.iter().map(|fault| serde_json::json!(fault)).collect();
        }
        let body = serde_json::json!({ "error": error });
        let body = Bytes::from(format!("{body}\n"));
        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() = self.status.unwrap_or_else(|| self.code.status());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(code));
        if self.code == FailureCode::Method {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: zero would ask for a retry at once.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            let seconds = HeaderValue::from_str(&seconds.to_string());
            headers.insert(header::RETRY_AFTER, seconds.expect("digits are a header value"));
        }
        response
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
