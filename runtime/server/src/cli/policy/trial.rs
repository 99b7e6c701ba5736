//! `samovar policy test`: what a policy would have decided in the last minutes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use samovar_sim::report::{self, Decided};

use super::super::artifact;
use super::super::connection::Connection;
use super::super::human;
use super::super::settings::{self, Setting};
use super::super::simulate;
use super::super::table::Table;
use crate::api;
use crate::client::Client;
use crate::spec::DeploymentName;

const EXAMPLES: &str = "\
Examples:
  samovar policy test thumbnail ray-serve --set target_ongoing_requests=2
  samovar policy test thumbnail mine.wasm --plot mine.svg

Both are fed the same past, in which the live policy's decisions had their effect. So a wish says
what the policy would do from there, not where it would have led; `samovar simulate` does that.";

/// Show what a policy would have decided in the last minutes, beside the live one
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Test {
    /// Name of the deployment
    deployment: DeploymentName,

    /// Name of the policy, or a .wasm file
    policy: String,

    /// Setting of the policy; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,

    /// Draw both, as .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    /// Ticks to show in which the two differ, the last ones
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    #[command(flatten)]
    connection: Connection,
}

impl Test {
    /// Prints where the two differ.
    pub async fn run(self) -> anyhow::Result<()> {
        if let Some(file) = &self.plot {
            simulate::kind(file)?;
        }
        let client = self.connection.client()?;
        let wanted = candidate(&client, &self.policy, settings::config(self.set)).await?;
        let spinner = artifact::spinner(&format!("testing {}", self.policy));
        let reply = client.test_policy(&self.deployment, &wanted).await;
        spinner.finish_and_clear();
        let reply = reply?;
        if let Some(file) = &self.plot {
            plot(file, &self.deployment, &reply.value)?;
        }
        let (name, limit) = (&self.deployment, self.limit);
        self.connection.print(&reply.json, |out| write_test(out, name, &reply.value, limit))?;
        Ok(())
    }
}

/// A policy by its name, or a file that is uploaded first.
async fn candidate(
    client: &Client,
    policy: &str,
    config: serde_json::Map<String, serde_json::Value>,
) -> anyhow::Result<api::TestPolicy> {
    if !policy.ends_with(".wasm") {
        return Ok(api::TestPolicy { policy: Some(policy.parse()?), component: None, config });
    }
    let file = PathBuf::from(policy);
    artifact::check(&file)?;
    let uploaded = client.upload_component(&file, |_| {}).await?;
    Ok(api::TestPolicy { policy: None, component: Some(uploaded.value.digest), config })
}

/// Draws the load and both targets.
fn plot(file: &Path, deployment: &DeploymentName, test: &api::PolicyTest) -> anyhow::Result<()> {
    let start = test.ticks.first().map_or(0, |tick| tick.at_ms);
    let side = |answer: fn(&api::TestedTick) -> &api::TestedAnswer| -> Vec<Decided> {
        let decided = |tick: &api::TestedTick| Decided {
            at: Duration::from_millis(tick.at_ms.saturating_sub(start)),
            load: u32::try_from(tick.queued + tick.ongoing).unwrap_or(u32::MAX),
            wish: match answer(tick).wish {
                api::Wish::Hold => None,
                api::Wish::Replicas(wanted) => Some(wanted),
            },
            target: answer(tick).target,
        };
        test.ticks.iter().map(decided).collect()
    };
    let title = format!("{deployment}: {} and {}", test.live.name, test.candidate);
    let live = side(|tick| &tick.live);
    let svg = report::decisions_svg(&title, &live, &side(|tick| &tick.candidate))?;
    simulate::draw(file, &svg, report::WIDTH)
}

fn write_test(
    out: &mut dyn Write,
    deployment: &DeploymentName,
    test: &api::PolicyTest,
    limit: usize,
) -> io::Result<()> {
    let api::PolicyTest { live, candidate, ticks, different, .. } = test;
    let covers = human::seconds(test.covers_ms);
    writeln!(
        out,
        "{candidate} instead of {} on {deployment}: {} ticks in {covers}, {different} differ",
        live.name,
        ticks.len(),
    )?;
    for warning in &test.warnings {
        writeln!(out, "note: {warning}")?;
    }
    let differing: Vec<_> =
        ticks.iter().filter(|tick| tick.live.target != tick.candidate.target).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let hidden = differing.len().saturating_sub(limit);
    if hidden > 0 {
        writeln!(out, "the last {limit} of them; --limit shows more")?;
    }
    let mut table = Table::new([
        "TIME",
        "READY",
        "STARTING",
        "QUEUED",
        "ONGOING",
        "HELD",
        "LIVE",
        "CANDIDATE",
        "CANDIDATE'S REASON",
    ]);
    for tick in &differing[hidden..] {
        table.row([
            human::time_of_day(tick.at_ms),
            tick.ready.to_string(),
            tick.starting.to_string(),
            tick.queued.to_string(),
            tick.ongoing.to_string(),
            tick.target.to_string(),
            tick.live.target.to_string(),
            tick.candidate.target.to_string(),
            tick.candidate.reason.replace(|letter: char| letter.is_control(), " "),
        ]);
    }
    table.write(out)
}
