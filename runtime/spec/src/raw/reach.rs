//! Calls, requests to elsewhere, and the cold start proxy as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::reach::{CallAllow, CallsSpec, ColdStartProxySpec, OutboundSpec, ProxyTo};
use super::super::units::{Count, DurationText, SizeText};
use super::optional_object;

/// Calls of a component to other deployments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawCalls {
    /// Names of deployments; `*` stands for all. Default: `["*"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
}

/// HTTP requests of a component to elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawOutbound {
    /// What may be called: scheme, host and port, like `https://*.example.com`. Default: nothing.
    pub allow: Vec<String>,
    /// Addresses that a name may resolve to beside public ones: `loopback`, `private`,
    /// `link-local`, `metadata`, or networks like `10.1.0.0/16`. Default: none.
    pub addresses: Vec<String>,
    /// Files with certificates, as PEM, of authorities that are trusted beside those of the
    /// system; absolute paths. (In a manifest: relative to the manifest.)
    #[schema(value_type = Vec<String>)]
    pub ca_files: Vec<PathBuf>,
    /// The longest wait for a connection, TLS included. Default: `5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<DurationText>,
    /// From the request to the head of its response. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_timeout: Option<DurationText>,
    /// The longest silence of a response's body. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between_bytes_timeout: Option<DurationText>,
    /// Connections of all replicas together. Default: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<Count>,
    /// Body of a request. Default: `64MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body: Option<SizeText>,
    /// Body of a response. Default: `64MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<SizeText>,
}

/// Who answers while no replica can: exactly one of `deployment`, `url` and `response`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawColdStartProxy {
    /// Another deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// An http or https URL; what follows the route is added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Always the same answer.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub response: Option<RawProxyResponse>,
    /// With more requests than this per ready replica, queued and ongoing, further ones go there
    /// too. Default: only those that find no ready replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// From sending a request there to the head of its response. Default: `50s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// An answer that is always the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawProxyResponse {
    /// Default: 503.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Count>,
    /// Default: none.
    pub headers: BTreeMap<String, String>,
    /// Default: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl From<&CallsSpec> for RawCalls {
    fn from(spec: &CallsSpec) -> Self {
        RawCalls {
            allow: Some(match &spec.allow {
                CallAllow::All => vec!["*".to_owned()],
                CallAllow::Only(names) => names.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

impl From<&OutboundSpec> for RawOutbound {
    fn from(spec: &OutboundSpec) -> Self {
        RawOutbound {
            allow: spec.allow.clone(),
            addresses: spec.addresses.clone(),
            ca_files: spec.ca_files.clone(),
            connect_timeout: Some(DurationText(spec.connect_timeout)),
            first_byte_timeout: Some(DurationText(spec.first_byte_timeout)),
            between_bytes_timeout: Some(DurationText(spec.between_bytes_timeout)),
            max_connections: Some(Count(u64::from(spec.max_connections))),
            request_body: Some(SizeText(spec.request_body)),
            response_body: Some(SizeText(spec.response_body)),
        }
    }
}

impl From<&ColdStartProxySpec> for RawColdStartProxy {
    fn from(spec: &ColdStartProxySpec) -> Self {
        let raw = RawColdStartProxy {
            above: spec.above,
            timeout: Some(DurationText(spec.timeout)),
            ..RawColdStartProxy::default()
        };
        match &spec.to {
            ProxyTo::Deployment(name) => {
                RawColdStartProxy { deployment: Some(name.to_string()), ..raw }
            }
            ProxyTo::Url(url) => RawColdStartProxy { url: Some(url.clone()), ..raw },
            ProxyTo::Response { status, headers, body } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = headers.iter().map(|(k, v)| (k.to_string(), text(v.as_bytes())));
                let response = RawProxyResponse {
                    status: Some(Count(u64::from(status.as_u16()))),
                    headers: headers.collect(),
                    body: Some(body.clone()),
                };
                RawColdStartProxy { response: Some(response), ..raw }
            }
        }
    }
}
