//! Requests of guests that go out into the world.

use super::surroundings::Surroundings;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use samovar_outbound::{CallOptions, Error};
use std::io;
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
        let Some(client) = &self.outbound else {
            let host = request.uri().host().unwrap_or_default();
            self.note(&format!(
                "request to `{host}` denied: the deployment has no `outbound` that allows any"
            ));
            return Err(WasiError::HttpRequestDenied);
        };
        let options = CallOptions {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
            deadline: None,
        };
        match client.send(request, options).await {
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
