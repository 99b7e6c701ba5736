//! Memory of warm replicas: one pool that grows, one replica after the other.

use std::time::Duration;

use anyhow::{Result, ensure};
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{bars::Bars, memory::Memory};

/// Resident memory of a replica beyond the first.
const KIB_MAX: f64 = 150.0;
/// Replicas when memory is looked at; a server has room for 1000 unless told otherwise.
const COUNTS: [usize; 4] = [1, 100, 500, 900];
/// So many replicas of [`COUNTERS`] show that each new replica gets a request.
const CHECKED: usize = 20;
/// Guests that answer how many requests an instance has served.
const COUNTERS: [&str; 2] = ["fixture-behave", "fixture-behave-async"];
/// What is free is given back to the system by then.
const SETTLE: Duration = Duration::from_secs(2);

/// A pool of a guest while it grew.
pub struct Pool {
    version: &'static str,
    steps: Vec<(usize, Memory)>,
}

/// Grows a pool of `guest`, each replica of which serves a request.
///
/// # Errors
///
/// When a request fails, or the server has gone.
pub async fn measure(guest: &str, version: &'static str) -> Result<Pool> {
    let samovar = Samovar::start().await;
    deploy(&samovar, guest).await;
    let (mut steps, mut replicas) = (Vec::new(), 0);
    for count in COUNTS {
        eprintln!("{version}: {count} replicas");
        while replicas < count {
            replicas += 1;
            grow(&samovar, guest, replicas, "").await;
        }
        sleep(SETTLE).await;
        steps.push((count, Memory::of(samovar.pid())?));
    }
    for counter in COUNTERS {
        newest_serve(&samovar, counter).await?;
    }
    samovar.stop().await;
    Ok(Pool { version, steps })
}

async fn deploy(samovar: &Samovar, guest: &str) {
    let most = COUNTS[COUNTS.len() - 1];
    let spec = json!({"replicas": [1, most], "idle_ttl": "off"});
    samovar.deploy(guest, guest, spec).await;
}

/// Gives a pool its replica number `count`, sends one request, and returns the answer.
async fn grow(samovar: &Samovar, guest: &str, count: usize, path: &str) -> String {
    let wish = json!({"count": count});
    let replicas = format!("/v1/deployments/{guest}/replicas");
    samovar.admin.put_json(&replicas, &wish).await.expect(200);
    let is_ready = |seen: &Value| status::ready(seen) == count as u64;
    samovar.wait_status(guest, "one replica more", is_ready).await;
    samovar.http.get(&format!("/{guest}{path}")).await.expect(200).text()
}

/// Of replicas that are idle, the one that became so last serves next. If that changes, `grow` no
/// longer makes every replica serve, and has to find another way.
async fn newest_serve(samovar: &Samovar, counter: &str) -> Result<()> {
    deploy(samovar, counter).await;
    for count in 1..=CHECKED {
        let served = grow(samovar, counter, count, "/count").await;
        ensure!(served.trim() == "1", "replica {count} of {counter} did not serve: {served}");
    }
    let gone = samovar.admin.delete(&format!("/v1/deployments/{counter}")).await;
    ensure!(gone.status == 204, "delete {counter}: {} {}", gone.status, gone.text());
    Ok(())
}

impl Pool {
    /// Memory that each replica beyond the first has added, in KiB, for each count but the first.
    fn slopes_kib(&self) -> Vec<(usize, f64)> {
        let (fewest, first) = self.steps[0];
        let slope = |(count, memory): &(usize, Memory)| {
            let more_kib = memory.resident_kib as f64 - first.resident_kib as f64;
            (*count, more_kib / (count - fewest) as f64)
        };
        self.steps[1..].iter().map(slope).collect()
    }

    pub fn judge(&self, bars: &mut Bars) {
        let (count, slope_kib) = *self.slopes_kib().last().expect("there are several counts");
        let what = format!("{} hello, resident per replica, 1 to {count}", self.version);
        bars.at_most(what, slope_kib, KIB_MAX, " KiB");
    }

    pub fn to_json(&self) -> Value {
        let step = |(replicas, memory): &(usize, Memory)| {
            let memory = memory.to_json();
            json!({"replicas": replicas, "memory": memory})
        };
        let slope = |(replicas, kib): &(usize, f64)| json!({"replicas": replicas, "kib": kib});
        json!({
            "version": self.version,
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "per_replica_beyond_first": self.slopes_kib().iter().map(slope).collect::<Vec<_>>(),
        })
    }
}

pub fn print_table(pools: &[Pool]) {
    println!("Warm replicas of hello, each of which has served a request; memory in MiB:\n");
    println!("| replicas | resident | proportional | written | KiB per replica beyond the first |");
    println!("| --- | --- | --- | --- | --- |");
    for pool in pools {
        let slopes = pool.slopes_kib().into_iter().map(|(_, kib)| format!("{kib:.1}"));
        let slopes = [String::new()].into_iter().chain(slopes);
        for ((count, memory), slope) in pool.steps.iter().zip(slopes) {
            println!("| {count}, {} | {memory} | {slope} |", pool.version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_replica_is_not_counted() {
        let memory = |resident_kib| Memory { resident_kib, proportional_kib: 0, written_kib: 0 };
        let steps = vec![(1, memory(50_000)), (11, memory(51_500)), (101, memory(65_100))];
        let mut pool = Pool { version: "WASI 0.2", steps };
        assert_eq!(pool.slopes_kib(), [(11, 150.0), (101, 151.0)]);
        let verdict = |pool: &Pool| {
            let mut bars = Bars::default();
            pool.judge(&mut bars);
            bars.verdict()
        };
        assert!(verdict(&pool).is_err());
        pool.steps[2].1 = memory(65_000);
        verdict(&pool).unwrap();
    }
}
