//! `samovar policy versions` and `rollback`: the policies a deployment has had.

use std::io::{self, Write};

use clap::Args;

use super::super::artifact;
use super::super::connection::Connection;
use super::super::human;
use super::super::table::Table;
use super::write_swapped;
use crate::api;
use crate::spec::DeploymentName;

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  samovar policy rollback thumbnail
  samovar policy rollback thumbnail --to 3

The settings come back too. A rollback is a new version; rolling back again undoes it.";

/// List the policies a deployment has had, with their settings
#[derive(Debug, Args)]
pub struct Versions {
    /// Name of the deployment
    deployment: DeploymentName,

    #[command(flatten)]
    connection: Connection,
}

/// Make an earlier policy live again, with the settings it had
#[derive(Debug, Args)]
#[command(after_help = ROLLBACK_EXAMPLES)]
pub struct Rollback {
    /// Name of the deployment
    deployment: DeploymentName,

    /// Version to go back to; the one before the live one if not given
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,

    #[command(flatten)]
    connection: Connection,
}

impl Versions {
    /// Prints the versions, the live one last.
    pub async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.policy_versions(&self.deployment).await?;
        self.connection.print(&reply.json, |out| write_versions(out, &reply.value.versions))?;
        Ok(())
    }
}

impl Rollback {
    /// Makes the earlier policy live.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        let spinner = artifact::spinner("going back");
        let to = api::Rollback { version: self.to };
        let reply = client.rollback_policy(&self.deployment, &to).await;
        spinner.finish_and_clear();
        let reply = reply?;
        self.connection
            .print(&reply.json, |out| write_swapped(out, &self.deployment, &reply.value))?;
        Ok(())
    }
}

fn write_versions(out: &mut dyn Write, versions: &[api::PolicyVersion]) -> io::Result<()> {
    let mut table = Table::new(["VERSION", "SINCE", "VIA", "POLICY", "COMPONENT", "SETTINGS"]);
    for version in versions {
        table.row([
            version.version.to_string(),
            human::date_time(version.since_ms),
            version.via.as_str().to_owned(),
            version.name.to_string(),
            version.digest.short(),
            serde_json::Value::Object(version.config.clone()).to_string(),
        ]);
    }
    table.write(out)
}
