//! `samovar policy shadow` and `promote`: a policy beside the live one.

use std::io::{self, Write};

use anyhow::bail;
use clap::Args;

use super::super::artifact;
use super::super::connection::Connection;
use super::super::settings::{self, Setting};
use super::super::table::write_fields;
use super::write_swapped;
use crate::api;
use crate::spec::{DeploymentName, PolicyName};

const SHADOW_EXAMPLES: &str = "\
Examples:
  samovar policy shadow thumbnail mine --set target=2
  samovar policy shadow thumbnail                      how it compares so far
  samovar policy shadow thumbnail --stop

It is told what the live policy is told, so it sees what the live one's decisions lead to. What it
wanted stands beside each decision in `samovar decisions`, and in the metric
samovar_policy_shadow_ticks_total.";

/// Run a policy beside the live one, without effect, and compare
#[derive(Debug, Args)]
#[command(after_help = SHADOW_EXAMPLES)]
pub struct Shadow {
    /// Name of the deployment
    deployment: DeploymentName,

    /// Name of the policy; without it, shows the one that runs
    policy: Option<PolicyName>,

    /// Setting of the policy; repeat it for more
    #[arg(long, value_name = "KEY=VALUE", requires = "policy")]
    set: Vec<Setting>,

    /// Stop the one that runs
    #[arg(long, conflicts_with = "policy")]
    stop: bool,

    #[command(flatten)]
    connection: Connection,
}

/// Make the policy in the shadow live, with the state it has
#[derive(Debug, Args)]
pub struct Promote {
    /// Name of the deployment
    deployment: DeploymentName,

    #[command(flatten)]
    connection: Connection,
}

impl Shadow {
    /// Starts, shows or stops it.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        if self.stop {
            client.delete_shadow(&self.deployment).await?;
            let text = format!("{} has no policy in the shadow any more", self.deployment);
            self.connection.print(b"{}", |out| writeln!(out, "{text}"))?;
            return Ok(());
        }
        let reply = match self.policy {
            None => client.shadow(&self.deployment).await?,
            Some(policy) => {
                let set = api::SetPolicy { policy, config: settings::config(self.set) };
                let spinner = artifact::spinner(&format!("starting {}", set.policy));
                let reply = client.set_shadow(&self.deployment, &set).await;
                spinner.finish_and_clear();
                reply?
            }
        };
        self.connection
            .print(&reply.json, |out| write_shadow(out, &self.deployment, &reply.value))?;
        match &reply.value.last_error {
            Some(error) => bail!("the shadow fails: {error}"),
            None => Ok(()),
        }
    }
}

impl Promote {
    /// Makes it live.
    pub async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.promote_shadow(&self.deployment).await?;
        self.connection
            .print(&reply.json, |out| write_swapped(out, &self.deployment, &reply.value))?;
        Ok(())
    }
}

fn write_shadow(
    out: &mut dyn Write,
    deployment: &DeploymentName,
    shadow: &api::Shadow,
) -> io::Result<()> {
    writeln!(out, "{} in the shadow of {deployment}", shadow.name)?;
    let same = shadow.compared - shadow.more - shadow.fewer;
    let config = serde_json::Value::Object(shadow.config.clone());
    let fields = [
        ("component", shadow.digest.short()),
        ("settings", config.to_string()),
        ("past", format!("{} observations", shadow.replayed)),
        (
            "compared",
            format!(
                "{} ticks: {same} the same, {} more replicas, {} fewer",
                shadow.compared, shadow.more, shadow.fewer
            ),
        ),
        ("not compared", format!("{} failed, {} skipped", shadow.failed, shadow.skipped)),
    ];
    write_fields(out, &fields)
}
