//! One request to its end.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::BodyExt as _;

use super::super::request::ERROR_HEADER;
use super::tally::Outcome;
use crate::client::{Client, ClientError, body};

/// Sends the same request again and again.
pub struct Sender {
    pub client: Client,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Sender {
    /// Sends it once and reads the answer to its end, or gives up after `left`.
    pub async fn send(&self, left: Duration) -> Outcome {
        if left.is_zero() {
            return Outcome::Error("no connection was free in time".to_owned());
        }
        match tokio::time::timeout(left, self.exchange()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Error(reason(&error)),
            Err(_) => Outcome::Error("no answer in time".to_owned()),
        }
    }

    async fn exchange(&self) -> Result<Outcome, ClientError> {
        let body = match self.body.is_empty() {
            true => body::empty(),
            false => body::full(self.body.clone()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let (head, mut body) = self.client.send(request).await?.into_parts();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return Ok(Outcome::Error("the answer broke off".to_owned()));
            }
        }
        let code = head.headers.get(ERROR_HEADER);
        let code = code.map(|code| String::from_utf8_lossy(code.as_bytes()).into_owned());
        Ok(Outcome::Answer { status: head.status, code })
    }
}

/// Without the address, which is the same for all.
fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { reason, .. } | ClientError::Broken { reason, .. } => {
            reason.clone()
        }
        other => other.to_string(),
    }
}
