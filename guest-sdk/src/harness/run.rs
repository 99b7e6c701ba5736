//! What came out of a trace, and what can be said about it.

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use super::millis;
use crate::{Decision, Observation, Policy, Wish};

/// How long the host keeps observations to feed them to a new scaler, and how many.
const KEPT_MS: u64 = 600_000;
const KEPT_MAX: usize = 4096;
/// Places from which a replay is tried: enough to hit every phase of a trace, and quick.
const CUTS_MAX: usize = 32;

/// One question and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// What the policy was told.
    pub seen: Observation,
    /// What it answered.
    pub decision: Decision,
    /// Replicas the host tries to hold from then on.
    pub target: u32,
}

/// A trace that was played to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// All ticks; the first one is at 0 s. Never empty.
    pub ticks: Vec<Tick>,
}

/// Where a scaler that was fed the past decided otherwise than the one that ran all along.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Observations the new scaler was fed before it went live.
    pub fed: usize,
    /// When it decided otherwise.
    pub now_ms: u64,
    /// The decision of the one that ran all along.
    pub original: Decision,
    /// The decision of the new one.
    pub replayed: Decision,
}

impl Run {
    /// The target after each tick.
    pub fn targets(&self) -> Vec<u32> {
        self.ticks.iter().map(|tick| tick.target).collect()
    }

    /// The targets in short: the first one and each change, as `TARGET@SECONDSs`.
    pub fn course(&self) -> String {
        let mut course = String::new();
        let mut last = None;
        for tick in &self.ticks {
            if last.replace(tick.target) != Some(tick.target) {
                let gap = if course.is_empty() { "" } else { " " };
                let seconds = tick.seen.now_ms as f64 / 1000.0;
                // Writing to a string cannot fail.
                _ = write!(course, "{gap}{}@{seconds}s", tick.target);
            }
        }
        course
    }

    /// The latest tick that is not after `time`.
    pub fn at(&self, time: Duration) -> &Tick {
        let after = self.ticks.partition_point(|tick| tick.seen.now_ms <= millis(time));
        &self.ticks[after.max(1) - 1]
    }

    /// The target is `target` at `by` and stays so.
    ///
    /// # Panics
    ///
    /// With the course of the run, when it is not so, or when the run ends before.
    #[track_caller]
    pub fn assert_settles_at(&self, target: u32, by: Duration) {
        let course = self.course();
        let late = self.ticks.iter().filter(|tick| tick.seen.now_ms >= millis(by));
        let late: Vec<&Tick> = late.collect();
        assert!(!late.is_empty(), "the run ends before {by:?}: {course}");
        if let Some(other) = late.iter().find(|tick| tick.target != target) {
            let (at_ms, other) = (other.seen.now_ms, other.target);
            panic!("the target is {other} at {at_ms} ms, not {target} from {by:?} on: {course}");
        }
    }

    /// Feeds the past to new scalers, as the host does when a policy is swapped in or made anew,
    /// and returns the first decision that is not the one of the scaler that ran all along.
    ///
    /// This is tried from up to 32 places. As in the host, the past is ten minutes and at most 4096
    /// observations. A difference means that the policy keeps state in statics, or remembers for
    /// longer than that.
    ///
    /// `make` makes a scaler like the one that was given to [`Trace::run`](super::Trace::run).
    pub fn replay_difference<P: Policy>(&self, make: impl Fn() -> P) -> Option<Difference> {
        let stride = self.ticks.len().div_ceil(CUTS_MAX);
        let mut cuts = (0..self.ticks.len()).step_by(stride);
        cuts.find_map(|cut| self.difference_from(cut, make()))
    }

    /// Whether new scalers that are fed the past decide as the one that ran all along; see
    /// [`Run::replay_difference`].
    pub fn replay_equals<P: Policy>(&self, make: impl Fn() -> P) -> bool {
        self.replay_difference(make).is_none()
    }

    /// New scalers that are fed the past decide as the one that ran all along; see
    /// [`Run::replay_difference`].
    ///
    /// # Panics
    ///
    /// With the first difference.
    #[track_caller]
    pub fn assert_replays<P: Policy>(&self, make: impl Fn() -> P) {
        if let Some(found) = self.replay_difference(make) {
            let Difference { fed, now_ms, original, replayed } = found;
            panic!(
                "fed {fed} observations, a new scaler decides at {now_ms} ms: {replayed:?}\n\
                 the one that ran all along: {original:?}"
            );
        }
    }

    /// Feeds `policy` the ticks before `cut`, and compares it in those after.
    fn difference_from<P: Policy>(&self, cut: usize, mut policy: P) -> Option<Difference> {
        let (past, live) = self.ticks.split_at(cut);
        let past = kept(past);
        for seen in &past {
            policy.scale(seen);
        }
        live.iter().find_map(|tick| {
            let replayed = policy.scale(&tick.seen);
            let difference = Difference {
                fed: past.len(),
                now_ms: tick.seen.now_ms,
                original: tick.decision.clone(),
                replayed,
            };
            (!is_same(&difference.original, &difference.replayed)).then_some(difference)
        })
    }
}

/// What the host still has of these ticks at the last of them.
fn kept(past: &[Tick]) -> VecDeque<&Observation> {
    let now_ms = past.last().map_or(0, |tick| tick.seen.now_ms);
    let recent = past.iter().rev().map(|tick| &tick.seen).take(KEPT_MAX);
    let mut kept = VecDeque::new();
    for seen in recent.take_while(|seen| now_ms - seen.now_ms <= KEPT_MS) {
        kept.push_front(seen);
    }
    kept
}

/// Whether two decisions are the same; one NaN is like another.
fn is_same(a: &Decision, b: &Decision) -> bool {
    match (a.wish, b.wish) {
        (Wish::Replicas(first), Wish::Replicas(second)) if first.is_nan() && second.is_nan() => {
            let with_wish = |wish| Decision { wish, ..a.clone() };
            with_wish(Wish::Hold) == Decision { wish: Wish::Hold, ..b.clone() }
        }
        _ => a == b,
    }
}
