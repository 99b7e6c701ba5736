//! Requests, calls and pools, and how they hang together. Every step takes constant time, apart
//! from looking up a pool among the pools.

use super::{CallId, Extent, Place, PoolId};
use crate::replica::ReplicaId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A call that is neither waiting nor served.
    Called,
    /// A call that is served in a batch, which is its only child.
    Joined,
    /// A call in the queue of a pool.
    Waiting(PoolId),
    /// A request that is served.
    Running,
    /// A spent replica: it holds those of its places that are idle until all requests on it, its
    /// children, have ended.
    Replica,
}

/// One end of the tie between a node and one that it waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The other node.
    pub other: u32,
    /// Where the other node keeps its end.
    at: u32,
}

/// Places that a node holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub pool: PoolId,
    pub replica: ReplicaId,
    pub units: u32,
    /// Index among the holders of the pool.
    at: u32,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Node {
    pub name: Arc<str>,
    pub state: State,
    /// Names in its chain when it was called.
    pub depth: u32,
    pub parents: Vec<Link>,
    pub children: Vec<Link>,
    pub held: Option<Held>,
    /// Where the last search that came by has it, if it is that search's; see `search`.
    pub mark: u32,
}

impl Node {
    pub fn new(name: Arc<str>, state: State, depth: u32) -> Self {
        let (parents, children) = (Vec::new(), Vec::new());
        Node { name, state, depth, parents, children, held: None, mark: 0 }
    }
}

