//! Plays a trace: the clock, the ticks, and what a host makes of decisions.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    Run, Tick,
    pool::{Effect, Pool},
    trace::{Load, Trace},
};
use crate::{Limits, Policy, Wish};

/// What happens at one time, in this order: first what makes room, then what needs it, and the
/// policy sees all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Finished { replica: u64, arrived_ms: u64 },
    Started { replica: u64 },
    Step { index: usize },
    Arrived { index: u64 },
    Tick,
}

struct Host<'a> {
    trace: &'a Trace,
    pool: Pool,
    /// The earliest on top.
    events: BinaryHeap<Reverse<(u64, Event)>>,
    /// The present step's requests, its beginning and its end.
    load: Load,
    step_ms: u64,
    step_end_ms: u64,
}

/// Plays `trace` to its end.
pub(super) fn play<P: Policy>(trace: &Trace, policy: &mut P) -> Run {
    let end_ms: u64 = trace.steps.iter().map(|step| step.length_ms).sum();
    let mut host = Host::new(trace);
    let (mut ticks, mut target) = (Vec::new(), host.pool.target());
    while let Some(Reverse((now_ms, event))) = host.events.pop() {
        if now_ms >= end_ms {
            break;
        }
        if event == Event::Tick {
            let tick = host.ask(policy, target, now_ms);
            target = tick.target;
            let next_ms = now_ms + trace.interval_ms;
            let sooner_ms = tick.decision.next_tick_ms.map_or(next_ms, |at| at.max(now_ms + 1));
            host.events.push(Reverse((next_ms.min(sooner_ms), Event::Tick)));
            ticks.push(tick);
        } else {
            host.apply(event, now_ms);
        }
        host.follow_up(now_ms);
    }
    Run { ticks }
}

impl<'a> Host<'a> {
    fn new(trace: &'a Trace) -> Self {
        let mut events = BinaryHeap::from([Reverse((0, Event::Tick))]);
        let mut at_ms = 0;
        for (index, step) in trace.steps.iter().enumerate() {
            events.push(Reverse((at_ms, Event::Step { index })));
            at_ms += step.length_ms;
        }
        let load = Load::Rate(0.0);
        let pool = Pool::new(trace);
        let mut host = Self { trace, pool, events, load, step_ms: 0, step_end_ms: 0 };
        host.follow_up(0);
        host
    }

    /// One tick: the policy decides, the pool follows.
    fn ask<P: Policy>(&mut self, policy: &mut P, target: u32, now_ms: u64) -> Tick {
        self.pool.plan(now_ms);
        let mut seen = self.pool.observe(P::NEEDS_REPLICAS, now_ms);
        self.trace.edits.iter().for_each(|edit| edit(&mut seen));
        let decision = policy.scale(&seen);
        let target = decide(decision.wish, target, &self.trace.limits);
        self.pool.set_target(target, &decision.remove_first, now_ms);
        Tick { seen, decision, target }
    }

    fn apply(&mut self, event: Event, now_ms: u64) {
        match event {
            Event::Finished { replica, arrived_ms } => {
                self.pool.finish(replica, arrived_ms, now_ms);
            }
            Event::Started { replica } => self.pool.started(replica, now_ms),
            Event::Step { index } => self.begin(index, now_ms),
            Event::Arrived { index } => {
                self.pool.arrive(now_ms);
                self.expect_arrival(index + 1);
            }
            Event::Tick => unreachable!("the caller asks the policy"),
        }
    }

    fn begin(&mut self, index: usize, now_ms: u64) {
        let step = self.trace.steps[index];
        let before = std::mem::replace(&mut self.load, step.load);
        (self.step_ms, self.step_end_ms) = (now_ms, now_ms + step.length_ms);
        match (before, step.load) {
            (_, Load::Level(inside)) => {
                // Those that arrived earlier are part of the level and do not end by themselves.
                self.events.retain(|Reverse((_, e))| !matches!(e, Event::Finished { .. }));
                self.pool.set_level(inside, now_ms);
            }
            // Nobody knows how long those of a level would take, so they end with it.
            (Load::Level(_), Load::Rate(_)) => self.pool.set_level(0, now_ms),
            (Load::Rate(_), Load::Rate(_)) => {}
        }
        self.expect_arrival(0);
    }

    /// Arrivals of a step are numbered from 0; each stands in the middle of its share of the time.
    fn expect_arrival(&mut self, index: u64) {
        let Load::Rate(rate) = self.load else { return };
        let after_ms = (index as f64 + 0.5) * 1000.0 / rate; // Infinite if none arrive.
        if after_ms < (self.step_end_ms - self.step_ms) as f64 {
            let at_ms = self.step_ms + after_ms as u64;
            self.events.push(Reverse((at_ms, Event::Arrived { index })));
        }
    }

    /// Writes down when what has begun will be over.
    fn follow_up(&mut self, now_ms: u64) {
        for effect in self.pool.effects() {
            let due = match effect {
                Effect::Ordered(replica) => {
                    (now_ms + self.trace.startup_ms, Event::Started { replica })
                }
                Effect::Serving { .. } if matches!(self.load, Load::Level(_)) => continue,
                Effect::Serving { replica, arrived_ms } => {
                    (now_ms + self.trace.service_ms, Event::Finished { replica, arrived_ms })
                }
            };
            self.events.push(Reverse(due));
        }
    }
}

/// The new target, by the host's rules: rounded up, clamped, and unchanged by what is no number.
fn decide(wish: Wish, current: u32, limits: &Limits) -> u32 {
    let wanted = match wish {
        Wish::Hold => f64::from(current),
        Wish::Replicas(wanted) if !wanted.is_finite() => return current,
        Wish::Replicas(wanted) => wanted.ceil(),
    };
    wanted.clamp(f64::from(limits.min), f64::from(limits.max)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_become_targets_as_in_the_host() {
        let limits = Limits { min: 1, max: 10, ..Limits::default() };
        let target = |wish, current| decide(wish, current, &limits);
        assert_eq!(target(Wish::Hold, 3), 3);
        assert_eq!(target(Wish::Hold, 0), 1);
        assert_eq!(target(Wish::Replicas(4.01), 3), 5);
        assert_eq!(target(Wish::Replicas(-7.5), 3), 1);
        assert_eq!(target(Wish::Replicas(4e9), 3), 10);
        for wish in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(target(Wish::Replicas(wish), 3), 3);
        }
    }
}
