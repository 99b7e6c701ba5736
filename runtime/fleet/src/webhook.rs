//! A hook that is a URL.

use std::{error::Error, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Scheme};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time;

use crate::{
    ANSWER_BYTES_MAX,
    failure::Failure,
    request::{Request, beginning},
    retry,
    settings::{Secret, SettingsError, Target, Webhook},
};

/// How much of a refusal is read: enough for its first words.
const REFUSAL_BYTES_MAX: usize = 1024;

/// Calls one webhook. Connections are not kept: calls are minutes apart.
pub(crate) struct Client {
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    target: Target,
    bearer: Option<Secret>,
    /// For messages, without the query, which may hold a key.
    shown: String,
}

impl Client {
    pub fn new(webhook: &Webhook) -> Result<Self, SettingsError> {
        let target = webhook.parse()?;
        let secure = target.uri.scheme() == Some(&Scheme::HTTPS);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(secure, webhook.ca_file.as_deref())?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        let shown = webhook.url.split(['?', '#']).next().unwrap_or_default().to_owned();
        Ok(Self { client, target, bearer: webhook.bearer.clone(), shown })
    }

    /// Posts the request once and answers the body of a 2xx answer.
    pub async fn post(&self, request: &Request, timeout: Duration) -> Result<Vec<u8>, Failure> {
        let answered = time::timeout(timeout, self.exchange(request)).await;
        answered.unwrap_or(Err(Failure::TimedOut(timeout)))
    }

    async fn exchange(&self, request: &Request) -> Result<Vec<u8>, Failure> {
        let mut message = http::Request::new(Full::from(request.json()));
        *message.method_mut() = Method::POST;
        *message.uri_mut() = self.target.uri.clone();
        *message.headers_mut() = self.headers(request).await?;
        let response = self.client.request(message).await.map_err(|e| self.unreachable(&e))?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            let answer = self.read(body, ANSWER_BYTES_MAX + 1).await?;
            return if answer.len() > ANSWER_BYTES_MAX {
                Err(Failure::TooLarge)
            } else {
                Ok(answer)
            };
        }
        let said = self.read(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        Err(Failure::Status {
            status: head.status.as_u16(),
            line: refusal(head.status, &head.headers, &said),
            retry_after: retry::retry_after(
                text(&head.headers, header::RETRY_AFTER),
                text(&head.headers, header::DATE),
            ),
        })
    }

    async fn headers(&self, request: &Request) -> Result<HeaderMap, Failure> {
        let mut headers: HeaderMap = self.target.headers.iter().cloned().collect();
        let agent = concat!("samovar-fleet/", env!("CARGO_PKG_VERSION"));
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(agent));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let key: String = format!("{}-{}", request.action, request.key)
            .chars()
            .map(|c| if c.is_ascii_graphic() { c } else { '_' })
            .collect();
        let key = HeaderValue::try_from(key).expect("only visible characters are left");
        headers.insert("idempotency-key", key);
        if let Some(secret) = &self.bearer {
            let bearer = format!("Bearer {}", read_secret(secret).await.map_err(Failure::Secret)?);
            let mut value = HeaderValue::try_from(bearer)
                .map_err(|_| Failure::Secret("it has characters no header can have".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }

    /// The beginning of a body, until there are `enough` bytes.
    async fn read(&self, mut body: Incoming, enough: usize) -> Result<Vec<u8>, Failure> {
        let mut read = Vec::new();
        while read.len() < enough {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    read.extend_from_slice(&data[..data.len().min(enough - read.len())]);
                }
                Some(Err(e)) => return Err(self.unreachable(&e)),
                None => break,
            }
        }
        Ok(read)
    }

    fn unreachable(&self, error: &(dyn Error + 'static)) -> Failure {
        let url = self.shown.clone();
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                Failure::Tls { url, reason: format!("its certificate is not trusted: {why}") }
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                Failure::Tls { url, reason: "what answers there does not speak TLS".to_owned() }
            }
            Some(other) => Failure::Tls { url, reason: other.to_string() },
            None => Failure::Unreachable { url, reason: root_cause(error) },
        }
    }
}

/// Whom to trust. For http nobody is asked.
fn tls(secure: bool, ca_file: Option<&Path>) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for the default versions");
    let builder = match (secure, ca_file) {
        (false, _) => builder.with_root_certificates(RootCertStore::empty()),
        (true, Some(file)) => builder.with_root_certificates(trusted(file)?),
        (true, None) => builder.with_native_roots().map_err(|e| {
            SettingsError(format!(
                "this system has no certificates to check https with ({e}); install its \
                 ca-certificates or name a file with them"
            ))
        })?,
    };
    Ok(builder.with_no_client_auth())
}

fn trusted(file: &Path) -> Result<RootCertStore, SettingsError> {
    let no = |why: String| {
        SettingsError(format!("the certificates in {} cannot be used: {why}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| no(e.to_string()))? {
        let certificate = certificate.map_err(|e| no(e.to_string()))?;
        roots.add(certificate).map_err(|e| no(e.to_string()))?;
    }
    if roots.is_empty() { Err(no("there is none in it".to_owned())) } else { Ok(roots) }
}

async fn read_secret(secret: &Secret) -> Result<String, String> {
    let (found, place) = match secret {
        Secret::Env(name) => {
            let place = format!("the environment variable {name}");
            (std::env::var(name).map_err(|_| format!("{place} is not set"))?, place)
        }
        Secret::File(path) => {
            let read = tokio::fs::read_to_string(path).await;
            (read.map_err(|e| format!("{}: {e}", path.display()))?, path.display().to_string())
        }
    };
    let found = found.trim();
    if found.is_empty() { Err(format!("{place} is empty")) } else { Ok(found.to_owned()) }
}

/// What to show of an answer that is no success.
fn refusal(status: StatusCode, headers: &HeaderMap, said: &[u8]) -> String {
    match text(headers, header::LOCATION) {
        Some(location) if status.is_redirection() => {
            format!(
                "redirects are not followed, and it leads to {}",
                beginning(location.as_bytes())
            )
        }
        _ => beginning(said),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The TLS error behind an error, if there is one. An `io::Error` hides it from `source`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// The last cause says what happened; those before it say who was told.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
