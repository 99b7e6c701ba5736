//! A model of pools and of those who wait in them, simple enough to be believed. Whether a call can
//! be served is found out by trying everything that may happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Queued,
    Served {
        replica: u64,
        units: u32,
    },
    /// Served by a batch, which is what it waits for.
    Joined,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub pool: usize,
    pub stage: Stage,
    pub waits_for: BTreeSet<u32>,
    pub callers: BTreeSet<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    pub draining: bool,
    pub given: u32,
    pub busy: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pool {
    pub max: u32,
    pub concurrency: u32,
    /// Requests after which a replica takes no more.
    pub most: Option<u32>,
    pub replicas: BTreeMap<u64, Replica>,
    pub queue: VecDeque<u32>,
    next_replica: u64,
}

impl Pool {
    pub fn new(max: u32, concurrency: u32, most: Option<u32>) -> Self {
        let (replicas, queue) = (BTreeMap::new(), VecDeque::new());
        Pool { max, concurrency, most, replicas, queue, next_replica: 0 }
    }

    pub fn is_spent(&self, replica: u64) -> bool {
        self.most.is_some_and(|most| self.replicas[&replica].given >= most)
    }

    pub fn active(&self) -> u32 {
        self.replicas.values().filter(|replica| !replica.draining).count() as u32
    }

    pub fn usable(&self) -> u32 {
        let usable = |(id, replica): &(&u64, &Replica)| !replica.draining && !self.is_spent(**id);
        self.replicas.iter().filter(usable).count() as u32
    }

    /// A replica that may take one more.
    pub fn free(&self) -> Option<u64> {
        let mut replicas = self.replicas.iter();
        let is_free = |(id, replica): &(&u64, &Replica)| {
            !replica.draining && !self.is_spent(**id) && replica.busy < self.concurrency
        };
        replicas.find(is_free).map(|(id, _)| *id)
    }

    pub fn grow(&mut self) -> bool {
        let grows = self.active() < self.max;
        if grows {
            self.replicas.insert(self.next_replica, Replica::default());
            self.next_replica += 1;
        }
        grows
    }

    /// Takes a replica away that nobody needs any more.
    fn tidy(&mut self, id: u64) -> bool {
        let Some(replica) = self.replicas.get(&id) else { return false };
        let is_over = replica.busy == 0 && (replica.draining || self.is_spent(id));
        is_over && self.replicas.remove(&id).is_some()
    }
}

/// Which replicas may be started while looking for a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Allowed,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct World {
    pub pools: Vec<Pool>,
    pub requests: BTreeMap<u32, Request>,
    next: u32,
}

impl World {
    pub fn new(pools: Vec<Pool>) -> Self {
        World { pools, requests: BTreeMap::new(), next: 0 }
    }

    /// A new request at the end of the queue.
    pub fn queue(&mut self, pool: usize, caller: Option<u32>) -> u32 {
        let id = self.next;
        self.next += 1;
        let (waits_for, callers) = (BTreeSet::new(), caller.into_iter().collect());
        self.requests.insert(id, Request { pool, stage: Stage::Queued, waits_for, callers });
        self.pools[pool].queue.push_back(id);
        if let Some(caller) = caller {
            self.at(caller).waits_for.insert(id);
        }
        id
    }

    pub fn at(&mut self, id: u32) -> &mut Request {
        self.requests.get_mut(&id).unwrap()
    }

    /// Gives a place to the first in the queue.
    pub fn grant(&mut self, pool: usize) -> Option<u32> {
        let replica = self.pools[pool].free().filter(|_| !self.pools[pool].queue.is_empty())?;
        let id = self.pools[pool].queue.pop_front()?;
        let held = self.pools[pool].replicas.get_mut(&replica).unwrap();
        (held.busy, held.given) = (held.busy + 1, held.given + 1);
        self.at(id).stage = Stage::Served { replica, units: 1 };
        Some(id)
    }

