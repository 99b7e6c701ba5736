//! What all client commands share: where the server is, and how to print.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::failure;
use crate::client::Client;
use crate::config::{self, Secret};

const TOKEN_VARIABLE: &str = "SAMOVAR_ADMIN_TOKEN";

/// Options of every command that talks to a server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection and output")]
pub struct Connection {
    /// Where the admin API is
    #[arg(long, env = "SAMOVAR_ADMIN_URL", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:9090")]
    admin_url: String,

    /// File with the token of the admin API; SAMOVAR_ADMIN_TOKEN can hold the token itself
    #[arg(long, env = "SAMOVAR_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// How to print results: for people, or the JSON of the server as it is
    #[arg(long, env = "SAMOVAR_OUTPUT", value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// How to print results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

impl Connection {
    /// A client of the server; it has not connected yet.
    ///
    /// # Errors
    ///
    /// When the URL or the token cannot be used.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::admin(&self.admin_url, self.token()?)?)
    }

    fn token(&self) -> anyhow::Result<Option<Secret>> {
        if let Some(path) = &self.admin_token_file {
            let mut warnings = Vec::new();
            let token = config::read_token(path, &mut warnings)?;
            warnings.iter().for_each(|warning| failure::warn(warning));
            return Ok(Some(token));
        }
        match std::env::var(TOKEN_VARIABLE) {
            // Set but empty is how scripts say "none".
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some(config::token(&text, "the variable SAMOVAR_ADMIN_TOKEN")?)),
            Err(_) => Ok(None),
        }
    }

    /// Prints a result: the server's JSON as it came, or what `text` writes.
    ///
    /// # Errors
    ///
    /// When stdout fails.
    pub fn print(
        &self,
        json: &[u8],
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.output {
            Output::Json => {
                out.write_all(json)?;
                out.write_all(b"\n")?;
            }
            Output::Text => text(&mut out)?,
        }
        out.flush()
    }
}
