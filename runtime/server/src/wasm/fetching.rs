//! Requests of guests that go out into the world.

use super::surroundings::{Outbound, Surroundings};
use crate::dispatch::settled;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use samovar_outbound::{CallOptions, Error};
use std::io;
use std::time::Duration;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody};

impl Surroundings {
    /// Sends a request to where the deployment's rules allow it.
    ///
    /// # Errors
    ///
    /// What the guest is told. Why something was denied stands in the deployment's log.
    pub async fn fetch(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, WasiError> {
        let Some(Outbound { client, longest }) = &self.outbound else {
            let host = request.uri().host().unwrap_or_default();
            self.note(&format!(
                "request to `{host}` denied: the deployment has no `outbound` that allows any"
            ));
            return Err(WasiError::HttpRequestDenied);
        };
        let options = CallOptions {
            connect: shorter(options.connect_timeout, longest.connect),
            first_byte: shorter(options.first_byte_timeout, longest.first_byte),
            between_bytes: shorter(options.between_bytes_timeout, longest.between_bytes),
            deadline: None,
        };
        match client.send(settled(request).await, options).await {
            Ok(response) => {
                Ok(response.map(|body| body.map_err(|error| code(&error)).boxed_unsync()))
            }
            Err(error) => {
                if is_denial(&error) {
                    self.note(&format!("request denied: {error}"));
                }
                Err(code(&error))
            }
        }
    }
}

/// What the guest asks for, if the deployment allows as much.
fn shorter(asked: Option<Duration>, longest: Option<Duration>) -> Option<Duration> {
    [asked, longest].into_iter().flatten().min()
}

/// Whether the operator should see it: a rule that is missing, or a guest that should not be trusted.
fn is_denial(error: &Error) -> bool {
    matches!(error, Error::NotAllowed { .. } | Error::Address { .. } | Error::Url { .. })
}

/// The code of `wasi:http` that says the same.
fn code(error: &Error) -> WasiError {
    let kind = |source: &io::Error| source.kind();
    match error {
        Error::Url { .. } => WasiError::HttpRequestUriInvalid,
        Error::Tunnel { .. } | Error::NotAllowed { .. } => WasiError::HttpRequestDenied,
        Error::Address { .. } => WasiError::DestinationIpProhibited,
        Error::Dns { source, .. } if kind(source) == io::ErrorKind::NotFound => {
            WasiError::DestinationNotFound
        }
        Error::Dns { .. } => WasiError::DnsError { rcode: None, info_code: None },
        Error::DnsTimeout { .. } => WasiError::DnsTimeout,
        Error::Connect { source, .. } if kind(source) == io::ErrorKind::ConnectionRefused => {
            WasiError::ConnectionRefused
        }
        Error::Connect { .. } => WasiError::DestinationUnavailable,
        Error::ConnectTimeout { .. } => WasiError::ConnectionTimeout,
        Error::ConnectionLimit { .. } => WasiError::ConnectionLimitReached,
        Error::Certificate { .. } => WasiError::TlsCertificateError,
        Error::Tls { .. } => WasiError::TlsProtocolError,
        Error::FirstByteTimeout { .. } => WasiError::HttpResponseTimeout,
        Error::BetweenBytesTimeout { .. } => WasiError::ConnectionReadTimeout,
        Error::RequestBodyTooLarge { limit_bytes, .. } => {
            WasiError::HttpRequestBodySize(Some(*limit_bytes))
        }
        Error::HeadTooLarge { limit_bytes, .. } => {
            WasiError::HttpResponseHeaderSectionSize(u32::try_from(*limit_bytes).ok())
        }
        Error::ResponseBodyTooLarge { limit_bytes, .. } => {
            WasiError::HttpResponseBodySize(Some(*limit_bytes))
        }
        Error::Closed { .. } => WasiError::ConnectionTerminated,
        Error::Protocol { .. } => WasiError::HttpProtocolError,
        Error::RequestBody { .. } | Error::Internal { .. } => {
            let causes = anyhow::Chain::new(error).map(ToString::to_string);
            WasiError::InternalError(Some(causes.collect::<Vec<_>>().join(": ")))
        }
    }
}
