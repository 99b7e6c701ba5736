//! Which calls can be served: the least fixpoint of these rules, worked out as far as needed.
//!
//! - A pool *proceeds* if fewer of its places are held by nodes that do not proceed than it has.
//! - A waiting call proceeds if its pool does.
//! - Any other node proceeds if all its children do.
//!
//! The rules are monotone, so the order in which they are applied makes no difference. The search
//! starts at one thing and looks at what it needs, depth first: at the holders of a pool one after
//! the other until enough proceed, and at the children of a node up to the first that does not. It
//! remembers who waits for whom and goes on there when something turns out to proceed; what is left
//! in the end does not. That is local fixpoint iteration as in Liu and Smolka, "Simple linear-time
//! algorithms for minimal fixed points" (1998). Each tie between two things is followed at most
//! twice, and nothing recurses.

use super::PoolId;
use super::graph::{Graph, State};
use std::mem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Node(u32),
    Pool(PoolId),
}

#[derive(Debug)]
struct Visit {
    thing: Thing,
    proceeds: bool,
    /// Of its holders or children, the one to look at next.
    next: usize,
    /// Of a pool: places held by nodes that are not known to proceed.
    blocked: u64,
    /// Visits that have to be told when it proceeds.
    dependents: Vec<usize>,
}

enum Need {
    /// Nothing more: it proceeds.
    Nothing,
    /// Whether this proceeds.
    To(Thing),
    /// Nobody left to ask.
    Unknown,
}

pub(super) enum Verdict {
    /// It proceeds once each of these pools has one place more than now; mostly there are none.
    Proceeds(Vec<PoolId>),
    /// It never does.
    Stuck,
}

pub(super) struct Search<'a> {
    graph: &'a mut Graph,
    visits: Vec<Visit>,
    stack: Vec<usize>,
}

impl<'a> Search<'a> {
    pub fn new(graph: &'a mut Graph, root: Thing) -> Self {
        let mut search = Search { graph, visits: Vec::new(), stack: Vec::new() };
        let (root, _) = search.visit(root);
        search.stack.push(root);
        search
    }

    /// Whether the thing the search started from proceeds.
    ///
    /// First with the places that pools have now. If these do not suffice, pools that hold things
    /// up and may grow do so, one after the other in the order in which they were found: the pool
    /// in question first, which is enough if it may, since before this call all others proceeded
    /// without. With these rules a pool that may grow proceeds in the end whatever it has now, so
    /// `Stuck` depends on the capacities only.
    pub fn verdict(&mut self) -> Verdict {
        let mut grown = Vec::new();
        loop {
            self.run();
            if self.visits[0].proceeds {
                return Verdict::Proceeds(grown);
            }
            let Some((at, pool)) = self.may_grow() else { return Verdict::Stuck };
            grown.push(pool);
            self.proceed(at);
        }
    }

    /// How many things were looked at.
    #[cfg(test)]
    pub fn visited(&self) -> usize {
        self.visits.len()
    }

    /// A waiting call that does not proceed, and that what the search started from depends on: the
    /// last one that was found.
    pub fn culprit(&self) -> Option<u32> {
        self.visits.iter().rev().find_map(|visit| match visit.thing {
            Thing::Node(at) if !visit.proceeds => match self.graph.node(at).state {
                State::Waiting(_) => Some(at),
                State::Called | State::Joined | State::Running | State::Replica => None,
            },
            Thing::Node(_) | Thing::Pool(_) => None,
        })
    }

    /// The first pool that does not proceed although it could have more places. All its holders
    /// were looked at, or they would be looked at still.
    fn may_grow(&self) -> Option<(usize, PoolId)> {
        let mut visits = self.visits.iter().enumerate();
        visits.find_map(|(at, visit)| match visit.thing {
            Thing::Pool(id) => {
                let capacity = u64::from(self.graph.pools[&id].capacity);
                (!visit.proceeds && visit.blocked < capacity).then_some((at, id))
            }
            Thing::Node(_) => None,
        })
    }

    fn run(&mut self) {
        while let Some(at) = self.stack.pop() {
            if self.visits[0].proceeds {
                return;
            }
            self.step(at);
        }
    }

    /// Goes on with one thing until it proceeds or has to wait for another one.
    fn step(&mut self, at: usize) {
        while !self.visits[at].proceeds {
            let on = match self.need(at) {
                Need::Unknown => return,
                Need::Nothing => return self.proceed(at),
                Need::To(thing) => thing,
            };
            let (on, is_new) = self.visit(on);
            if self.visits[on].proceeds {
                self.visits[at].next += 1;
                if self.relieves(at, on) {
                    self.proceed(at);
                }
                continue;
            }
            self.visits[on].dependents.push(at);
            if matches!(self.visits[at].thing, Thing::Pool(_)) {
                // Another holder may do if this one does not.
                self.visits[at].next += 1;
                self.stack.push(at);
            }
            if is_new {
                self.stack.push(on);
            }
            return;
        }
    }

    fn need(&self, at: usize) -> Need {
        let visit = &self.visits[at];
        let node = match visit.thing {
            Thing::Pool(id) => {
                let holder = self.graph.pools[&id].holders.get(visit.next);
                return holder.map_or(Need::Unknown, |&holder| Need::To(Thing::Node(holder)));
            }
            Thing::Node(at) => self.graph.node(at),
        };
        match node.state {
            State::Waiting(pool) if visit.next == 0 => Need::To(Thing::Pool(pool)),
            State::Waiting(_) => Need::Nothing,
            State::Called | State::Joined | State::Running | State::Replica => {
                let child = node.children.get(visit.next);
                child.map_or(Need::Nothing, |link| Need::To(Thing::Node(link.other)))
            }
        }
    }

    /// Looks a thing up; true if it is new.
    fn visit(&mut self, thing: Thing) -> (usize, bool) {
        let next = self.visits.len();
        let (mark, blocked, proceeds) = match thing {
            Thing::Node(at) => (&mut self.graph.node_mut(at).mark, 0, false),
            Thing::Pool(id) => {
                let pool = self.graph.pools.get_mut(&id).expect("a pool with a queue is kept");
                (&mut pool.mark, pool.held, pool.held < u64::from(pool.places))
            }
        };
        // A mark that another search has left points nowhere, or at another thing.
        let marked = *mark as usize;
        if self.visits.get(marked).is_some_and(|visit| visit.thing == thing) {
            return (marked, false);
        }
        *mark = u32::try_from(next).expect("fewer calls at a time than 2^32");
        self.visits.push(Visit { thing, proceeds, next: 0, blocked, dependents: Vec::new() });
        (next, true)
    }

    /// A holder of a pool proceeds: true if now the pool does.
    fn relieves(&mut self, at: usize, on: usize) -> bool {
        let (Thing::Pool(id), Thing::Node(holder)) = (self.visits[at].thing, self.visits[on].thing)
        else {
            return false;
        };
        let units = self.graph.node(holder).held.map_or(0, |held| held.units);
        let visit = &mut self.visits[at];
        visit.blocked -= u64::from(units);
        visit.blocked < u64::from(self.graph.pools[&id].places)
    }

    /// It proceeds, and so may those that wait for it.
    fn proceed(&mut self, at: usize) {
        let mut found = vec![at];
        while let Some(on) = found.pop() {
            self.visits[on].proceeds = true;
            for dependent in mem::take(&mut self.visits[on].dependents) {
                let waits = &mut self.visits[dependent];
                if let Thing::Node(_) = waits.thing {
                    waits.next += 1;
                    self.stack.push(dependent);
                } else if self.relieves(dependent, on) {
                    found.push(dependent);
                }
            }
        }
    }
}
