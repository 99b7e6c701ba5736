//! Many random scenarios, one after another, each checked.

use crate::engine::{Simulation, Violation};
use crate::scaler::MadeScaler;
use crate::scenario::{DeploymentSpec, Error, random};
use std::ops::{ControlFlow, Range};

/// Violations that are kept.
const VIOLATIONS_MAX: usize = 100;

/// What was seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Scenarios that were simulated.
    pub seeds: u64,
    /// Requests in them.
    pub requests: u64,
    /// Events in them.
    pub events: u64,
    /// A hash of all that happened.
    pub digest: u64,
    /// What must not happen and did; the first ones.
    pub violations: Vec<Violation>,
}

/// Simulates and checks the random scenario of each seed. `scalers` gives a deployment its policy,
/// like [`crate::scalers::native`]. `progress` is called after each seed and may end it.
///
/// # Errors
///
/// If `scalers` has no policy for a deployment.
pub fn explore(
    seeds: Range<u64>,
    scalers: &mut dyn FnMut(u64, &DeploymentSpec) -> MadeScaler,
    progress: &mut dyn FnMut(&Explored) -> ControlFlow<()>,
) -> Result<Explored, Error> {
    let mut explored = Explored::default();
    for seed in seeds {
        let mut simulation = Simulation::new(random(seed), &mut |spec| scalers(seed, spec))?;
        simulation.check();
        let finished = simulation.run("explore", &mut |_| ControlFlow::Continue(()));
        explored.seeds += 1;
        explored.requests += finished.requests;
        explored.events += finished.events;
        explored.digest = explored.digest.rotate_left(7) ^ finished.digest;
        let room = VIOLATIONS_MAX.saturating_sub(explored.violations.len());
        explored.violations.extend(finished.violations.into_iter().take(room));
        if progress(&explored).is_break() {
            break;
        }
    }
    Ok(explored)
}
