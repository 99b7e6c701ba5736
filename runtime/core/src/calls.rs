//! Who waits for whom among calls between deployments, and which call can never be served.
//!
//! A request holds its place in a pool while it calls other deployments, and a call that finds no
//! place waits in the queue of its pool. If all places of that pool are held by requests that wait,
//! directly or through others, for calls to this pool, nobody will ever be served. Such a call is
//! found here when it starts to wait, so that it can be refused at once; one that can be served
//! never is. Nothing here knows time: calls that wait long are the owner's business.
//!
//! # What counts as served
//!
//! A request that holds a place ends once all its calls have ended, and by itself if it has none. A
//! waiting call is served once any place of its pool is free: those before it in the queue are
//! served first, and these end by themselves. So a pool is *stuck* if and only if all the places it
//! may ever have are held by requests each of which waits, directly or through what it called, for
//! a call to a stuck pool; `calls/search.rs` has the rules. Requests from outside that make no
//! calls are not registered, and count as able to end. That somebody may give up, by a time-out or
//! because its client left, does not count.
//!
//! Of all that happens, only these make a pool stuck: a call starts to wait ([`Calls::waits`]), or
//! a pool loses places ([`Calls::spent`], [`Calls::review`]). The rest adds requests and calls that
//! are able to end, or takes some away. If nothing was stuck before, everything that is now depends
//! on the call that started to wait, and nothing is once that one is refused. So asking then is
//! enough, and one refusal mends it.
//!
//! # Order of reports
//!
//! A pool and this graph have locks of their own, so they do not change at the same moment.
//! Required is:
//!
//! 1. A request is registered ([`Calls::begin`], [`Calls::granted`]) after its pool gave it the
//!    place, and before its handler runs.
//! 2. It is taken out ([`Calls::ended`]) before the place is given back. A waiting call is taken
//!    out before it leaves the pool's queue.
//! 3. A call is put into the pool's queue first and reported as waiting next.
//! 4. [`Calls::drains`], [`Calls::spent`] and [`Calls::gone`] are called under the lock of the pool
//!    that did so, and a call that waited and got a place on this replica is reported before. The
//!    simple way is to report all these calls under that lock. So it may be held when this graph's
//!    lock is taken, never the other way round.
//!
//! Then no call is refused wrongly. By 1 and 2 who holds a place here holds it in the pool, and by
//! 4 it is one of those that the pool may have. If the pool of a waiting call is stuck here, all of
//! these are held by others, so the pool cannot have given one to the call in the meantime; nor on
//! a replica that counts no more, by 4. So the call still waits, and so does everybody it depends
//! on. If the pool itself lets go of a waiting call, when it closes, that counts from its report.
//!
//! And no knot is missed. Whoever is part of it got its place and was registered before it called,
//! by 1, so the last one in the knot that is reported as waiting finds all the others.
//!
//! # Cost
//!
//! Each step takes constant time per tie that it makes or removes, but for a look-up among the
//! pools. [`Calls::waits`] does too while its pool has a place that no registered request holds;
//! else it takes time for what it looks at, at most all that the call depends on. What has ended is
//! forgotten.

mod chain;
mod graph;
mod search;
#[cfg(test)]
mod tests;

use crate::replica::ReplicaId;
use chain::chain;
pub use chain::{Chain, Loop};
use graph::{Graph, Leaving, Node, State};
use search::{Search, Thing, Verdict};
use std::sync::Arc;

/// Names shown from either end of a chain: enough to see who began and who closed the circle.
const SHOWN_MAX: usize = 4;

/// Names a running request or a call. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

impl CallId {
    /// The id as a number, for a header.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The id with this number. Any number will do; of most there is no call.
    pub fn from_u64(id: u64) -> Self {
        CallId(id)
    }

    fn new(generation: u32, slot: u32) -> Self {
        CallId(u64::from(generation) << 32 | u64::from(slot))
    }

    fn slot(self) -> u32 {
        self.0 as u32
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Names a pool. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u64);

/// How large a pool is. The last one given counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The pool.
    pub pool: PoolId,
    /// Most places it may have: its largest number of replicas times what each serves at a time.
    /// Verdicts depend on this one. At least `places` is assumed.
    pub capacity: u32,
    /// Places it has, those of replicas that start or are spent included, of draining ones not.
    pub places: u32,
}

/// Where a request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pool.
    pub extent: Extent,
    /// The replica of the pool.
    pub replica: ReplicaId,
    /// How many places it takes. A batch may take several.
    pub units: u32,
}

