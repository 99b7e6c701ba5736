//! Why a call of the admin API failed, in words for the person at the terminal.

use std::io;
use std::path::PathBuf;

use http::StatusCode;

use crate::api::ApiError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("`{url}` is not a URL of an admin API: {problem}")]
    Url { url: String, problem: &'static str },
    #[error("cannot reach {what} at {url}: {reason}")]
    Unreachable { what: &'static str, url: String, reason: String },
    /// The connection broke while a request was sent.
    #[error("the connection to {url} broke: {reason}")]
    Broken { url: String, reason: String },
    /// The server answered with an error.
    #[error("{}", api_error(.0))]
    Api(ApiError),
    /// Something answered, but not as an admin API does.
    #[error("{url} answered with status {status} and not as a samovar admin API does: {body}")]
    NotAnApi { url: String, status: StatusCode, body: String },
    #[error("read {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// The code goes with the message so that it can be searched for.
fn api_error(error: &ApiError) -> String {
    format!("{} ({})", error.message, error.code)
}

impl ClientError {
    /// What to do about it, if there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        match self {
            ClientError::Url { .. } => Some("write it like http://127.0.0.1:9090".to_owned()),
            ClientError::Unreachable { .. } => Some(
                "is `samovar up` running? --admin-url or SAMOVAR_ADMIN_URL says where".to_owned(),
            ),
            ClientError::Broken { .. } => Some(
                "the server's log may say why; an upload may be larger than its \
                 --max-component-size"
                    .to_owned(),
            ),
            ClientError::Api(error) if error.code == crate::api::ErrorCode::Unauthorized => {
                Some(error.hint.clone().unwrap_or_else(|| {
                    "set SAMOVAR_ADMIN_TOKEN, or name a file with --admin-token-file".to_owned()
                }))
            }
            ClientError::Api(error) => error.hint.clone(),
            ClientError::NotAnApi { .. } => {
                Some("is that the address of the admin API, not of the data plane?".to_owned())
            }
            ClientError::File { .. } => None,
        }
    }

    /// Whether the server said that the thing does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClientError::Api(error) if error.code == crate::api::ErrorCode::NotFound)
    }
}

/// The innermost cause as a short phrase: `connection refused`, not the five layers above it.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut letters = text[..end].chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "unknown reason".to_owned(),
    }
}
