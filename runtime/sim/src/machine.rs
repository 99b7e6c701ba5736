//! Where replicas run: the room on each node, and each deployment's fair share of the sum.
//!
//! Mirrors the server's `slots`: a deployment's claim stays until its next decision, and a replica
//! needs a place when it starts whatever its deployment's share is.

use crate::scenario::NodeSpec;
use samovar_core::share::fair_shares;

struct Node {
    slots: u32,
    used: u32,
    is_up: bool,
}

/// The machine, one node or several.
pub(crate) struct Machine {
    /// None if there is room for all.
    nodes: Vec<Node>,
    /// What each deployment wants, by name.
    wants: Vec<u32>,
    sum: u64,
    /// Shares of the current wants, made when they are asked for.
    shares: Option<Vec<u32>>,
}

impl Machine {
    pub fn new(nodes: &[NodeSpec], deployments: usize) -> Self {
        let nodes = nodes.iter().map(|node| Node { slots: node.slots, used: 0, is_up: true });
        Machine { nodes: nodes.collect(), wants: vec![0; deployments], sum: 0, shares: None }
    }

    /// The deployment at `rank`, in the order of names, wants this many replicas. Answers how many
    /// it may have.
    pub fn claim(&mut self, rank: usize, wanted: u32) -> u32 {
        let before = std::mem::replace(&mut self.wants[rank], wanted);
        if before != wanted {
            self.sum = self.sum - u64::from(before) + u64::from(wanted);
            self.shares = None;
        }
        let Some(total) = self.total().filter(|total| self.sum > u64::from(*total)) else {
            return wanted;
        };
        self.shares.get_or_insert_with(|| fair_shares(total, &self.wants))[rank]
    }

    /// Room on all nodes that are up; none if it is not bounded.
    pub fn total(&self) -> Option<u32> {
        if self.nodes.is_empty() {
            return None;
        }
        Some(self.nodes.iter().filter(|node| node.is_up).map(|node| node.slots).sum())
    }

    /// Takes a place on the node that has the most room; none if there is no room.
    pub fn take_place(&mut self) -> Option<u32> {
        if self.nodes.is_empty() {
            return Some(0);
        }
        let room = |node: &Node| if node.is_up { node.slots - node.used } else { 0 };
        let nodes = self.nodes.iter().enumerate();
        let (index, _) = nodes
            .filter(|(_, node)| room(node) > 0)
            .min_by_key(|(index, node)| (std::cmp::Reverse(room(node)), *index))?;
        self.nodes[index].used += 1;
        Some(index as u32)
    }

    /// Gives a place back.
    pub fn give_place(&mut self, node: u32) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.used -= 1;
        }
    }

    /// A node is lost or back. What was on it must give its places back.
    pub fn set_up(&mut self, node: u32, is_up: bool) {
        self.nodes[node as usize].is_up = is_up;
        self.shares = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(slots: &[u32]) -> Machine {
        let nodes = slots.iter().map(|slots| NodeSpec { name: String::new(), slots: *slots });
        Machine::new(&nodes.collect::<Vec<_>>(), 3)
    }

    #[test]
    fn shares_are_fair_once_there_is_not_room_for_all() {
        let mut machine = machine(&[6, 4]);
        assert_eq!((machine.claim(0, 2), machine.claim(1, 8)), (2, 8));
        assert_eq!((machine.claim(2, 20), machine.claim(1, 8), machine.claim(0, 2)), (4, 4, 2));
        machine.set_up(1, false);
        assert_eq!((machine.claim(2, 20), machine.claim(1, 8), machine.claim(0, 2)), (2, 2, 2));
        assert_eq!((machine.claim(2, 0), machine.claim(1, 8)), (0, 4));
    }

    #[test]
    fn replicas_go_where_the_most_room_is() {
        let mut machine = machine(&[1, 2]);
        let places: Vec<Option<u32>> = (0..4).map(|_| machine.take_place()).collect();
        assert_eq!(places, [Some(1), Some(0), Some(1), None]);
        machine.give_place(1);
        machine.set_up(1, false);
        assert_eq!(machine.take_place(), None);
        machine.set_up(1, true);
        assert_eq!(machine.take_place(), Some(1));
    }

    #[test]
    fn a_machine_without_nodes_has_room_for_all() {
        let mut machine = machine(&[]);
        assert_eq!((machine.claim(0, u32::MAX), machine.claim(1, u32::MAX)), (u32::MAX, u32::MAX));
        assert_eq!((machine.take_place(), machine.total()), (Some(0), None));
    }
}
