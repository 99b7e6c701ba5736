//! A hash of all that happens, to compare two runs. The same on every machine.

use crate::events::Event;
use std::hash::{Hash, Hasher};

/// The hash so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Adds an event.
    pub fn event(&mut self, at: u64, event: &Event) {
        self.mix(at);
        event.hash(self);
    }

    /// Adds a number. Multiplication and rotation as in FxHash: weak, but it takes a nanosecond.
    pub fn mix(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// The hash.
    pub fn value(self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.value()
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    fn write_u16(&mut self, number: u16) {
        self.mix(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(u64::from(number));
    }

    // What `derive(Hash)` writes for a variant; its width depends on the machine.
    fn write_isize(&mut self, number: isize) {
        self.mix(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_the_time_count() {
        let digest = |events: &[(u64, Event)]| {
            let mut digest = Digest::default();
            events.iter().for_each(|(at, event)| digest.event(*at, event));
            digest.value()
        };
        let (a, b) = (Event::Arrive(1), Event::Answered(1));
        assert_eq!(digest(&[(1, a), (2, b)]), digest(&[(1, a), (2, b)]));
        assert_ne!(digest(&[(1, a), (2, b)]), digest(&[(1, b), (2, a)]));
        assert_ne!(digest(&[(1, a)]), digest(&[(2, a)]));
    }
}
