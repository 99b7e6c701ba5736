//! `samovar replicas`: single replicas, by hand.

mod table;

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::connection::Connection;
use crate::api;
use crate::client::Reply;
use crate::spec::DeploymentName;

pub use table::{write_all, write_native, write_one};

const EXAMPLES: &str = "\
Examples:
  samovar replicas list thumbnail
  samovar replicas show thumbnail 7
  samovar replicas add thumbnail --count 2
  samovar replicas remove thumbnail 7
  samovar replicas restart thumbnail 7

A replica is named by its number, the part behind the `/` in lists; of two revisions the live one
is meant. No request is lost: who leaves first ends what it has, within the `drain_timeout`. The
policy goes on deciding, and may undo at its next decision what was done here, unless scaling is
paused: `samovar pause`.";

/// List, inspect, add, remove and restart single replicas
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Replicas {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the replicas of a deployment, and why the last ones failed
    List(Of),
    /// Show what is known of one replica
    Show(One),
    /// Start more replicas
    Add(Add),
    /// Drain one replica, without a successor
    Remove(One),
    /// Drain one replica and start its successor
    Restart(One),
}

#[derive(Debug, Args)]
struct Of {
    /// Name of the deployment
    name: DeploymentName,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct One {
    /// Name of the deployment
    name: DeploymentName,

    /// Number of the replica
    #[arg(value_parser = number)]
    id: u64,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Add {
    /// Name of the deployment
    name: DeploymentName,

    /// How many more; those that do not fit below the maximum are left out
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u32,

    #[command(flatten)]
    connection: Connection,
}

/// The number of a replica, with or without its revision.
fn number(text: &str) -> Result<u64, String> {
    let (_, id) = text.rsplit_once('/').unwrap_or(("", text));
    id.parse().map_err(|_| "replicas are named by a number, as in `samovar replicas list`".into())
}

impl Replicas {
    /// Runs the subcommand.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List(of) => {
                let reply = of.connection.client()?.replicas(&of.name).await?;
                of.connection.print(&reply.json, |out| write_all(out, &reply.value))?;
            }
            Command::Show(one) => {
                let reply = one.connection.client()?.replica(&one.name, one.id).await?;
                one.connection.print(&reply.json, |out| write_one(out, &reply.value))?;
            }
            Command::Add(add) => {
                let more = api::AddReplicas { count: add.count };
                let reply = add.connection.client()?.add_replicas(&add.name, &more).await?;
                print(&add.connection, &add.name, &reply)?;
            }
            Command::Remove(one) => {
                let reply = one.connection.client()?.remove_replica(&one.name, one.id).await?;
                print(&one.connection, &one.name, &reply)?;
            }
            Command::Restart(one) => {
                let reply = one.connection.client()?.restart_replica(&one.name, one.id).await?;
                print(&one.connection, &one.name, &reply)?;
            }
        }
        Ok(())
    }
}

/// Prints how the replicas are after a change.
pub fn print(
    connection: &Connection,
    name: &DeploymentName,
    reply: &Reply<api::ReplicasChanged>,
) -> io::Result<()> {
    connection.print(&reply.json, |out| write_changed(out, name, &reply.value))
}

pub(super) fn write_changed(
    out: &mut dyn Write,
    name: &DeploymentName,
    changed: &api::ReplicasChanged,
) -> io::Result<()> {
    let api::Replicas { starting, ready, draining } = changed.replicas;
    let scaling = match changed.held {
        Some(held) => format!("paused at {held}"),
        None => "decided by its policy".to_owned(),
    };
    let target = changed.target;
    writeln!(
        out,
        "{name}: {ready} ready, {starting} starting, {draining} draining; target {target}, \
         {scaling}"
    )
}
