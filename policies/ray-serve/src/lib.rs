//! Scales like Ray Serve, in three eras: 2.9, 2.47 and 2.60.
//!
//! The load over a look-back, compared with a target per replica, says how many replicas there
//! should be; a factor softens the step; a delay waits until one direction has been wanted long
//! enough. The eras differ in what counts as load, how delays are counted and when bounds apply.
//!
//! How the original's words map to the host's:
//!
//! | original | here |
//! | --- | --- |
//! | replicas in state RUNNING | ready replicas |
//! | target number of replicas | the host's target |
//! | running requests | ongoing requests, their averages between ticks |
//! | queued requests of handles | queued requests |
//! | one turn of the control loop | 0.1 s of the host's clock |
//! | a policy function of the user's own | the series named by `desired_series` |
//!
//! Not here: reports and their loss (the host measures itself), policies in Python, policies for
//! several deployments at once (only their decisions can be compared, see [`Conformance`]).

mod bounds;
mod config;
mod conformance;
mod reason;
mod rule;
mod window;

use samovar_sdk::blocks::{Step, StepSeries};
use samovar_sdk::{Conformance, Decision, Observation, Policy, export_policy};

pub use bounds::{Bounds, Capacity, Direction, adjusted};
pub use config::{Config, Era};
pub use rule::{Outcome, Repairs, Rule, Scaler, Turn, Why};
pub use window::Aggregation;

/// The state for one deployment.
pub struct RayServe {
    config: Config,
    aggregation: Aggregation,
    scaler: Scaler,
    /// Requests that count for running replicas, over the look-back.
    load: StepSeries,
    /// Requests that wait, over the look-back: what counts while nothing runs.
    queued: StepSeries,
}

export_policy!(RayServe, conformance);

impl Policy for RayServe {
    const NAME: &'static str = "ray-serve";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.validate()?;
        let look_back_ms = (config.look_back_s() * 1000.0).round() as u64;
        Ok(Self {
            aggregation: config.aggregation(),
            scaler: Scaler::new(config.rule()),
            load: StepSeries::new(look_back_ms),
            queued: StepSeries::new(look_back_ms),
            config,
        })
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        self.sample(seen);
        let bounds = self.config.bounds(&seen.limits);
        if let Some(initial) = self.config.initial_replicas.filter(|_| seen.since_ms == 0) {
            let reason = format!("a new pool begins with initial_replicas = {initial}");
            return decision(bounds.clamp(initial), seen).because(reason);
        }
        let desired = self.desired(seen);
        if let Some((name, value)) = desired.filter(|(_, value)| !value.is_finite()) {
            return Decision::hold().because(format!("series {name} is {value}"));
        }
        let turn = self.turn(seen, bounds, desired.map(|(_, value)| value));
        let outcome = self.scaler.turn(&turn);
        let why = reason::of(&self.config, self.scaler.rule(), &turn, &outcome);
        decision(outcome.count, seen).because(why)
    }
}

impl Conformance for RayServe {
    fn answer(question: &str) -> Result<String, String> {
        conformance::answer(question)
    }
}

impl RayServe {
    /// Takes in what held since the last observation.
    fn sample(&mut self, seen: &Observation) {
        let begun_ms = seen.now_ms.saturating_sub(seen.since_ms);
        let ongoing = seen.ongoing_average.unwrap_or(seen.ongoing.into());
        let queued = seen.queued_average.unwrap_or(seen.queued.into());
        let queued_counts = self.config.era == Era::Modern || self.config.count_queued;
        self.load.push(begun_ms, if queued_counts { ongoing + queued } else { ongoing });
        self.queued.push(begun_ms, queued);
    }

    /// The user's own wish, with the name of its series.
    fn desired(&self, seen: &Observation) -> Option<(&str, f64)> {
        let is_known = self.config.era == Era::Modern;
        let name = self.config.desired_series.as_deref().filter(|_| is_known)?;
        Some((name, seen.custom(name)?))
    }

    /// The observation in Ray's words.
    fn turn(&self, seen: &Observation, bounds: Bounds, desired: Option<f64>) -> Turn {
        let over_look_back = |series: &StepSeries, aggregation: Aggregation| {
            let steps = series.window(seen.now_ms);
            let in_seconds = |step: Step| Step { at: step.at / 1000.0, ..step };
            aggregation.of(steps.map(in_seconds), None, seen.now_ms as f64 / 1000.0)
        };
        let running = seen.ready;
        let (load, queued) = match self.config.era {
            Era::Legacy if running == 0 => (0.0, over_look_back(&self.queued, Aggregation::Max)),
            Era::Legacy => {
                (over_look_back(&self.load, Aggregation::Mean) / f64::from(running), 0.0)
            }
            Era::Mid if running == 0 => (seen.queued.into(), 0.0),
            Era::Mid => {
                let mean = over_look_back(&self.load, Aggregation::Mean);
                // A mean of 0 counts as "nothing recorded yet" there.
                let ongoing = if mean == 0.0 { seen.ongoing.into() } else { mean };
                (ongoing + f64::from(seen.queued), 0.0)
            }
            // What replicas that are gone have served is gone with them.
            Era::Modern if running == 0 => (over_look_back(&self.queued, self.aggregation), 0.0),
            Era::Modern => (over_look_back(&self.load, self.aggregation), 0.0),
        };
        Turn {
            now_s: seen.now_ms as f64 / 1000.0,
            loop_ms: if self.config.count_ticks { rule::TURN_MS } else { seen.since_ms as f64 },
            target: seen.target.into(),
            running: running.into(),
            load,
            queued,
            desired,
            bounds,
        }
    }
}

fn decision(count: i64, seen: &Observation) -> Decision {
    if count == i64::from(seen.target) {
        Decision::hold()
    } else {
        Decision::replicas(count as f64)
    }
}
