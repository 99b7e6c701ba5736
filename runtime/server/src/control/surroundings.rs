//! What the guests of a revision may reach, made of its spec.

use super::Control;
use crate::api::{ApiError, ErrorCode};
use crate::deployment::Parts;
use crate::dispatch::front::Stand;
use crate::spec::{DeploymentName, DeploymentSpec, OutboundSpec, SecretFrom};
use crate::wasm::surroundings::{Outbound, Surroundings};
use samovar_outbound::{AddressPolicy, AllowList, CallOptions, Client, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a file with a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a file with certificates.
const CERTIFICATES_BYTES_MAX: u64 = 4 << 20;
/// How long an outbound connection is kept that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(60);

impl Control {
    /// What the guests of a revision may reach.
    ///
    /// # Errors
    ///
    /// `invalid-field` when a file with certificates cannot be read.
    pub(super) fn surroundings(
        &self,
        name: &DeploymentName,
        spec: &DeploymentSpec,
        parts: &Parts,
    ) -> Result<Arc<Surroundings>, ApiError> {
        Ok(Arc::new(Surroundings {
            dispatch: Arc::downgrade(&self.dispatch),
            calls: spec.calls.allow.clone(),
            outbound: spec.outbound.as_ref().map(outbound).transpose()?,
            config: spec.config.clone(),
            keyvalue: self.keyvalue.space(name, &spec.keyvalue),
            gauges: Arc::default(),
            log: Arc::clone(&parts.log),
        }))
    }
}

fn outbound(spec: &OutboundSpec) -> Result<Outbound, ApiError> {
    let invalid = |field: &str, error: &dyn std::fmt::Display| {
        ApiError::new(ErrorCode::InvalidField, error.to_string())
            .with_field(format!("spec.outbound.{field}"))
    };
    let allow = AllowList::parse(&spec.allow).map_err(|error| invalid("allow", &error))?;
    let addresses =
        AddressPolicy::parse(&spec.addresses).map_err(|error| invalid("addresses", &error))?;
    let mut ca_files = Vec::new();
    for path in &spec.ca_files {
        let pem = read_small(path, CERTIFICATES_BYTES_MAX);
        ca_files.push(pem.map_err(|error| {
            invalid("ca_files", &format_args!("read {}: {error}", path.display()))
        })?);
    }
    let settings = Settings {
        allow,
        addresses,
        ca_files,
        connect_timeout: spec.connect_timeout,
        first_byte_timeout: spec.first_byte_timeout,
        between_bytes_timeout: spec.between_bytes_timeout,
        connections_max: spec.max_connections as usize,
        idle_timeout: IDLE_MAX,
        request_body_max: spec.request_body,
        response_body_max: spec.response_body,
        ..Settings::default()
    };
    let client = Client::new(settings).map_err(|error| invalid("ca_files", &error))?;
    let longest = CallOptions {
        connect: Some(spec.connect_timeout),
        first_byte: Some(spec.first_byte_timeout),
        between_bytes: Some(spec.between_bytes_timeout),
        deadline: None,
    };
    Ok(Outbound { client, longest })
}

/// Who answers at this URL, whatever its address: the operator named it.
///
/// # Errors
///
/// `invalid-field` when it is no URL.
pub(super) fn stand_in(url: &str, timeout: Duration) -> Result<Stand, ApiError> {
    let invalid = |error: &dyn std::fmt::Display| {
        ApiError::new(ErrorCode::InvalidField, error.to_string())
            .with_field("spec.cold_start_proxy.url")
    };
    let uri: http::Uri = url.parse().map_err(|error: http::uri::InvalidUri| invalid(&error))?;
    let settings = Settings {
        allow: AllowList::parse(["*:*"]).map_err(|error| invalid(&error))?,
        addresses: AddressPolicy::parse(["loopback", "private", "link-local"])
            .map_err(|error| invalid(&error))?,
        first_byte_timeout: timeout,
        idle_timeout: IDLE_MAX,
        ..Settings::default()
    };
    let client = Client::new(settings).map_err(|error| invalid(&error))?;
    Ok(Stand::Url(uri, client))
}

/// The values of a deployment's secrets, by name.
///
/// # Errors
///
/// `invalid-field` when one is not there. What it would have been is not said.
pub(super) fn secrets(spec: &DeploymentSpec) -> Result<BTreeMap<String, String>, ApiError> {
    let mut values = BTreeMap::new();
    for (name, from) in &spec.secrets {
        let value = secret(from).map_err(|reason| {
            ApiError::new(ErrorCode::InvalidField, format!("secret `{name}`: {reason}"))
                .with_field(format!("spec.secrets.{name}"))
        })?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn secret(from: &SecretFrom) -> Result<String, String> {
    match from {
        SecretFrom::Env(variable) => std::env::var(variable).map_err(|error| match error {
            std::env::VarError::NotPresent => {
                format!("the server has no environment variable `{variable}`")
            }
            std::env::VarError::NotUnicode(_) => format!("`{variable}` is not UTF-8"),
        }),
        SecretFrom::File(path) => {
            let bytes = read_small(path, SECRET_BYTES_MAX)
                .map_err(|error| format!("read {}: {error}", path.display()))?;
            let text =
                String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path.display()))?;
            // Files end with a line end that is not meant.
            Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
        }
    }
}

fn read_small(path: &std::path::Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, bytes_max + 1), &mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}
