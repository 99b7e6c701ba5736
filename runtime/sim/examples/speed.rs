//! How many requests per second of wall time the simulator simulates, on one core.
//!
//! `cargo run --release -p samovar-sim --example speed [seconds]`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures and prints")]

use samovar_sim::scalers::Proportional;
use samovar_sim::scenario::{DeploymentSpec, Load, Replicas};
use samovar_sim::{Scaler, Scenario, Simulation};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let duration = Duration::from_secs(seconds);
    for (concurrency, replicas) in [(1, 40), (16, 40), (100, 40)] {
        let rate = f64::from(concurrency * replicas) * 0.8 / 0.02;
        let name = format!("1 deployment, concurrency {concurrency}, {rate}/s");
        measure(&name, Scenario::of(duration, 1, vec![spec(0, concurrency, replicas, rate)]));
    }
    let many = (0..1000).map(|index| spec(index, 4, 20, 2.0)).collect();
    let hour = duration * 36;
    measure("1000 deployments, 2/s each", Scenario::of(hour, 1, many));
}

fn spec(index: u32, concurrency: u32, replicas: u32, rate: f64) -> DeploymentSpec {
    let mut spec = DeploymentSpec::named(&format!("d{index}"));
    spec.concurrency = concurrency;
    spec.replicas = Replicas { min: 1, max: replicas };
    spec.service = "exp:20ms".parse().expect("a distribution");
    spec.load = Some(Load::Open(format!("poisson:{rate}/s").parse().expect("a workload")));
    spec
}

fn measure(name: &str, scenario: Scenario) {
    let duration = scenario.duration;
    let mut scalers = |_: &DeploymentSpec| Ok(Box::new(Proportional) as Box<dyn Scaler>);
    let simulation = Simulation::new(scenario, &mut scalers).expect("a valid scenario");
    let begin = Instant::now();
    let done = simulation.run("speed", &mut |_| ControlFlow::Continue(()));
    let took = begin.elapsed().as_secs_f64();
    let first = done.run.deployments[0].summary;
    println!(
        "{name}: {duration:?} in {took:.2} s, {} requests, {:.0} requests/s, {:.0} events/s; \
         first deployment: {} completed, {} rejected, at most {} replicas",
        done.requests,
        done.requests as f64 / took,
        done.events as f64 / took,
        first.completed,
        first.rejected,
        first.replicas_max,
    );
}
