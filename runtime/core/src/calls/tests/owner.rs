//! What the server does with its pools and the graph, in the order it does it, with every verdict
//! compared with the model's. What a thread does under two locks is done in two halves, and in
//! between others may have their turn.

use super::super::{CallId, Calls, Extent, Loop, Place, PoolId};
use super::world::{Growth, Pool, Stage, World};
use crate::replica::ReplicaId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The second half of something.
#[derive(Clone, Debug)]
enum Half {
    /// It is in the queue; report that it waits.
    Wait(u32),
    /// It was given a place; report it. With those that it serves, if it is a batch.
    Granted(u32, Vec<u32>),
    /// It was reported as ended; give its place back, or leave the queue.
    End(u32),
    /// It was reported as ended; give its place back and serve those in it one by one.
    Break(u32),
}

#[derive(Clone, Debug)]
pub struct Owner {
    pub world: World,
    pub calls: Calls,
    ids: BTreeMap<u32, CallId>,
    names: Vec<Arc<str>>,
    halves: Vec<Half>,
    /// Whether second halves follow at once. Then verdicts are exact.
    is_prompt: bool,
    /// Requests in a batch at most, and whether a batch takes one place only.
    batch: (u32, bool),
    /// How many calls were refused.
    pub refused: usize,
    /// How many were asked for more places than there were.
    pub grown: usize,
}

impl Owner {
    pub fn new(pools: Vec<Pool>, batch: (u32, bool), is_prompt: bool) -> Self {
        let names = ["a", "b", "c", "d"].map(Arc::from);
        Owner {
            world: World::new(pools),
            calls: Calls::default(),
            ids: BTreeMap::new(),
            names: names.to_vec(),
            halves: Vec::new(),
            is_prompt,
            batch,
            refused: 0,
            grown: 0,
        }
    }

    fn extent(&self, pool: usize) -> Extent {
        let state = &self.world.pools[pool];
        Extent {
            pool: PoolId(pool as u64),
            capacity: state.max * state.concurrency,
            places: state.active() * state.concurrency,
        }
    }

    fn place(&self, id: u32) -> Place {
        let request = &self.world.requests[&id];
        let Stage::Served { replica, units } = request.stage else { panic!("it is served") };
        Place { extent: self.extent(request.pool), replica: ReplicaId(replica), units }
    }

    /// Requests that nobody is busy with.
    fn settled(&self, wanted: impl Fn(u32, Stage) -> bool) -> Vec<u32> {
        let busy: Vec<u32> = self.halves.iter().flat_map(Half::requests).collect();
        let requests = self.world.requests.iter().map(|(id, request)| (*id, request.stage));
        requests
            .filter(|(id, stage)| !busy.contains(id) && wanted(*id, *stage))
            .map(|(id, _)| id)
            .collect()
    }

    /// Requests whose handler may act.
    pub fn running(&self) -> Vec<u32> {
        self.settled(|_, stage| matches!(stage, Stage::Served { .. }))
    }

    /// Requests whose client may leave.
    pub fn leavable(&self) -> Vec<u32> {
        self.settled(|_, stage| matches!(stage, Stage::Queued | Stage::Joined))
    }

    /// Batches that run.
    pub fn batches(&self) -> Vec<u32> {
        let mut batches = self.running();
        batches.retain(|id| self.is_batch(*id));
        batches
    }

    fn is_batch(&self, id: u32) -> bool {
        let mut callers = self.world.requests[&id].callers.iter();
        callers.any(|caller| self.world.requests[caller].stage == Stage::Joined)
    }

    /// A request from outside, which is not registered before it makes a call.
    pub fn arrive(&mut self, pool: usize) {
        self.world.queue(pool, None);
        self.serve(pool);
    }

    /// A running request calls.
    pub fn call(&mut self, caller: u32, pool: usize) {
        if !self.ids.contains_key(&caller) {
            let name = self.names[self.world.requests[&caller].pool].clone();
            let id = self.calls.begin(&name, self.place(caller));
            self.ids.insert(caller, id);
        }
        let id = self.calls.call(self.ids[&caller], &self.names[pool]);
        let call = self.world.queue(pool, Some(caller));
        self.ids.insert(call, id);
        self.serve(pool);
        self.wait(call);
    }

    /// If it found no place, that will be reported.
    fn wait(&mut self, call: u32) {
        let request = self.world.requests.get(&call);
        if request.is_some_and(|request| request.stage == Stage::Queued) {
            self.then(Half::Wait(call));
        }
    }

    /// A request ends, whatever it waits for. One that waits leaves.
    pub fn end(&mut self, id: u32) {
        if let Some(call) = self.ids.get(&id) {
            self.calls.ended(*call);
        }
        // A batch answers all that are in it.
        for caller in self.world.requests[&id].callers.clone() {
            if self.world.requests[&caller].stage == Stage::Joined {
                if let Some(call) = self.ids.remove(&caller) {
                    self.calls.ended(call);
                }
                self.world.end(caller);
            }
        }
        self.world.untie(id);
        self.then(Half::End(id));
    }

