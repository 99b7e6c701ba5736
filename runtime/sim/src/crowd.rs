//! The users of a closed loop: when each of them comes and goes.

use crate::distribution::Distribution;
use crate::scenario::{Load, Stage};
use samovar_core::time::Timestamp;
use std::time::Duration;

/// All users that one deployment ever has.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// Pause between an answer and the next request.
    pub think: Distribution,
    /// Pause after a request that was refused or failed, if longer than the other one.
    pub after_failure: Duration,
    /// By the user's number.
    pub stays: Vec<Stay>,
}

/// The time in which a user sends requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// When the first one is sent.
    pub from: Timestamp,
    /// None if the user never leaves.
    pub until: Option<Timestamp>,
}

impl Crowd {
    /// The users of a load; none if it is an open loop.
    pub fn of(load: &Load) -> Option<Crowd> {
        match load {
            Load::Open(_) => None,
            Load::Users(users) => {
                let all = Stage { at: Duration::ZERO, count: users.count, ramp: users.ramp };
                Some(Crowd {
                    think: users.think.clone(),
                    after_failure: users.after_failure,
                    stays: stays(&[all]),
                })
            }
            Load::Stages(stages) => Some(Crowd {
                think: stages.think.clone(),
                after_failure: stages.after_failure,
                stays: stays(&stages.steps),
            }),
        }
    }

    /// Whether a user still sends requests then.
    pub fn is_here(&self, user: u32, at: Timestamp) -> bool {
        self.stays[user as usize].until.is_none_or(|until| at < until)
    }
}

fn stays(steps: &[Stage]) -> Vec<Stay> {
    let mut stays = Vec::new();
    // Who is there, the one who came last on top.
    let mut present: Vec<usize> = Vec::new();
    for step in steps {
        let wanted = step.count as usize;
        let changes = wanted.abs_diff(present.len());
        for change in 0..changes {
            let share = change as f64 / changes as f64;
            let at = Timestamp::ZERO + step.at + step.ramp.mul_f64(share);
            if present.len() < wanted {
                present.push(stays.len());
                stays.push(Stay { from: at, until: None });
            } else if let Some(last) = present.pop() {
                stays[last].until = Some(at);
            }
        }
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(from_s: u64, until_s: Option<u64>) -> Stay {
        let at = |seconds| Timestamp::ZERO + Duration::from_secs(seconds);
        Stay { from: at(from_s), until: until_s.map(at) }
    }

    fn step(at_s: u64, count: u32, ramp_s: u64) -> Stage {
        Stage { at: Duration::from_secs(at_s), count, ramp: Duration::from_secs(ramp_s) }
    }

    #[test]
    fn who_came_last_leaves_first_and_whoever_comes_back_is_new() {
        let steps = [step(0, 2, 0), step(10, 4, 10), step(30, 1, 6), step(40, 2, 0)];
        let expected = [
            stay(0, None),
            stay(0, Some(34)),
            stay(10, Some(32)),
            stay(15, Some(30)),
            stay(40, None),
        ];
        assert_eq!(stays(&steps), expected);
    }
}
