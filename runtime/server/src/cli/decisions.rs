//! `samovar decisions`: what a policy decided, and why.

use std::io::{self, Write};

use clap::Args;

use super::connection::Connection;
use super::human;
use super::table::Table;
use crate::api;
use crate::spec::DeploymentName;

/// Show the last decisions of a deployment's policy
///
/// WISH is what the policy answered, TARGET what became of it, LIMIT what stood in between: the
/// bounds of the deployment, or the slots of the machine. SHADOW is the target a policy in the
/// shadow would have led to. Times are UTC.
#[derive(Debug, Args)]
pub struct Decisions {
    /// Name of the deployment
    name: DeploymentName,

    /// How many, at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,

    #[command(flatten)]
    connection: Connection,
}

impl Decisions {
    /// Prints the decisions, newest last.
    pub async fn run(self) -> anyhow::Result<()> {
        let reply = self.connection.client()?.decisions(&self.name, self.limit).await?;
        self.connection.print(&reply.json, |out| write_decisions(out, &reply.value.decisions))?;
        Ok(())
    }
}

pub(super) fn write_decisions(out: &mut dyn Write, decisions: &[api::Decision]) -> io::Result<()> {
    if decisions.is_empty() {
        return writeln!(out, "no decisions yet");
    }
    // A column that is empty as a rule would only push the reasons out of sight.
    let has_shadow = decisions.iter().any(|decision| decision.shadow.is_some());
    let mut head = vec![
        "TIME", "POLICY", "READY", "STARTING", "QUEUED", "ONGOING", "WISH", "TARGET", "LIMIT",
        "TOOK", "REASON",
    ];
    if has_shadow {
        head.insert(8, "SHADOW");
    }
    let mut table = Table::new(head);
    for decision in decisions {
        let reason = match &decision.error {
            Some(error) => format!("failed: {error}"),
            None => decision.reason.clone(),
        };
        let mut row = vec![
            human::time_of_day(decision.at_ms),
            decision.policy.to_string(),
            decision.ready.to_string(),
            decision.starting.to_string(),
            decision.queued.to_string(),
            decision.ongoing.to_string(),
            decision.wish.to_string(),
            decision.target.to_string(),
            decision.limited_by.map_or("-", api::LimitedBy::as_str).to_owned(),
            human::micros(decision.took_us),
            // Policies are written by others; a line end would break the table.
            reason.replace(|letter: char| letter.is_control(), " "),
        ];
        if has_shadow {
            row.insert(8, shadow(decision));
        }
        table.row(row);
    }
    table.write(out)
}

/// The target that would have come of the shadow's answer.
fn shadow(decision: &api::Decision) -> String {
    match decision.shadow.as_deref() {
        Some(api::ShadowDecision { target: Some(target), .. }) => target.to_string(),
        Some(api::ShadowDecision { error: Some(_), .. }) => "failed".to_owned(),
        Some(_) | None => "-".to_owned(),
    }
}
