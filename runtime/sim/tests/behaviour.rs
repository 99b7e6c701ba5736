//! What single mechanisms of the simulation do, in small scenarios with known answers.

use samovar_core::time::Timestamp;
use samovar_sim::arrivals::{Arrival, Arrivals};
use samovar_sim::faults::{ClockJump, DeploymentFaults, NodeFailure};
use samovar_sim::outcome::Summary;
use samovar_sim::scalers::{Fixed, Proportional};
use samovar_sim::scenario::{
    CallsSpec, DeploymentSpec, Load, NodeSpec, Order, Replicas, Stage, Stages, Users,
};
use samovar_sim::{Finished, Scaler, Scenario, Simulation};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Requests at these milliseconds.
struct At(VecDeque<u64>);

impl Arrivals for At {
    fn next(&mut self) -> Option<Arrival> {
        let at = Timestamp::from_millis(self.0.pop_front()?);
        Some(Arrival { at, service_nanos: None })
    }
}

/// A deployment of `min..max` replicas that serve one request in 100 ms and start in 100 ms.
fn spec(name: &str, min: u32, max: u32) -> DeploymentSpec {
    DeploymentSpec { replicas: Replicas { min, max }, ..DeploymentSpec::named(name) }
}

fn keep_target(_: &DeploymentSpec) -> Result<Box<dyn Scaler>, String> {
    Ok(Box::new(Proportional))
}

/// Runs a scenario, checked, with requests for the first deployment at these milliseconds.
#[track_caller]
fn run(scenario: Scenario, requests: &[u64]) -> Finished {
    let first = scenario.deployments[0].name.clone();
    let mut simulation = Simulation::new(scenario, &mut keep_target).expect("a valid scenario");
    if !requests.is_empty() {
        let arrivals = At(requests.iter().copied().collect());
        simulation.feed(&first, Box::new(arrivals)).expect("it is there");
    }
    simulation.check();
    let finished = simulation.run("test", &mut |_| ControlFlow::Continue(()));
    assert_eq!(finished.violations, []);
    finished
}

fn one(spec: DeploymentSpec, requests: &[u64]) -> Summary {
    let finished = run(Scenario::of(10 * SECOND, 1, vec![spec]), requests);
    finished.run.deployments[0].summary
}

#[track_caller]
fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() <= expected * 0.001, "{got} instead of {expected}");
}

#[test]
fn a_cold_start_is_waited_for() {
    let summary = one(spec("a", 0, 4), &[5_000]);
    assert_eq!((summary.arrived, summary.completed, summary.replicas_started), (1, 1, 1));
    near(summary.wait.unwrap().p50_ms, 100.0);
    near(summary.latency.unwrap().p50_ms, 200.0);
    near(summary.busy_seconds, 0.1);
}

#[test]
fn an_idle_pool_goes_after_its_ttl() {
    let mut spec = spec("a", 2, 4);
    spec.idle_ttl = Some(3 * SECOND);
    let summary = one(spec, &[]);
    // Ready at 0.1 s, and loading is not idleness.
    near(summary.replica_seconds, 2.0 * 3.1);
    assert_eq!((summary.replicas_max, summary.replicas_started), (2, 2));
}

#[test]
fn who_waits_too_long_leaves() {
    let mut spec = spec("a", 1, 1);
    spec.service = SECOND.into();
    spec.queue.timeout = ms(1_500);
    let summary = one(spec, &[1_000, 1_001, 1_002, 1_003]);
    assert_eq!((summary.completed, summary.rejected, summary.timed_out), (2, 2, 2));
}

#[test]
fn a_full_queue_refuses() {
    let mut spec = spec("a", 1, 1);
    spec.queue.max = 2;
    let summary = one(spec, &[1_000, 1_001, 1_002, 1_003, 1_004]);
    assert_eq!((summary.completed, summary.rejected, summary.timed_out), (3, 2, 0));
}