/// A replica that is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Its places count no more.
    Draining,
    /// Its idle places are held by this node.
    Spent(CallId),
}

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Pool {
    /// Most places it may ever have.
    pub capacity: u32,
    /// Places it has.
    pub places: u32,
    /// Places that nodes hold.
    pub held: u64,
    pub holders: Vec<u32>,
    /// How many nodes wait.
    pub waiting: u32,
    pub leaving: BTreeMap<ReplicaId, Leaving>,
    /// As in [`Node`].
    pub mark: u32,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Slot {
    generation: u32,
    node: Option<Node>,
}

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Graph {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    live: usize,
    pub pools: BTreeMap<PoolId, Pool>,
}

impl Graph {
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// How many nodes there is memory for.
    #[cfg(test)]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Where a node is; none once it has ended.
    pub fn find(&self, call: CallId) -> Option<u32> {
        let slot = self.slots.get(call.slot() as usize)?;
        (slot.generation == call.generation() && slot.node.is_some()).then_some(call.slot())
    }

    pub fn id(&self, at: u32) -> CallId {
        CallId::new(self.slots[at as usize].generation, at)
    }

    pub fn node(&self, at: u32) -> &Node {
        self.slots[at as usize].node.as_ref().expect("nodes are tied to living ones only")
    }

    pub fn node_mut(&mut self, at: u32) -> &mut Node {
        self.slots[at as usize].node.as_mut().expect("nodes are tied to living ones only")
    }

    pub fn insert(&mut self, node: Node) -> u32 {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, node: None });
            u32::try_from(self.slots.len() - 1).expect("fewer calls at a time than 2^32")
        });
        let slot = &mut self.slots[at as usize];
        slot.generation += 1;
        slot.node = Some(node);
        self.live += 1;
        at
    }

    /// Takes a node out. Its children stay, without it.
    pub fn remove(&mut self, at: u32) {
        self.release(at);
        self.leave_queue(at);
        while let Some(link) = self.node_mut(at).parents.pop() {
            self.drop_child(link.other, link.at);
            let parent = self.node_mut(link.other);
            if parent.state == State::Joined {
                parent.state = State::Called;
            }
        }
        while let Some(link) = self.node_mut(at).children.pop() {
            self.drop_parent(link.other, link.at);
        }
        let slot = &mut self.slots[at as usize];
        slot.node = None;
        self.live -= 1;
        // An id that comes round again could be taken for the old one, so the slot is given up.
        if slot.generation < u32::MAX {
            self.vacant.push(at);
        }
    }

    /// From now on `parent` waits for `child`.
    pub fn link(&mut self, parent: u32, child: u32) {
        let in_child = self.node(child).parents.len() as u32;
        let in_parent = self.node(parent).children.len() as u32;
        self.node_mut(parent).children.push(Link { other: child, at: in_child });
        self.node_mut(child).parents.push(Link { other: parent, at: in_parent });
    }

    /// Removes one end of a link, of which the other one is gone.
    fn drop_child(&mut self, parent: u32, index: u32) {
        let children = &mut self.node_mut(parent).children;
        children.swap_remove(index as usize);
        if let Some(&moved) = children.get(index as usize) {
            self.node_mut(moved.other).parents[moved.at as usize].at = index;
        }
    }

    /// The other way round.
    fn drop_parent(&mut self, child: u32, index: u32) {
        let parents = &mut self.node_mut(child).parents;
        parents.swap_remove(index as usize);
        if let Some(&moved) = parents.get(index as usize) {
            self.node_mut(moved.other).children[moved.at as usize].at = index;
        }
    }

    /// Takes over how large a pool is, and looks it up.
    pub fn pool(&mut self, extent: Extent) -> &mut Pool {
        let pool = self.pools.entry(extent.pool).or_default();
        // Workers that join by themselves may be more than the pool would start.
        pool.capacity = extent.capacity.max(extent.places);
        pool.places = extent.places;
        pool
    }

    /// The node holds a place, as far as its replica's places count.
    pub fn hold(&mut self, at: u32, place: Place) {
        match self.pool(place.extent).leaving.get(&place.replica).copied() {
            Some(Leaving::Draining) => {}
            Some(Leaving::Spent(replica)) => {
                let replica = self.find(replica).expect("it ends when the replica is gone");
                self.occupy(at, place);
                self.link(replica, at);
            }
            None => self.occupy(at, place),
        }
    }

    /// The node holds these places of a pool and no others.
    pub fn occupy(&mut self, at: u32, place: Place) {
        self.release(at);
        let pool = self.pool(place.extent);
        pool.held += u64::from(place.units);
        pool.holders.push(at);
        let (pool, index) = (place.extent.pool, pool.holders.len() as u32 - 1);
        let Place { replica, units, .. } = place;
        self.node_mut(at).held = Some(Held { pool, replica, units, at: index });
    }

    /// The node holds nothing any more.
    pub fn release(&mut self, at: u32) {
        let Some(held) = self.node_mut(at).held.take() else { return };
        let pool = self.pools.get_mut(&held.pool).expect("a pool with holders is kept");
        pool.held -= u64::from(held.units);
        pool.holders.swap_remove(held.at as usize);
        if let Some(&moved) = pool.holders.get(held.at as usize) {
            let moved = self.node_mut(moved).held.as_mut().expect("holders hold places");
            moved.at = held.at;
        }
        self.sweep(held.pool);
    }

    /// The node waits in a pool, which is known.
    pub fn enter_queue(&mut self, at: u32, pool: PoolId) {
        self.node_mut(at).state = State::Waiting(pool);
        self.pools.get_mut(&pool).expect("the caller made it known").waiting += 1;
    }

    /// The node does not wait any more, if it did.
    pub fn leave_queue(&mut self, at: u32) {
        if let State::Waiting(id) = self.node(at).state {
            self.node_mut(at).state = State::Called;
            self.pools.get_mut(&id).expect("a pool with a queue is kept").waiting -= 1;
            self.sweep(id);
        }
    }

    /// Nodes that hold places on this replica.
    pub fn holders_on(&self, pool: PoolId, replica: ReplicaId) -> Vec<u32> {
        let Some(pool) = self.pools.get(&pool) else { return Vec::new() };
        let is_there = |&at: &u32| self.node(at).held.is_some_and(|held| held.replica == replica);
        pool.holders.iter().copied().filter(is_there).collect()
    }

    /// Forgets a pool that nobody has to do with.
    pub fn sweep(&mut self, id: PoolId) {
        let is_empty =
            |pool: &Pool| pool.holders.is_empty() && pool.waiting == 0 && pool.leaving.is_empty();
        if self.pools.get(&id).is_some_and(is_empty) {
            self.pools.remove(&id);
        }
    }
}
