//! What the rounds of a workload say: tables, bars and JSON.

use serde_json::{Value, json};

use crate::{bars::Bars, numbers::Spread, turns::ratio};

use super::{
    contender::Contender,
    measure::Outcome,
    own_time::OwnTime,
    workload::{Workload, World},
};

/// Most CPU time of a greeting against bare hyper.
const HELLO_RATIOS_MAX: [(World, f64); 3] =
    [(World::Wasi02, 2.0), (World::Wasi03, 3.0), (World::Batch, 1.5)];
/// Least bytes per CPU second against bare hyper, for bodies of 1 MiB.
const ECHO_RATIOS_MIN: [(World, f64); 2] = [(World::Wasi02, 0.6), (World::Wasi03, 0.6)];

/// All servers of one workload.
pub struct Summary {
    pub workload: Workload,
    pub outcomes: Vec<Outcome>,
    /// Of the workload `thumbnail`.
    pub own_time: Option<OwnTime>,
}

impl Summary {
    /// CPU time per request against bare hyper, in each round; none if it was not measured.
    pub fn cost_ratio(&self, outcome: &Outcome) -> Option<Spread> {
        let native = self.native()?;
        Some(outcome.full.against(&native.full, |round| round.cpu_us, ratio))
    }

    /// Bytes per CPU second against bare hyper, in each round.
    fn speed_ratio(&self, outcome: &Outcome) -> Option<Spread> {
        let native = self.native()?;
        Some(outcome.full.against(&native.full, |round| round.cpu_us, |own, native| native / own))
    }

    /// MiB of bodies that a second of CPU time moves there and back.
    fn mib_per_cpu_second(&self, outcome: &Outcome) -> Spread {
        let mib = self.workload.body().len() as f64 / f64::from(1 << 20);
        outcome.full.of(|round| mib * 1e6 / round.cpu_us)
    }

    fn native(&self) -> Option<&Outcome> {
        self.find(Contender::Native)
    }

    fn find(&self, contender: Contender) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.name == contender.name())
    }

    pub fn print(&self) {
        println!("\n## {}\n", self.workload.name());
        println!("Full load; medians of the rounds, with the least and the most:\n");
        println!(
            "| server | µs CPU per request | against bare hyper | requests/s | MiB resident |"
        );
        println!("| --- | --- | --- | --- | --- |");
        for outcome in &self.outcomes {
            let Outcome { name, full, memory, .. } = outcome;
            let ratio = or_dash(self.cost_ratio(outcome));
            let (cpu_us, per_second, mib) = (full.cpu_us(), full.per_second(), memory.mib());
            let processes = match memory.processes {
                1 => String::new(),
                many => format!(" in {many} processes"),
            };
            println!("| {name} | {cpu_us:.1} | {ratio} | {per_second:.0} | {mib:.0}{processes} |");
        }
        self.print_special();
        println!("\nHalf of that, at a constant rate, from when each request was due:\n");
        println!("| server | requests/s | p50 µs | p99 µs | p99.9 µs |");
        println!("| --- | --- | --- | --- | --- |");
        for Outcome { name, half, .. } in &self.outcomes {
            let per_second = half.per_second().median;
            let (p50, p99, p999) = (half.p50_us(), half.p99_us(), half.p999_us());
            println!("| {name} | {per_second:.0} | {p50:.0} | {p99:.0} | {p999:.0} |");
        }
        if let Some(own_time) = &self.own_time {
            own_time.print();
        }
        if self.outcomes.iter().any(|outcome| !outcome.memory.is_proportional) {
            println!("\nWhere shared pages cannot be told apart, they count for each process.");
        }
    }

    /// What only some workloads have.
    fn print_special(&self) {
        if self.workload.is_echo() {
            println!("\n| server | MiB per CPU second | against bare hyper |\n| --- | --- | --- |");
            for outcome in &self.outcomes {
                let (mib, ratio) =
                    (self.mib_per_cpu_second(outcome), or_dash(self.speed_ratio(outcome)));
                println!("| {} | {mib:.0} | {ratio} |", outcome.name);
            }
        }
        if self.workload == Workload::Json {
            println!("\nBare hyper does it with the guests' Rust, compiled for this machine.");
        }
        if let Some(ideal) = self.workload.ideal_per_second() {
            println!("\n| server | of the {ideal:.0} requests/s there can be |\n| --- | --- |");
            for Outcome { name, full, .. } in &self.outcomes {
                let percent = full.of(|round| round.per_second / ideal * 100.0);
                println!("| {name} | {percent:.1} % |");
            }
        }
    }

    pub fn add_bars(&self, bars: &mut Bars) {
        let own = |world| self.find(Contender::Samovar(world));
        match self.workload {
            Workload::Hello => {
                for (world, most) in HELLO_RATIOS_MAX {
                    let ratio = own(world).and_then(|outcome| self.cost_ratio(outcome));
                    let name = Contender::Samovar(world).name();
                    let what = format!("hello, {name}, CPU per request against bare hyper");
                    bars.at_most(what, measured(ratio), most, " ×");
                }
            }
            Workload::Echo1m => {
                for (world, least) in ECHO_RATIOS_MIN {
                    let ratio = own(world).and_then(|outcome| self.speed_ratio(outcome));
                    let name = Contender::Samovar(world).name();
                    let what = format!("echo-1m, {name}, bytes per CPU second against bare hyper");
                    bars.at_least(what, measured(ratio), least, " ×");
                }
            }
            _ => {}
        }
        if let Some(own_time) = &self.own_time {
            own_time.add_bars(bars);
        }
    }

    pub fn to_json(&self) -> Value {
        let server = |outcome: &Outcome| {
            let mut server = json!({
                "name": outcome.name,
                "full_load": outcome.full.to_json(),
                "half_load": outcome.half.to_json(),
                "cpu_against_bare_hyper": self.cost_ratio(outcome).map(Spread::to_json),
                "memory": outcome.memory.to_json(),
            });
            if self.workload.is_echo() {
                server["mib_per_cpu_second"] = self.mib_per_cpu_second(outcome).to_json();
            }
            server
        };
        json!({
            "workload": self.workload.name(),
            "servers": self.outcomes.iter().map(server).collect::<Vec<_>>(),
            "ideal_per_second": self.workload.ideal_per_second(),
            "own_time": self.own_time.as_ref().map(OwnTime::to_json),
        })
    }
}

