//! `samovar status`: one deployment, once or continuously.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use clap::Args;

use super::connection::{Connection, Output};
use super::deploy::{bounds, url};
use super::table::write_fields;
use crate::api;
use crate::client::Client;
use crate::spec::DeploymentName;

/// How often `--watch` looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Moves the cursor to the top and clears what was there.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Show one deployment
#[derive(Debug, Args)]
pub struct Status {
    /// Name of the deployment
    name: DeploymentName,

    /// Show it again every second, until Ctrl-C
    #[arg(long, short)]
    watch: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Status {
    /// Prints the status, or goes on printing it.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        if self.watch {
            return self.keep_watching(&client).await;
        }
        let reply = client.deployment(&self.name).await?;
        let url = url(&client, &reply.value).await;
        self.connection.print(&reply.json, |out| write_status(out, &reply.value, &url))?;
        Ok(())
    }

    /// Redraws a terminal. Elsewhere, prints a line whenever something changed.
    async fn keep_watching(&self, client: &Client) -> anyhow::Result<()> {
        let redraws = self.connection.output == Output::Text && io::stdout().is_terminal();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut previous = String::new();
        loop {
            ticks.tick().await;
            let reply = client.deployment(&self.name).await?;
            if redraws {
                let url = url(client, &reply.value).await;
                let mut screen = CLEAR.as_bytes().to_vec();
                write_status(&mut screen, &reply.value, &url)?;
                let mut out = io::stdout().lock();
                out.write_all(&screen)?;
                out.flush()?;
                continue;
            }
            let line = summary(&reply.value);
            if line != previous {
                self.connection.print(&reply.json, |out| writeln!(out, "{line}"))?;
                previous = line;
            }
        }
    }
}

fn summary(deployment: &api::Deployment) -> String {
    let api::Replicas { starting, ready, draining } = deployment.replicas;
    format!(
        "revision {}: target {}, {ready} ready, {starting} starting, {draining} draining; {} queued, {} ongoing",
        deployment.revision, deployment.target, deployment.queued, deployment.ongoing
    )
}

pub(super) fn write_status(
    out: &mut dyn Write,
    deployment: &api::Deployment,
    url: &str,
) -> io::Result<()> {
    let api::Deployment { replicas, totals, policy, spec, .. } = deployment;
    writeln!(out, "{}, revision {}", deployment.name, deployment.revision)?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
    let mut fields = vec![
        ("url", url.to_owned()),
        ("component", format!("{}, {}", deployment.component.short(), deployment.world)),
        (
            "replicas",
            format!(
                "{} ready, {} starting, {} draining; target {}, bounds {}",
                replicas.ready,
                replicas.starting,
                replicas.draining,
                deployment.target,
                bounds(deployment)
            ),
        ),
        (
            "requests",
            format!(
                "{} ongoing, {} queued; {} at a time per replica",
                deployment.ongoing, deployment.queued, spec["concurrency"]
            ),
        ),
        (
            "since start",
            format!(
                "{} arrived, {} completed, {} failed, {} rejected, {} timed out",
                totals.arrived, totals.completed, totals.failed, totals.rejected, totals.timed_out
            ),
        ),
        (
            "starts",
            format!("{} replicas, {} failed", totals.replicas_started, totals.replicas_failed),
        ),
        (
            "idle",
            format!(
                "all replicas go after {}, one after {}",
                text(&spec["idle_ttl"]),
                text(&spec["scaledown_ttl"])
            ),
        ),
        (
            "policy",
            format!(
                "{} every {}, {}",
                policy.name,
                text(&spec["scaling"]["interval"]),
                serde_json::Value::Object(policy.config.clone())
            ),
        ),
    ];
    if policy.state == api::PolicyState::Failing {
        let reason = policy.last_error.as_deref().unwrap_or("it does not say why");
        fields.push(("policy fails", reason.to_owned()));
    }
    if let Some(reason) = &deployment.last_start_error {
        fields.push(("start failed", reason.clone()));
    }
    fields.extend(deployment.warnings.iter().map(|warning| ("warning", warning.clone())));
    write_fields(out, &fields)
}
