//! The replicas and the requests of one deployment, as the host keeps them but much simpler.

use std::collections::VecDeque;

use super::{meter::Meter, trace::Trace};
use crate::{Limits, Observation, Replica, ReplicaKind, ReplicaState};

/// What follows from a change, for the one who keeps the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The replica was ordered now.
    Ordered(u64),
    /// The replica began to serve a request that arrived at that time.
    Serving { replica: u64, arrived_ms: u64 },
}

#[derive(Debug)]
struct Slot {
    id: u64,
    is_ready: bool,
    ordered_ms: u64,
    /// When it became ready or its last request ended.
    idle_since_ms: u64,
    ongoing: u32,
    /// Grows with each request given to it: the last one used comes first among equals.
    touched: u64,
}

#[derive(Debug)]
pub(super) struct Pool {
    limits: Limits,
    scaledown_ms: u64,
    /// The number of replicas never changes.
    is_fixed: bool,
    /// In the order of their ids.
    slots: Vec<Slot>,
    next_id: u64,
    touches: u64,
    /// When those that wait arrived, oldest first.
    queue: VecDeque<u64>,
    target: u32,
    meter: Meter,
    effects: Vec<Effect>,
}

impl Pool {
    /// The pool of `trace` at time 0. Its minimum is ordered but for the replicas it starts with.
    pub fn new(trace: &Trace) -> Self {
        let initial = trace.fixed.unwrap_or(trace.initial);
        let mut pool = Self {
            limits: trace.limits,
            scaledown_ms: trace.scaledown_ms,
            is_fixed: trace.fixed.is_some(),
            slots: Vec::new(),
            next_id: 0,
            touches: 0,
            queue: VecDeque::new(),
            target: trace.fixed.unwrap_or(initial.max(trace.limits.min)),
            meter: Meter::default(),
            effects: Vec::new(),
        };
        for _ in 0..initial {
            pool.order(0);
        }
        pool.effects.clear(); // These do not start: they are there.
        pool.slots.iter_mut().for_each(|slot| slot.is_ready = true);
        pool.plan(0);
        pool
    }

    pub fn target(&self) -> u32 {
        self.target
    }

