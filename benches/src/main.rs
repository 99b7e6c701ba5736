//! `bench [MODE]... [--rounds N] [--seconds S] [--connections C]`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to a person is the job")]

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use samovar_benches::{change, cold, warm};

const USAGE: &str = "\
usage: bench [MODE]... [--rounds N] [--seconds S] [--connections C]

modes (all of them when none is named):
  warm    CPU time per request against a bare hyper server and `wasmtime serve` (if found through
          the variable WASMTIME or on the path); writes target/bench/warm.json
  cold    first requests: scaled to zero, after a restart, a thousand at once
  swap    policy swaps and redeploys under full load; fails when a request fails
  scale   what asking a policy costs

  --rounds, --seconds, --connections   of warm: rounds (7), seconds per measurement (3), and
                                       connections (32)
";

#[tokio::main]
async fn main() -> ExitCode {
    match run(env::args().skip(1)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut args: impl Iterator<Item = String>) -> Result<()> {
    let mut settings =
        warm::Settings { rounds: 7, duration: Duration::from_secs(3), connections: 32 };
    let mut modes = Vec::new();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => settings.rounds = number(&arg, args.next())?,
            "--connections" => settings.connections = number(&arg, args.next())?,
            "--seconds" => {
                settings.duration = Duration::from_secs(number(&arg, args.next())? as u64);
            }
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(());
            }
            "warm" | "cold" | "swap" | "scale" => modes.push(arg),
            _ => bail!("`{arg}` is no mode and no option\n\n{USAGE}"),
        }
    }
    let wants = |mode: &str| modes.is_empty() || modes.iter().any(|wanted| wanted == mode);
    if wants("warm") {
        warm::run(&settings).await?;
    }
    if wants("cold") {
        cold::run().await?;
    }
    if wants("swap") {
        change::swaps().await?;
    }
    if wants("scale") {
        change::decisions().await?;
    }
    Ok(())
}

fn number(option: &str, value: Option<String>) -> Result<usize> {
    let value = value.with_context(|| format!("{option} needs a number"))?;
    let number = value.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{option} needs a number above 0, not `{value}`"))
}
