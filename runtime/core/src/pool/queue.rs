//! Requests that wait for a replica, first come, first served.

use crate::time::Timestamp;
use std::collections::VecDeque;

/// Places of gone requests that are kept beside as many as there are waiting ones: few enough to
/// be no burden, enough that a short queue is not swept at each cancellation.
const GONE_MAX: usize = 16;

/// A waiting request. Tickets only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// A request that waited and is served now, with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<W> {
    /// What the owner gave for it.
    pub waiter: W,
    /// The ticket it had. It has it again if it goes back to wait.
    pub ticket: Ticket,
    /// When it arrived.
    pub arrived: Timestamp,
}

/// The request that has waited longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub ticket: Ticket,
    pub since: Timestamp,
    /// It is to be served alone.
    pub is_alone: bool,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Waiting<W> {
    ticket: Ticket,
    since: Timestamp,
    is_alone: bool,
    /// None once the request gave up; its place is skipped.
    waiter: Option<W>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Queue<W> {
    /// By ticket. The first one did not give up.
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
    /// Keeps no room for those who do not wait yet.
    pub fn shrink(&mut self) {
        self.places.shrink_to_fit();
    }

    /// How many wait.
    pub fn len(&self) -> u32 {
        self.live
    }

    pub fn push(&mut self, waiter: W, now: Timestamp) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let waiter = Some(waiter);
        self.places.push_back(Waiting { ticket, since: now, is_alone: false, waiter });
        self.live += 1;
        ticket
    }

    /// The request that has waited longest.
    pub fn pop(&mut self) -> Option<W> {
        self.take().map(|member| member.waiter)
    }

    /// The request that has waited longest, and what is known of it.
    pub fn take(&mut self) -> Option<Member<W>> {
        let Waiting { ticket, since, waiter, .. } = self.places.pop_front()?;
        let waiter = waiter.expect("the first one did not give up");
        self.live -= 1;
        self.skip_gone();
        Some(Member { waiter, ticket, arrived: since })
    }

    /// One that was taken waits again where it was, to be served alone. So those to be served alone
    /// are before all others: whoever waits with a higher ticket was never taken.
    pub fn put_back(&mut self, member: Member<W>) {
        let Member { waiter, ticket, arrived } = member;
        let index = self.places.partition_point(|place| place.ticket < ticket);
        let place = Waiting { ticket, since: arrived, is_alone: true, waiter: Some(waiter) };
        self.places.insert(index, place);
        self.live += 1;
    }

    /// Takes one out of the middle; none if it does not wait any more.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        // Tickets are pushed in order, so the places are sorted by them.
        let index = self.places.binary_search_by_key(&ticket, |place| place.ticket).ok()?;
        let waiter = self.places[index].waiter.take()?;
        self.live -= 1;
        self.skip_gone();
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

    /// The one that has waited longest.
    pub fn first(&self) -> Option<First> {
        let Waiting { ticket, since, is_alone, .. } = *self.places.front()?;
        Some(First { ticket, since, is_alone })
    }

    /// The ticket that was given last; none if none ever was.
    pub fn newest(&self) -> Option<Ticket> {
        self.next_ticket.checked_sub(1).map(Ticket)
    }

    fn skip_gone(&mut self) {
        while self.places.front().is_some_and(|place| place.waiter.is_none()) {
            self.places.pop_front();
        }
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
        assert_eq!(queue.pop(), Some("first"));
        assert_eq!(queue.first().map(|first| first.since), Some(Timestamp::from_millis(2)));
        assert_eq!((queue.pop(), queue.pop(), queue.len()), (Some("last"), None, 0));
    }

    #[test]
    fn those_that_go_back_wait_alone_in_the_order_they_came() {
        let mut queue = Queue::default();
        let tickets = ["a", "b", "c", "d", "e"].map(|name| queue.push(name, Timestamp::ZERO));
        let taken: Vec<_> = (0..4).filter_map(|_| queue.take()).collect();
        assert_eq!(queue.cancel(tickets[1]), None, "it does not wait");
        for index in [1, 3, 0] {
            queue.put_back(taken[index].clone());
        }
        assert_eq!(queue.cancel(tickets[1]), Some("b"));
        let mut order = Vec::new();
        while let Some(first) = queue.first() {
            order.push((queue.pop().expect("it waits"), first.is_alone));
        }
        assert_eq!(order, [("a", true), ("d", true), ("e", false)]);
    }
}