/// What a pool that lost places has to do. Mostly nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Calls that waited and can never be served any more. They are forgotten already.
    pub refused: Vec<Loop>,
    /// As in [`Waiting::grow`].
    pub grow: Vec<PoolId>,
}

/// What a call that waits needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Pools that must have a place more than they have, or the call waits for ever. Their owner
    /// starts a replica without asking a policy, unless one has become ready since.
    pub grow: Vec<PoolId>,
}

/// The running requests and the calls among them; see the module's documentation. The owner keeps
/// it behind one short lock.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub struct Calls {
    graph: Graph,
    /// Things that searches have looked at.
    #[cfg(test)]
    looked_at: usize,
}

impl Calls {
    /// A request from outside that is served is about to make its first call, or may make calls
    /// that are not seen before they arrive. `name` is that of its deployment.
    pub fn begin(&mut self, name: &Arc<str>, place: Place) -> CallId {
        let at = self.graph.insert(Node::new(name.clone(), State::Running, 1));
        self.graph.hold(at, place);
        self.graph.id(at)
    }

    /// `parent` calls the deployment `name`. If the parent has ended, nobody waits for the call any
    /// more, and it is as one from outside: late calls do no harm.
    pub fn call(&mut self, parent: CallId, name: &Arc<str>) -> CallId {
        let parent = self.graph.find(parent);
        let depth = parent.map_or(0, |at| self.graph.node(at).depth);
        let at = self.graph.insert(Node::new(name.clone(), State::Called, depth.saturating_add(1)));
        if let Some(parent) = parent {
            self.graph.link(parent, at);
        }
        self.graph.id(at)
    }

    /// The call was put into the queue of a pool. One that was served meanwhile, or has ended, does
    /// not wait. One whose batch has ended may wait again.
    ///
    /// # Errors
    ///
    /// [`Loop`] if it can never be served. Then it has ended here, and the owner takes it out of
    /// the queue.
    pub fn waits(&mut self, call: CallId, extent: Extent) -> Result<Waiting, Loop> {
        let Some(at) = self.graph.find(call) else { return Ok(Waiting::default()) };
        match self.graph.node(at).state {
            State::Running | State::Joined | State::Replica => return Ok(Waiting::default()),
            State::Called => {}
            State::Waiting(_) => self.graph.leave_queue(at),
        }
        let pool = self.graph.pool(extent);
        let has_spare = pool.held < u64::from(pool.places);
        self.graph.enter_queue(at, extent.pool);
        if has_spare {
            return Ok(Waiting::default());
        }
        let mut search = Search::new(&mut self.graph, Thing::Node(at));
        let verdict = search.verdict();
        #[cfg(test)]
        {
            self.looked_at += search.visited();
        }
        match verdict {
            Verdict::Proceeds(grow) => Ok(Waiting { grow }),
            Verdict::Stuck => Err(self.refuse(at)),
        }
    }

    /// The call was given a place.
    pub fn granted(&mut self, call: CallId, place: Place) {
        if let Some(at) = self.unserved(call) {
            self.graph.node_mut(at).state = State::Running;
            self.graph.hold(at, place);
        }
    }

    /// These calls, and perhaps requests from outside, are served together by the deployment
    /// `name`: one running request, with the callers of all of them as ancestors.
    ///
    /// The calls end one by one, when each is answered or its client leaves, and the batch by
    /// itself. Those that remain when the batch has ended are as before they waited.
    pub fn granted_together(&mut self, calls: &[CallId], name: &Arc<str>, place: Place) -> CallId {
        let batch = self.graph.insert(Node::new(name.clone(), State::Running, 1));
        self.graph.hold(batch, place);
        for &call in calls {
            if let Some(at) = self.unserved(call) {
                self.graph.node_mut(at).state = State::Joined;
                self.graph.link(at, batch);
                let depth = self.graph.node(at).depth;
                let batch = self.graph.node_mut(batch);
                batch.depth = batch.depth.max(depth);
            }
        }
        self.graph.id(batch)
    }

    /// The request or call has ended, however it did. What it called and still runs or waits goes
    /// on without it. Once is enough, more often is harmless.
    pub fn ended(&mut self, call: CallId) {
        if let Some(at) = self.graph.find(call) {
            self.graph.remove(at);
        }
    }

    /// The replica takes no more requests, and another one may take its room: its places count no
    /// more, whoever holds them.
    pub fn drains(&mut self, pool: PoolId, replica: ReplicaId) {
        self.gone(pool, replica);
        self.graph.pools.entry(pool).or_default().leaving.insert(replica, Leaving::Draining);
    }