    /// What has followed since the last call.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn arrive(&mut self, now_ms: u64) {
        self.meter.arrived(now_ms);
        if let Some(index) = self.least_busy() {
            self.serve(index, now_ms);
        } else if self.queue.len() < self.limits.queue_max as usize {
            self.queue.push_back(now_ms);
            self.plan(now_ms);
        } else {
            self.meter.rejected();
        }
        self.count(now_ms);
    }

    /// The request that arrived then ends; its replica takes the one that waits longest.
    pub fn finish(&mut self, replica: u64, arrived_ms: u64, now_ms: u64) {
        self.meter.completed(Some(now_ms - arrived_ms), now_ms);
        let index = self.index(replica).expect("a busy replica is never removed");
        self.release(index, now_ms);
        self.dispatch();
        self.count(now_ms);
    }

    /// Lets requests come or go until so many are inside. Waiting ones go first, latest first.
    pub fn set_level(&mut self, inside: u32, now_ms: u64) {
        for _ in self.inside()..inside {
            self.arrive(now_ms);
        }
        for _ in inside..self.inside() {
            self.meter.completed(None, now_ms);
            if self.queue.pop_back().is_none() {
                let busiest = (0..self.slots.len()).max_by_key(|index| self.slots[*index].ongoing);
                self.release(busiest.expect("those that do not wait are served"), now_ms);
            }
        }
        self.count(now_ms);
    }

    /// The replica can serve.
    pub fn started(&mut self, replica: u64, now_ms: u64) {
        let index = self.index(replica).expect("a starting replica is never removed");
        self.slots[index].is_ready = true;
        self.slots[index].idle_since_ms = now_ms;
        self.dispatch();
        self.count(now_ms);
    }

    /// Takes a decision over. Of those named only replicas that may go anyway are removed first.
    pub fn set_target(&mut self, target: u32, remove_first: &[u64], now_ms: u64) {
        if self.is_fixed {
            return;
        }
        self.target = target;
        for id in remove_first {
            let index = self.index(*id).filter(|index| self.may_go(*index, now_ms));
            if let Some(index) = index.filter(|_| self.excess() > 0) {
                self.slots.remove(index);
            }
        }
        self.plan(now_ms);
    }

    /// Removes what is idle and too much, longest idle first, and orders what is missing.
    pub fn plan(&mut self, now_ms: u64) {
        if self.is_fixed {
            return;
        }
        while self.excess() > 0 {
            let idle = (0..self.slots.len()).filter(|index| self.may_go(*index, now_ms));
            match idle.min_by_key(|index| self.slots[*index].idle_since_ms) {
                Some(index) => _ = self.slots.remove(index),
                None => break,
            }
        }
        while self.replicas() < self.floor().min(self.limits.max) {
            self.order(now_ms);
        }
    }

    /// What a policy is told. Everything "since" starts anew.
    pub fn observe(&mut self, with_replicas: bool, now_ms: u64) -> Observation {
        let views = self.slots.iter().filter(|_| with_replicas);
        Observation {
            limits: self.limits,
            starting: self.replicas() - self.ready(),
            ready: self.ready(),
            target: self.target,
            oldest_wait_ms: self.queue.front().map(|arrived_ms| now_ms - arrived_ms),
            replicas: views.map(|slot| view(slot, now_ms)).collect(),
            ..self.meter.look(now_ms)
        }
    }

    fn order(&mut self, now_ms: u64) {
        self.effects.push(Effect::Ordered(self.next_id));
        self.slots.push(Slot {
            id: self.next_id,
            is_ready: false,
            ordered_ms: now_ms,
            idle_since_ms: now_ms,
            ongoing: 0,
            touched: 0,
        });
        self.next_id += 1;
    }

    /// Gives waiting requests to replicas that have room.
    fn dispatch(&mut self) {
        while let (Some(index), Some(arrived_ms)) = (self.least_busy(), self.queue.front()) {
            let arrived_ms = *arrived_ms;
            self.queue.pop_front();
            self.serve(index, arrived_ms);
        }
    }

    fn serve(&mut self, index: usize, arrived_ms: u64) {
        self.touches += 1;
        let slot = &mut self.slots[index];
        slot.ongoing += 1;
        slot.touched = self.touches;
        self.effects.push(Effect::Serving { replica: slot.id, arrived_ms });
    }

    fn release(&mut self, index: usize, now_ms: u64) {
        let slot = &mut self.slots[index];
        slot.ongoing -= 1;
        slot.idle_since_ms = now_ms;
    }

    /// The replica with room that serves the fewest requests, the last used one among equals.
    fn least_busy(&self) -> Option<usize> {
        let has_room = |slot: &Slot| slot.is_ready && slot.ongoing < self.limits.concurrency;
        let free = self.slots.iter().enumerate().filter(|(_, slot)| has_room(slot));
        let best = free.min_by_key(|(_, slot)| (slot.ongoing, u64::MAX - slot.touched));
        best.map(|(index, _)| index)
    }

    fn may_go(&self, index: usize, now_ms: u64) -> bool {
        let slot = &self.slots[index];
        slot.is_ready && slot.ongoing == 0 && slot.idle_since_ms + self.scaledown_ms <= now_ms
    }

    /// Replicas that must be there: the target, and one if anything waits.
    fn floor(&self) -> u32 {
        self.target.max(u32::from(!self.queue.is_empty()))
    }

    /// Ready replicas above the floor; those that start may still be needed.
    fn excess(&self) -> u32 {
        self.ready().saturating_sub(self.floor())
    }

    fn replicas(&self) -> u32 {
        self.slots.len() as u32
    }

    fn ready(&self) -> u32 {
        self.slots.iter().filter(|slot| slot.is_ready).count() as u32
    }

    fn ongoing(&self) -> u32 {
        self.slots.iter().map(|slot| slot.ongoing).sum()
    }

    fn inside(&self) -> u32 {
        self.queue.len() as u32 + self.ongoing()
    }

    fn index(&self, id: u64) -> Option<usize> {
        self.slots.iter().position(|slot| slot.id == id)
    }

    fn count(&mut self, now_ms: u64) {
        self.meter.set(self.queue.len() as u32, self.ongoing(), now_ms);
    }
}

fn view(slot: &Slot, now_ms: u64) -> Replica {
    let is_idle = slot.is_ready && slot.ongoing == 0;
    Replica {
        id: slot.id,
        kind: ReplicaKind::Wasm,
        state: if slot.is_ready { ReplicaState::Ready } else { ReplicaState::Starting },
        ongoing: slot.ongoing,
        idle_ms: is_idle.then(|| now_ms - slot.idle_since_ms),
        age_ms: now_ms - slot.ordered_ms,
        load: None,
        max_perf: None,
    }
}
