//! The policies that are built into the server.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use samovar_tests::paths;
use serde_json::Value;

/// Their names, as in the command line and in specs.
pub const BUILTIN: [&str; 5] = ["lightning", "vast", "flyte", "kubetorch", "ray-serve"];

/// The server's program, to be run with other commands than `up`.
pub fn samovar() -> Command {
    let mut command = Command::new(paths::samovar());
    command.env("RUST_BACKTRACE", "0");
    command
}

/// What a command prints as JSON.
///
/// # Errors
///
/// When it fails, with what it complained, or prints something else.
pub fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {complaint}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("read what {command:?} prints"))
}