    /// The replica takes no more requests, but counts towards the pool's size until all those on it
    /// have ended. Nobody gets its `idle` places before, so calls may be stuck that waited for one.
    /// To be said again each time a request on it ends.
    ///
    /// A call that waits while there is a place left on such a replica is not refused before
    /// another one has got that place, even if it cannot be served after that one.
    pub fn spent(&mut self, extent: Extent, replica: ReplicaId, idle: u32) -> Review {
        let at = match self.graph.pool(extent).leaving.get(&replica) {
            Some(Leaving::Draining) => return Review::default(),
            Some(&Leaving::Spent(known)) => {
                self.graph.find(known).expect("it ends when the replica is gone")
            }
            None => self.wear_out(extent.pool, replica),
        };
        self.graph.occupy(at, Place { extent, replica, units: idle });
        self.review(extent)
    }

    /// The replica is gone, even if requests on it have yet to notice; none is registered any more.
    /// To be said of all that drained or were spent, or they are remembered, and of those that
    /// crashed.
    pub fn gone(&mut self, pool: PoolId, replica: ReplicaId) {
        for at in self.graph.holders_on(pool, replica) {
            self.graph.release(at);
        }
        let Some(known) = self.graph.pools.get_mut(&pool) else { return };
        if let Some(Leaving::Spent(spent)) = known.leaving.remove(&replica) {
            self.ended(spent);
        }
        self.graph.sweep(pool);
    }

    /// The pool has ended, with all its replicas.
    pub fn forget(&mut self, pool: PoolId) {
        while let Some(known) = self.graph.pools.get(&pool)
            && let Some((&replica, _)) = known.leaving.first_key_value()
        {
            self.gone(pool, replica);
        }
    }

    /// The pool lost places, of the most it may have or of those it has, or time has passed and
    /// calls still wait. Calls that can never be served any more are refused, one by one of those
    /// that the pool depends on, until it can serve.
    pub fn review(&mut self, extent: Extent) -> Review {
        let mut review = Review::default();
        loop {
            if !self.graph.pools.contains_key(&extent.pool) {
                return review;
            }
            let pool = self.graph.pool(extent);
            if pool.waiting == 0 || pool.held < u64::from(pool.places) {
                return review;
            }
            let mut search = Search::new(&mut self.graph, Thing::Pool(extent.pool));
            let verdict = search.verdict();
            match verdict {
                Verdict::Proceeds(grow) => {
                    review.grow = grow;
                    return review;
                }
                Verdict::Stuck => {
                    let Some(at) = search.culprit() else { return review };
                    review.refused.push(self.refuse(at));
                }
            }
        }
    }

    /// How many names the chain of a call has, as it was when it was called; a request from outside
    /// has one. None once it has ended.
    pub fn depth(&self, call: CallId) -> Option<u32> {
        self.graph.find(call).map(|at| self.graph.node(at).depth)
    }

    /// Who called whom so that it came to this call. None once it has ended.
    pub fn chain(&self, call: CallId) -> Option<Chain> {
        self.graph.find(call).map(|at| chain(&self.graph, at))
    }

    /// How many requests, calls and spent replicas are known.
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is remembered, of pools and replicas neither.
    #[cfg(test)]
    fn is_forgotten(&self) -> bool {
        self.is_empty() && self.graph.pools.is_empty()
    }

    /// Makes a node for a replica that is spent, which waits for the requests on it.
    fn wear_out(&mut self, pool: PoolId, replica: ReplicaId) -> u32 {
        let at = self.graph.insert(Node::new(Arc::default(), State::Replica, 0));
        for request in self.graph.holders_on(pool, replica) {
            self.graph.link(at, request);
        }
        let spent = Leaving::Spent(self.graph.id(at));
        self.graph.pools.entry(pool).or_default().leaving.insert(replica, spent);
        at
    }

    /// Where a call is that is not served yet, out of the queue.
    fn unserved(&mut self, call: CallId) -> Option<u32> {
        let at = self.graph.find(call)?;
        match self.graph.node(at).state {
            State::Called | State::Waiting(_) => self.graph.leave_queue(at),
            State::Joined | State::Running | State::Replica => return None,
        }
        Some(at)
    }

    /// Forgets a waiting call that is stuck.
    fn refuse(&mut self, at: u32) -> Loop {
        let State::Waiting(pool) = self.graph.node(at).state else {
            unreachable!("only waiting calls are refused")
        };
        let capacity = self.graph.pools[&pool].capacity;
        let (call, chain) = (self.graph.id(at), chain(&self.graph, at));
        self.graph.remove(at);
        Loop { call, chain, capacity }
    }
}
