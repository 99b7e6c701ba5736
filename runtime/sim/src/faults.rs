//! What goes wrong, and when.

use crate::distribution::Distribution;
use crate::rng::{self, Rng};
use samovar_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What goes wrong with the machine as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Nothing goes wrong from here on, in any deployment. Without it, something may until the end.
    #[serde(with = "crate::text::ttl")]
    pub until: Option<Duration>,
    /// The server does not run for a while, or its clock is put forward.
    pub clock_jumps: Vec<ClockJump>,
    /// Nodes that are lost with all that is on them.
    pub node_failures: Vec<NodeFailure>,
}

/// At once it is later. What came due meanwhile happens after the jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockJump {
    /// When.
    #[serde(with = "crate::text")]
    pub at: Duration,
    /// How far, forward. The pool's clock never goes back.
    #[serde(with = "crate::text")]
    pub by: Duration,
}

/// A node is lost, and comes back empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFailure {
    /// The node's name.
    pub node: String,
    /// When it is lost.
    #[serde(with = "crate::text")]
    pub at: Duration,
    /// How long it is away.
    #[serde(with = "crate::text")]
    pub lasts: Duration,
}

/// What goes wrong with one deployment. Probabilities are from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeploymentFaults {
    /// When it may; the whole time if there are none.
    pub windows: Vec<Window>,
    /// Probability that a start fails, after as long as it would have taken.
    pub start_fails: f64,
    /// Probability that a start hangs until `start_timeout`.
    pub start_hangs: f64,
    /// Mean life of a replica until it crashes and all its requests fail; none if `off`.
    #[serde(with = "crate::text::ttl")]
    pub crash_every: Option<Duration>,
    /// Probability that a request hangs until `request_timeout`.
    pub request_hangs: f64,
    /// Probability that the policy's answer is late.
    pub answer_late: f64,
    /// How late.
    pub answer_delay: Option<Distribution>,
    /// Probability that the policy's answer never comes. The server then never asks it again.
    pub answer_lost: f64,
    /// Probability that the policy fails instead of answering.
    pub answer_error: f64,
    /// Probability that the policy answers that it wants NaN replicas.
    pub answer_nan: f64,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its begin, included.
    #[serde(with = "crate::text")]
    pub from: Duration,
    /// Its end, excluded.
    #[serde(with = "crate::text")]
    pub to: Duration,
}

impl Faults {
    /// When everything that goes wrong is over.
    pub(crate) fn end(&self) -> Duration {
        let jumps = self.clock_jumps.iter().map(|jump| jump.at + jump.by);
        let nodes = self.node_failures.iter().map(|failure| failure.at + failure.lasts);
        jumps.chain(nodes).chain(self.until).max().unwrap_or_default()
    }
}

/// How a start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartFault {
    Fails,
    Hangs,
}

/// How an answer of a policy goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    Late(Duration),
    Lost,
    Error,
    Nan,
}

/// Draws the faults of one deployment.
pub(crate) struct Injector {
    faults: DeploymentFaults,
    until: Option<Duration>,
    starts: Rng,
    crashes: Rng,
    requests: Rng,
    answers: Rng,
}

impl Injector {
    pub fn new(faults: DeploymentFaults, until: Option<Duration>, seed: u64, name: &str) -> Self {
        let stream = |purpose| rng::stream(seed, name, purpose);
        Injector {
            faults,
            until,
            starts: stream("failing starts"),
            crashes: stream("crashes"),
            requests: stream("hanging requests"),
            answers: stream("failing answers"),
        }
    }

    /// Nothing goes wrong from here on.
    pub fn end_at(&mut self, until: Option<Duration>) {
        self.until = until;
    }

    /// Whether something may go wrong now.
    pub fn is_active(&self, now: Timestamp) -> bool {
        let now = Duration::from_nanos(now.as_nanos());
        let windows = &self.faults.windows;
        self.until.is_none_or(|until| now < until)
            && (windows.is_empty()
                || windows.iter().any(|window| window.from <= now && now < window.to))
    }

    /// Whether a start that begins now goes wrong.
    pub fn start(&mut self, now: Timestamp) -> Option<StartFault> {
        let DeploymentFaults { start_fails, start_hangs, .. } = self.faults;
        if start_fails + start_hangs == 0.0 || !self.is_active(now) {
            return None;
        }
        let drawn = rng::unit(&mut self.starts);
        if drawn < start_fails {
            Some(StartFault::Fails)
        } else if drawn < start_fails + start_hangs {
            Some(StartFault::Hangs)
        } else {
            None
        }
    }

    /// How long a replica that is ready now lives until it crashes.
    pub fn crash(&mut self, now: Timestamp) -> Option<Duration> {
        let mean = self.faults.crash_every.filter(|_| self.is_active(now))?;
        Some(Distribution::exponential(mean).sample(&mut self.crashes))
    }

    /// Whether a request that is given to a replica now hangs.
    pub fn hangs(&mut self, now: Timestamp) -> bool {
        self.faults.request_hangs > 0.0
            && self.is_active(now)
            && rng::chance(&mut self.requests, self.faults.request_hangs)
    }

    /// What becomes of the answer to a question that is asked now.
    pub fn answer(&mut self, now: Timestamp) -> Option<AnswerFault> {
        let faults = &self.faults;
        let sum = faults.answer_late + faults.answer_lost + faults.answer_error + faults.answer_nan;
        if sum == 0.0 || !self.is_active(now) {
            return None;
        }
        let mut drawn = rng::unit(&mut self.answers);
        let mut is = |probability: f64| {
            drawn -= probability;
            drawn < 0.0
        };
        if is(faults.answer_late) {
            let delay = faults.answer_delay.as_ref();
            return Some(AnswerFault::Late(
                delay.map_or(Duration::from_secs(1), |delay| delay.sample(&mut self.answers)),
            ));
        }
        if is(faults.answer_lost) {
            return Some(AnswerFault::Lost);
        }
        if is(faults.answer_error) {
            return Some(AnswerFault::Error);
        }
        is(faults.answer_nan).then_some(AnswerFault::Nan)
    }
}
