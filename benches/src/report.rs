//! Results as files, for programs to read.

use std::fs;

use anyhow::{Context, Result};
use samovar_tests::paths;
use serde_json::Value;

/// Writes `target/bench/<mode>.json` and says so.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write(mode: &str, report: &Value) -> Result<()> {
    write_file(&format!("{mode}.json"), &format!("{report:#}\n"))
}

/// Writes `text` as `target/bench/<name>` and says so.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_file(name: &str, text: &str) -> Result<()> {
    let folder = paths::workspace().join("target/bench");
    fs::create_dir_all(&folder).context("make target/bench")?;
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    println!("written to target/bench/{name}");
    Ok(())
}