    /// Gives places to the first `size` in the queue, at most as many as there are on one replica;
    /// in one place if `lean`.
    pub fn grant_batch(&mut self, pool: usize, size: u32, lean: bool) -> Option<u32> {
        let replica = self.pools[pool].free()?;
        let room = self.pools[pool].concurrency - self.pools[pool].replicas[&replica].busy;
        let size = if lean { size } else { size.min(room) };
        let size = size.min(self.pools[pool].queue.len() as u32);
        let members: BTreeSet<u32> = self.pools[pool].queue.drain(..size as usize).collect();
        let units = if lean { 1 } else { size };
        let held = self.pools[pool].replicas.get_mut(&replica).unwrap();
        (held.busy, held.given) = (held.busy + units, held.given + size);
        let batch = self.next;
        self.next += 1;
        for member in &members {
            let member = self.at(*member);
            member.stage = Stage::Joined;
            member.waits_for.insert(batch);
        }
        let stage = Stage::Served { replica, units };
        let waits_for = BTreeSet::new();
        self.requests.insert(batch, Request { pool, stage, waits_for, callers: members });
        Some(batch)
    }

    /// Its callers do not wait for it any more, and it for nobody.
    pub fn untie(&mut self, id: u32) {
        let request = self.at(id);
        let callers = std::mem::take(&mut request.callers);
        let callees = std::mem::take(&mut request.waits_for);
        for caller in callers {
            self.at(caller).waits_for.remove(&id);
        }
        for callee in callees {
            self.at(callee).callers.remove(&id);
        }
    }

    /// It has ended: answers the replica that is gone with it, if any. Those served by it in a
    /// batch have ended, too.
    pub fn end(&mut self, id: u32) -> Option<u64> {
        for caller in self.requests[&id].callers.clone() {
            if self.requests[&caller].stage == Stage::Joined {
                self.untie(caller);
                self.requests.remove(&caller);
            }
        }
        self.untie(id);
        let request = self.requests.remove(&id).unwrap();
        let pool = &mut self.pools[request.pool];
        match request.stage {
            Stage::Joined => None,
            Stage::Queued => {
                pool.queue.retain(|other| *other != id);
                None
            }
            Stage::Served { replica, units } => {
                pool.replicas.get_mut(&replica).unwrap().busy -= units;
                pool.tidy(replica).then_some(replica)
            }
        }
    }

    pub fn drain(&mut self, pool: usize, replica: u64) -> bool {
        self.pools[pool].replicas.get_mut(&replica).unwrap().draining = true;
        self.pools[pool].tidy(replica)
    }

    /// Requests that end by themselves.
    pub fn able(&self) -> impl Iterator<Item = u32> {
        let served = self.requests.iter().filter(|(_, request)| {
            matches!(request.stage, Stage::Served { .. }) && request.waits_for.is_empty()
        });
        served.map(|(id, _)| *id)
    }

    fn settle(mut self) -> Self {
        for pool in 0..self.pools.len() {
            while self.grant(pool).is_some() {}
        }
        self
    }

    /// Whether this request can be served. Everything that may happen is tried, but nobody leaves.
    pub fn can_serve(&self, id: u32, growth: Growth) -> bool {
        let is_served = |world: &World| {
            world.requests.get(&id).is_none_or(|request| request.stage != Stage::Queued)
        };
        let mut open = vec![self.clone().settle()];
        let mut seen: BTreeSet<World> = open.iter().cloned().collect();
        let (mut serves, mut fails) = (false, false);
        while let Some(world) = open.pop() {
            if is_served(&world) {
                serves = true;
                continue;
            }
            let next = world.futures(growth);
            fails |= next.is_empty();
            open.extend(next.into_iter().filter(|next| seen.insert(next.clone())));
        }
        // Who takes the last place of a replica may depend on the order.
        let is_lasting = self.pools.iter().all(|pool| pool.most.is_none());
        assert!(serves != fails || !is_lasting, "it does not depend on the order of things");
        serves
    }

    fn futures(&self, growth: Growth) -> Vec<World> {
        let mut futures = Vec::new();
        for id in self.able() {
            let mut world = self.clone();
            world.end(id);
            futures.push(world.settle());
        }
        for pool in 0..self.pools.len() {
            let mut world = self.clone();
            let is_wanted = growth == Growth::Allowed && !self.pools[pool].queue.is_empty();
            if is_wanted && world.pools[pool].grow() {
                futures.push(world.settle());
            }
        }
        futures
    }
}
