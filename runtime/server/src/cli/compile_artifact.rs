//! `samovar compile-artifact`: the compiler process that the server starts for each upload.

use crate::wasm::compile;
use crate::wasm::engine::Purpose;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compile a component, for the server
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct CompileArtifact {
    /// What the code is for
    #[arg(long = "for")]
    purpose: Purpose,
    /// The component
    wasm: PathBuf,
    /// Where the compiled code goes
    code: PathBuf,
}

impl CompileArtifact {
    /// Compiles, and ends.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        compile::run_compiler(self.purpose, &self.wasm, &self.code)
    }
}
