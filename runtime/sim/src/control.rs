//! The control loop of a deployment: look, ask the policy, act.
//!
//! Mirrors the server's `driver`, step by step. Two differences, because virtual time stands still
//! while a policy thinks: an answer that is not late is there at once, and a policy that asks to be
//! asked again at once is asked again after [`PAUSE_MIN`].

use crate::deployment::Asked;
use crate::engine::Simulation;
use crate::events::Event;
use crate::faults::AnswerFault;
use samovar_core::target::{self, Room, Wish};
use samovar_core::tick::{self, ANSWER_MAX, PAUSE_MAX, PAUSE_MIN};
use samovar_core::time::Timestamp;

impl Simulation {
    /// A pool may need its control loop before the planned turn.
    pub(crate) fn ring(&mut self, d: usize) {
        self.plan_turn(d, self.now);
    }

    fn plan_turn(&mut self, d: usize, at: Timestamp) {
        let control = &mut self.deployments[d].control;
        control.generation = control.generation.wrapping_add(1);
        let turn = Event::Turn { deployment: d as u32, generation: control.generation };
        self.events.plan(at.as_nanos(), turn);
    }

    /// A planned turn comes, if no other one was planned meanwhile.
    pub(crate) fn turn_if(&mut self, d: usize, generation: u32) {
        if self.deployments[d].control.generation == generation {
            self.turn(d);
        }
    }

    /// One turn of the control loop, up to where it waits.
    pub(crate) fn turn(&mut self, d: usize) {
        let now = self.now;
        loop {
            let control = &self.deployments[d].control;
            if now >= control.next_tick && control.asked.is_none() {
                self.ask(d);
                let deployment = &mut self.deployments[d];
                let due = deployment.control.next_tick;
                deployment.control.next_tick =
                    tick::after(due, now, deployment.spec.scaling.interval);
            }
            self.deployments[d].pool.plan(now);
            if let Some(book) = &mut self.book {
                book.planned(d, now);
            }
            self.carry_out(d);
            let asked = &mut self.deployments[d].control.asked;
            let is_there = asked.as_ref().is_some_and(|asked| asked.due <= now);
            match asked.take_if(|_| is_there) {
                Some(asked) => self.apply(d, asked),
                None => break,
            }
        }
        self.wait(d);
        self.audit(d);
    }

    /// Plans the next turn.
    fn wait(&mut self, d: usize) {
        let now = self.now;
        let deployment = &mut self.deployments[d];
        let wake = deployment.pool.next_wake(now);
        let control = &mut deployment.control;
        let tick = control.asked.is_none().then_some(control.next_tick);
        let due = [wake, tick].into_iter().flatten().min();
        let longest = match deployment.pool.replica_count() {
            0 => None,
            _ => Some(now + PAUSE_MAX),
        };
        let due = due.map(|due| due.max(now + PAUSE_MIN));
        match [due, longest].into_iter().flatten().min() {
            Some(at) => self.plan_turn(d, at),
            // A turn that was planned before must not come.
            None => control.generation = control.generation.wrapping_add(1),
        }
    }

    /// Asks the policy, unless the pool sleeps: then only a request can wake it.
    fn ask(&mut self, d: usize) {
        let now = self.now;
        let deployment = &mut self.deployments[d];
        if deployment.pool.is_asleep() {
            self.machine.claim(deployment.rank, 0);
            deployment.control.short_of = None;
            return;
        }
        let seen = deployment.pool.observe(deployment.scaler.needs_replicas(), now);
        let mut answer = deployment.scaler.scale(&seen);
        let lost = |waited| Err(format!("the policy has not answered for {waited:?}"));
        let due = match deployment.faults.answer(now) {
            None => now,
            Some(AnswerFault::Late(delay)) if delay < ANSWER_MAX => now + delay,
            Some(AnswerFault::Late(_) | AnswerFault::Lost) => {
                answer = lost(ANSWER_MAX);
                now + ANSWER_MAX
            }
            Some(AnswerFault::Error) => {
                answer = Err("the policy trapped".to_owned());
                now
            }
            Some(AnswerFault::Nan) => {
                if let Ok(answer) = &mut answer {
                    answer.wish = Wish::Replicas(f64::NAN);
                }
                now
            }
        };
        if due > now {
            self.events.plan(due.as_nanos(), Event::Answered(d as u32));
        }
        self.deployments[d].control.asked = Some(Asked { due, answer });
    }

    /// Makes a decision of an answer.
    fn apply(&mut self, d: usize, asked: Asked) {
        let now = self.now;
        let deployment = &mut self.deployments[d];
        let limits = deployment.pool.limits();
        let (min, max) = (limits.min, limits.max);
        let before = deployment.pool.counts().target;
        // To hold means to go on wanting what the machine had no room for.
        let current = before.max(deployment.control.short_of.unwrap_or(0));
        let machine = &mut self.machine;
        let decided = asked.answer.ok().and_then(|answer| {
            let unshared = target::decide(answer.wish, current, min, max, Room::UNBOUNDED).ok()?;
            let room = Room::of_slots(machine.claim(deployment.rank, unshared.replicas));
            let target = target::decide(answer.wish, current, min, max, room).ok()?;
            let wanted = unshared.replicas;
            deployment.control.short_of = (target.replicas < wanted).then_some(wanted);
            Some((answer, target))
        });
        let Some((answer, target)) = decided else {
            deployment.tally.policy_errors += 1;
            return;
        };
        if let Some(book) = &mut self.book {
            book.decided(d, target.replicas);
        }
        deployment.pool.set_target(target.replicas, &answer.remove_first, false, now);
        if let Some(book) = &mut self.book {
            book.planned(d, now);
        }
        let reached = deployment.pool.counts().target;
        deployment.tally.target_changes += u64::from(reached != before);
        self.digest.mix(u64::from(reached));
        if let Some(sooner) = answer.next_tick {
            let control = &mut deployment.control;
            control.next_tick = control.next_tick.min(sooner.max(now + PAUSE_MIN));
        }
        self.carry_out(d);
    }

    /// Compares what the pool says with what was seen from outside.
    fn audit(&mut self, d: usize) {
        if let Some(book) = &mut self.book {
            let pool = &self.deployments[d].pool;
            book.audit(d, pool.counts(), pool.is_asleep(), self.now);
        }
    }
}
