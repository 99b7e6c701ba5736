//! Instructions and allocations per request, counted by callgrind: numbers that do not depend on
//! what else the machine does.
//!
//! The real `samovar up`, one client on one kept connection, one request after the other. Only what
//! runs in the server's process is counted, nothing of the kernel.

mod expected;
mod profile;
mod valgrind;

use std::{cell::RefCell, fmt::Write as _, fs, net::SocketAddr};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use samovar_tests::{Samovar, paths, status};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::{
    expected::{Expected, HOW_TO_RENEW},
    profile::{Function, Profile},
    valgrind::{Counted, Valgrind},
};
use crate::{
    bars::Bars,
    loadgen::{self, Connection, Load},
    numbers::median,
    report,
};

/// Requests that come before. So many, because a buffer that is used up piece by piece lasts for
/// hundreds of them.
const WARM_UP: usize = 500;
/// How often is counted, and how many requests at a time. The number is the median, so that what
/// happens now and then by chance is not in it.
const PARTS: usize = 5;
const PART: usize = 100;
/// How many functions are printed, and written to files.
const FUNCTIONS_PRINTED: usize = 30;
const FUNCTIONS_WRITTEN: usize = 200;
const BODY: &[u8] = &[b'x'; 1 << 10];

/// What is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Only what every test run compares.
    pub is_subset: bool,
    /// Writes the numbers to the repository and compares nothing.
    pub renews: bool,
}

/// A deployment that is asked.
struct Guest {
    /// Of the load, in tables and in the repository.
    name: &'static str,
    component: &'static str,
    /// How many requests one replica serves at a time.
    concurrency: usize,
    /// Sent with a request, and sent back.
    body: &'static [u8],
}

/// What every test run compares.
const SUBSET: [Guest; 2] =
    [Guest::new("hello, WASI 0.2", "hello", 1), Guest::new("hello, WASI 0.3", "hello-async", 16)];
const OTHERS: [Guest; 3] = [
    Guest::new("hello, batches", "fixture-hello-batch", 1),
    Guest::new("echo of 1 KiB, WASI 0.2", "echo-sync", 1).with(BODY),
    Guest::new("echo of 1 KiB, WASI 0.3", "echo", 16).with(BODY),
];

/// What a load costs, per request.
struct Measured {
    name: &'static str,
    instructions: f64,
    allocations: f64,
    /// Instructions of threads that only tick and watch, which depend on time. Not in the others.
    elsewhere: f64,
    profile: Profile,
}

/// Measures, prints tables, writes `target/bench/instructions.json` and a file for each load, and
/// compares with the numbers in the repository.
///
/// # Errors
///
/// When valgrind is not installed, or a request fails.
pub async fn run(settings: Settings) -> Result<Bars> {
    let valgrind = Valgrind::find()?;
    let mut measured = Vec::new();
    let hyper = valgrind.hyper().context("start bare hyper under callgrind")?;
    hyper.count()?;
    let load = Load::get(hyper.server.address, "/", 1);
    measured.push(measure("bare hyper", &hyper, load).await?);
    drop(hyper);
    let samovar = valgrind.samovar().await.context("start samovar under callgrind")?;
    let others: &[Guest] = if settings.is_subset { &[] } else { &OTHERS };
    // Others are deployed later, so that they make no difference to those of every test run.
    for guests in [&SUBSET, others] {
        for guest in guests {
            deploy(&samovar.server, guest).await;
        }
        samovar.count()?;
        for guest in guests {
            let load = guest.load(samovar.server.http.address());
            measured.push(measure(guest.name, &samovar, load).await?);
        }
    }
    print_table(&measured);
    if !settings.is_subset {
        print_functions(&measured);
    }
    write(&measured)?;
    if settings.renews {
        expected::renew(&measured, PARTS * PART, &valgrind.version)?;
        return Ok(Bars::default());
    }
    let expected = Expected::read().context(format!("{HOW_TO_RENEW} makes it"))?;
    Ok(expected.compare(&measured, &valgrind.version))
}

impl Guest {
    const fn new(name: &'static str, component: &'static str, concurrency: usize) -> Self {
        Self { name, component, concurrency, body: &[] }
    }

    const fn with(self, body: &'static [u8]) -> Self {
        Self { body, ..self }
    }

    /// The name of the deployment.
    fn deployment(&self) -> &'static str {
        self.component
    }

    fn load(&self, address: SocketAddr) -> Load {
        let load = Load::get(address, format!("/{}", self.deployment()), 1);
        let expects_bytes = (!self.body.is_empty()).then_some(self.body.len());
        Load { body: Bytes::from_static(self.body), expects_bytes, ..load }
    }
}

