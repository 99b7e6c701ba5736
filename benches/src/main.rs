//! `bench [MODE]... [OPTION]...`; see [`USAGE`].

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to a person is the job")]

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use samovar_benches::{
    bars::Bars,
    batching, calls, change, cold,
    compare::{self, workload::Workload},
    cost::Settings,
    density, growth, instructions, keyvalue, neighbour, proxy, scale, simulate, ticks, truth, warm,
};

const USAGE: &str = "\
usage: bench [MODE]... [OPTION]...

modes (all of them when none is named):
  warm      CPU time per request against a bare hyper server and `wasmtime serve` (if found through
            the variable WASMTIME or on the path); writes target/bench/warm.json
  compare   several kinds of requests to bare hyper, Samovar, `wasmtime serve`, Spin, workerd, Ray
            Serve and LitServe side by side, as far as they are installed (`cargo xtask peers`):
            CPU time, requests per second, latency at half load, memory; writes
            target/bench/compare.json and compare.svg
  proxy     requests to a process: CPU time against a minimal hyper proxy, and latency added at half
            load; writes target/bench/proxy.json
  calls     calls between deployments: CPU time in process against loopback HTTP, chains; writes
            target/bench/calls.json
  batching  64 clients of a handler with a fixed time per batch: throughput against no batches, and
            latency at half load; writes target/bench/batching.json
  keyvalue  the store of handlers: CPU time against the same handler without it; writes
            target/bench/keyvalue.json
  cold      first requests: scaled to zero, with the code in memory and evicted, after a restart, a
            thousand at once; writes target/bench/cold.json
  swap      policy swaps, promotions, rollbacks and redeploys under full load
  scale     what asking each policy costs, and what a scaler takes of memory
  ticks     10,000 deployments that tick once a second on one server
  density   memory of warm replicas and of 10,000 deployments at zero, how soon a server with them
            is back, and latency of another deployment beside them; writes target/bench/density.json
  growth    CPU time per request with 1 to 10,000 deployments, and with 1 to 1,000 replicas of one;
            writes target/bench/growth.json
  neighbour latency of 20 light deployments alone and beside one that computes without end; writes
            target/bench/neighbour.json
  simulate  simulated requests per second, and a thousand deployments for an hour
  truth     the same requests live and simulated, for each policy; writes target/bench/truth.json
  instructions
            instructions and allocations per request by callgrind, against benches/instructions.json;
            writes target/bench/instructions.json, and functions to target/bench/instructions/

  --rounds N       of warm, compare, proxy, calls, batching and keyvalue: rounds (7)
  --connections N  of warm, compare, proxy, calls and keyvalue: connections (32)
  --seconds N      how long is measured: warm, compare, proxy, batching and keyvalue, each load in
                   a round (3); the same of calls (2); ticks (30); truth (300)
  --deployments N  of ticks, growth and density: how many, at most (10000)
  --idle N         of density: how many seconds nothing happens before memory is looked at (60)
  --subset         of instructions: only what every test run compares
  --renew          of instructions: writes benches/instructions.json
  --workloads A,B  of compare: only these (hello,echo-1k,echo-1m,thumbnail,json,sleep)
  --no-bars        only measure: a missed bar is no failure
";

/// What was asked for.
struct Options {
    modes: Vec<String>,
    rounds: usize,
    connections: usize,
    seconds: Option<u64>,
    deployments: usize,
    idle: Duration,
    has_bars: bool,
    workloads: Vec<Workload>,
    instructions: instructions::Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match parse(env::args().skip(1)) {
        Ok(Some(options)) => run(options).await,
        Ok(None) => {
            print!("{USAGE}");
            Ok(())
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// None if only the usage is wanted.
fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>> {
    let mut options = Options {
        modes: Vec::new(),
        rounds: 7,
        connections: 32,
        seconds: None,
        deployments: 10_000,
        idle: Duration::from_secs(60),
        has_bars: true,
        workloads: Workload::ALL.to_vec(),
        instructions: instructions::Settings::default(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => options.rounds = number(&arg, args.next())?,
            "--connections" => options.connections = number(&arg, args.next())?,
            "--seconds" => options.seconds = Some(number(&arg, args.next())? as u64),
            "--deployments" => options.deployments = number(&arg, args.next())?,
            "--workloads" => {
                let list = args.next().with_context(|| format!("{arg} needs a list"))?;
                options.workloads = Workload::parse(&list)?;
            }
            "--idle" => options.idle = Duration::from_secs(number(&arg, args.next())? as u64),
            "--no-bars" => options.has_bars = false,
            "--subset" => options.instructions.is_subset = true,
            "--renew" => options.instructions.renews = true,
            "--help" | "-h" => return Ok(None),
            mode if MODES.contains(&mode) => options.modes.push(arg),
            _ => bail!("`{arg}` is no mode and no option\n\n{USAGE}"),
        }
    }
    if options.modes.is_empty() {
        options.modes = MODES.map(str::to_owned).to_vec();
    }
    Ok(Some(options))
}

/// In the order they run in.
const MODES: [&str; 16] = [
    "warm",
    "compare",
    "proxy",
    "calls",
    "batching",
    "keyvalue",
    "cold",
    "swap",
    "scale",
    "ticks",
    "density",
    "growth",
    "neighbour",
    "simulate",
    "truth",
    "instructions",
];

async fn run(options: Options) -> Result<()> {
    let mut all = Bars::default();
    for mode in MODES {
        if options.modes.iter().any(|wanted| wanted == mode) {
            println!("# {mode}\n");
            let bars = measure(mode, &options).await?;
            bars.print();
            println!();
            all.extend(bars);
        }
    }
    if options.has_bars { all.verdict() } else { Ok(()) }
}

async fn measure(mode: &str, options: &Options) -> Result<Bars> {
    let seconds = |default| Duration::from_secs(options.seconds.unwrap_or(default));
    let Options { rounds, connections, .. } = *options;
    let under_load = Settings { rounds, connections, duration: seconds(3) };
    match mode {
        "warm" => warm::run(&under_load).await,
        "compare" => compare::run(&under_load, &options.workloads).await,
        "proxy" => proxy::run(&under_load).await,
        "calls" => calls::run(&Settings { duration: seconds(2), ..under_load }).await,
        "batching" => batching::run(&under_load).await,
        "keyvalue" => keyvalue::run(&under_load).await,
        "cold" => cold::run().await,
        "swap" => change::swaps().await,
        "scale" => scale::run().await,
        "ticks" => {
            let deployments = options.deployments;
            ticks::run(ticks::Settings { deployments, duration: seconds(30) }).await
        }
        "density" => {
            let Options { deployments, idle, .. } = *options;
            density::run(&density::Settings { deployments, idle, rounds, duration: seconds(3) })
                .await
        }
        "growth" => {
            let settings = Settings { duration: seconds(2), ..under_load };
            growth::run(&settings, options.deployments).await
        }
        "neighbour" => neighbour::run(&Settings { duration: seconds(5), ..under_load }).await,
        "simulate" => simulate::run(),
        "truth" => truth::run(seconds(300)).await,
        "instructions" => instructions::run(options.instructions).await,
        other => unreachable!("`{other}` is not in the list"),
    }
}

fn number(option: &str, value: Option<String>) -> Result<usize> {
    let value = value.with_context(|| format!("{option} needs a number"))?;
    let number = value.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{option} needs a number above 0, not `{value}`"))
}
