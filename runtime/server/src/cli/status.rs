//! `samovar status`: one deployment, once or continuously.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use clap::Args;

use super::connection::{Connection, Output};
use super::deploy::{bounds, command_line, url};
use super::replicas::write_native;
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
        let replicas = replicas(&client, &reply.value).await?;
        self.connection.print(&reply.json, |out| {
            write_status(out, &reply.value, &url)?;
            write_native(out, &replicas)
        })?;
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
                write_native(&mut screen, &replicas(client, &reply.value).await?)?;
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

/// The single replicas, where they are worth a line each.
async fn replicas(
    client: &Client,
    deployment: &api::Deployment,
) -> anyhow::Result<api::ReplicaList> {
    if deployment.kind == api::ReplicaKind::Wasm {
        return Ok(api::ReplicaList { replicas: Vec::new(), failures: Vec::new() });
    }
    Ok(client.replicas(&deployment.name).await?.value)
}

fn summary(deployment: &api::Deployment) -> String {
    let api::Replicas { starting, ready, draining } = deployment.replicas;
    let paused = if deployment.held.is_some() { " (paused)" } else { "" };
    format!(
        "revision {}: target {}{paused}, {ready} ready, {starting} starting, {draining} draining; \
         {} queued, {} ongoing",
        deployment.revision, deployment.target, deployment.queued, deployment.ongoing
    )
}

pub(super) fn write_status(
    out: &mut dyn Write,
    deployment: &api::Deployment,
    url: &str,
) -> io::Result<()> {
    writeln!(out, "{}, revision {}", deployment.name, deployment.revision)?;
    let mut fields = vec![("url", url.to_owned()), what(deployment)];
    fields.extend(load_fields(deployment));
    fields.extend(scaling_fields(deployment));
    if let Some(held) = deployment.held {
        let name = &deployment.name;
        let text = format!("paused at {held}; `samovar resume {name}` lets the policy decide");
        fields.push(("scaling", text));
    }
    if let Some(shadow) = &deployment.shadow {
        let config = serde_json::Value::Object(shadow.config.clone());
        let counts = format!("{} of {} ticks differ", shadow.more + shadow.fewer, shadow.compared);
        fields.push(("shadow", format!("{}, {config}; {counts}", shadow.name)));
    }
    fields.extend(problem_fields(deployment));
    write_fields(out, &fields)
}

/// What its replicas are.
fn what(deployment: &api::Deployment) -> (&'static str, String) {
    match (&deployment.component, deployment.world) {
        (Some(component), Some(world)) => ("component", format!("{}, {world}", component.short())),
        (_, _) if deployment.kind == api::ReplicaKind::External => {
            ("workers", "they register themselves; `samovar join` says how".to_owned())
        }
        (_, _) => ("process", command_line(deployment)),
    }
}

/// What the deployment is doing.
fn load_fields(deployment: &api::Deployment) -> [(&'static str, String); 4] {
    let api::Deployment { replicas, totals, target, ongoing, queued, .. } = deployment;
    let api::Replicas { starting, ready, draining } = replicas;
    let bounds = bounds(deployment);
    let concurrency = &deployment.spec["concurrency"];
    [
        (
            "replicas",
            format!(
                "{ready} ready, {starting} starting, {draining} draining; target {target}, bounds \
                 {bounds}"
            ),
        ),
        (
            "requests",
            format!("{ongoing} ongoing, {queued} queued; {concurrency} at a time per replica"),
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
    ]
}

/// What decides on the number of replicas.
fn scaling_fields(deployment: &api::Deployment) -> [(&'static str, String); 2] {
    let api::Deployment { policy, spec, .. } = deployment;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
    let (idle, scaledown) = (text(&spec["idle_ttl"]), text(&spec["scaledown_ttl"]));
    let interval = text(&spec["scaling"]["interval"]);
    let config = serde_json::Value::Object(policy.config.clone());
    let whole_pool = match idle.as_str() {
        "off" => "never as a whole".to_owned(),
        idle => format!("all replicas go after {idle}"),
    };
    [
        ("idle", format!("{whole_pool}, one after {scaledown}")),
        ("policy", format!("{} every {interval}, {config}", policy.name)),
    ]
}

/// What is wrong, if anything.
fn problem_fields(deployment: &api::Deployment) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    if deployment.policy.state == api::PolicyState::Failing {
        let reason = deployment.policy.last_error.as_deref().unwrap_or("it does not say why");
        fields.push(("policy fails", reason.to_owned()));
    }
    if let Some(error) = deployment.shadow.as_ref().and_then(|shadow| shadow.last_error.as_ref()) {
        fields.push(("shadow fails", error.clone()));
    }
    if let Some(api::Limited { wanted, by }) = deployment.limited {
        let what = match by {
            api::LimitedBy::Devices => "accelerators",
            _ => "places",
        };
        let target = deployment.target;
        fields.push(("limited", format!("{wanted} wanted, the machine has {what} for {target}")));
    }
    if let Some(reason) = &deployment.no_room {
        fields.push(("no room", reason.clone()));
    }
    if let Some(reason) = &deployment.last_start_error {
        fields.push(("start failed", reason.clone()));
    }
    fields.extend(deployment.warnings.iter().map(|warning| ("warning", warning.clone())));
    fields
}
