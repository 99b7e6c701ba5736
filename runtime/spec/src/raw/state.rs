//! The key-value store and secrets as they are written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::state::{KeyValueSpec, SecretFrom};
use super::super::units::{SizeText, Ttl};

/// The key-value store of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawKeyValue {
    /// Bytes of all keys and values together. Default: `64MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<SizeText>,
    /// Bytes of one value. Default: `1MiB`, or the quota if that is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_value: Option<SizeText>,
    /// How long a value stays whose writer does not say. Default: `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "5m")]
    pub ttl: Option<Ttl>,
}

/// Where a secret comes from: `env` or `file`. Its value is never written here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawSecret {
    /// A variable of the server's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A file of the server's machine, an absolute path; a newline at its end is left out. (In a
    /// manifest: relative to the manifest.)
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub file: Option<PathBuf>,
}

impl From<&KeyValueSpec> for RawKeyValue {
    fn from(spec: &KeyValueSpec) -> Self {
        RawKeyValue {
            quota: Some(SizeText(spec.quota)),
            max_value: Some(SizeText(spec.value_max)),
            ttl: Some(spec.ttl),
        }
    }
}

impl From<&SecretFrom> for RawSecret {
    fn from(from: &SecretFrom) -> Self {
        match from {
            SecretFrom::Env(name) => RawSecret { env: Some(name.clone()), file: None },
            SecretFrom::File(path) => RawSecret { env: None, file: Some(path.clone()) },
        }
    }
}
