//! The simulation against what queueing theory says.

use samovar_sim::scalers::Fixed;
use samovar_sim::scenario::{DeploymentSpec, Load, Replicas};
use samovar_sim::{Finished, Scaler, Scenario, Simulation};
use std::ops::ControlFlow;
use std::time::Duration;

/// Probability that a request waits in an M/M/c queue whose load is `offered` erlangs (A. K.
/// Erlang, 1917), by the recursion of the Erlang B formula.
fn erlang_c(servers: u32, offered: f64) -> f64 {
    let mut blocked = 1.0;
    for server in 1..=servers {
        blocked = offered * blocked / (f64::from(server) + offered * blocked);
    }
    let utilization = offered / f64::from(servers);
    blocked / (1.0 - utilization * (1.0 - blocked))
}

const SERVICE_MS: f64 = 20.0;

/// Requests of a Poisson process on `replicas * concurrency` places, at this load.
fn run(replicas: u32, concurrency: u32, offered: f64, service: &str) -> Finished {
    let mut spec = DeploymentSpec::named("queue");
    spec.replicas = Replicas { min: replicas, max: replicas };
    spec.concurrency = concurrency;
    spec.queue.max = 1_000_000;
    spec.queue.timeout = Duration::from_secs(3_600);
    spec.start_up = Duration::ZERO.into();
    spec.service = service.parse().expect("a distribution");
    let rate = offered / SERVICE_MS * 1_000.0;
    spec.load = Some(Load::Open(format!("poisson:{rate}/s").parse().expect("a workload")));
    let scenario = Scenario::of(Duration::from_secs(3_000), 11, vec![spec]);
    let mut scalers = |_: &_| Ok(Box::new(Fixed(f64::from(replicas))) as Box<dyn Scaler>);
    let simulation = Simulation::new(scenario, &mut scalers).expect("a valid scenario");
    simulation.run("queue", &mut |_| ControlFlow::Continue(()))
}

/// Mean number of requests that wait, over time: by Little's law the mean wait times the rate.
fn mean_wait_ms(finished: &Finished, offered: f64) -> f64 {
    let deployment = &finished.run.deployments[0];
    let sojourn: f64 = deployment.rows.iter().map(|row| f64::from(row.queued)).sum();
    sojourn / deployment.rows.len() as f64 * SERVICE_MS / offered
}

#[track_caller]
fn near(what: &str, got: f64, expected: f64, tolerance: f64) {
    let off = (got - expected).abs() / expected;
    assert!(off <= tolerance, "{what} is {got}, theory says {expected}");
}

#[test]
fn many_servers_wait_as_erlang_c_says() {
    for (replicas, concurrency, offered) in [(4, 1, 3.0), (10, 1, 8.0), (3, 5, 12.0)] {
        let servers = replicas * concurrency;
        let finished = run(replicas, concurrency, offered, "exp:20ms");
        let summary = finished.run.deployments[0].summary;
        assert_eq!(summary.completed, summary.arrived);
        let busy = summary.busy_seconds / finished.run.duration.as_secs_f64();
        near("utilization", busy, offered, 0.02);
        // Waits of an M/M/c queue: P(W > t) = C · exp(-(c - a)·t / service).
        let waits = erlang_c(servers, offered);
        let spare = f64::from(servers) - offered;
        let quantile = |q: f64| (waits / (1.0 - q)).ln() * SERVICE_MS / spare;
        let wait = summary.wait.unwrap();
        near("p95 of the wait", wait.p95_ms, quantile(0.95), 0.05);
        near("p99 of the wait", wait.p99_ms, quantile(0.99), 0.05);
        let mean = waits * SERVICE_MS / spare;
        near("mean wait", mean_wait_ms(&finished, offered), mean, 0.06);
    }
}

#[test]
fn a_single_server_waits_as_pollaczek_and_khinchine_say() {
    // Mean wait of M/D/1: half of that of M/M/1.
    let offered = 0.8;
    let finished = run(1, 1, offered, "20ms");
    let mean = offered * SERVICE_MS / (2.0 * (1.0 - offered));
    near("mean wait", mean_wait_ms(&finished, offered), mean, 0.06);
}
