//! The decision log: the last decisions of a deployment's policy.

use crate::api;
use samovar_core::series::Series;
use samovar_core::time::Timestamp;
use std::collections::VecDeque;

/// Decisions kept per deployment.
const DECISIONS_MAX: usize = 1000;

/// A decision as it is logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// When the observation was taken that it answers.
    pub seen: Timestamp,
    /// The target within the deployment's bounds, before the machine's share; none if the policy
    /// failed.
    pub wanted: Option<u32>,
    /// The decision.
    pub decision: api::Decision,
}

/// Decisions, oldest first. Of those that differ in their times only, one is kept and the times of
/// the others: a machine may hold ten thousand deployments at which nothing happens.
#[derive(Default)]
pub struct DecisionLog {
    runs: VecDeque<Run>,
    len: usize,
}

struct Run {
    first: Box<Logged>,
    again: Option<Box<Again>>,
}

/// When the same was decided again.
struct Again {
    at_ms: Series,
    took_us: Series,
}

impl DecisionLog {
    /// Adds a decision and forgets the oldest if there are too many.
    pub fn push(&mut self, logged: Logged) {
        self.len += 1;
        if !self.runs.back_mut().is_some_and(|run| run.takes(&logged)) {
            self.runs.push_back(Run { first: Box::new(logged), again: None });
        }
        if self.len > DECISIONS_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.runs.front_mut() else { return };
        self.len -= 1;
        match oldest.again.as_mut().and_then(|again| again.pop()) {
            Some(times) => oldest.first.set_times(times),
            None => _ = self.runs.pop_front(),
        }
    }

    /// The last `limit` decisions, newest last.
    pub fn last(&self, limit: usize) -> Vec<api::Decision> {
        let all = self.runs.iter().flat_map(Run::all);
        all.skip(self.len.saturating_sub(limit)).collect()
    }

    /// The newest; of its times those of the first that was like it.
    pub fn newest(&self) -> Option<&Logged> {
        self.runs.back().map(|run| &*run.first)
    }

    /// The decision that answers the observation of `seen`, unless the same was decided again
    /// since.
    pub fn get_mut(&mut self, seen: Timestamp) -> Option<&mut Logged> {
        let run = self.runs.iter_mut().rev().find(|run| run.first.seen <= seen)?;
        let is_it = run.first.seen == seen && run.again.is_none();
        is_it.then_some(&mut *run.first)
    }
}

/// What differs from one decision of a run to the next: when the decision was made in Unix
/// milliseconds, and how many microseconds the policy took. Of the observations that they answer
/// only the first is known, as nobody asks for the others.
type Times = (u64, u64);

impl Logged {
    fn times(&self) -> Times {
        (self.decision.at_ms, self.decision.took_us)
    }

    fn set_times(&mut self, (at_ms, took_us): Times) {
        (self.decision.at_ms, self.decision.took_us) = (at_ms, took_us);
    }
}

impl Run {
    /// Takes in the same decision once more. False if it is another one, or there is a word of the
    /// shadow with it.
    fn takes(&mut self, logged: &Logged) -> bool {
        if logged.decision.shadow.is_some() || self.first.decision.shadow.is_some() {
            return false;
        }
        // Compared as if it had been made now.
        let times = self.first.times();
        self.first.set_times(logged.times());
        let first = &*self.first;
        let is_same = first.wanted == logged.wanted && first.decision == logged.decision;
        self.first.set_times(times);
        if is_same {
            self.again.get_or_insert_with(|| Box::new(Again::after(times))).push(logged.times());
        }
        is_same
    }

    fn all(&self) -> impl Iterator<Item = api::Decision> {
        let again = self.again.iter().flat_map(|again| again.all()).map(|(at_ms, took_us)| {
            api::Decision { at_ms, took_us, ..self.first.decision.clone() }
        });
        std::iter::once_with(|| self.first.decision.clone()).chain(again)
    }
}

impl Again {
    fn after((at_ms, took_us): Times) -> Self {
        Again { at_ms: Series::after(at_ms), took_us: Series::after(took_us) }
    }

    fn push(&mut self, (at_ms, took_us): Times) {
        self.at_ms.push(at_ms);
        self.took_us.push(took_us);
    }

    fn pop(&mut self) -> Option<Times> {
        Some((self.at_ms.pop()?, self.took_us.pop()?))
    }

    fn all(&self) -> impl Iterator<Item = Times> {
        self.at_ms.iter().zip(self.took_us.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(millis: u64, wish: f64) -> Logged {
        let decision = serde_json::json!({
            "at_ms": 1_000_000 + millis, "policy": "p", "wish": wish, "proposed": null, "target": 0,
            "digest": crate::spec::Digest::of(b"p"), "limited_by": null, "reason": "quiet",
            "error": null, "took_us": millis % 5, "ready": 0, "starting": 0, "queued": 0,
            "ongoing": 0,
        });
        let decision = serde_json::from_value(decision).unwrap();
        Logged { seen: Timestamp::from_millis(millis), wanted: Some(0), decision }
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let mut log = DecisionLog::default();
        let all: Vec<_> = (0..2500)
            .map(|tick| logged(tick * 1001, f64::from(u8::from(tick % 900 > 700))))
            .collect();
        for (count, one) in all.iter().enumerate() {
            log.push(one.clone());
            assert_eq!(log.len, (count + 1).min(DECISIONS_MAX));
        }
        assert!(log.runs.len() < 10);
        let decisions: Vec<_> = all.into_iter().map(|logged| logged.decision).collect();
        assert_eq!(log.last(usize::MAX), decisions[1500..]);
        assert_eq!(log.last(3), decisions[2497..]);
        assert_eq!(log.last(0), []);
    }

    #[test]
    fn words_of_the_shadow_belong_to_one_decision() {
        let mut log = DecisionLog::default();
        log.push(logged(1, 0.0));
        log.push(logged(2, 0.0));
        assert!(log.get_mut(Timestamp::from_millis(1)).is_none(), "it would be said of both");
        assert!(log.get_mut(Timestamp::from_millis(2)).is_none());
        log.push(logged(3, 1.0));
        let shadow = serde_json::json!({
            "policy": "s", "digest": crate::spec::Digest::of(b"s"), "wish": 1.0, "target": 1,
            "differs": false, "reason": "", "error": null,
        });
        let found = log.get_mut(Timestamp::from_millis(3)).unwrap();
        found.decision.shadow = Some(serde_json::from_value(shadow).unwrap());
        log.push(logged(4, 1.0));
        let shadows: Vec<_> = log.last(9).iter().map(|one| one.shadow.is_some()).collect();
        assert_eq!(shadows, [false, false, true, false]);
    }
}
