//! What the first request costs when no replica runs. The code is compiled, and on disk.

use std::time::Duration;

use anyhow::{Result, ensure};
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    loadgen::{Load, Report},
    numbers::{median, milliseconds, quantile},
    process, report,
};

mod code;

use code::{CodeFile, disk_bytes};

/// Starts of a pool that was scaled to zero.
const CYCLES: usize = 200;
/// Starts of the whole process.
const RESTARTS: usize = 10;
const CROWD: usize = 1000;

/// Of a request to a deployment at zero whose code is in memory.
const MEDIAN_MS_MAX: f64 = 1.0;
const P99_MS_MAX: f64 = 5.0;
/// Of one whose code is not.
const EVICTED_MEDIAN_MS_MAX: f64 = 5.0;

/// Where the code is when the request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// Mapped by the server, as it is by default.
    InMemory,
    /// Forgotten by the server; the file is in the kernel's cache.
    Forgotten,
    /// On disk only.
    OnDisk,
}

/// First requests after a pool was scaled to zero.
struct Starts {
    guest: &'static str,
    code: Code,
    /// Sorted.
    micros: Vec<u32>,
    /// What the server read from the disk for each of them.
    disk_kib: f64,
}

/// Measures, prints tables and writes `target/bench/cold.json`.
///
/// # Errors
///
/// When a request fails, or the server has gone.
pub async fn run() -> Result<Bars> {
    process::raise_file_limit();
    let mut all = Vec::new();
    for guest in ["hello", "hello-async"] {
        for code in [Code::InMemory, Code::Forgotten, Code::OnDisk] {
            all.push(scaled_to_zero(guest, code).await?);
        }
        after_restart(guest).await?;
        crowd(guest).await?;
    }
    print_table(&all);
    let starts = all.iter().map(Starts::to_json).collect::<Vec<_>>();
    report::write("cold", &json!({"cycles": CYCLES, "scaled_to_zero": starts}))?;
    let mut bars = Bars::default();
    all.iter().for_each(|starts| starts.judge(&mut bars));
    Ok(bars)
}

/// A deployment that lets go of its replicas as soon as it can.
async fn start(guest: &str) -> Samovar {
    start_with(guest, &[]).await
}

async fn start_with(guest: &str, args: &[&str]) -> Samovar {
    let samovar = Samovar::start_with(args, &[]).await;
    let spec = json!({
        "replicas": {"min": 0, "max": 8}, "idle_ttl": "20ms", "scaledown_ttl": "20ms",
        "scaling": {"interval": "100ms"}, "queue": {"max": CROWD, "timeout": "60s"},
    });
    samovar.deploy(guest, guest, spec).await;
    samovar
}

fn load(samovar: &Samovar, guest: &str, connections: usize) -> Load {
    Load::get(samovar.http.address(), format!("/{guest}"), connections)
}

async fn until_zero(samovar: &Samovar, guest: &str) -> Value {
    samovar.wait_status(guest, "no replicas", |seen| status::all_replicas(seen) == 0).await
}

async fn scaled_to_zero(guest: &'static str, code: Code) -> Result<Starts> {
    let samovar = match code {
        Code::InMemory => start(guest).await,
        // Code that no replica runs is forgotten at once. By default that happens when the code of
        // others was needed since, more than there is room for.
        Code::Forgotten | Code::OnDisk => start_with(guest, &["--code-cache", "0B"]).await,
    };
    let file = CodeFile::of(&samovar, guest).await?;
    // One that does not count: the first start of all has more to do.
    one(&samovar, guest).await?;
    let (mut micros, before) = (Vec::new(), disk_bytes(samovar.pid())?);
    for _ in 0..CYCLES {
        until_zero(&samovar, guest).await;
        evict(&samovar, &file, code).await?;
        micros.push(one(&samovar, guest).await?);
    }
    let disk_bytes = disk_bytes(samovar.pid())?.saturating_sub(before);
    samovar.stop().await;
    micros.sort_unstable();
    let disk_kib = disk_bytes as f64 / 1024.0 / CYCLES as f64;
    Ok(Starts { guest, code, micros, disk_kib })
}

/// Brings the code of a deployment at zero to where it shall be.
async fn evict(samovar: &Samovar, file: &CodeFile, code: Code) -> Result<()> {
    match code {
        Code::InMemory => {
            ensure!(file.is_loaded(samovar.pid())?, "code is forgotten that should be kept");
            Ok(())
        }
        Code::Forgotten => file.forgotten(samovar).await,
        Code::OnDisk => {
            file.forgotten(samovar).await?;
            file.uncache()
        }
    }
}

