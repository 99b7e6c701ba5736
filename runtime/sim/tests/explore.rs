//! Random scenarios with faults: nothing happens that must not, and a seed gives one outcome.

use samovar_sim::Simulation;
use samovar_sim::explore::{Explored, explore};
use samovar_sim::scalers::native;
use samovar_sim::scenario::random;
use std::ops::{ControlFlow, Range};

fn explore_native(seeds: Range<u64>) -> Explored {
    explore(seeds, &mut native, &mut |_| ControlFlow::Continue(())).expect("all policies are there")
}

#[test]
fn nothing_happens_that_must_not() {
    let explored = explore_native(0..300);
    let violations: Vec<String> = explored.violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert!(explored.seeds == 300 && explored.requests > 100_000, "{explored:?}");
}

#[test]
fn a_seed_gives_one_outcome() {
    for seed in 0..30 {
        let run = || {
            let mut scalers = |spec: &_| native(seed, spec);
            let mut simulation = Simulation::new(random(seed), &mut scalers).unwrap();
            simulation.check();
            simulation.run("again", &mut |_| ControlFlow::Continue(()))
        };
        assert_eq!(run(), run());
    }
    assert_ne!(explore_native(0..3).digest, explore_native(3..6).digest);
}
