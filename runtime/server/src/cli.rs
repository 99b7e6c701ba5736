//! The command line: parses, runs one command, turns its outcome into an exit code.
//!
//! Exit codes: 0 it worked, 1 it failed, 2 the command line is wrong, 64 the configuration is
//! wrong. Results go to stdout, everything else to stderr.

mod apply;
mod artifact;
mod build;
mod compile_artifact;
mod completion;
mod connection;
mod decisions;
mod deploy;
mod explore;
mod failure;
mod human;
mod invoke;
mod keep_processes;
mod list;
mod load;
mod logs;
mod machine;
mod policy;
mod policy_bench;
mod policy_vectors;
mod ready;
mod record;
mod replicas;
mod request;
mod scaffold;
mod scaling;
mod settings;
mod simulate;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod up;

use std::future::Future;
use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
First steps:
  samovar up                                     start a server, in a terminal of its own
  samovar new handler hello                      write a small handler in ./hello
  samovar build hello                            compile it; prints the path of the component
  samovar deploy FILE --name hello               upload it and start it
  curl http://127.0.0.1:8080/hello               call it
  samovar status hello --watch                   see replicas come and go

Scaling:
  samovar deploy FILE --name hello --replicas 0..8 --idle-ttl 5m --set max_batch_size=2
  samovar decisions hello                        what the policy decided, and why
  samovar policy push mine.wasm --name mine      add a policy of your own
  samovar policy swap hello mine                 change policies without losing a request
  samovar scale hello 3                          hold the number by hand; `resume` ends it
  samovar load hello --rate 200 --for 1m         send requests, and see what comes back

`samovar COMMAND --help` shows the options of a command, with examples.";

/// A serving runtime for WebAssembly plugins.
///
/// Handlers are components of the standard worlds `wasi:http/proxy@0.2` and
/// `wasi:http/service@0.3`. Samovar keeps a pool of warm replicas for each and lets a scaling
/// policy, itself a component, decide how many.
#[derive(Debug, Parser)]
#[command(name = "samovar", version, after_help = EXAMPLES)]
#[command(max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Deploy(Box<deploy::Deploy>),
    List(list::List),
    Status(status::Status),
    Replicas(replicas::Replicas),
    Scale(scaling::Scale),
    Pause(scaling::Pause),
    Resume(scaling::Resume),
    Decide(scaling::Decide),
    Ready(ready::Ready),
    Machine(machine::Machine),
    Join(machine::Join),
    Delete(list::Delete),
    Policy(policy::Policy),
    Decisions(decisions::Decisions),
    Invoke(Box<invoke::Invoke>),
    Load(Box<load::Load>),
    Logs(logs::Logs),
    Record(record::Record),
    Simulate(Box<simulate::Simulate>),
    Explore(explore::Explore),
    Apply(apply::Apply),
    New(scaffold::New),
    Build(build::Build),
    Completion(completion::Completion),
    CompileArtifact(compile_artifact::CompileArtifact),
    KeepProcesses(keep_processes::KeepProcesses),
    PolicyVectors(policy_vectors::PolicyVectors),
    PolicyAnswer(policy_vectors::PolicyAnswer),
    PolicyBench(policy_bench::PolicyBench),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse(); // Ends the process with 2, or with 0 after --help.
    let done = match cli.command {
        Command::CompileArtifact(compile) => compile.run(),
        command => run(command).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        // The reader of a pipe has gone, as in `samovar list | head`: it has seen enough.
        Err(error) if failure::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // When stderr is gone there is nobody left to tell.
            let _ = failure::print(&error, &mut io::stderr());
            failure::exit_code(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(up) => up.run(),
        Command::Deploy(deploy) => wait_for(deploy.run()),
        Command::List(list) => wait_for(list.run()),
        Command::Status(status) => wait_for(status.run()),
        Command::Replicas(replicas) => wait_for(replicas.run()),
        Command::Scale(scale) => wait_for(scale.run()),
        Command::Pause(pause) => wait_for(pause.run()),
        Command::Resume(resume) => wait_for(resume.run()),
        Command::Decide(decide) => wait_for(decide.run()),
        Command::Ready(ready) => wait_for(ready.run()),
        Command::Machine(machine) => wait_for(machine.run()),
        Command::Join(join) => wait_for(join.run()),
        Command::Delete(delete) => wait_for(delete.run()),
        Command::Policy(policy) => wait_for(policy.run()),
        Command::Decisions(decisions) => wait_for(decisions.run()),
        Command::Invoke(invoke) => wait_for(invoke.run()),
        Command::Load(load) => load.run(),
        Command::Logs(logs) => wait_for(logs.run()),
        Command::Record(record) => wait_for(record.run()),
        Command::Simulate(simulate) => simulate.run(),
        Command::Explore(explore) => explore.run(),
        Command::Apply(apply) => wait_for(apply.run()),
        Command::New(new) => new.run(),
        Command::Build(build) => build.run(),
        Command::Completion(completion) => completion.run(),
        Command::PolicyVectors(vectors) => vectors.run(),
        Command::PolicyAnswer(answer) => answer.run(),
        Command::PolicyBench(bench) => bench.run(),
        Command::KeepProcesses(keep) => keep.run(),
        Command::CompileArtifact(_) => unreachable!("it has an exit code of its own"),
    }
}

/// Runs a client command. It does one thing at a time, so one thread is enough.
fn wait_for(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start the async runtime")?.block_on(command)
}
