//! Lines in the deployment's log that have a level and a context: `wasi:logging`.
//!
//! What is printed on standard output and standard error gets there too, without either.
//!
//! ```no_run
//! use samovar_sdk::logging;
//!
//! # let (key, waited_ms) = ("a", 3);
//! logging::info("cache", "loaded");
//! logging::warn("cache", format_args!("no {key} after {waited_ms} ms"));
//! ```

use std::fmt::Display;

use crate::host::wasi::logging::logging::{self, Level};

/// Logs a step that helps to follow what happens.
pub fn trace(context: &str, message: impl Display) {
    log(Level::Trace, context, &message);
}

/// Logs what helps to find an error.
pub fn debug(context: &str, message: impl Display) {
    log(Level::Debug, context, &message);
}

/// Logs what is good to know.
pub fn info(context: &str, message: impl Display) {
    log(Level::Info, context, &message);
}

/// Logs what may lead to an error.
pub fn warn(context: &str, message: impl Display) {
    log(Level::Warn, context, &message);
}

/// Logs that something failed.
pub fn error(context: &str, message: impl Display) {
    log(Level::Error, context, &message);
}

/// Logs that nothing works any more.
pub fn critical(context: &str, message: impl Display) {
    log(Level::Critical, context, &message);
}

fn log(level: Level, context: &str, message: &dyn Display) {
    logging::log(level, context, &message.to_string());
}
