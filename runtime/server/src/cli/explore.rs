//! `samovar explore`: random scenarios with faults, each checked from outside of the pool.
//!
//! Every other scenario is run with one of the built-in policies, in its sandbox; the others with
//! native ones that answer nonsense on purpose.

use std::io::Write as _;
use std::ops::{ControlFlow, Range};
use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use samovar_sim::explore::{Explored, explore};
use samovar_sim::scaler::MadeScaler;
use samovar_sim::scalers::native;
use samovar_sim::scenario::{DeploymentSpec, ScalingSpec};

use super::simulate::policies::Policies;
use crate::library::BUILTINS;

/// Search for scenarios in which something happens that must not
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Explore {
    /// Scenarios, FIRST..END; one number runs that one again
    #[arg(default_value = "0..1000")]
    seeds: Seeds,
}

/// `FIRST..END`, END excluded, or one seed.
#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let number = |text: &str| text.trim().parse::<u64>();
        let range = match text.split_once("..") {
            Some((first, end)) => number(first).and_then(|first| Ok(first..number(end)?)),
            None => number(text).map(|seed| seed..seed.saturating_add(1)),
        };
        match range {
            Ok(range) if !range.is_empty() => Ok(Seeds(range)),
            _ => Err("write FIRST..END with whole numbers, or one number".to_owned()),
        }
    }
}

impl Explore {
    /// Prints what was violated, with the seed that shows it, and a closing line.
    pub fn run(self) -> anyhow::Result<()> {
        let mut policies = Policies::new()?;
        let bar = bar(self.seeds.0.end - self.seeds.0.start);
        let mut scalers = |seed, spec: &DeploymentSpec| scaler(&mut policies, seed, spec);
        let explored = explore(self.seeds.0, &mut scalers, &mut |explored: &Explored| {
            bar.set_position(explored.seeds);
            bar.set_message(format!(
                "{} requests, {} violations",
                explored.requests,
                explored.violations.len()
            ));
            ControlFlow::Continue(())
        })?;
        bar.finish_and_clear();
        let mut out = std::io::stdout().lock();
        for violation in &explored.violations {
            writeln!(out, "{violation}")?;
        }
        let Explored { seeds, requests, events, digest, violations } = &explored;
        writeln!(
            out,
            "{seeds} scenarios, {requests} requests, {events} events, digest {digest:016x}: {} \
             violations",
            violations.len()
        )?;
        if !violations.is_empty() {
            bail!("a seed runs again with `samovar explore SEED`");
        }
        Ok(())
    }
}

fn scaler(policies: &mut Policies, seed: u64, spec: &DeploymentSpec) -> MadeScaler {
    if seed.is_multiple_of(2) {
        return native(seed, spec);
    }
    let index = seed / 2 % BUILTINS.len() as u64;
    let policy = BUILTINS[index as usize].name.to_owned();
    let scaling = ScalingSpec { policy, ..ScalingSpec::default() };
    policies.scaler(&DeploymentSpec { scaling, ..spec.clone() })
}

fn bar(scenarios: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len}, {msg}, {eta} left");
    ProgressBar::new(scenarios).with_style(style.expect("the template is right"))
}
