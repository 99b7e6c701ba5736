//! The decisions of the three eras, free of the host's words.
//!
//! One [`Scaler`] holds what a deployment's decisions remember: since when one direction has been
//! wanted. Numbers are 64-bit floats and every formula keeps the original's order of operations,
//! because results that are a hair above an integer are rounded up.

use std::cmp::Ordering;

use samovar_sdk::blocks::Agreement;

use crate::bounds::Bounds;
use crate::config::{Era, LOOP_S};

/// Differences of large times may come out a hair too small; Ray allows for this much.
const DELAY_SLACK_S: f64 = 1e-6;
/// Milliseconds one turn of the control loop takes when nothing slows it down.
pub(crate) const TURN_MS: f64 = LOOP_S * 1000.0;
/// With [`Repairs::ignore_float_noise`], relative errors up to this size are not rounded up.
const FLOAT_NOISE: f64 = 1e-9;

/// Parameters of the rule, all defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Whose behaviour is wanted.
    pub era: Era,
    /// Requests per replica.
    pub target: f64,
    /// Part of a step up that is taken.
    pub up_factor: f64,
    /// Part of a step down that is taken.
    pub down_factor: f64,
    /// Seconds for which more must be wanted.
    pub up_delay_s: f64,
    /// Seconds for which fewer must be wanted.
    pub down_delay_s: f64,
    /// Seconds for which none must be wanted instead of one.
    pub zero_delay_s: f64,
    /// Counts are multiples of this.
    pub gang_size: i64,
    /// Departures from the original.
    pub repairs: Repairs,
}

/// Where the original's behaviour is a defect, and is to be put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// 2.9: a start from zero stays within the bounds.
    pub clamp_cold_start: bool,
    /// 2.9: where the factor alone stands in the way, one fewer is wanted, as since 2.10.
    pub unstick_downscale: bool,
    /// A step up slowed by its factor never lowers the target.
    pub keep_target_while_starting: bool,
    /// A hair above an integer is that integer.
    pub ignore_float_noise: bool,
}

/// What one turn of the control loop sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// The time, in seconds. Only the modern era looks at it.
    pub now_s: f64,
    /// How much of the control loop this turn stands for, in milliseconds: [`TURN_MS`] for one turn
    /// of Ray's. Only the eras before look at it.
    pub loop_ms: f64,
    /// How many replicas there should be by now.
    pub target: i64,
    /// How many serve.
    pub running: i64,
    /// Requests: in the legacy era the mean per running replica, since then the total.
    pub load: f64,
    /// Requests that wait. Only the legacy era looks at it, and only at zero replicas.
    pub queued: f64,
    /// How many replicas a policy of the user's own wants. Modern era only.
    pub desired: Option<f64>,
    /// The bounds.
    pub bounds: Bounds,
}

/// What one turn decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// How many replicas there should be from now on.
    pub count: i64,
    /// How many the rule asks for, before delays and bounds.
    pub wish: i64,
    /// Why the count is what it is.
    pub why: Why,
}

/// Why a count is what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Why {
    /// Nothing runs and nothing waits.
    Idle,
    /// Nothing runs, so there is no delay.
    ColdStart,
    /// As many as there should be already.
    Enough,
    /// The delay is over.
    Agreed,
    /// Wanted for too short a time.
    Waiting {
        /// Seconds for which the direction has been wanted.
        lasted_s: f64,
        /// Seconds for which it must be wanted.
        delay_s: f64,
    },
}

/// The decisions for one deployment.
#[derive(Debug, Clone)]
pub struct Scaler {
    rule: Rule,
    agreement: Agreement<f64>,
    /// Before the modern era: how long the control loop has been deciding, in milliseconds.
    loop_ms: f64,
}

impl Scaler {
    /// A deployment nothing is remembered of.
    pub fn new(rule: Rule) -> Self {
        Self { rule, agreement: Agreement::default(), loop_ms: 0.0 }
    }

    /// The parameters.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// One turn of the control loop.
    pub fn turn(&mut self, turn: &Turn) -> Outcome {
        match self.rule.era {
            Era::Legacy => self.legacy(turn),
            Era::Mid => self.mid(turn),
            Era::Modern => self.modern(turn),
        }
    }

    /// `BasicAutoscalingPolicy` of 2.9.3: bounds before the delay, and none for a start from zero.
    fn legacy(&mut self, turn: &Turn) -> Outcome {
        if turn.running > 0 {
            return self.after_turns(turn, turn.load / self.rule.target);
        }
        let mut outcome = self.without_replicas(turn, turn.queued);
        if self.rule.repairs.clamp_cold_start {
            outcome.count = turn.bounds.clamp(outcome.count);
        }
        outcome
    }

    /// `replica_queue_length_autoscaling_policy` of 2.47.1: bounds before the delay and after it.
    fn mid(&mut self, turn: &Turn) -> Outcome {
        let mut outcome = if turn.running > 0 {
            let target = self.rule.target * turn.running as f64;
            self.after_turns(turn, turn.load / target)
        } else {
            self.without_replicas(turn, turn.load)
        };
        outcome.count = turn.bounds.clamp(outcome.count);
        outcome
    }

    /// What happens while nothing runs, the same in all eras: a start, or nothing.
    fn without_replicas(&self, turn: &Turn, waiting: f64) -> Outcome {
        if waiting > 0.0 {
            let count = self.rule.cold_start().max(turn.target);
            return Outcome { count, wish: count, why: Why::ColdStart };
        }
        Outcome { count: turn.target, wish: turn.target, why: Why::Idle }
    }

