//! The connections of one deployment.
//!
//! At most so many are open at once. One in use holds a slot; one that is not in use holds none,
//! and is closed when its place is needed for another host, the one that waits for the longest
//! first. So unused connections never keep a request from being sent.
//!
//! With HTTP/1.1 a connection is in use from its request to the end of its response. With HTTP/2
//! it is while it has streams, and further requests to the same target join it.

mod lease;
mod slot;

use crate::target::Target;
use crate::wire::{Http2, Wire};
use parking_lot::Mutex;
use slot::{Slot, Slots};
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub(crate) use lease::{Lease, Stream};

/// Connections of a [`Client`](crate::Client).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// With a request on them, or being made.
    pub busy: usize,
    /// Waiting for the next request.
    pub idle: usize,
}

/// The connections of one deployment.
pub(crate) struct Pool {
    idle_timeout: Duration,
    slots: Slots,
    /// Tells those who wait for a slot that there is a connection that they may be able to join.
    shared_anew: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Not in use, the one that waits for the longest first.
    idle: VecDeque<Idle>,
    /// With streams on them.
    shared: HashMap<Target, Shared>,
    /// Number of the next shared connection.
    next: u64,
    is_swept: bool,
}

struct Idle {
    target: Target,
    since: Instant,
    wire: Wire,
}

struct Shared {
    number: u64,
    streams: usize,
    wire: Http2,
    slot: Arc<Slot>,
}

/// What a request may do.
pub(crate) enum Turn {
    /// Use a connection that was used before.
    Reuse(Lease),
    /// Make a new one.
    Connect(Slot),
}

impl Pool {
    pub(crate) fn new(connections_max: usize, idle_timeout: Duration) -> Arc<Pool> {
        let (slots, state) = (Slots::new(connections_max), Mutex::default());
        Arc::new(Pool { idle_timeout, slots, shared_anew: Notify::new(), state })
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts { busy: self.slots.taken(), idle: state.idle.len() }
    }

    /// Waits until `end` for a connection to `target`, or for the right to make one.
    pub(crate) async fn turn(self: &Arc<Self>, target: &Target, end: Instant) -> Option<Turn> {
        let mut permit = pin!(self.slots.wait());
        loop {
            let mut shared_anew = pin!(self.shared_anew.notified());
            shared_anew.as_mut().enable();
            if let Some(stream) = self.join(target) {
                return Some(Turn::Reuse(Lease::Stream(stream)));
            }
            tokio::select! {
                biased;
                permit = &mut permit => return Some(self.take(target, permit)),
                () = shared_anew => {}
                () = sleep_until(end) => return None,
            }
        }
    }

    /// A further stream on a connection in use.
    fn join(self: &Arc<Self>, target: &Target) -> Option<Stream> {
        self.state.lock().join(self, target)
    }

    /// What the holder of a permit may do.
    fn take(self: &Arc<Self>, target: &Target, permit: slot::Permit) -> Turn {
        // Connections are closed outside of the lock.
        let mut closed = Vec::new();
        let mut state = self.state.lock();
        if let Some(stream) = state.join(self, target) {
            return Turn::Reuse(Lease::Stream(stream));
        }
        let slot = self.slots.fill(permit);
        let turn = match state.take_idle(target, self.oldest(), &mut closed) {
            Some(Wire::Http1(wire)) => Turn::Reuse(Lease::one(self, target.clone(), wire, slot)),
            Some(Wire::Http2(wire)) => {
                Turn::Reuse(Lease::Stream(state.share(self, target, wire, slot)))
            }
            None => {
                while state.idle.len() + self.slots.taken() > self.slots.max() {
                    let Some(oldest) = state.idle.pop_front() else { break };
                    closed.push(oldest.wire);
                }
                Turn::Connect(slot)
            }
        };
        drop(state);
        if let Turn::Reuse(Lease::Stream(_)) = &turn {
            self.shared_anew.notify_waiters();
        }
        turn
    }

