//! What a proxy adds to the latency of requests that come at a constant rate.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::{
    cost::{Settings, WARM_UP},
    loadgen::Load,
    numbers::{Spread, quantile},
    paced,
};

/// All ways to the process, the direct one first.
pub struct Latency {
    per_second: f64,
    ways: Vec<Way>,
}

/// The same requests on one way.
struct Way {
    name: &'static str,
    rounds: Vec<Quantiles>,
}

#[derive(Clone, Copy)]
struct Quantiles {
    p50_us: f64,
    p99_us: f64,
}

/// Sends `per_second` requests on each way in turn, round by round.
///
/// # Errors
///
/// When a request fails.
pub async fn measure(
    loads: &[(&'static str, Load)],
    per_second: f64,
    settings: &Settings,
) -> Result<Latency> {
    let way = |(name, _): &(&'static str, Load)| Way { name, rounds: Vec::new() };
    let mut ways: Vec<Way> = loads.iter().map(way).collect();
    for round in 1..=settings.rounds {
        for ((name, load), way) in loads.iter().zip(&mut ways) {
            eprintln!("half load {round} of {}: {name}", settings.rounds);
            paced::run(load.clone(), per_second, WARM_UP).await;
            let report = paced::run(load.clone(), per_second, settings.duration).await;
            if let Some(failure) = &report.first_failure {
                bail!("{name}: {} requests failed, the first one: {failure}", report.failed);
            }
            let at = |share| f64::from(quantile(&report.latencies_us, share));
            way.rounds.push(Quantiles { p50_us: at(0.5), p99_us: at(0.99) });
        }
    }
    Ok(Latency { per_second, ways })
}

impl Latency {
    /// What the way called `name` adds to the p99 of the direct one, in each round.
    pub fn p99_added_us(&self, name: &str) -> Spread {
        let way = self.ways.iter().find(|way| way.name == name).expect("it was measured");
        self.added(way)
    }

    fn added(&self, way: &Way) -> Spread {
        let pairs = way.rounds.iter().zip(&self.ways[0].rounds);
        Spread::of(pairs.map(|(own, direct)| own.p99_us - direct.p99_us))
    }

    pub fn print_table(&self) {
        println!("\nAt half of samovar's full load, {:.0} requests/s of hello:\n", self.per_second);
        println!("| way | p50 µs | p99 µs | p99 added µs |\n| --- | --- | --- | --- |");
        for way in &self.ways {
            let (p50, p99, added) = (way.p50_us(), way.p99_us(), self.added(way));
            println!("| {} | {p50:.0} | {p99:.0} | {added:.0} |", way.name);
        }
        println!();
    }

    pub fn to_json(&self) -> Value {
        let way = |way: &Way| {
            json!({
                "way": way.name, "p50_us": way.p50_us().to_json(),
                "p99_us": way.p99_us().to_json(), "p99_added_us": self.added(way).to_json(),
            })
        };
        let ways: Vec<_> = self.ways.iter().map(way).collect();
        json!({"requests_per_second": self.per_second, "ways": ways})
    }
}

impl Way {
    fn p50_us(&self) -> Spread {
        Spread::of(self.rounds.iter().map(|round| round.p50_us))
    }

    fn p99_us(&self) -> Spread {
        Spread::of(self.rounds.iter().map(|round| round.p99_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_compares_values_of_one_round() {
        let way = |name, p99: [f64; 3]| Way {
            name,
            rounds: p99.map(|p99_us| Quantiles { p50_us: 1.0, p99_us }).to_vec(),
        };
        let ways = vec![way("direct", [10.0, 1000.0, 20.0]), way("far", [40.0, 1100.0, 70.0])];
        let latency = Latency { per_second: 100.0, ways };
        let added = Spread { median: 50.0, least: 30.0, most: 100.0 };
        assert_eq!(latency.p99_added_us("far"), added);
        assert_eq!(latency.p99_added_us("direct").most, 0.0);
    }
}
