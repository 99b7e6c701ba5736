//! The values of a deployment's `config`: `wasi:config`.
//!
//! ```no_run
//! let greeting = samovar_sdk::config::get("greeting").unwrap_or("Hello".into());
//! ```

use crate::host::wasi::config::store;

/// The value of `key`; none if the deployment does not set it.
///
/// # Panics
///
/// When the host cannot read its own settings. Samovar always can.
pub fn get(key: &str) -> Option<String> {
    store::get(key).expect("the host reads its settings")
}

/// All keys and their values.
///
/// # Panics
///
/// As [`get`].
pub fn all() -> Vec<(String, String)> {
    store::get_all().expect("the host reads its settings")
}