#[test]
fn a_slow_request_times_out_and_costs_its_replica() {
    let mut spec = spec("a", 1, 1);
    spec.service = SECOND.into();
    spec.request_timeout = ms(500);
    let summary = one(spec, &[1_000]);
    assert_eq!((summary.failed, summary.replicas_started), (1, 2));
}

#[test]
fn users_wait_for_answers_and_think() {
    let mut spec = spec("a", 3, 3);
    spec.load = Some(Load::Users(Users {
        count: 3,
        think: ms(150).into(),
        ramp: Duration::ZERO,
        after_failure: SECOND,
    }));
    let summary = one(spec, &[]);
    // Each sends at 0 s, which waits for the start, and at 0.35 s, 0.6 s, …, 9.85 s.
    assert_eq!((summary.arrived, summary.completed), (3 * 40, 3 * 40));
    near(summary.latency.unwrap().p50_ms, 100.0);
}

#[test]
fn users_come_one_after_another() {
    let mut spec = spec("a", 0, 8);
    spec.load = Some(Load::Users(Users {
        count: 4,
        think: (100 * SECOND).into(),
        ramp: 4 * SECOND,
        after_failure: SECOND,
    }));
    let finished = run(Scenario::of(10 * SECOND, 1, vec![spec]), &[]);
    let arrived: Vec<u64> =
        finished.run.deployments[0].rows[..5].iter().map(|row| row.arrived).collect();
    assert_eq!(arrived.iter().sum::<u64>(), 4);
    assert!(arrived.iter().all(|arrived| *arrived <= 2), "{arrived:?}");
}

#[test]
fn users_come_and_go_in_stages() {
    let mut spec = spec("a", 4, 4);
    let step = |at, count| Stage { at: at * SECOND, count, ramp: Duration::ZERO };
    spec.load = Some(Load::Stages(Stages {
        think: ms(900).into(),
        after_failure: SECOND,
        steps: vec![step(0, 2), step(3, 4), step(6, 1)],
    }));
    let summary = one(spec, &[]);
    // One sends at 0 s, which waits for the start, and at 1.1 s, 2.1 s, …, 9.1 s; one until 5.1 s;
    // two at 3 s, 4 s and 5 s.
    assert_eq!((summary.arrived, summary.completed), (10 + 6 + 2 * 3, 10 + 6 + 2 * 3));
}

/// A driver that calls a slow and a fast deployment.
fn chain(order: Order) -> Vec<DeploymentSpec> {
    let mut driver = spec("driver", 1, 1);
    driver.calls = Some(CallsSpec {
        to: vec!["heavy".to_owned(), "light".to_owned()],
        order,
        retries: 0,
        backoff: ms(100),
    });
    let mut heavy = spec("heavy", 1, 1);
    heavy.service = ms(700).into();
    vec![driver, heavy, spec("light", 1, 1)]
}

#[test]
fn calls_at_once_take_as_long_as_the_longest() {
    let finished = run(Scenario::of(10 * SECOND, 1, chain(Order::Parallel)), &[1_000, 5_000]);
    let latency = |d: usize| finished.run.deployments[d].summary.latency.unwrap().p50_ms;
    near(latency(0), 800.0);
    near(latency(1), 700.0);
    near(latency(2), 100.0);
}

#[test]
fn calls_in_sequence_add_up_and_the_place_is_kept() {
    let finished = run(Scenario::of(10 * SECOND, 1, chain(Order::Sequence)), &[1_000]);
    let driver = finished.run.deployments[0].summary;
    near(driver.latency.unwrap().p50_ms, 900.0);
    near(driver.busy_seconds, 0.9);
}

#[test]
fn a_failed_call_fails_the_request_and_the_other_calls_are_left() {
    let mut deployments = chain(Order::Parallel);
    deployments[2].faults.request_hangs = 1.0;
    deployments[2].request_timeout = ms(200);
    let finished = run(Scenario::of(10 * SECOND, 1, deployments), &[1_000]);
    let failed = finished.run.deployments.iter().map(|deployment| deployment.summary.failed);
    assert_eq!(failed.collect::<Vec<_>>(), [1, 1, 1]);
    near(finished.run.deployments[1].summary.busy_seconds, 0.2);
}