    /// A batch fails, and those in it are to be served one by one.
    pub fn break_up(&mut self, batch: u32) {
        if let Some(call) = self.ids.remove(&batch) {
            self.calls.ended(call);
        }
        for callee in self.world.requests[&batch].waits_for.clone() {
            self.world.at(callee).callers.remove(&batch);
        }
        self.world.at(batch).waits_for.clear();
        self.then(Half::Break(batch));
    }

    /// A replica takes no more requests. Those that were given to it are reported first.
    pub fn drain(&mut self, pool: usize, replica: u64) {
        while let Some(which) = self.halves.iter().position(|half| match half {
            Half::Granted(id, _) => self.is_on(*id, pool, replica),
            Half::Wait(_) | Half::End(_) | Half::Break(_) => false,
        }) {
            self.finish(which);
        }
        let is_gone = self.world.drain(pool, replica);
        self.calls.drains(PoolId(pool as u64), ReplicaId(replica));
        if is_gone {
            self.calls.gone(PoolId(pool as u64), ReplicaId(replica));
        }
        self.serve(pool);
    }

    /// The policy wants one more.
    pub fn grow(&mut self, pool: usize) {
        self.world.pools[pool].grow();
        self.serve(pool);
    }

    /// What a tick does for each pool, where it matters. Nobody is to be refused then.
    pub fn tick(&mut self) {
        loop {
            let before = self.grown;
            for pool in 0..self.world.pools.len() {
                let review = self.calls.review(self.extent(pool));
                assert_eq!(review.refused, [], "what cannot be served was refused before");
                self.grow_all(&review.grow);
            }
            // The graph does not know of a replica before it is told.
            if self.grown == before {
                return;
            }
        }
    }

    /// Does what comes second of something that began.
    pub fn finish(&mut self, which: usize) {
        if self.halves.is_empty() {
            return;
        }
        match self.halves.remove(which % self.halves.len()) {
            Half::Wait(call) => self.report_wait(call),
            Half::Granted(id, members) => self.report_granted(id, &members),
            Half::End(id) => {
                self.ids.remove(&id);
                self.vacate(id);
            }
            Half::Break(batch) => {
                let mut members: Vec<u32> =
                    self.world.requests[&batch].callers.iter().copied().collect();
                let pool = self.world.requests[&batch].pool;
                for member in &members {
                    let request = self.world.at(*member);
                    request.stage = Stage::Queued;
                    request.waits_for.clear();
                    self.world.pools[pool].queue.push_back(*member);
                }
                self.world.at(batch).callers.clear();
                self.vacate(batch);
                // All of them are in the queue before the first one is reported.
                members.retain(|member| {
                    let request = self.world.requests.get(member);
                    self.is_known(*member)
                        && request.is_some_and(|request| request.stage == Stage::Queued)
                });
                self.halves.extend(members.iter().map(|member| Half::Wait(*member)));
                while self.is_prompt && !self.is_idle() {
                    self.finish(0);
                }
            }
        }
    }

    /// No more requests come: all that are there must come to an end by themselves.
    pub fn run_out(&mut self, order: usize) {
        loop {
            while !self.is_idle() {
                self.finish(order);
            }
            let able: Vec<u32> = self.world.able().collect();
            if !able.is_empty() {
                self.end(able[order % able.len()]);
                continue;
            }
            let before = self.world.clone();
            self.tick();
            if self.is_idle() && self.world == before {
                break;
            }
        }
        assert!(self.world.requests.is_empty(), "somebody waits for ever: {self:?}");
        for pool in 0..self.world.pools.len() {
            while let Some(&replica) = self.world.pools[pool].replicas.keys().next() {
                self.drain(pool, replica);
            }
        }
        assert!(self.calls.is_forgotten(), "{self:?}");
    }

    fn is_idle(&self) -> bool {
        self.halves.is_empty()
    }

    /// It is gone from its pool, and somebody else gets its place.
    fn vacate(&mut self, id: u32) {
        // The batch it was in may have ended before it could leave.
        let Some(request) = self.world.requests.get(&id) else { return };
        let pool = request.pool;
        if let Some(replica) = self.world.end(id) {
            self.calls.gone(PoolId(pool as u64), ReplicaId(replica));
        }
        self.wear_out(pool);
        self.serve(pool);
    }

    fn then(&mut self, half: Half) {
        self.halves.push(half);
        if self.is_prompt {
            self.finish(self.halves.len() - 1);
        }
    }