    /// `ratio` of the load to the target, then a delay in turns of the control loop.
    fn after_turns(&mut self, turn: &Turn, ratio: f64) -> Outcome {
        self.loop_ms += turn.loop_ms;
        let wish = self.rule.smoothed(turn, ratio);
        let wanted = turn.bounds.clamp(wish);
        let direction = wanted.cmp(&turn.target);
        let delay_s = match direction {
            Ordering::Equal => {
                self.agreement.clear();
                return Outcome { count: turn.target, wish, why: Why::Enough };
            }
            Ordering::Greater => self.rule.up_delay_s,
            Ordering::Less => self.rule.down_delay_s,
        };
        // Whole turns: 0.3 s are two, and the third turn fires.
        let delay_ms = (delay_s / LOOP_S).trunc() * TURN_MS;
        let lasted_ms = self.agreement.lasted(direction, self.loop_ms);
        if lasted_ms >= delay_ms {
            self.agreement.clear();
            return Outcome { count: wanted, wish, why: Why::Agreed };
        }
        let why = Why::Waiting { lasted_s: lasted_ms / 1000.0, delay_s };
        Outcome { count: turn.target, wish, why }
    }

    /// `DeploymentAutoscalingState.get_decision_num_replicas` of 2.60.0: bounds after the delay.
    fn modern(&mut self, turn: &Turn) -> Outcome {
        let gang = self.rule.gang_size;
        let is_last_gang = gang > 1 && turn.bounds.min == 0 && turn.target == gang;
        let target = if is_last_gang { 1 } else { turn.target };
        let mut outcome = self.single(turn, target);
        if gang > 1 && outcome.count > 0 {
            outcome.count = (outcome.count as f64 / gang as f64).ceil() as i64 * gang;
        }
        outcome.count = turn.bounds.clamp(outcome.count);
        outcome
    }

    /// The modern rule for single replicas.
    fn single(&mut self, turn: &Turn, target: i64) -> Outcome {
        if turn.running <= 0 && turn.load > 0.0 {
            return self.without_replicas(&Turn { target, ..*turn }, turn.load);
        }
        let running = turn.running.max(0);
        let desired = match turn.desired {
            Some(desired) => desired,
            None if running == 0 => target as f64,
            None => running as f64 * (turn.load / (self.rule.target * running as f64)),
        };
        let wish = self.rule.factored(desired, running, target);
        if running == 0 && wish > 0 {
            let why = if wish == target { Why::Idle } else { Why::ColdStart };
            return Outcome { count: wish, wish, why };
        }
        self.after_delay(wish, target, turn.now_s)
    }

    /// Lets `wish` through once its direction has been wanted for long enough.
    fn after_delay(&mut self, wish: i64, target: i64, now_s: f64) -> Outcome {
        let mut wanted = wish.max(0);
        let direction = wanted.cmp(&target);
        let delay_s = match direction {
            Ordering::Equal => {
                self.agreement.clear();
                return Outcome { count: target, wish, why: Why::Enough };
            }
            Ordering::Greater => self.rule.up_delay_s,
            Ordering::Less if target == 1 => self.rule.zero_delay_s,
            Ordering::Less => {
                // Zero is only reached from one.
                wanted = wanted.max(1);
                self.rule.down_delay_s
            }
        };
        let lasted_s = self.agreement.lasted(direction, now_s);
        if lasted_s + DELAY_SLACK_S >= delay_s {
            self.agreement.clear();
            return Outcome { count: wanted, wish, why: Why::Agreed };
        }
        Outcome { count: target, wish, why: Why::Waiting { lasted_s, delay_s } }
    }
}

impl Rule {
    /// Replicas for a start from zero.
    fn cold_start(&self) -> i64 {
        self.up_factor.ceil() as i64
    }

    /// Legacy and mid: the factor acts on the ratio.
    fn smoothed(&self, turn: &Turn, ratio: f64) -> i64 {
        let running = turn.running as f64;
        let factor = if ratio >= 1.0 { self.up_factor } else { self.down_factor };
        let smoothed = 1.0 + (ratio - 1.0) * factor;
        let wish = self.ceil(running * smoothed);
        let unsmoothed = self.ceil(running * ratio);
        let is_stuck = match self.era {
            Era::Legacy if !self.repairs.unstick_downscale => ratio == 0.0,
            Era::Legacy | Era::Mid | Era::Modern => unsmoothed < turn.running,
        };
        let wish = if is_stuck && wish == turn.running { wish - 1 } else { wish };
        self.kept(wish, unsmoothed, turn.target)
    }

    /// Modern: the factor acts on the difference.
    fn factored(&self, desired: f64, running: i64, target: i64) -> i64 {
        let unfactored = self.ceil(desired);
        if running == 0 {
            return unfactored;
        }
        let delta = desired - running as f64;
        let factor = if delta > 0.0 { self.up_factor } else { self.down_factor };
        let wish = self.ceil(running as f64 + factor * delta);
        let wish = if unfactored < running && wish == running { wish - 1 } else { wish };
        self.kept(wish, unfactored, target)
    }

    /// With the repair: not below `target` where the load would be worth more than it.
    fn kept(&self, wish: i64, full: i64, target: i64) -> i64 {
        let keeps = self.repairs.keep_target_while_starting && full >= target;
        if keeps { wish.max(target) } else { wish }
    }

    fn ceil(&self, count: f64) -> i64 {
        let noise = if self.repairs.ignore_float_noise { FLOAT_NOISE } else { 0.0 };
        (count - count.abs() * noise).ceil() as i64
    }
}