/// What was not measured misses every bar.
fn measured(ratio: Option<Spread>) -> f64 {
    ratio.map_or(f64::NAN, |ratio| ratio.median)
}

fn or_dash(ratio: Option<Spread>) -> String {
    ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compare::tree::Memory, turns::tests::row};

    fn outcome(contender: Contender, cpu_us: &[f64]) -> Outcome {
        let row = || row(cpu_us);
        Outcome { name: contender.name(), full: row(), half: row(), memory: Memory::default() }
    }

    fn summary(workload: Workload, samovar: &[(World, [f64; 3])]) -> Summary {
        // The machine slows down: three times, then ten times.
        let native = outcome(Contender::Native, &[10.0, 30.0, 100.0]);
        let own = samovar.iter().map(|(world, us)| outcome(Contender::Samovar(*world), us));
        let outcomes = [native].into_iter().chain(own).collect();
        Summary { workload, outcomes, own_time: None }
    }

    fn verdict(summary: &Summary) -> Result<(), String> {
        let mut bars = Bars::default();
        summary.add_bars(&mut bars);
        bars.verdict().map_err(|error| error.to_string())
    }

    #[test]
    fn costs_are_compared_round_by_round() {
        let all = [World::Wasi02, World::Wasi03, World::Batch];
        let good = summary(Workload::Hello, &all.map(|world| (world, [15.0, 45.0, 140.0])));
        let ratio = good.cost_ratio(&good.outcomes[1]).unwrap();
        assert_eq!((ratio.median, ratio.least, ratio.most), (1.5, 1.4, 1.5));
        verdict(&good).unwrap();
        let bad = summary(Workload::Hello, &all.map(|world| (world, [21.0, 63.0, 210.0])));
        let error = verdict(&bad).unwrap_err();
        assert!(error.starts_with("2 bars were missed"), "{error}");
    }

    #[test]
    fn a_bar_without_a_measurement_is_missed() {
        let half = summary(Workload::Echo1m, &[(World::Wasi02, [12.5, 37.5, 125.0])]);
        let error = verdict(&half).unwrap_err();
        assert!(error.contains("WASI 0.3") && error.starts_with("1 bars"), "{error}");
        let mib = half.mib_per_cpu_second(&half.outcomes[0]);
        assert_eq!((mib.most, mib.least), (1e5, 1e4));
        assert_eq!(half.speed_ratio(&half.outcomes[1]).unwrap().median, 0.8);
    }
}
