//! Failed commands: what is printed, and the exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::client::ClientError;
use crate::config::ConfigError;
use crate::spec::SpecError;

/// The command failed.
const FAILED: u8 = 1;
/// The configuration is wrong; the number is EX_USAGE of sysexits.
const BAD_CONFIGURATION: u8 = 64;

/// A failure of the user's making, with a hint. Printed, it is the message alone.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Hinted {
    message: String,
    hint: String,
}

/// An error with a hint.
pub fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Hinted { message: message.into(), hint: hint.into() })
}

/// The exit code of a command that failed with `error`.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_configuration = error.chain().any(|cause| cause.is::<ConfigError>());
    ExitCode::from(if is_configuration { BAD_CONFIGURATION } else { FAILED })
}

/// Prints the chain of causes on one line, and a hint below it if one of them has one.
///
/// # Errors
///
/// When `out` fails.
pub fn print(error: &anyhow::Error, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "error: {error:#}")?;
    match error.chain().find_map(hint) {
        Some(hint) => writeln!(out, "hint: {hint}"),
        None => Ok(()),
    }
}

fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<SpecError>() {
        return error.hint.clone();
    }
    cause.downcast_ref::<Hinted>().map(|error| error.hint.clone())
}

/// Whether `error` is that nobody reads our output any more. Connections that break are reported
/// as [`ClientError`], which has no I/O error inside.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_pipe))
}

/// Prints a warning to stderr.
pub fn warn(message: &str) {
    // When stderr is gone there is nobody left to warn.
    let _ = writeln!(io::stderr(), "warning: {message}");
}
