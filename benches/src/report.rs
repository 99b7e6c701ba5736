//! Results as files, for programs to read.

use std::fs;

use anyhow::{Context, Result};
use samovar_tests::paths;
use serde_json::Value;

/// Writes `target/bench/<mode>.json` and says so.
pub fn write(mode: &str, report: &Value) -> Result<()> {
    let folder = paths::workspace().join("target/bench");
    fs::create_dir_all(&folder).context("make target/bench")?;
    let file = folder.join(mode).with_extension("json");
    fs::write(&file, format!("{report:#}\n"))
        .with_context(|| format!("write {}", file.display()))?;
    println!("written to target/bench/{mode}.json");
    Ok(())
}
