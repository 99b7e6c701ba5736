//! `samovar completion`: a script that completes commands and options.

use std::io::{self, Write};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  samovar completion bash > ~/.local/share/bash-completion/completions/samovar
  samovar completion zsh  > \"${fpath[1]}/_samovar\"
  samovar completion fish > ~/.config/fish/completions/samovar.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Completion {
    shell: Shell,
}

impl Completion {
    /// Prints the script.
    pub fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new(); // The generator panics when it cannot write.
        clap_complete::generate(self.shell, &mut super::Cli::command(), "samovar", &mut script);
        io::stdout().write_all(&script)?;
        Ok(())
    }
}
