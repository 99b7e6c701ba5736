//! Latency of a warm deployment on a server with thousands of idle ones, and on one without.

use std::time::Duration;

use anyhow::Result;
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Settings;
use crate::{
    bars::Bars,
    cost::{self, Pace},
    loadgen::Load,
    numbers::Spread,
    turns::{Row, print_table, ratio},
};

/// The p99 with idle deployments against that without.
const RATIO_MAX: f64 = 1.2;
/// Requests per second, a small part of what one core can answer.
const PER_SECOND: f64 = 2000.0;
const CONNECTIONS: usize = 8;
const NAME: &str = "unrelated";
const REPLICAS: u64 = 4;
/// After a start: deployments are back, and tick, or sleep if they do so early.
const SETTLE: Duration = Duration::from_secs(5);

/// Requests to both servers.
pub struct Latency {
    idle_ttl: &'static str,
    /// Without idle deployments, and with them.
    rows: [Row; 2],
}

/// Measures `full`, a server with idle deployments of this `idle_ttl`, and an empty one in turn.
/// `full` does not run while the other one has its turn: it would take CPU time from that, too, and
/// look harmless.
///
/// # Errors
///
/// When a request fails, or a server has gone.
pub async fn measure(
    mut full: Samovar,
    idle_ttl: &'static str,
    settings: &Settings,
) -> Result<Latency> {
    let empty = Samovar::start().await;
    for samovar in [&empty, &full] {
        let spec = json!({"replicas": [REPLICAS, REPLICAS], "idle_ttl": "off"});
        samovar.deploy(NAME, "hello", spec).await;
    }
    let mut without = Row::new("no other deployments");
    let count = settings.deployments;
    let mut with = Row::new(format!("{count} idle deployments, idle_ttl {idle_ttl}"));
    for round in 1..=settings.rounds {
        eprintln!("round {round} of {}", settings.rounds);
        full.kill9();
        send(&empty, &mut without, settings.duration).await?;
        full.start_again().await;
        let is_warm = |seen: &Value| status::ready(seen) == REPLICAS;
        full.wait_status(NAME, "all its replicas", is_warm).await;
        sleep(SETTLE).await;
        send(&full, &mut with, settings.duration).await?;
    }
    empty.stop().await;
    full.stop().await;
    Ok(Latency { idle_ttl, rows: [without, with] })
}

async fn send(samovar: &Samovar, row: &mut Row, duration: Duration) -> Result<()> {
    let load = Load::get(samovar.http.address(), format!("/{NAME}"), CONNECTIONS);
    let pace = Pace::PerSecond(PER_SECOND);
    row.rounds.push(cost::measure_at(pace, &row.name, samovar.pid(), &load, duration).await?);
    Ok(())
}

impl Latency {
    fn growth(&self) -> Spread {
        let [without, with] = &self.rows;
        with.against(without, |round| f64::from(round.p99_us), ratio)
    }

    pub fn print_table(&self) {
        print_table(&format!("{PER_SECOND:.0} requests/s to a warm deployment"), &self.rows);
        println!("\np99 with idle deployments against without: {:.2}\n", self.growth());
    }

    pub fn judge(&self, bars: &mut Bars) {
        let what = format!("p99 of an unrelated deployment beside {}", self.rows[1].name);
        bars.at_most(what, self.growth().median, RATIO_MAX, " × without");
    }

    pub fn to_json(&self) -> Value {
        json!({
            "idle_ttl": self.idle_ttl, "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "p99_ratio": self.growth().to_json(),
        })
    }
}
