//! The hidden command that ends native processes when their server is gone.

use clap::Args;

/// End what a server started once that server is gone
///
/// The server runs this itself, as a process of its own that waits on its standard input.
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct KeepProcesses {}

impl KeepProcesses {
    /// Waits for the end of the server, then ends its processes.
    pub fn run(self) -> anyhow::Result<()> {
        samovar_native::keeper::run()?;
        Ok(())
    }
}
