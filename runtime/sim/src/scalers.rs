//! Policies made of a few lines, to try the simulator and to test the core with.

use crate::rng::{self, Rng};
use crate::scaler::{MadeScaler, Scaler};
use crate::scenario::DeploymentSpec;
use samovar_core::observation::Observation;
use samovar_core::replica::ReplicaId;
use samovar_core::target::{Answer, Wish};
use samovar_core::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// Always the same number of replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fixed(pub f64);

/// As many replicas as the requests that wait or run would fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proportional;

/// Random numbers, nonsense and failures until it calms down.
#[derive(Clone, Debug)]
pub struct Wild {
    rng: Rng,
    calm_at: Timestamp,
    calm: f64,
}

impl Wild {
    /// One that answers `calm` from `calm_at` on.
    pub fn new(rng: Rng, calm_at: Duration, calm: f64) -> Self {
        Wild { rng, calm_at: Timestamp::ZERO + calm_at, calm }
    }

    fn wish(&mut self, seen: &Observation) -> Result<Wish, String> {
        let most = f64::from(seen.max);
        Ok(match rng::below(&mut self.rng, 10) {
            0 => return Err("the policy trapped".to_owned()),
            1 => Wish::Replicas(f64::NAN),
            2 => Wish::Replicas(f64::INFINITY),
            3 => Wish::Replicas(-1e300),
            4 => Wish::Replicas(1e300),
            5 => Wish::Hold,
            6 => Wish::Replicas(0.0),
            _ => Wish::Replicas(rng::unit(&mut self.rng) * most * 1.5),
        })
    }
}

/// The policy of this module that a random scenario names.
///
/// # Errors
///
/// If it names another one.
pub fn native(seed: u64, spec: &DeploymentSpec) -> MadeScaler {
    let number = |key| spec.scaling.config.get(key).and_then(Value::as_f64).unwrap_or_default();
    match spec.scaling.policy.as_str() {
        "fixed" => Ok(Box::new(Fixed(number("replicas")))),
        "proportional" => Ok(Box::new(Proportional)),
        "wild" => {
            let calm_at = Duration::try_from_secs_f64(number("calm_at_s"));
            let calm_at = calm_at.map_err(|error| error.to_string())?;
            let rng = rng::stream(seed, &spec.name, "wild policy");
            Ok(Box::new(Wild::new(rng, calm_at, number("replicas"))))
        }
        other => Err(format!("`{other}` is not one of fixed, proportional, wild")),
    }
}

fn answer(wish: Wish) -> Answer {
    Answer { wish, remove_first: Vec::new(), next_tick: None, reason: String::new() }
}

impl Scaler for Fixed {
    fn needs_replicas(&self) -> bool {
        false
    }

    fn scale(&mut self, _seen: &Observation) -> Result<Answer, String> {
        Ok(answer(Wish::Replicas(self.0)))
    }
}

impl Scaler for Proportional {
    fn needs_replicas(&self) -> bool {
        false
    }

    fn scale(&mut self, seen: &Observation) -> Result<Answer, String> {
        let requests = f64::from(seen.queued) + f64::from(seen.ongoing);
        Ok(answer(Wish::Replicas(requests / f64::from(seen.concurrency))))
    }
}

impl Scaler for Wild {
    fn needs_replicas(&self) -> bool {
        true
    }

    fn scale(&mut self, seen: &Observation) -> Result<Answer, String> {
        if seen.now >= self.calm_at {
            return Ok(answer(Wish::Replicas(self.calm)));
        }
        let mut answer = answer(self.wish(seen)?);
        let known = seen.replicas.iter().map(|replica| replica.id);
        answer.remove_first = known.filter(|_| rng::chance(&mut self.rng, 0.5)).collect();
        answer.remove_first.push(ReplicaId(rng::below(&mut self.rng, 100)));
        if rng::chance(&mut self.rng, 0.2) {
            let soon = Duration::from_nanos(rng::below(&mut self.rng, 2_000_000_000));
            // In the past, now, or some time ahead.
            let base = Timestamp::from_nanos(seen.now.as_nanos().saturating_sub(500_000_000));
            answer.next_tick = Some(base + soon);
        }
        Ok(answer)
    }
}