#[test]
fn a_failed_call_is_made_again() {
    let mut deployments = chain(Order::Sequence);
    deployments[0].calls.as_mut().unwrap().retries = 1;
    // The first call hangs, the second comes after the fault.
    let window = samovar_sim::faults::Window { from: Duration::ZERO, to: ms(1_500) };
    deployments[1].faults =
        DeploymentFaults { request_hangs: 1.0, windows: vec![window], ..Default::default() };
    deployments[1].request_timeout = SECOND;
    let finished = run(Scenario::of(10 * SECOND, 1, deployments), &[1_000]);
    let (driver, heavy) = (&finished.run.deployments[0], &finished.run.deployments[1]);
    assert_eq!((driver.summary.completed, heavy.summary.failed), (1, 1));
    // Its own part, the time-out, the pause, a start, and the two calls.
    near(driver.summary.latency.unwrap().p50_ms, 100.0 + 1_000.0 + 100.0 + 700.0 + 100.0);
}

#[test]
fn an_event_loop_lets_requests_through_one_by_one() {
    let mut spec = spec("a", 1, 1);
    spec.concurrency = 10;
    spec.serial = Some(ms(50).into());
    let summary = one(spec, &[1_000; 10]);
    assert_eq!(summary.completed, 10);
    // The last one is through after ten turns, and then works with the others beside it.
    near(summary.latency.unwrap().p99_ms, 10.0 * 50.0 + 100.0);
    near(summary.latency.unwrap().p50_ms, 5.0 * 50.0 + 100.0);
}

#[test]
fn slots_are_shared_fairly() {
    let mut deployments = vec![spec("a", 0, 20), spec("b", 0, 20)];
    for spec in &mut deployments {
        spec.load = Some(Load::Open("poisson:5/s".parse().unwrap()));
        spec.scaledown_ttl = SECOND;
    }
    let mut scenario = Scenario::of(60 * SECOND, 1, deployments);
    scenario.nodes = vec![
        NodeSpec { name: "n0".to_owned(), slots: 6 },
        NodeSpec { name: "n1".to_owned(), slots: 4 },
    ];
    let mut scalers = |_: &_| Ok(Box::new(Fixed(8.0)) as Box<dyn Scaler>);
    let mut simulation = Simulation::new(scenario, &mut scalers).unwrap();
    simulation.check();
    let finished = simulation.run("test", &mut |_| ControlFlow::Continue(()));
    assert_eq!(finished.violations, []);
    let [a, b] = &finished.run.deployments[..] else { panic!("two deployments") };
    // The first to ask had 8 and gives 3 back once they are idle.
    assert_eq!((a.summary.replicas_max, b.summary.replicas_max), (8, 5));
    for (a, b) in a.rows[30..60].iter().zip(&b.rows[30..60]) {
        assert_eq!((a.target, b.target, a.ready, b.ready), (5, 5, 5, 5));
    }
}

#[test]
fn a_lost_node_takes_its_replicas_along() {
    let mut spec = spec("a", 4, 4);
    spec.idle_ttl = None;
    spec.service = (3 * SECOND).into();
    let mut scenario = Scenario::of(10 * SECOND, 1, vec![spec]);
    scenario.nodes = ["n0", "n1"].map(|name| NodeSpec { name: name.to_owned(), slots: 4 }).into();
    scenario.faults.node_failures =
        vec![NodeFailure { node: "n1".to_owned(), at: 2 * SECOND, lasts: SECOND }];
    let finished = run(scenario, &[1_000, 1_001, 1_002, 1_003]);
    let summary = finished.run.deployments[0].summary;
    // Replicas are spread evenly, and there is room for their successors.
    assert_eq!((summary.completed, summary.failed, summary.replicas_started), (2, 2, 6));
}

