//! `samovar list` and `samovar delete`.

use std::io::{self, Write};

use clap::Args;

use super::artifact;
use super::connection::{Connection, Output};
use super::deploy::bounds;
use super::table::Table;
use crate::api;
use crate::spec::DeploymentName;

/// List deployments
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    connection: Connection,
}

/// Delete a deployment
///
/// Running requests may finish. Its component stays until it is deleted itself.
#[derive(Debug, Args)]
pub struct Delete {
    /// Name of the deployment
    name: DeploymentName,

    #[command(flatten)]
    connection: Connection,
}

impl List {
    /// Prints one line per deployment.
    pub async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.deployments().await?;
        self.connection.print(&reply.json, |out| write_list(out, &reply.value.deployments))?;
        Ok(())
    }
}

impl Delete {
    /// Deletes the deployment and waits until it has drained.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        let spinner = artifact::spinner(&format!("draining {}", self.name));
        let deleted = client.delete_deployment(&self.name).await;
        spinner.finish_and_clear();
        deleted?;
        match self.connection.output {
            Output::Json => {} // The server answers without a body.
            Output::Text => writeln!(io::stdout(), "deleted {}", self.name)?,
        }
        Ok(())
    }
}

pub(super) fn write_list(out: &mut dyn Write, deployments: &[api::Deployment]) -> io::Result<()> {
    if deployments.is_empty() {
        return writeln!(out, "no deployments; `samovar deploy FILE --name NAME` makes one");
    }
    let head =
        ["NAME", "ROUTE", "READY", "TARGET", "BOUNDS", "QUEUED", "ONGOING", "POLICY", "COMPONENT"];
    let mut table = Table::new(head);
    for deployment in deployments {
        let policy = &deployment.policy;
        let is_failing = policy.state == api::PolicyState::Failing;
        table.row([
            deployment.name.to_string(),
            deployment.route.clone(),
            deployment.replicas.ready.to_string(),
            match deployment.held {
                Some(_) => format!("{} (paused)", deployment.target),
                None => deployment.target.to_string(),
            },
            bounds(deployment),
            deployment.queued.to_string(),
            deployment.ongoing.to_string(),
            format!("{}{}", policy.name, if is_failing { " (failing)" } else { "" }),
            match &deployment.component {
                Some(component) => component.short(),
                None => deployment.kind.as_str().to_owned(),
            },
        ]);
    }
    table.write(out)
}
