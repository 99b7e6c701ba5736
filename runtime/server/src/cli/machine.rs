//! `samovar machine` and `samovar join`: what the server runs on, and how workers come in.

use std::io::{self, Write};

use clap::Args;

use super::connection::Connection;
use super::human;
use super::table::{Table, write_fields};
use crate::api;
use crate::spec::DeploymentName;

/// Show what the machine holds: places for replicas, accelerators, and who has them
#[derive(Debug, Args)]
pub struct Machine {
    #[command(flatten)]
    connection: Connection,
}

const JOIN_EXAMPLES: &str = "\
Example, on the machine of the worker:
  export CONTAINER_ID=17          # any number that no other worker of the deployment has
  eval \"$(samovar join model)\"    # sets REPORT_ADDR and MASTER_TOKEN
  python3 worker.py";

/// Show what a worker needs to join a deployment, as lines for a shell
///
/// Whoever has the token can join this deployment as a worker, and do nothing else.
#[derive(Debug, Args)]
#[command(after_help = JOIN_EXAMPLES)]
pub struct Join {
    /// Name of the deployment
    name: DeploymentName,

    #[command(flatten)]
    connection: Connection,
}

impl Machine {
    /// Prints the machine.
    pub async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.machine().await?;
        self.connection.print(&reply.json, |out| write_machine(out, &reply.value))?;
        Ok(())
    }
}

impl Join {
    /// Prints the variables.
    pub async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.join(&self.name).await?;
        self.connection.print(&reply.json, |out| {
            writeln!(out, "export REPORT_ADDR='{}'", reply.value.report_addr)?;
            writeln!(out, "export MASTER_TOKEN='{}'", reply.value.token)
        })?;
        Ok(())
    }
}

pub(super) fn write_machine(out: &mut dyn Write, machine: &api::Machine) -> io::Result<()> {
    let used = machine.slots.saturating_sub(machine.slots_free);
    let accelerators = match machine.devices.len() {
        0 => "none; `samovar up --devices` can name some".to_owned(),
        count => count.to_string(),
    };
    let slots = format!("{used} of {} in use", machine.slots);
    write_fields(out, &[("replicas", slots), ("accelerators", accelerators)])?;
    if machine.devices.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(["DEVICE", "NAME", "MEMORY", "BUSY", "LEASED", "BY"]);
    for device in &machine.devices {
        table.row([
            device.id.clone(),
            device.name.clone(),
            memory(device),
            device.utilization.map_or("?".to_owned(), |busy| format!("{:.0} %", busy * 100.0)),
            format!("{:.0} %", device.leased * 100.0),
            holders(device),
        ]);
    }
    table.write(out)
}

fn memory(device: &api::Device) -> String {
    match (device.memory_used_bytes, device.memory_bytes) {
        (Some(used), Some(total)) => format!("{} of {}", human::size(used), human::size(total)),
        (None, Some(total)) => human::size(total),
        (_, None) => "?".to_owned(),
    }
}

fn holders(device: &api::Device) -> String {
    let holders = device.leases.iter().map(|lease| {
        let whole = (lease.share - 1.0).abs() < f64::EPSILON;
        let part = if whole { String::new() } else { format!(" ({:.0} %)", lease.share * 100.0) };
        format!("{}/{}{part}", lease.deployment, lease.replica)
    });
    let holders: Vec<String> = holders.collect();
    if holders.is_empty() { "-".to_owned() } else { holders.join(", ") }
}