async fn after_restart(guest: &str) -> Result<()> {
    let mut samovar = start(guest).await;
    let mut micros = Vec::new();
    for _ in 0..RESTARTS {
        samovar.restart().await;
        micros.push(one(&samovar, guest).await?);
    }
    println!(
        "{guest}, first request after kill and restart, {RESTARTS} times: {}",
        milliseconds(micros)
    );
    samovar.stop().await;
    Ok(())
}

/// A thousand first requests at the same moment.
async fn crowd(guest: &str) -> Result<()> {
    let samovar = start(guest).await;
    let before = until_zero(&samovar, guest).await;
    let report = load(&samovar, guest, CROWD).once().await;
    let after = samovar.status(guest).await;
    let started = |seen: &Value| status::number(seen, "/totals/replicas_started");
    println!(
        "{guest}, {CROWD} first requests at once: {} failed, {} replicas started, all answered in \
         {:.0} ms, {}",
        report.failed,
        started(&after) - started(&before),
        report.elapsed.as_secs_f64() * 1000.0,
        milliseconds(report.latencies_us.clone())
    );
    samovar.stop().await;
    good(&report)
}

/// One request on a connection that is open already; the answer is how long it took.
async fn one(samovar: &Samovar, guest: &str) -> Result<u32> {
    let report = load(samovar, guest, 1).once().await;
    good(&report)?;
    // A pool only counts as idle once its last request is over everywhere.
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok(report.latencies_us[0])
}

fn good(report: &Report) -> Result<()> {
    let first = report.first_failure.as_deref().unwrap_or_default();
    ensure!(report.failed == 0, "{} requests failed, the first one: {first}", report.failed);
    Ok(())
}

impl Starts {
    fn median_ms(&self) -> f64 {
        median(self.micros.iter().copied().map(f64::from)) / 1000.0
    }

    fn p99_ms(&self) -> f64 {
        f64::from(quantile(&self.micros, 0.99)) / 1000.0
    }

    fn judge(&self, bars: &mut Bars) {
        let name = format!("{} at zero, code {}", self.guest, self.code.name());
        let is_evicted = self.code != Code::InMemory;
        let median_ms_max = if is_evicted { EVICTED_MEDIAN_MS_MAX } else { MEDIAN_MS_MAX };
        bars.at_most(format!("{name}, median"), self.median_ms(), median_ms_max, " ms");
        if !is_evicted {
            bars.at_most(format!("{name}, p99"), self.p99_ms(), P99_MS_MAX, " ms");
        }
    }

    fn to_json(&self) -> Value {
        let most_ms = f64::from(quantile(&self.micros, 1.0)) / 1000.0;
        json!({
            "guest": self.guest, "code": self.code.name(), "median_ms": self.median_ms(),
            "p99_ms": self.p99_ms(), "most_ms": most_ms, "disk_kib": self.disk_kib,
        })
    }
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::InMemory => "in memory",
            Self::Forgotten => "evicted",
            Self::OnDisk => "evicted, also from the cache of files",
        }
    }
}

fn print_table(all: &[Starts]) {
    println!("\nFirst request after scaling to zero, {CYCLES} times each:\n");
    println!("| guest | code | median ms | p99 ms | most ms | KiB read from disk |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for starts in all {
        let Starts { guest, code, micros, disk_kib } = starts;
        let (median_ms, p99_ms, code) = (starts.median_ms(), starts.p99_ms(), code.name());
        let most_ms = f64::from(quantile(micros, 1.0)) / 1000.0;
        println!(
            "| {guest} | {code} | {median_ms:.2} | {p99_ms:.2} | {most_ms:.2} | {disk_kib:.0} |"
        );
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_memory_has_other_bars_than_code_that_was_evicted() {
        let verdict = |code, micros: [u32; 3]| {
            let mut bars = Bars::default();
            Starts { guest: "hello", code, micros: micros.into(), disk_kib: 0.0 }.judge(&mut bars);
            bars.verdict().is_ok()
        };
        assert!(verdict(Code::InMemory, [500, 1000, 5000]));
        assert!(!verdict(Code::InMemory, [500, 1001, 5000]));
        assert!(!verdict(Code::InMemory, [500, 1000, 5001]));
        assert!(verdict(Code::Forgotten, [500, 5000, 90_000]));
        assert!(!verdict(Code::OnDisk, [500, 5001, 90_000]));
    }
}
