//! Many quiet deployments beside one that computes without end.
//!
//! Twenty light deployments get requests at a low constant rate, in turn alone and beside a busy
//! deployment on the same server. As load, server and whatever is busy share the cores, the same is
//! measured beside threads of another process that compute: what they do to the light requests is
//! the machine's part.

use std::{
    fmt, hint,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Result, ensure};
use rustix::process::nice;
use samovar_tests::{Samovar, components::counting_handler};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    bars::Bars,
    cost::{self, Pace, Settings},
    loadgen::{Load, Running},
    numbers::{Spread, median},
    report,
    turns::{self, Row, ratio},
};

/// The p99 of light requests beside a busy guest against that of the same round without.
const RATIO_MAX: f64 = 1.5;
/// Light deployments of each version.
const LIGHT: usize = 10;
const GUESTS: [&str; 2] = ["hello", "hello-async"];
/// Of what the light deployments can answer at full load.
const PART: f64 = 0.1;
/// Clients of the busy guest, each with one request at a time.
const CLIENTS: [usize; 2] = [1, 4];
/// The busy guest can compute for all its clients at once.
const BUSY_REPLICAS: usize = 4;
/// What one of its requests takes, alone.
const BUSY: Duration = Duration::from_millis(200);
/// Turns of the loop by which the speed of this machine is found.
const TRIAL_TURNS: u64 = 100_000_000;
const TRIALS: usize = 3;
/// Threads that compute in the control.
const THREADS: [usize; 2] = [1, 2];
/// The lowest priority that the kernel's scheduler knows for threads that always run at last.
const NICE_MAX: i32 = 19;

/// What goes on beside the light requests.
#[derive(Clone, Debug)]
enum Beside {
    Nothing,
    /// So many clients of a busy deployment.
    Guest {
        version: &'static str,
        path: String,
        clients: usize,
    },
    /// So many threads of this process that compute.
    Threads {
        count: usize,
        is_nice: bool,
    },
}

/// Light requests beside something, in all rounds.
struct Outcome {
    beside: Beside,
    row: Row,
    /// Answers of the busy deployment per second, in each round.
    busy: Vec<f64>,
}

/// Measures, prints a table and writes `target/bench/neighbour.json`.
///
/// # Errors
///
/// When a request fails.
pub async fn run(settings: &Settings) -> Result<Bars> {
    let samovar = Samovar::start().await;
    deploy(&samovar).await;
    deploy_busy(&samovar).await;
    let load = light(&samovar);
    let full = Load { connections: settings.connections, ..load.clone() };
    let full = cost::measure("full load", samovar.pid(), &full, settings.duration).await?;
    let per_second = full.per_second * PART;
    let outcomes = measure(&samovar, &load, per_second, settings).await?;
    samovar.stop().await;
    print_table(&outcomes, per_second);
    let report = json!({
        "settings": turns::settings_json(settings),
        "light_requests_per_second": per_second,
        "rows": outcomes.iter().map(|one| one.to_json(&outcomes[0])).collect::<Vec<_>>(),
    });
    report::write("neighbour", &report)?;
    Ok(bars(&outcomes))
}

/// The light deployments.
async fn deploy(samovar: &Samovar) {
    for guest in GUESTS {
        for index in 0..LIGHT {
            let spec = json!({"replicas": [2, 2], "idle_ttl": "off"});
            samovar.deploy(&format!("{guest}-{index}"), guest, spec).await;
        }
    }
}

/// One request on each connection, which asks all light deployments in turn.
fn light(samovar: &Samovar) -> Load {
    let of = |guest| (0..LIGHT).map(move |index| format!("/{guest}-{index}"));
    let paths: Vec<String> = GUESTS.into_iter().flat_map(of).collect();
    let connections = paths.len();
    Load::get_each(samovar.http.address(), paths, connections)
}

/// The busy deployments. That of WASI 0.2 does nothing but count, as far as it takes on this
/// machine.
async fn deploy_busy(samovar: &Samovar) {
    let spec = || json!({"replicas": [BUSY_REPLICAS, BUSY_REPLICAS], "idle_ttl": "off"});
    samovar.deploy_wasm("trial", counting_handler(TRIAL_TURNS), spec()).await;
    let mut fastest = Duration::MAX;
    for _ in 0..TRIALS {
        let started = Instant::now();
        samovar.http.get("/trial").await.expect(200);
        fastest = fastest.min(started.elapsed());
    }
    let turns = TRIAL_TURNS as f64 * BUSY.as_secs_f64() / fastest.as_secs_f64();
    samovar.deploy_wasm("busy", counting_handler(turns as u64), spec()).await;
    samovar.deploy("busy-async", "fixture-behave-async", spec()).await;
}

/// Everything there is to measure, alone first.
fn all_beside() -> Vec<Beside> {
    let spin = format!("/busy-async/spin?ms={}", BUSY.as_millis());
    let guests = [("WASI 0.2", "/busy".to_owned()), ("WASI 0.3", spin)];
    let guest = |(version, path): (&'static str, String)| {
        CLIENTS.map(|clients| Beside::Guest { version, path: path.clone(), clients })
    };
    let threads = |is_nice| THREADS.map(|count| Beside::Threads { count, is_nice });
    let guests = guests.into_iter().flat_map(guest);
    let threads = [false, true].into_iter().flat_map(threads);
    [Beside::Nothing].into_iter().chain(guests).chain(threads).collect()
}