async fn deploy(samovar: &Samovar, guest: &Guest) {
    eprintln!("compiling {}", guest.component);
    let mut spec = json!({
        "replicas": {"min": 1, "max": 1},
        "concurrency": guest.concurrency,
        // Ticks cost by time and not by request.
        "scaling": {"interval": "1h"},
    });
    if guest.component.ends_with("-batch") {
        spec["batching"] = json!({"max_batch_size": 1});
    }
    samovar.deploy(guest.deployment(), guest.component, spec).await;
    let is_warm = |seen: &Value| status::ready(seen) == 1;
    samovar.wait_status(guest.deployment(), "its replica", is_warm).await;
}

async fn measure<S>(name: &'static str, server: &Counted<S>, load: Load) -> Result<Measured> {
    eprintln!("counting {name}");
    let mut client = Client::new(&load);
    client.send(WARM_UP).await.with_context(|| format!("warm up {name}"))?;
    let (mut instructions, mut allocations, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = Profile::default();
    let per_request = |count: u64| count as f64 / PART as f64;
    for _ in 0..PARTS {
        server.zero()?;
        client.send(PART).await.with_context(|| format!("measure {name}"))?;
        let (profile, idle) = server.take()?;
        instructions.push(per_request(profile.instructions()));
        allocations.push(per_request(profile.allocations));
        elsewhere.push(per_request(idle));
        all.add(profile);
    }
    let [instructions, allocations, elsewhere] = [instructions, allocations, elsewhere].map(median);
    Ok(Measured { name, instructions, allocations, elsewhere, profile: all })
}

/// Sends one request after the other on one connection.
struct Client {
    connection: Connection,
    requests: loadgen::Requests,
}

impl Client {
    fn new(load: &Load) -> Self {
        let requests = load.requests().pop().expect("a load has a connection");
        Self { connection: Connection::new(load.address), requests }
    }

    async fn send(&mut self, count: usize) -> Result<()> {
        let report = RefCell::default();
        for _ in 0..count {
            let Self { connection, requests } = self;
            if !loadgen::one(connection, requests, Instant::now(), &report).await {
                let failure = report.take().first_failure.unwrap_or_default();
                bail!("a request failed: {failure}");
            }
        }
        Ok(())
    }
}

fn print_table(all: &[Measured]) {
    let bare = all[0].instructions;
    println!("| load | instructions per request | against bare hyper | allocations | elsewhere |");
    println!("| --- | --- | --- | --- | --- |");
    for Measured { name, instructions, allocations, elsewhere, .. } in all {
        let ratio = instructions / bare;
        println!("| {name} | {instructions:.0} | {ratio:.2} | {allocations:.1} | {elsewhere:.0} |");
    }
}

fn print_functions(all: &[Measured]) {
    for Measured { name, profile, .. } in all {
        println!("\n{name}, functions with the most instructions of their own, per request:\n");
        print!("{}", functions(profile, FUNCTIONS_PRINTED, |function| function.own));
    }
}

/// Lines of instructions per request, share of all, calls per request, and name.
fn functions(profile: &Profile, count: usize, of: fn(&Function) -> u64) -> String {
    let all = profile.instructions() as f64;
    let mut text = String::new();
    for (name, function) in profile.top(count, of) {
        let instructions = of(&function) as f64;
        let share = instructions / all * 100.0;
        let [instructions, calls] =
            [instructions, function.calls as f64].map(|count| count / (PARTS * PART) as f64);
        _ = writeln!(text, "{instructions:9.0} {share:5.1} % {calls:7.2}  {name}");
    }
    text
}

fn write(all: &[Measured]) -> Result<()> {
    let row = |load: &Measured| {
        json!({
            "name": load.name, "instructions": load.instructions,
            "allocations": load.allocations, "elsewhere": load.elsewhere,
        })
    };
    let report = json!({"requests": PARTS * PART, "rows": all.iter().map(row).collect::<Vec<_>>()});
    report::write("instructions", &report)?;
    let folder = paths::workspace().join("target/bench/instructions");
    fs::create_dir_all(&folder).context("make target/bench/instructions")?;
    for Measured { name, profile, .. } in all {
        let list = |of| functions(profile, FUNCTIONS_WRITTEN, of);
        let text = format!(
            "Per request of {name}: instructions, share, calls, function.\n\n\
             Of their own:\n\n{}\nWith all that they call (recursion and changes of the stack \
             count more than once):\n\n{}",
            list(|function| function.own),
            list(|function| function.inclusive),
        );
        let file = folder.join(format!("{}.txt", name.replace(", ", "-").replace(' ', "-")));
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    println!("functions are in target/bench/instructions/");
    Ok(())
}
