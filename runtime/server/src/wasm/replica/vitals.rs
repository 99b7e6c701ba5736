//! How one instance is doing.

use crate::clock;
use crate::wasm::engine::EPOCH;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// How one instance is doing: its CPU time, and why it ended.
///
/// CPU time is wall time inside the instance's polls. Reading a thread's CPU clock costs a system
/// call; polls are short and preemption is rare, so this is close. On the threads of
/// [`heavy`](super::heavy) neither is true, and their CPU clock is read.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Up to the current turn, since the budget was last renewed.
    used_nanos: AtomicU64,
    turn_started_nanos: AtomicU64,
    exceeded: AtomicBool,
    failed: AtomicBool,
    heavy: AtomicBool,
    long_turns: AtomicU64,
}

impl Vitals {
    /// The budget starts anew.
    pub fn renew(&self) {
        self.used_nanos.store(0, Relaxed);
    }

    /// Time used since the budget was renewed, the current turn included.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_nanos.load(Relaxed)) + self.in_this_turn()
    }

    /// Time since the instance was last polled.
    pub fn in_this_turn(&self) -> Duration {
        let now = turn_clock();
        Duration::from_nanos(now.saturating_sub(self.turn_started_nanos.load(Relaxed)))
    }

    /// The instance was stopped because its budget was spent.
    pub fn note_exceeded(&self) {
        self.exceeded.store(true, Relaxed);
    }

    /// Whether the instance was stopped because its budget was spent.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    /// The instance trapped, made the host panic or was cut. Noted before its bodies are dropped,
    /// so that a body that ends early is not taken for a complete one.
    pub fn note_failed(&self) {
        self.failed.store(true, Release);
    }

    /// Whether the instance trapped, made the host panic or was cut.
    pub fn is_failed(&self) -> bool {
        self.failed.load(Acquire)
    }

    /// Whether the instance computes for long and does so apart from the others.
    pub fn is_heavy(&self) -> bool {
        self.heavy.load(Relaxed)
    }

    /// The instance computes for long.
    pub(super) fn note_heavy(&self) {
        self.heavy.store(true, Relaxed);
    }

    /// The instance does not compute for long any more.
    pub(super) fn note_light(&self) {
        self.heavy.store(false, Relaxed);
    }

    /// A request has ended: it says what the next one will be like.
    pub(super) fn note_ended(&self) {
        if self.is_heavy() && self.used() < EPOCH {
            self.note_light();
        }
    }

    /// Turns that took an epoch or more.
    pub(super) fn long_turns(&self) -> u64 {
        self.long_turns.load(Relaxed)
    }

    pub(super) fn turn<R>(&self, work: impl FnOnce() -> R) -> R {
        let started = turn_clock();
        self.turn_started_nanos.store(started, Relaxed);
        let result = work();
        let nanos = turn_clock().saturating_sub(started);
        self.used_nanos.fetch_add(nanos, Relaxed);
        if nanos >= EPOCH.as_nanos() as u64 {
            self.long_turns.fetch_add(1, Relaxed);
            self.note_heavy();
        }
        result
    }
}

/// Nanoseconds on the clock that measures turns on this thread.
fn turn_clock() -> u64 {
    super::heavy::cpu_time().map_or_else(|| clock::now().as_nanos(), |time| time.as_nanos() as u64)
}

impl AsRef<Vitals> for Vitals {
    fn as_ref(&self) -> &Vitals {
        self
    }
}
