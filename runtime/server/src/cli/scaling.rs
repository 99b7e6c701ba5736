//! `samovar scale`, `pause`, `resume` and `decide`: the number of replicas, by hand.

use clap::Args;

use super::connection::Connection;
use super::decisions::write_decisions;
use super::{artifact, replicas};
use crate::api;
use crate::spec::DeploymentName;

const SCALE_EXAMPLES: &str = "\
Examples:
  samovar scale thumbnail 3
  samovar scale thumbnail 0        serves nothing until it is resumed
  samovar resume thumbnail         gives the number back to the policy

The number stays, over restarts of the server and new revisions, whatever the policy says, until
`samovar resume`. It may be anything up to the maximum of `replicas`.";

const PAUSE_EXAMPLES: &str = "\
Examples:
  samovar pause thumbnail
  samovar pause thumbnail --replicas 3
  samovar resume thumbnail

Meanwhile no policy is asked, and a pool that nobody uses stays. `samovar status` shows it.";

const DECIDE_EXAMPLES: &str = "\
Examples:
  samovar decide thumbnail
  samovar decide thumbnail --output json

The decision is carried out like any other. It is refused while scaling is paused.";

/// Hold the number of replicas, whatever the policy says
#[derive(Debug, Args)]
#[command(after_help = SCALE_EXAMPLES)]
pub struct Scale {
    /// Name of the deployment
    name: DeploymentName,

    /// How many replicas to hold
    #[arg(value_name = "N")]
    count: u32,

    #[command(flatten)]
    connection: Connection,
}

/// Stop scaling a deployment
#[derive(Debug, Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub struct Pause {
    /// Name of the deployment
    name: DeploymentName,

    /// How many replicas to hold [default: as many as are wanted now]
    #[arg(long, value_name = "N")]
    replicas: Option<u32>,

    #[command(flatten)]
    connection: Connection,
}

/// Let the policy decide again, after `pause` or `scale`
#[derive(Debug, Args)]
pub struct Resume {
    /// Name of the deployment
    name: DeploymentName,

    #[command(flatten)]
    connection: Connection,
}

/// Ask the policy now, without waiting for its next turn
#[derive(Debug, Args)]
#[command(after_help = DECIDE_EXAMPLES)]
pub struct Decide {
    /// Name of the deployment
    name: DeploymentName,

    #[command(flatten)]
    connection: Connection,
}

impl Scale {
    /// Sets the number and prints how the replicas are then.
    pub async fn run(self) -> anyhow::Result<()> {
        let set = api::SetReplicas { count: self.count };
        let reply = self.connection.client()?.set_replicas(&self.name, &set).await?;
        Ok(replicas::print(&self.connection, &self.name, &reply)?)
    }
}

impl Pause {
    /// Pauses and prints how the replicas are then.
    pub async fn run(self) -> anyhow::Result<()> {
        let pause = api::Pause { replicas: self.replicas };
        let reply = self.connection.client()?.pause(&self.name, &pause).await?;
        Ok(replicas::print(&self.connection, &self.name, &reply)?)
    }
}

impl Resume {
    /// Resumes and prints how the replicas are then.
    pub async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.resume(&self.name).await?;
        Ok(replicas::print(&self.connection, &self.name, &reply)?)
    }
}

impl Decide {
    /// Waits for the decision and prints it.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        let spinner = artifact::spinner(&format!("asking the policy of {}", self.name));
        let reply = client.decide(&self.name).await;
        spinner.finish_and_clear();
        let reply = reply?;
        let decision = std::slice::from_ref(&reply.value);
        self.connection.print(&reply.json, |out| write_decisions(out, decision))?;
        Ok(())
    }
}
