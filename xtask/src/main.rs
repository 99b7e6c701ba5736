//! The tasks of this repository: `cargo xtask <task>`.
//!
//! A task installs and builds what it needs itself, says what it does while it works, and ends with
//! a status other than 0 when anything failed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to a person is the job")]

mod check;
mod compare;
mod demo;
mod guests;
mod http;
mod peers;
mod ui;
mod venv;
mod workspace;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

use crate::{guests::Wanted, workspace::Workspace};

const USAGE: &str = "\
usage: cargo xtask <task>

  demo                     build, deploy a handler, send it a burst, swap its policy meanwhile
  test                     set up, build and run all checks and tests (what CI runs)
  guests [--all]           build the guest components into target/components
                           (--all: also those in other languages than Rust)
  venv                     the Python environment of the system tests, in target/venv-vast
  lint                     formatting and clippy
  peers [--wasmtime]       install the servers that `bench compare` measures Samovar against
                           into target/peers (--wasmtime: also builds that one)
  bench [ARG]...           build and run the benchmarks; `bench --help` lists them
  vectors SYSTEM FILE      replay recorded decisions of SYSTEM (for example lightning)
  compare SYSTEM ...       random requests to SYSTEM itself and to our copy of it
                           (`compare` alone says more)
  nightly [FIRST..END]     simulate random scenarios with faults (default 0..10000) and check them,
                           then start and kill many processes; with a range, or one number,
                           only those scenarios
  deny                     check licenses and advisories of dependencies with cargo-deny
";

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<String>) -> Result<()> {
    let (task, rest) = match args.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let workspace = Workspace::find()?;
    match task {
        "demo" if rest.is_empty() => demo::run(&workspace),
        "test" if rest.is_empty() => check::test(&workspace),
        "lint" if rest.is_empty() => check::lint(&workspace),
        "venv" if rest.is_empty() => venv::prepare(&workspace),
        "guests" if rest.is_empty() => guests::build(&workspace, Wanted::Rust),
        "guests" if rest == ["--all"] => guests::build(&workspace, Wanted::AllLanguages),
        "peers" => peers::install(&workspace, rest),
        "bench" => check::bench(&workspace, rest),
        "vectors" => check::vectors(&workspace, rest),
        "compare" => compare::run(&workspace, rest),
        "nightly" if rest.len() <= 1 => check::nightly(&workspace, rest),
        "deny" if rest.is_empty() => check::deny(&workspace),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("`{}` is no task\n\n{USAGE}", args.join(" ")),
    }
}
