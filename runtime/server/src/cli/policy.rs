//! `samovar policy`: push, try, swap and take back scaling policies.

mod shadow;
mod trial;
mod versions;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::artifact;
use super::connection::Connection;
use super::settings::{self, Setting};
use super::table::Table;
use crate::api;
use crate::client::Reply;
use crate::spec::{DeploymentName, PolicyName};

const ROAD: &str = "\
A new policy goes live in steps, each of which can be the last one:
  samovar policy push mine.wasm --name mine      give it a name
  samovar policy test thumbnail mine             what it would have decided in the last minutes
  samovar policy shadow thumbnail mine           let it run beside the live one, without effect
  samovar policy promote thumbnail               make it live, with the state it has
  samovar policy rollback thumbnail              make the one before live again";

const PUSH_EXAMPLES: &str = "\
Examples:
  samovar new policy mine && samovar build mine
  samovar policy push mine/target/wasm32-wasip2/release/mine.wasm --name mine

Pushing to a name that is in use changes no running deployment: each keeps the very component it
was given, until `samovar policy swap`.";

const SWAP_EXAMPLES: &str = "\
Examples:
  samovar policy swap thumbnail mine
  samovar policy swap thumbnail lightning --set max_batch_size=2

The new policy is fed what was measured in the last minutes before it decides anything. If it fails
on that, or refuses its settings, the old one goes on.";

/// Push, try, swap and take back scaling policies
#[derive(Debug, Args)]
#[command(after_help = ROAD)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Push(Push),
    Test(trial::Test),
    Shadow(shadow::Shadow),
    Promote(shadow::Promote),
    Swap(Swap),
    Rollback(versions::Rollback),
    Versions(versions::Versions),
    List(List),
}

/// Upload a policy and give it a name
#[derive(Debug, Args)]
#[command(after_help = PUSH_EXAMPLES)]
struct Push {
    /// The policy, a .wasm file
    file: PathBuf,

    /// Name for it
    #[arg(long, short)]
    name: PolicyName,

    #[command(flatten)]
    connection: Connection,
}

/// Change the policy of a running deployment
#[derive(Debug, Args)]
#[command(after_help = SWAP_EXAMPLES)]
struct Swap {
    /// Name of the deployment
    deployment: DeploymentName,

    /// Name of the policy to change to
    policy: PolicyName,

    /// Setting of the policy; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,

    #[command(flatten)]
    connection: Connection,
}

/// List policies, built-in ones included
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    connection: Connection,
}

impl Policy {
    /// Runs the subcommand.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Push(push) => push.run().await,
            Command::Test(test) => test.run().await,
            Command::Shadow(shadow) => shadow.run().await,
            Command::Promote(promote) => promote.run().await,
            Command::Swap(swap) => swap.run().await,
            Command::Rollback(rollback) => rollback.run().await,
            Command::Versions(versions) => versions.run().await,
            Command::List(list) => list.run().await,
        }
    }
}

impl Push {
    async fn run(self) -> anyhow::Result<()> {
        artifact::check(&self.file)?;
        let client = self.connection.client()?;
        let Reply { json, value: policy, .. } =
            artifact::push(&client, &self.name, &self.file).await?;
        self.connection.print(&json, |out| {
            writeln!(out, "pushed {}, {}", policy.name, policy.digest.short())?;
            let others = policy.used_by.iter().map(ToString::to_string).collect::<Vec<_>>();
            if others.is_empty() {
                return writeln!(out, "use it with `samovar policy swap DEPLOYMENT {}`", self.name);
            }
            let others = others.join(", ");
            writeln!(out, "deployments that keep the old one until `samovar policy swap`: {others}")
        })?;
        Ok(())
    }
}

impl Swap {
    async fn run(self) -> anyhow::Result<()> {
        let wanted = api::SetPolicy { policy: self.policy, config: settings::config(self.set) };
        let client = self.connection.client()?;
        let spinner = artifact::spinner(&format!("changing to {}", wanted.policy));
        let reply = client.swap_policy(&self.deployment, &wanted).await;
        spinner.finish_and_clear();
        let Reply { json, value: swapped, .. } = reply?;
        self.connection.print(&json, |out| write_swapped(out, &self.deployment, &swapped))?;
        Ok(())
    }
}

/// What changed, and how.
fn write_swapped(
    out: &mut dyn Write,
    deployment: &DeploymentName,
    swapped: &api::PolicySwapped,
) -> io::Result<()> {
    writeln!(
        out,
        "{deployment} now uses {} {} instead of {} {}; version {}",
        swapped.policy.name,
        swapped.policy.digest.short(),
        swapped.previous.name,
        swapped.previous.digest.short(),
        swapped.version,
    )?;
    writeln!(
        out,
        "live after {:.1} ms; it knows {} observations of the past",
        swapped.took_ms, swapped.replayed
    )
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.policies().await?;
        self.connection.print(&reply.json, |out| write_policies(out, &reply.value.policies))?;
        Ok(())
    }
}

pub(super) fn write_policies(out: &mut dyn Write, policies: &[api::Policy]) -> io::Result<()> {
    let mut table = Table::new(["NAME", "VERSION", "ORIGIN", "USED BY", "COMPONENT"]);
    for policy in policies {
        let used_by = policy.used_by.iter().map(ToString::to_string).collect::<Vec<_>>();
        table.row([
            policy.name.to_string(),
            policy.description.version.clone(),
            if policy.builtin { "built in" } else { "pushed" }.to_owned(),
            if used_by.is_empty() { "-".to_owned() } else { used_by.join(", ") },
            policy.digest.short(),
        ]);
    }
    table.write(out)
}