#[test]
fn a_jump_of_the_clock_makes_things_late_and_nothing_else() {
    let mut scenario = Scenario::of(10 * SECOND, 1, vec![spec("a", 1, 1)]);
    scenario.faults.clock_jumps = vec![ClockJump { at: ms(1_050), by: 2 * SECOND }];
    let summary = run(scenario, &[1_000, 5_000]).run.deployments[0].summary;
    assert_eq!(summary.completed, 2);
    near(summary.latency.unwrap().p99_ms, 2_050.0);
    near(summary.latency.unwrap().p50_ms, 100.0);
}

#[test]
fn a_policy_that_fails_keeps_the_target_and_one_that_is_lost_keeps_it_for_ever() {
    for (faults, errors) in [
        (DeploymentFaults { answer_error: 1.0, ..Default::default() }, 10),
        (DeploymentFaults { answer_nan: 1.0, ..Default::default() }, 10),
        (DeploymentFaults { answer_lost: 1.0, ..Default::default() }, 0),
    ] {
        let spec = DeploymentSpec { faults, idle_ttl: None, ..spec("a", 2, 8) };
        let mut simulation = Simulation::new(Scenario::of(ms(9_500), 1, vec![spec]), &mut |_| {
            Ok(Box::new(Fixed(5.0)))
        })
        .unwrap();
        simulation.feed("a", Box::new(At([1_000].into()))).unwrap();
        let finished = simulation.run("test", &mut |_| ControlFlow::Continue(()));
        let summary = finished.run.deployments[0].summary;
        assert_eq!((summary.policy_errors, summary.replicas_max), (errors, 2));
    }
}

#[test]
fn rows_add_up_to_the_summary() {
    let mut spec = spec("a", 0, 8);
    spec.load = Some(Load::Open("poisson:40/s".parse().unwrap()));
    let finished = run(Scenario::of(ms(20_300), 3, vec![spec]), &[]);
    let deployment = &finished.run.deployments[0];
    let sum = |count: fn(&samovar_sim::outcome::Row) -> u64| -> u64 {
        deployment.rows.iter().map(count).sum()
    };
    let summary = deployment.summary;
    assert_eq!(sum(|row| row.arrived), summary.arrived);
    assert_eq!(sum(|row| row.completed), summary.completed);
    assert_eq!(summary.completed + summary.failed + summary.rejected, summary.arrived);
    assert_eq!(deployment.rows.last().unwrap().at, finished.run.duration);
    let ats = deployment.rows.iter().map(|row| row.at);
    assert!(ats.zip(1..).take(20).all(|(at, second)| at == second * SECOND));
}

#[test]
fn progress_is_told_and_can_end_it() {
    let mut spec = spec("a", 1, 8);
    spec.service = ms(1).into();
    spec.load = Some(Load::Open("steady:1000/s".parse().unwrap()));
    let scenario = Scenario::of(1_000 * SECOND, 1, vec![spec]);
    let mut told = Vec::new();
    let simulation = Simulation::new(scenario, &mut keep_target).unwrap();
    let finished = simulation.run("test", &mut |progress| {
        told.push(progress);
        if told.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(finished.is_cancelled && finished.run.duration < 200 * SECOND);
    assert!(told.is_sorted_by_key(|progress| (progress.virtual_now, progress.requests)));
    assert_eq!(told[2].duration, 1_000 * SECOND);
}

#[test]
fn another_deployment_changes_nothing_for_the_first() {
    let mut first = spec("a", 0, 8);
    first.load = Some(Load::Open("poisson:40/s".parse().unwrap()));
    first.service = "exp:50ms".parse().unwrap();
    let mut second = spec("b", 0, 8);
    second.load = first.load.clone();
    let outcome = |deployments| {
        let finished = run(Scenario::of(20 * SECOND, 1, deployments), &[]);
        let mut deployments = finished.run.deployments.into_iter();
        let found = deployments.find(|deployment| deployment.name == "a").unwrap();
        (found.summary.arrived, found.summary.latency, found.rows[..20].to_vec())
    };
    assert_eq!(outcome(vec![first.clone()]), outcome(vec![second, first]));
}