async fn measure(
    samovar: &Samovar,
    load: &Load,
    per_second: f64,
    settings: &Settings,
) -> Result<Vec<Outcome>> {
    let outcome = |beside: Beside| {
        let row = Row::new(beside.to_string());
        Outcome { beside, row, busy: Vec::new() }
    };
    let mut outcomes: Vec<Outcome> = all_beside().into_iter().map(outcome).collect();
    for round in 1..=settings.rounds {
        for Outcome { beside, row, busy } in &mut outcomes {
            eprintln!("round {round} of {}: {beside}", settings.rounds);
            let running = beside.start(samovar.http.address());
            let (pace, pid) = (Pace::PerSecond(per_second), samovar.pid());
            let measured = cost::measure_at(pace, &row.name, pid, load, settings.duration).await;
            busy.extend(running.end().await?);
            row.rounds.push(measured?);
        }
    }
    Ok(outcomes)
}

/// What is busy until it is told to end.
enum Busy {
    Nothing,
    Guest(Running),
    Threads { is_over: Arc<AtomicBool>, all: Vec<JoinHandle<()>> },
}

impl Beside {
    fn start(&self, address: SocketAddr) -> Busy {
        match self {
            Self::Nothing => Busy::Nothing,
            Self::Guest { path, clients, .. } => {
                Busy::Guest(Load::get(address, path, *clients).start())
            }
            Self::Threads { count, is_nice } => {
                let is_over = Arc::new(AtomicBool::new(false));
                let start = |_| {
                    let (is_over, is_nice) = (Arc::clone(&is_over), *is_nice);
                    thread::spawn(move || compute(&is_over, is_nice))
                };
                let all = (0..*count).map(start).collect();
                Busy::Threads { is_over, all }
            }
        }
    }
}

/// Computes until it is over.
fn compute(is_over: &AtomicBool, is_nice: bool) {
    if is_nice {
        // Of this thread only, as Linux has it. It may always be lowered.
        nice(NICE_MAX).expect("lower the priority of a thread of our own");
    }
    let mut turns = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        turns = hint::black_box(turns + 1);
    }
}

impl Busy {
    /// Answers of the busy deployment per second, if there is one.
    async fn end(self) -> Result<Option<f64>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Guest(running) => {
                let report = running.finish().await;
                let first = report.first_failure.as_deref().unwrap_or("none was answered");
                ensure!(report.failed == 0 && report.answered > 0, "the busy guest: {first}");
                Ok(Some(report.per_second()))
            }
            Self::Threads { is_over, all } => {
                is_over.store(true, Ordering::Relaxed);
                for thread in all {
                    thread.join().expect("counting does not panic");
                }
                Ok(None)
            }
        }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        match self {
            Self::Nothing => write!(f, "alone"),
            Self::Guest { version, clients, .. } => {
                write!(f, "beside a busy {version} guest, {clients} client{}", plural(*clients))
            }
            Self::Threads { count, is_nice } => {
                let how = if *is_nice { ", lowest priority" } else { "" };
                write!(f, "beside {count} thread{} of no server{how}", plural(*count))
            }
        }
    }
}

impl Outcome {
    /// The p99 against that of the same round alone.
    fn growth(&self, alone: &Outcome) -> Spread {
        self.row.against(&alone.row, |round| f64::from(round.p99_us), ratio)
    }

    fn to_json(&self, alone: &Outcome) -> Value {
        json!({
            "row": self.row.to_json(), "p99_against_alone": self.growth(alone).to_json(),
            "busy_answers_per_second": Spread::of(self.busy.iter().copied()).to_json(),
        })
    }
}

fn print_table(outcomes: &[Outcome], per_second: f64) {
    let light = GUESTS.len() * LIGHT;
    println!("\n{per_second:.0} requests/s to {light} light deployments; medians of the rounds:\n");
    println!(
        "| light requests | p50 µs | p99 µs | p99.9 µs | p99 against alone | busy answers/s |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for outcome in outcomes {
        let (row, growth) = (&outcome.row, outcome.growth(&outcomes[0]));
        let (p50_us, p99_us, p999_us) = (row.p50_us(), row.p99_us(), row.p999_us());
        let busy = match median(outcome.busy.iter().copied()) {
            none if none.is_nan() => String::new(),
            busy => format!("{busy:.1}"),
        };
        println!(
            "| {} | {p50_us:.0} | {p99_us:.0} | {p999_us:.0} | {growth:.2} | {busy} |",
            row.name
        );
    }
    println!();
}

/// Only for guests: what threads of others do is the machine's affair.
fn bars(outcomes: &[Outcome]) -> Bars {
    let mut bars = Bars::default();
    let guests = outcomes.iter().filter(|one| matches!(one.beside, Beside::Guest { .. }));
    for outcome in guests {
        let what = format!("p99 of light requests {}", outcome.beside);
        bars.at_most(what, outcome.growth(&outcomes[0]).median, RATIO_MAX, " × alone");
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::tests::row;

    #[test]
    fn only_guests_are_judged_and_by_the_same_round() {
        let outcome = |beside, p99: &[f64]| Outcome { beside, row: row(p99), busy: vec![5.0] };
        let guest = Beside::Guest { version: "WASI 0.2", path: "/busy".into(), clients: 1 };
        let threads = Beside::Threads { count: 1, is_nice: false };
        let judged = |busy: &[f64]| {
            let alone = outcome(Beside::Nothing, &[100.0, 200.0, 1000.0]);
            bars(&[alone, outcome(guest.clone(), busy), outcome(threads.clone(), &[9e6; 3])])
        };
        judged(&[150.0, 300.0, 9000.0]).verdict().unwrap();
        assert!(judged(&[151.0, 400.0, 1000.0]).verdict().is_err());
    }
}
