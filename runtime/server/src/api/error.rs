//! Errors of the admin API: one stable code each, a message and, where it helps, a hint.

use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::spec::{SpecError, SpecErrorKind};

/// Makes [`ErrorCode`] and its tables, so that a new code cannot miss in one of them.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:ident;)*) => {
        /// What went wrong, as a stable code. Codes are never renamed.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
            /// A code this version does not know; a newer server may send one.
            Unknown(String),
        }

        impl ErrorCode {
            /// All codes this version knows.
            #[cfg(test)]
            pub const KNOWN: &[ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The code as it is sent.
            pub fn as_str(&self) -> &str {
                match self {
                    $(ErrorCode::$variant => $text,)*
                    ErrorCode::Unknown(text) => text,
                }
            }

            /// The HTTP status that goes with the code.
            pub fn status(&self) -> StatusCode {
                match self {
                    $(ErrorCode::$variant => StatusCode::$status,)*
                    ErrorCode::Unknown(_) => StatusCode::INTERNAL_SERVER_ERROR,
                }
            }
        }

        impl From<String> for ErrorCode {
            fn from(text: String) -> ErrorCode {
                match text.as_str() {
                    $($text => ErrorCode::$variant,)*
                    _ => ErrorCode::Unknown(text),
                }
            }
        }
    };
}

error_codes! {
    /// The body is not JSON.
    InvalidJson = "invalid-json", BAD_REQUEST;
    /// A key that does not exist.
    UnknownField = "unknown-field", UNPROCESSABLE_ENTITY;
    /// A value that is not allowed.
    InvalidField = "invalid-field", UNPROCESSABLE_ENTITY;
    /// The upload is no WebAssembly at all.
    NotWasm = "not-wasm", UNPROCESSABLE_ENTITY;
    /// The upload is a core module, not a component.
    CoreModule = "core-module", UNPROCESSABLE_ENTITY;
    /// The component exports nothing that can be run.
    WrongWorld = "wrong-world", UNPROCESSABLE_ENTITY;
    /// The upload ends in the middle of a section.
    TruncatedComponent = "truncated-component", UNPROCESSABLE_ENTITY;
    /// The component does not validate.
    InvalidComponent = "invalid-component", UNPROCESSABLE_ENTITY;
    /// The upload is larger than the server takes.
    ComponentTooLarge = "component-too-large", PAYLOAD_TOO_LARGE;
    /// The compiler refused the component.
    CompileFailed = "compile-failed", UNPROCESSABLE_ENTITY;
    /// Compiling took more time or memory than allowed.
    CompileLimit = "compile-limit", UNPROCESSABLE_ENTITY;
    /// The component imports something that is not on offer.
    UnknownImport = "unknown-import", UNPROCESSABLE_ENTITY;
    /// A policy was expected, the component is something else.
    NotAPolicy = "not-a-policy", UNPROCESSABLE_ENTITY;
    /// A handler was expected, the component is something else.
    NotAHandler = "not-a-handler", UNPROCESSABLE_ENTITY;
    /// More than one request at a time for a handler that takes one.
    ConcurrencyUnsupported = "concurrency-unsupported", UNPROCESSABLE_ENTITY;
    /// The named thing does not exist.
    NotFound = "not-found", NOT_FOUND;
    /// The route exists, but not with this method.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED;
    /// The name belongs to something else.
    NameTaken = "name-taken", CONFLICT;
    /// A deployment or policy still needs the component.
    ComponentInUse = "component-in-use", CONFLICT;
    /// It cannot be done as things are now.
    Conflict = "conflict", CONFLICT;
    /// The deployment's number of replicas is not set from outside.
    ExternalScalerOff = "external-scaler-off", PRECONDITION_FAILED;
    /// The policy refused its configuration, or failed to start.
    PolicyCreateFailed = "policy-create-failed", UNPROCESSABLE_ENTITY;
    /// The policy failed on the observations of the last minutes.
    PolicyReplayFailed = "policy-replay-failed", UNPROCESSABLE_ENTITY;
    /// The disk of the store is full.
    StorageFull = "storage-full", INSUFFICIENT_STORAGE;
    /// The store failed for another reason.
    StorageFailed = "storage-failed", INTERNAL_SERVER_ERROR;
    /// The token is missing or wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// The message of a worker is older than what is known of it.
    OldMessage = "old-message", CONFLICT;
    /// The deployment has as many workers as it may.
    TooManyWorkers = "too-many-workers", CONFLICT;
    /// The message of a worker is larger than allowed, or broke off.
    MessageTooLarge = "message-too-large", PAYLOAD_TOO_LARGE;
    /// The first replica of a new revision did not become ready.
    StartFailed = "start-failed", UNPROCESSABLE_ENTITY;
}

impl From<ErrorCode> for String {
    fn from(code: ErrorCode) -> String {
        match code {
            ErrorCode::Unknown(text) => text,
            known => known.as_str().to_owned(),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error answer of the admin API. Printed, it is the message alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// A stable code to branch on.
    #[schema(value_type = String, example = "invalid-field")]
    pub code: ErrorCode,
    /// What went wrong, for a person.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The setting the error is about, like `spec.queue.max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// The body of every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub error: ApiError,
}

impl ApiError {
    /// An error without hint and field.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), hint: None, field: None }
    }

    /// The same error with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> ApiError {
        self.hint = Some(hint.into());
        self
    }

    /// The same error about one setting.
    pub fn with_field(mut self, field: impl Into<String>) -> ApiError {
        self.field = Some(field.into());
        self
    }
}

impl From<SpecError> for ApiError {
    fn from(error: SpecError) -> ApiError {
        let code = match error.kind {
            SpecErrorKind::Syntax => ErrorCode::InvalidJson,
            SpecErrorKind::UnknownField => ErrorCode::UnknownField,
            SpecErrorKind::InvalidField => ErrorCode::InvalidField,
            SpecErrorKind::ConcurrencyUnsupported => ErrorCode::ConcurrencyUnsupported,
        };
        let message = error.to_string();
        let field = Some(error.field).filter(|field| !field.is_empty());
        ApiError { code, message, hint: error.hint, field }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in ErrorCode::KNOWN {
            assert_eq!(ErrorCode::from(code.as_str().to_owned()), *code);
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn unknown_codes_are_kept() {
        let body = r#"{"error":{"code":"too-new","message":"m","extra":1}}"#;
        let ErrorBody { error } = serde_json::from_str(body).unwrap();
        assert_eq!(error.code, ErrorCode::Unknown("too-new".to_owned()));
        let again = serde_json::to_string(&ErrorBody { error }).unwrap();
        assert_eq!(again, r#"{"error":{"code":"too-new","message":"m"}}"#);
    }
}
