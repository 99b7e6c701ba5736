//! Who called whom, for messages.

use super::graph::{Graph, State};
use super::{CallId, SHOWN_MAX};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The names of those who called one another, the outermost first. Of a long chain only the first
/// and the last few are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    first: VecDeque<Arc<str>>,
    omitted: usize,
    last: VecDeque<Arc<str>>,
}

impl Chain {
    /// How many names there are, those left out included.
    pub fn len(&self) -> usize {
        self.first.len() + self.omitted + self.last.len()
    }

    /// Whether there is none; not so for a call that has not ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arrow = "";
        for name in &self.first {
            write!(f, "{arrow}{name}")?;
            arrow = " -> ";
        }
        if self.omitted > 0 {
            write!(f, "{arrow}({} more)", self.omitted)?;
        }
        for name in &self.last {
            write!(f, "{arrow}{name}")?;
            arrow = " -> ";
        }
        Ok(())
    }
}

/// A call that can never be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// The call, which is forgotten already.
    pub call: CallId,
    /// How it came about. The last name is that of the deployment it waited for.
    pub chain: Chain,
    /// How many places the pool may have at most.
    pub capacity: u32,
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loop { chain, capacity, .. } = self;
        let callee = chain.last.back().map_or("it", |name| name);
        write!(
            f,
            "{chain}: every place of `{callee}` ({capacity}) is held by requests that wait for \
             this call"
        )
    }
}

impl Error for Loop {}

/// The chain that ends in this node. Of several callers, of a batch, the first one is followed.
pub(super) fn chain(graph: &Graph, node: u32) -> Chain {
    let (mut first, mut last) = (VecDeque::new(), VecDeque::new());
    let mut omitted = 0;
    let mut next = Some(node);
    while let Some(at) = next {
        let node = graph.node(at);
        // The batch that serves a call has the call's name.
        if node.state != State::Joined {
            if last.len() < SHOWN_MAX {
                last.push_front(node.name.clone());
            } else {
                first.push_front(node.name.clone());
            }
            if first.len() > SHOWN_MAX {
                first.pop_back();
                omitted += 1;
            }
        }
        let mut callers = node.parents.iter().map(|link| link.other);
        next = callers.find(|&other| graph.node(other).state != State::Replica);
    }
    Chain { first, omitted, last }
}
