//! The requests that are somewhere, and the lists they are in.

use samovar_core::pool::Ticket;
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use std::collections::VecDeque;

/// No request: the end of a list.
pub(crate) const NONE: u32 = u32::MAX;

/// A request; noticed to be another one once its place is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestRef {
    pub index: u32,
    generation: u32,
}

/// Who sent a request, and waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody waits.
    World,
    /// A user of a closed loop.
    User(u32),
    /// A request that is served elsewhere.
    Call { parent: RequestRef, call: u16, attempt: u16 },
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nowhere: the place is free.
    Free,
    /// It has just arrived.
    Arrived,
    /// In its pool's queue.
    Waiting(Ticket),
    /// On a replica.
    Served(Lease),
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub stage: Stage,
    pub origin: Origin,
    /// Counts all requests of a simulation.
    pub number: u64,
    pub arrived: Timestamp,
    pub assigned: Timestamp,
    /// Nanoseconds a replica works on it.
    pub service: u64,
    pub deployment: u32,
    generation: u32,
    /// Calls that are not answered yet.
    pub calls_left: u32,
    /// First of the requests that it called and that are somewhere.
    pub first_call: u32,
    /// Neighbours among the calls of the same request.
    next_call: u32,
    previous_call: u32,
    /// Neighbours on the same replica.
    next: u32,
    previous: u32,
}

/// All requests. Places are used again, so that nothing is allocated per request.
#[derive(Default)]
pub(crate) struct Requests {
    places: Vec<Request>,
    free: Vec<u32>,
    made: u64,
}

impl Requests {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// How many there ever were.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// A new request that takes `service` nanoseconds.
    pub fn add(&mut self, deployment: usize, origin: Origin, service: u64, now: Timestamp) -> u32 {
        let mut request = Request {
            stage: Stage::Arrived,
            origin,
            number: self.made,
            arrived: now,
            assigned: now,
            service,
            deployment: deployment as u32,
            generation: 0,
            calls_left: 0,
            first_call: NONE,
            next_call: NONE,
            previous_call: NONE,
            next: NONE,
            previous: NONE,
        };
        self.made += 1;
        let index = match self.free.pop() {
            Some(index) => {
                request.generation = self.places[index as usize].generation;
                self.places[index as usize] = request;
                index
            }
            None => {
                self.places.push(request);
                u32::try_from(self.places.len() - 1).expect("fewer requests at once than 2^32")
            }
        };
        if let Origin::Call { parent, .. } = origin {
            self.link_call(parent.index, index);
        }
        index
    }

    /// A request is over. It must be on no replica any more.
    pub fn remove(&mut self, index: u32) {
        let request = self.places[index as usize];
        if let Origin::Call { parent, .. } = request.origin {
            self.unlink_call(parent.index, index);
        }
        let place = &mut self.places[index as usize];
        place.stage = Stage::Free;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
    }

    /// Cuts what a request called from it, one of them at a time.
    pub fn orphan_call(&mut self, parent: u32) -> Option<u32> {
        let child = self.places[parent as usize].first_call;
        if child == NONE {
            return None;
        }
        self.unlink_call(parent, child);
        self.places[child as usize].origin = Origin::World;
        Some(child)
    }

    /// Those on a replica.
    pub fn served(&self) -> impl Iterator<Item = &Request> {
        self.places.iter().filter(|request| matches!(request.stage, Stage::Served(_)))
    }

    pub fn at(&self, index: u32) -> &Request {
        &self.places[index as usize]
    }

    pub fn at_mut(&mut self, index: u32) -> &mut Request {
        &mut self.places[index as usize]
    }

    /// A name for a request that is somewhere.
    pub fn reference(&self, index: u32) -> RequestRef {
        RequestRef { index, generation: self.at(index).generation }
    }

    /// Whether a request is still somewhere.
    pub fn is_here(&self, request: RequestRef) -> bool {
        self.at(request.index).generation == request.generation
    }

    /// Puts a request in front of the list of a replica that begins with `first`.
    pub fn link(&mut self, first: &mut u32, index: u32) {
        let next = std::mem::replace(first, index);
        let request = self.at_mut(index);
        request.next = next;
        request.previous = NONE;
        if next != NONE {
            self.at_mut(next).previous = index;
        }
    }

    /// Takes a request out of the list of a replica that begins with `first`.
    pub fn unlink(&mut self, first: &mut u32, index: u32) {
        let Request { next, previous, .. } = *self.at(index);
        match previous {
            NONE => *first = next,
            previous => self.at_mut(previous).next = next,
        }
        if next != NONE {
            self.at_mut(next).previous = previous;
        }
    }

