//! Several loads on one server, measured one after the other, round by round.
//!
//! A machine that slows down slows all of them, and what compares two loads compares values of one
//! round.

use anyhow::Result;
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::{
    cost::{self, Pace, Round, Settings},
    loadgen::Load,
    numbers::Spread,
};

/// A single client is measured for this part of the time that many are.
const SINGLE_PART: u32 = 4;

/// A load that waits for its turn.
pub struct Turn {
    pub name: String,
    pub load: Load,
    pub pace: Pace,
}

impl Turn {
    /// One that sends as fast as it can.
    pub fn full(name: impl Into<String>, load: Load) -> Self {
        Self { name: name.into(), load, pace: Pace::Full }
    }
}

/// What a load came to.
pub struct Row {
    pub name: String,
    pub rounds: Vec<Round>,
}

/// Loads the server `pid` with each of `turns`, as often as there are rounds. The rows have the
/// order of the turns.
///
/// # Errors
///
/// When a request fails, or the server has gone.
pub async fn measure(pid: Pid, turns: &[Turn], settings: &Settings) -> Result<Vec<Row>> {
    let turns: Vec<_> = turns.iter().map(|turn| (pid, turn)).collect();
    measure_servers(&turns, settings).await
}

/// The same with turns of several servers, each with the process to look at.
///
/// # Errors
///
/// As [`measure`].
pub async fn measure_servers(turns: &[(Pid, &Turn)], settings: &Settings) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = turns.iter().map(|(_, turn)| Row::new(&turn.name)).collect();
    for round in 1..=settings.rounds {
        for ((pid, Turn { name, load, pace }), row) in turns.iter().zip(&mut rows) {
            eprintln!("round {round} of {}: {name}", settings.rounds);
            let measured = cost::measure_at(*pace, name, *pid, load, settings.duration).await?;
            row.rounds.push(measured);
        }
    }
    Ok(rows)
}

/// The same with a single client for each load, for a part of the time: latency without company.
///
/// # Errors
///
/// As [`measure`].
pub async fn measure_single(
    pid: Pid,
    mut turns: Vec<Turn>,
    settings: &Settings,
) -> Result<Vec<Row>> {
    turns.iter_mut().for_each(|turn| turn.load.connections = 1);
    let duration = settings.duration / SINGLE_PART;
    measure(pid, &turns, &Settings { duration, ..settings.clone() }).await
}

impl Row {
    /// One without rounds so far.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rounds: Vec::new() }
    }

    pub fn cpu_us(&self) -> Spread {
        self.of(|round| round.cpu_us)
    }

    pub fn per_second(&self) -> Spread {
        self.of(|round| round.per_second)
    }

    pub fn p50_us(&self) -> Spread {
        self.of(|round| f64::from(round.p50_us))
    }

    pub fn p99_us(&self) -> Spread {
        self.of(|round| f64::from(round.p99_us))
    }

    pub fn p999_us(&self) -> Spread {
        self.of(|round| f64::from(round.p999_us))
    }

    /// One value of each round.
    pub fn of(&self, value: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(value))
    }

    /// What `compare` makes of this row's value and another's, in each round.
    pub fn against(
        &self,
        other: &Row,
        value: impl Fn(&Round) -> f64,
        compare: impl Fn(f64, f64) -> f64,
    ) -> Spread {
        let pairs = self.rounds.iter().zip(&other.rounds);
        Spread::of(pairs.map(|(own, other)| compare(value(own), value(other))))
    }

    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name, "cpu_us_per_request": self.cpu_us().to_json(),
            "requests_per_second": self.per_second().to_json(),
            "p50_us": self.p50_us().to_json(), "p99_us": self.p99_us().to_json(),
            "p999_us": self.p999_us().to_json(),
        })
    }
}

/// The first one over the second one.
pub fn ratio(own: f64, other: f64) -> f64 {
    own / other
}

/// What the first one has beyond the second one.
pub fn difference(own: f64, other: f64) -> f64 {
    own - other
}

/// How the rounds were made, for a report.
pub fn settings_json(settings: &Settings) -> Value {
    json!({
        "rounds": settings.rounds,
        "seconds": settings.duration.as_secs_f64(),
        "connections": settings.connections,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
    })
}

/// A table of all rows.
pub fn print_table(what: &str, rows: &[Row]) {
    println!("\n{what}; medians of the rounds, with the least and the most:\n");
    println!("| load | µs CPU per request | requests/s | p50 µs | p99 µs |");
    println!("| --- | --- | --- | --- | --- |");
    for row in rows {
        let (cpu_us, per_second) = (row.cpu_us(), row.per_second());
        let (p50_us, p99_us) = (row.p50_us(), row.p99_us());
        println!("| {} | {cpu_us:.1} | {per_second:.0} | {p50_us:.0} | {p99_us:.0} |", row.name);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A row of rounds with this CPU time per request.
    pub fn row(cpu_us: &[f64]) -> Row {
        let round = |cpu_us: &f64| Round {
            cpu_us: *cpu_us,
            per_second: 1e6 / cpu_us,
            p50_us: *cpu_us as u32,
            p99_us: 2 * *cpu_us as u32,
            p999_us: 3 * *cpu_us as u32,
        };
        Row { name: "row".into(), rounds: cpu_us.iter().map(round).collect() }
    }

    #[test]
    fn rows_are_compared_round_by_round() {
        // The machine slows down: three times, then ten times.
        let (own, other) = (row(&[15.0, 45.0, 200.0]), row(&[10.0, 30.0, 100.0]));
        let ratios = own.against(&other, |round| round.cpu_us, ratio);
        assert_eq!(ratios, Spread { median: 1.5, least: 1.5, most: 2.0 });
        let slower = own.against(&other, |round| f64::from(round.p99_us), difference);
        assert_eq!(slower, Spread { median: 30.0, least: 10.0, most: 200.0 });
    }
}
