//! Checks what a deployment keeps and is told: its store, configuration, environment and secrets.

use std::collections::BTreeMap;

use super::{MIB, MILLISECOND, TIB};
use super::{absolute, size, ttl};
use crate::error::SpecError;
use crate::native::Runs;
use crate::raw::{RawKeyValue, RawSecret};
use crate::state::{KeyValueSpec, SecretFrom};
use crate::units::{SizeText, Ttl};

/// Names and values of all variables, or of the configuration; copied into every replica.
const TABLE_BYTES_MAX: usize = 64 * 1024;
/// A value is read and written as a whole, in memory.
const VALUE_MAX: u64 = 64 * MIB;

/// The store of a deployment.
pub(super) fn keyvalue(written: Option<RawKeyValue>) -> Result<KeyValueSpec, SpecError> {
    store(written.unwrap_or_default()).map_err(|error| error.below("keyvalue"))
}

fn store(written: RawKeyValue) -> Result<KeyValueSpec, SpecError> {
    let quota = size("quota", written.quota, 64 * MIB, (0, TIB))?;
    let default = MIB.min(quota);
    let value_max = size("max_value", written.max_value, default, (0, VALUE_MAX))?;
    if value_max > quota {
        let (value, quota) = (SizeText(value_max), SizeText(quota));
        let problem = format!("`{value}` is more than the whole quota, {quota}");
        return Err(SpecError::invalid("max_value", problem));
    }
    let ttl = ttl("ttl", written.ttl, Ttl::Off, MILLISECOND)?;
    Ok(KeyValueSpec { quota, value_max, ttl })
}

/// The values of `wasi:config`.
pub(super) fn config(
    written: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SpecError> {
    if written.contains_key("") {
        return Err(SpecError::invalid("config", "has a value without a name"));
    }
    within_bytes("config", &written)?;
    Ok(written)
}

/// Environment variables.
pub(crate) fn env(
    written: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SpecError> {
    for (key, value) in &written {
        variable("env", key)?;
        if value.contains('\0') {
            let problem = "the value has a NUL character, which a variable cannot have";
            return Err(SpecError::invalid(format!("env.{key}"), problem));
        }
    }
    within_bytes("env", &written)?;
    Ok(written)
}

/// Where secrets come from. None has the name of a variable in `env`.
pub(super) fn secrets(
    written: BTreeMap<String, RawSecret>,
    env: &BTreeMap<String, String>,
    runs: &Runs,
) -> Result<BTreeMap<String, SecretFrom>, SpecError> {
    if !written.is_empty() && *runs == Runs::External {
        let problem = "is for components and processes: workers that join have their own";
        return Err(SpecError::invalid("secrets", problem));
    }
    let bytes: usize = written.keys().map(String::len).sum();
    if bytes > TABLE_BYTES_MAX {
        let problem = format!("has {bytes} bytes of names, at most {TABLE_BYTES_MAX} are allowed");
        return Err(SpecError::invalid("secrets", problem));
    }
    let mut secrets = BTreeMap::new();
    for (key, source) in written {
        variable("secrets", &key)?;
        let below = |error: SpecError| error.below(&format!("secrets.{key}"));
        if env.contains_key(&key) {
            let problem = "is in `env` too: a variable has one value";
            return Err(below(SpecError::invalid("", problem)));
        }
        secrets.insert(key.clone(), secret(source).map_err(below)?);
    }
    Ok(secrets)
}

fn secret(written: RawSecret) -> Result<SecretFrom, SpecError> {
    match (written.env, written.file) {
        (Some(name), None) => {
            variable("env", &name)?;
            Ok(SecretFrom::Env(name))
        }
        (None, Some(path)) => Ok(SecretFrom::File(absolute("file", path)?)),
        (None, None) | (Some(_), Some(_)) => {
            Err(SpecError::invalid("", "needs either an `env` or a `file`"))
        }
    }
}

fn variable(field: &str, key: &str) -> Result<(), SpecError> {
    if key.is_empty() || key.contains(['=', '\0']) {
        let shown: String = key.chars().take(100).collect();
        let problem = format!("{shown:?} cannot be the name of a variable: it is empty or has `=`");
        return Err(SpecError::invalid(field, problem));
    }
    Ok(())
}

fn within_bytes(field: &str, table: &BTreeMap<String, String>) -> Result<(), SpecError> {
    let bytes: usize = table.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > TABLE_BYTES_MAX {
        let problem = format!("is {bytes} bytes in all, at most {TABLE_BYTES_MAX} are allowed");
        return Err(SpecError::invalid(field, problem));
    }
    Ok(())
}