    fn link_call(&mut self, parent: u32, child: u32) {
        let next = std::mem::replace(&mut self.at_mut(parent).first_call, child);
        self.at_mut(child).next_call = next;
        if next != NONE {
            self.at_mut(next).previous_call = child;
        }
    }

    fn unlink_call(&mut self, parent: u32, child: u32) {
        let Request { next_call, previous_call, .. } = *self.at(child);
        match previous_call {
            NONE => self.at_mut(parent).first_call = next_call,
            previous => self.at_mut(previous).next_call = next_call,
        }
        if next_call != NONE {
            self.at_mut(next_call).previous_call = previous_call;
        }
    }
}

/// Points in time by which requests must have got on. All of them have the same time for it, so
/// they come due in the order they began, and one planned event is enough.
#[derive(Default)]
pub(crate) struct Deadlines {
    list: VecDeque<(u64, RequestRef)>,
    is_planned: bool,
}

impl Deadlines {
    /// Adds the latest one. Answers when an event has to be planned, if one has.
    pub fn push(&mut self, at: u64, request: RequestRef) -> Option<u64> {
        self.list.push_back((at, request));
        if self.is_planned {
            return None;
        }
        self.is_planned = true;
        self.list.front().map(|(at, _)| *at)
    }

    /// Forgets the oldest ones that `is_over` tells to be over.
    pub fn forget(&mut self, is_over: impl Fn(RequestRef) -> bool) {
        while self.list.front().is_some_and(|(_, request)| is_over(*request)) {
            self.list.pop_front();
        }
    }

    /// The oldest one, if it is due.
    pub fn due(&mut self, now: u64) -> Option<RequestRef> {
        let (at, request) = *self.list.front()?;
        if at > now {
            return None;
        }
        self.list.pop_front();
        Some(request)
    }

    /// The planned event happened. Answers when the next has to be planned.
    pub fn replan(&mut self) -> Option<u64> {
        let next = self.list.front().map(|(at, _)| *at);
        self.is_planned = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(requests: &mut Requests, origin: Origin) -> u32 {
        requests.add(0, origin, 1, Timestamp::ZERO)
    }

    #[test]
    fn a_place_is_used_again_and_the_old_name_is_not() {
        let mut requests = Requests::default();
        let first = add(&mut requests, Origin::World);
        let name = requests.reference(first);
        assert!(requests.is_here(name));
        requests.remove(first);
        assert_eq!(requests.len(), 0);
        let second = add(&mut requests, Origin::World);
        assert_eq!(second, first);
        assert!(!requests.is_here(name) && requests.is_here(requests.reference(second)));
        assert_eq!((requests.len(), requests.made()), (1, 2));
    }

    #[test]
    fn requests_leave_a_replica_from_anywhere_in_its_list() {
        let mut requests = Requests::default();
        let mut first = NONE;
        let all: Vec<u32> = (0..4).map(|_| add(&mut requests, Origin::World)).collect();
        all.iter().for_each(|index| requests.link(&mut first, *index));
        for gone in [1, 3, 0] {
            requests.unlink(&mut first, all[gone]);
        }
        assert_eq!((first, requests.at(first).next, requests.at(first).previous), (2, NONE, NONE));
        requests.unlink(&mut first, all[2]);
        assert_eq!(first, NONE);
    }

    #[test]
    fn calls_belong_to_who_made_them_until_they_are_over_or_orphaned() {
        let mut requests = Requests::default();
        let parent = add(&mut requests, Origin::World);
        let name = requests.reference(parent);
        let origin = Origin::Call { parent: name, call: 0, attempt: 0 };
        let calls: Vec<u32> = (0..3).map(|_| add(&mut requests, origin)).collect();
        requests.remove(calls[1]);
        assert_eq!(requests.orphan_call(parent), Some(calls[2]));
        assert_eq!(requests.at(calls[2]).origin, Origin::World);
        assert_eq!(requests.orphan_call(parent), Some(calls[0]));
        assert_eq!(requests.orphan_call(parent), None);
    }

    #[test]
    fn one_event_is_planned_for_many_deadlines() {
        let mut requests = Requests::default();
        let names = [0, 1, 2].map(|_| {
            let index = add(&mut requests, Origin::World);
            requests.reference(index)
        });
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.push(5, names[0]), Some(5));
        assert_eq!(deadlines.push(6, names[1]), None);
        assert_eq!(deadlines.push(9, names[2]), None);
        deadlines.forget(|request| request == names[0]);
        assert_eq!((deadlines.due(5), deadlines.replan()), (None, Some(6)));
        assert_eq!((deadlines.due(6), deadlines.due(6)), (Some(names[1]), None));
        assert_eq!(
            (deadlines.replan(), deadlines.due(9), deadlines.replan()),
            (Some(9), Some(names[2]), None)
        );
    }
}
