//! What a deployment keeps, and what it is not to tell.

use std::path::PathBuf;

use super::units::Ttl;

/// The key-value store of a deployment, which all its instances share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyValueSpec {
    /// Bytes of all keys and values together.
    pub quota: u64,
    /// Bytes of one value; not more than the quota.
    pub value_max: u64,
    /// How long a value stays whose writer does not say.
    pub ttl: Ttl,
}

/// Where the server finds a secret when it starts a replica. The value is no part of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFrom {
    /// In this variable of its own environment.
    Env(String),
    /// In this file; an absolute path.
    File(PathBuf),
}
