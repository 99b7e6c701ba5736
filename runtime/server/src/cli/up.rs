//! `samovar up`: the server.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::failure;
use crate::config::{self, ServerSettings, Sources};
use crate::daemon;
use crate::wasm::replica::heavy;

const EXAMPLES: &str = "\
Examples:
  samovar up
  samovar up --listen 0.0.0.0:8080 --data /var/lib/samovar
  samovar up --config samovar-server.toml --log-format json

Every option can also be set in the environment or in the file of --config, where `--drain-timeout
1m` is written `drain_timeout = \"1m\"`. Options win over the environment, the environment over
the file.

Once both ports are open, stdout says so:
  data plane  http://127.0.0.1:8080
  admin API   http://127.0.0.1:9090
  ready
The log goes to stderr. SIGTERM or Ctrl-C lets running requests finish; a second one does not.";

/// Start a server
///
/// It runs until it is told to stop. Everything it must not forget is in the folder of --data.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Up {
    /// TOML file with settings
    #[arg(long, env = "SAMOVAR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: ServerSettings,

    /// Let guests make the host panic by printing a certain line; for tests of what happens then
    #[arg(long, hide = true)]
    enable_fault_injection: bool,
}

impl Up {
    /// Serves until a signal comes.
    pub fn run(self) -> anyhow::Result<()> {
        let token = std::env::var("SAMOVAR_ADMIN_TOKEN").ok();
        let sources = Sources { flags: self.settings, file: self.config, token };
        let (config, warnings) = config::load(sources)?;
        warnings.iter().for_each(|warning| failure::warn(warning));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let heavy = heavy::Threads::start().context("start the threads for long computations")?;
        let done = runtime.context("start the async runtime")?.block_on(daemon::run(
            config,
            heavy.handle(),
            self.enable_fault_injection,
        ));
        // A guest that still computes has no more to say.
        heavy.shutdown_background();
        done
    }
}