    /// What a pool does by itself: a replica if there is none, and places for those that wait.
    fn serve(&mut self, pool: usize) {
        let state = &mut self.world.pools[pool];
        if !state.queue.is_empty() && state.usable() == 0 {
            state.grow();
        }
        loop {
            let queued: Vec<u32> = self.world.pools[pool].queue.iter().copied().collect();
            let (size, lean) = self.batch;
            let granted = if size > 1 && queued.len() > 1 {
                self.world.grant_batch(pool, size, lean)
            } else {
                self.world.grant(pool)
            };
            let Some(granted) = granted else { return };
            let members = self.members(granted);
            let leaves = |id: u32| {
                self.halves.iter().any(|half| matches!(half, Half::End(other) if *other == id))
            };
            // Who has left in the meantime only gives the place back.
            if !leaves(granted) && (self.is_known(granted) || !members.is_empty()) {
                let members = members.into_iter().filter(|id| !leaves(*id)).collect();
                self.then(Half::Granted(granted, members));
            }
            self.wear_out(pool);
            let state = &mut self.world.pools[pool];
            if !state.queue.is_empty() && state.usable() == 0 {
                state.grow();
            }
        }
    }

    fn is_on(&self, id: u32, pool: usize, replica: u64) -> bool {
        let request = &self.world.requests[&id];
        let on = match request.stage {
            Stage::Served { replica, .. } => Some(replica),
            Stage::Queued | Stage::Joined => None,
        };
        request.pool == pool && on == Some(replica)
    }

    fn is_known(&self, id: u32) -> bool {
        self.ids.contains_key(&id)
    }

    fn members(&self, id: u32) -> Vec<u32> {
        let callers = self.world.requests[&id].callers.iter().copied();
        callers.filter(|caller| self.world.requests[caller].stage == Stage::Joined).collect()
    }

    /// Reports replicas that are spent.
    fn wear_out(&mut self, pool: usize) {
        let state = &self.world.pools[pool];
        let spent: Vec<u64> = state
            .replicas
            .iter()
            .filter(|(id, replica)| !replica.draining && state.is_spent(**id))
            .map(|(id, _)| *id)
            .collect();
        for replica in spent {
            let state = &self.world.pools[pool];
            let idle = state.concurrency - state.replicas[&replica].busy;
            let review = self.calls.spent(self.extent(pool), ReplicaId(replica), idle);
            for refused in review.refused {
                self.refuse(&refused);
            }
            self.grow_all(&review.grow);
        }
    }

    fn report_granted(&mut self, id: u32, members: &[u32]) {
        let (name, place) = (&self.names[self.world.requests[&id].pool], self.place(id));
        if self.is_batch(id) {
            let known: Vec<CallId> =
                members.iter().filter_map(|id| self.ids.get(id)).copied().collect();
            let batch = self.calls.granted_together(&known, name, place);
            self.ids.insert(id, batch);
        } else if let Some(call) = self.ids.get(&id) {
            self.calls.granted(*call, place);
        }
    }

    /// It may have been given a place before, and even have been reported.
    fn report_wait(&mut self, call: u32) {
        let Some(request) = self.world.requests.get(&call) else { return };
        let pool = request.pool;
        if self.is_prompt {
            self.tick();
        }
        let is_lasting = self.world.pools.iter().all(|pool| pool.most.is_none());
        let is_exact = self.is_prompt && is_lasting && self.is_idle();
        let is_queued = self.world.requests[&call].stage == Stage::Queued;
        match self.calls.waits(self.ids[&call], self.extent(pool)) {
            Err(refused) => {
                assert_eq!(refused.call, self.ids[&call]);
                self.refuse(&refused);
            }
            Ok(waiting) => {
                let can = |world: &World, growth| world.can_serve(call, growth);
                if is_exact && is_queued {
                    assert!(can(&self.world, Growth::Allowed), "a knot was missed: {self:?}");
                    let is_enough = can(&self.world, Growth::None);
                    assert_eq!(is_enough, waiting.grow.is_empty(), "{self:?}");
                }
                let mut grown = self.world.clone();
                for pool in &waiting.grow {
                    grown.pools[pool.0 as usize].grow();
                }
                if is_exact && is_queued {
                    assert!(can(&grown, Growth::None), "too few replicas: {self:?}");
                }
                self.grow_all(&waiting.grow);
            }
        }
    }

    fn grow_all(&mut self, pools: &[PoolId]) {
        self.grown += pools.len();
        for pool in pools {
            self.grow(pool.0 as usize);
        }
    }

    /// A call was refused: it must be true that it can never be served.
    fn refuse(&mut self, refused: &Loop) {
        let (&call, _) =
            self.ids.iter().find(|(_, id)| **id == refused.call).expect("its caller knows it");
        assert_eq!(self.world.requests[&call].stage, Stage::Queued, "{refused}");
        assert!(!self.world.can_serve(call, Growth::Allowed), "{refused} is wrong: {self:?}");
        self.refused += 1;
        self.ids.remove(&call);
        self.halves.retain(|half| !half.requests().contains(&call));
        self.world.end(call);
    }
}

impl Half {
    fn requests(&self) -> Vec<u32> {
        match self {
            Half::Wait(id) | Half::End(id) | Half::Break(id) => vec![*id],
            Half::Granted(id, members) => {
                members.iter().chain(std::slice::from_ref(id)).copied().collect()
            }
        }
    }
}
