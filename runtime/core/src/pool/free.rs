//! Ready replicas that may take one more request, or batch, by how many they serve.
//!
//! One doubly linked list per count, the last one touched in front. All steps take constant time,
//! except that removing the only replica of the lowest list looks for the next list.

use crate::replica::Replica;

type Replicas = [Option<Replica>];

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct FreeLists {
    /// First replica of the list of those that serve `index` requests.
    heads: Vec<Option<u32>>,
    /// The lowest list that is not empty; `heads.len()` if all are.
    lowest: usize,
}

impl FreeLists {
    /// Empty lists for replicas that serve `concurrency` requests at a time.
    pub fn new(concurrency: u32) -> Self {
        let heads = vec![None; concurrency as usize];
        FreeLists { lowest: heads.len(), heads }
    }

    /// The replica that serves the fewest requests; none if all are full.
    pub fn least_busy(&self) -> Option<u32> {
        *self.heads.get(self.lowest)?
    }

    /// Puts a replica that serves `busy` requests in front of its list. A full one is in none.
    pub fn insert(&mut self, replicas: &mut Replicas, slot: u32, busy: u32) {
        let level = busy as usize;
        if level >= self.heads.len() {
            return;
        }
        let head = self.heads[level].replace(slot);
        let replica = at(replicas, slot);
        replica.previous = None;
        replica.next = head;
        if let Some(head) = head {
            at(replicas, head).previous = Some(slot);
        }
        self.lowest = self.lowest.min(level);
    }

    /// Takes a replica that serves `busy` requests out of its list. A full one is in none.
    pub fn remove(&mut self, replicas: &mut Replicas, slot: u32, busy: u32) {
        let level = busy as usize;
        if level >= self.heads.len() {
            return;
        }
        let replica = at(replicas, slot);
        let (previous, next) = (replica.previous.take(), replica.next.take());
        match previous {
            Some(previous) => at(replicas, previous).next = next,
            None => self.heads[level] = next,
        }
        if let Some(next) = next {
            at(replicas, next).previous = previous;
        }
        while self.heads.get(self.lowest).is_some_and(Option::is_none) {
            self.lowest += 1;
        }
    }

    /// The list of those that serve `busy` requests, front first.
    #[cfg(test)]
    pub fn slots_at(&self, replicas: &Replicas, busy: u32) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut next = self.heads[busy as usize];
        while let Some(slot) = next {
            slots.push(slot);
            next = replicas[slot as usize].as_ref().expect("listed replicas exist").next;
        }
        slots
    }
}

fn at(replicas: &mut Replicas, slot: u32) -> &mut Replica {
    replicas[slot as usize].as_mut().expect("listed replicas exist")
}
