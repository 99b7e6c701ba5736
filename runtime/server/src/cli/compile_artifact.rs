//! `samovar compile-artifact`: the compiler process that the server starts for each upload.

use crate::wasm::compile;
use crate::wasm::inspect::Kind;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Compile a component, for the server
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct CompileArtifact {
    /// What the component is for
    #[arg(long)]
    kind: KindArg,
    /// The component
    wasm: PathBuf,
    /// Where the compiled code goes
    code: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    Handler,
    Policy,
}

impl CompileArtifact {
    /// Compiles, and ends.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let kind = match self.kind {
            KindArg::Handler => Kind::Handler,
            KindArg::Policy => Kind::Policy,
        };
        compile::run_compiler(kind, &self.wasm, &self.code)
    }
}
