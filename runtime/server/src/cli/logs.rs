//! `samovar logs`: what the replicas of a deployment wrote.

use std::io::{self, Write};

use clap::Args;

use super::connection::{Connection, Output};
use super::human;
use crate::api;
use crate::spec::DeploymentName;

/// Show what the replicas of a deployment wrote
///
/// Each line has the time in UTC, the number of the replica, and where the line was written:
/// stdout, stderr, or system for what the server says about the replica.
#[derive(Debug, Args)]
pub struct Logs {
    /// Name of the deployment
    name: DeploymentName,

    /// Go on with new lines as they are written, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    /// How many old lines, at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u32,

    #[command(flatten)]
    connection: Connection,
}

impl Logs {
    /// Prints the lines.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        let mut lines = client.logs(&self.name, self.follow, self.limit).await?;
        let mut out = io::stdout();
        while let Some(json) = lines.next().await? {
            match (self.connection.output, serde_json::from_slice::<api::LogLine>(&json)) {
                (Output::Text, Ok(line)) => writeln!(out, "{}", text(&line))?,
                (Output::Json, _) | (Output::Text, Err(_)) => {
                    out.write_all(&json)?;
                    out.write_all(b"\n")?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn text(line: &api::LogLine) -> String {
    let replica = line.replica.map_or_else(|| "-".to_owned(), |id| format!("#{id}"));
    let stream = match line.stream {
        api::LogStream::Stdout => "stdout",
        api::LogStream::Stderr => "stderr",
        api::LogStream::System => "system",
    };
    // Handlers are written by others; control characters could drive the terminal.
    let shown = line.line.replace(|letter: char| letter.is_control() && letter != '\t', "\u{fffd}");
    format!("{} {replica:>4} {stream} | {shown}", human::date_time(line.at_ms))
}
