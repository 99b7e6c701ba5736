//! Requests that wait for a replica, first come, first served.

use crate::time::Timestamp;
use std::collections::VecDeque;

/// Places of gone requests that are kept beside as many as there are waiting ones: few enough to
/// be no burden, enough that a short queue is not swept at each cancellation.
const GONE_MAX: usize = 16;

/// A waiting request. Tickets only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Waiting<W> {
    ticket: Ticket,
    since: Timestamp,
    /// None once the request gave up; its place is skipped.
    waiter: Option<W>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Queue<W> {
    places: VecDeque<Waiting<W>>,
    live: u32,
    next_ticket: u64,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Queue { places: VecDeque::new(), live: 0, next_ticket: 0 }
    }
}

impl<W> Queue<W> {
    /// How many wait.
    pub fn len(&self) -> u32 {
        self.live
    }

    pub fn push(&mut self, waiter: W, now: Timestamp) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.places.push_back(Waiting { ticket, since: now, waiter: Some(waiter) });
        self.live += 1;
        ticket
    }

    /// The request that has waited longest.
    pub fn pop(&mut self) -> Option<W> {
        while let Some(place) = self.places.pop_front() {
            if let Some(waiter) = place.waiter {
                self.live -= 1;
                return Some(waiter);
            }
        }
        None
    }

    /// Takes one out of the middle; none if it does not wait any more.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        // Tickets are pushed in order, so the places are sorted by them.
        let index = self.places.binary_search_by_key(&ticket, |place| place.ticket).ok()?;
        let waiter = self.places[index].waiter.take()?;
        self.live -= 1;
        // Gone places must not pile up behind one that waits long.
        if self.places.len() > 2 * self.live as usize + GONE_MAX {
            self.places.retain(|place| place.waiter.is_some());
        }
        Some(waiter)
    }

    /// How many places are kept, those of requests that left included.
    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Since when the first one waits.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.places.iter().find(|place| place.waiter.is_some()).map(|place| place.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_left_do_not_pile_up_behind_one_that_waits() {
        let mut queue = Queue::default();
        queue.push("first", Timestamp::ZERO);
        for _ in 0..1_000 {
            let ticket = queue.push("next", Timestamp::from_millis(1));
            assert_eq!(queue.cancel(ticket), Some("next"));
            assert!(queue.places() <= 2 + GONE_MAX);
        }
        queue.push("last", Timestamp::from_millis(2));
        assert_eq!((queue.pop(), queue.oldest()), (Some("first"), Some(Timestamp::from_millis(2))));
        assert_eq!((queue.pop(), queue.pop(), queue.len()), (Some("last"), None, 0));
    }
}