    /// Takes in a new connection and gives it to whom it was made for.
    pub(crate) fn take_in(self: &Arc<Self>, target: &Target, wire: Wire, slot: Slot) -> Lease {
        let wire = match wire {
            Wire::Http1(wire) => return Lease::one(self, target.clone(), wire, slot),
            Wire::Http2(wire) => wire,
        };
        let mut state = self.state.lock();
        // Others may have made one at the same time. One is enough, ours is closed.
        let joined = state.join(self, target);
        let stream = joined.unwrap_or_else(|| state.share(self, target, wire, slot));
        drop(state);
        self.shared_anew.notify_waiters();
        Lease::Stream(stream)
    }

    /// Connections that are idle for longer are not used any more.
    fn oldest(&self) -> Option<Instant> {
        Instant::now().checked_sub(self.idle_timeout)
    }

    /// Keeps a connection for the next request.
    fn rest(self: &Arc<Self>, target: Target, wire: Wire, slot: Slot) {
        // Without a runtime there is nobody to drive it.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.state.lock();
        state.idle.push_back(Idle { target, since: Instant::now(), wire });
        // Under the lock, so that nobody counts the connection twice and closes one for nothing.
        drop(slot);
        if std::mem::replace(&mut state.is_swept, true) {
            return;
        }
        let pool = Arc::downgrade(self);
        let mut next = Instant::now().checked_add(self.idle_timeout);
        runtime.spawn(async move {
            while let Some(at) = next {
                sleep_until(at).await;
                next = pool.upgrade().and_then(|pool| pool.sweep());
            }
        });
    }

    /// Closes the connections that are idle for too long. When to do it next, if there are others.
    fn sweep(&self) -> Option<Instant> {
        let oldest = self.oldest();
        let mut state = self.state.lock();
        let is_old = |idle: &Idle| oldest.is_some_and(|oldest| idle.since <= oldest);
        let kept = state.idle.iter().position(|idle| !is_old(idle)).unwrap_or(state.idle.len());
        let closed: Vec<Idle> = state.idle.drain(..kept).collect();
        let next = state.idle.front().and_then(|idle| idle.since.checked_add(self.idle_timeout));
        state.is_swept = next.is_some();
        drop(state);
        drop(closed);
        next
    }

    /// Ends a stream of a shared connection.
    fn end_stream(self: &Arc<Self>, target: &Target, number: u64) {
        let mut state = self.state.lock();
        let Some(shared) = state.shared.get_mut(target) else { return };
        if shared.number != number {
            return; // It was closed, and this is its successor.
        }
        shared.streams -= 1;
        if shared.streams > 0 {
            return;
        }
        let last = state.shared.remove(target);
        drop(state);
        let Some(Shared { wire, slot, .. }) = last else { return };
        if let (Ok(slot), true) = (Arc::try_unwrap(slot), wire.sender.is_ready()) {
            self.rest(target.clone(), Wire::Http2(wire), slot);
        }
    }
}

impl State {
    fn join(&mut self, pool: &Arc<Pool>, target: &Target) -> Option<Stream> {
        let shared = self.shared.get_mut(target)?;
        if !shared.wire.sender.is_ready() {
            // Streams that it still has keep it, and its slot.
            self.shared.remove(target);
            return None;
        }
        shared.streams += 1;
        Some(Stream::new(pool, target, shared))
    }

    /// Makes a connection one that others can join, with one stream.
    fn share(&mut self, pool: &Arc<Pool>, target: &Target, wire: Http2, slot: Slot) -> Stream {
        self.next += 1;
        let shared = Shared { number: self.next, streams: 1, wire, slot: Arc::new(slot) };
        let stream = Stream::new(pool, target, &shared);
        self.shared.insert(target.clone(), shared);
        stream
    }

    /// The connection to `target` that was used last. `closed` has those that are of no use.
    fn take_idle(
        &mut self,
        target: &Target,
        oldest: Option<Instant>,
        closed: &mut Vec<Wire>,
    ) -> Option<Wire> {
        loop {
            let index = self.idle.iter().rposition(|idle| idle.target == *target)?;
            let idle = self.idle.remove(index)?;
            let is_old = oldest.is_some_and(|oldest| idle.since <= oldest);
            if !is_old && idle.wire.is_ready() {
                return Some(idle.wire);
            }
            closed.push(idle.wire);
        }
    }
}
