//! `samovar ready`: whether a deployment is ready, for scripts.

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::artifact;
use super::connection::Connection;
use crate::api;
use crate::client::{Client, Reply};
use crate::spec::DeploymentName;

/// How often `--wait` asks.
const INTERVAL: Duration = Duration::from_millis(200);

/// The longest wait; longer ones are cut to it.
const WAIT_MAX: Duration = Duration::from_secs(30 * 86_400);

const EXAMPLES: &str = "\
Examples:
  samovar ready thumbnail && curl http://127.0.0.1:8080/thumbnail
  samovar ready thumbnail --wait
  samovar ready thumbnail --wait 30s

Exit code 0 if it is ready, 1 if it is not or there is no such deployment. What ready means is said
by `ready` in its spec (`samovar deploy --ready`): a request would be served (the default), one
replica is ready, the minimum is, as many as there should be, or a number.";

/// Say whether a deployment is ready
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Ready {
    /// Name of the deployment
    name: DeploymentName,

    /// Wait until it is ready, but not longer than TIME [default TIME: 5m]
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5m")]
    #[arg(value_parser = humantime::parse_duration)]
    wait: Option<Duration>,

    #[command(flatten)]
    connection: Connection,
}

impl Ready {
    /// Prints that it is ready, or fails with the reason why it is not.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        let reply = self.ask(&client).await?;
        let api::Readiness { ready, rule, reason, .. } = &reply.value;
        self.connection.print(&reply.json, |out| match ready {
            true => writeln!(out, "{} is ready, by its rule `{rule}`", self.name),
            false => Ok(()), // The error says it.
        })?;
        if !ready {
            let reason = reason.as_deref().unwrap_or("the server does not say why");
            bail!("{} is not ready, by its rule `{rule}`: {reason}", self.name);
        }
        Ok(())
    }

    /// The answer that ends the wait, be it that its time is over.
    async fn ask(&self, client: &Client) -> anyhow::Result<Reply<api::Readiness>> {
        let first = client.ready(&self.name).await?;
        let Some(wait) = self.wait.filter(|_| !first.value.ready) else { return Ok(first) };
        let end = tokio::time::Instant::now() + wait.min(WAIT_MAX);
        let spinner = artifact::spinner("");
        let mut last = first;
        while !last.value.ready && tokio::time::Instant::now() < end {
            let reason = last.value.reason.as_deref().unwrap_or_default();
            spinner.set_message(format!("waiting for {}: {reason}", self.name));
            tokio::time::sleep_until((tokio::time::Instant::now() + INTERVAL).min(end)).await;
            last = client.ready(&self.name).await?;
        }
        spinner.finish_and_clear();
        Ok(last)
    }
}
