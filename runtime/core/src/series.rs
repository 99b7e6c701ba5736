//! Queues of numbers that change evenly, in a few bytes each.
//!
//! Times of ticks differ by nearly the same each time, so what is kept is by how much the difference
//! differs from the one before: as Gorilla does with times, in whole bytes instead of bits. Pelkonen
//! and others: Gorilla, a fast, scalable, in-memory time series database, VLDB 2015, section 4.1.

use std::collections::VecDeque;

/// Numbers, oldest first. Any numbers: those that do not change evenly take more bytes, ten at most.
#[derive(Clone, Debug)]
pub struct Series {
    /// The number before the oldest one, and by how much that was more than the one before it.
    front: Place,
    /// The newest number, or the one that was taken out last.
    back: Place,
    /// For each number how its step differs from the step before.
    turns: VecDeque<u8>,
}

/// A number in the course of a series, and the step to it. All arithmetic is modulo 2^64.
#[derive(Clone, Copy, Debug)]
struct Place {
    value: u64,
    step: u64,
}

impl Place {
    fn next(self, turn: u64) -> Self {
        let step = self.step.wrapping_add(turn);
        Place { value: self.value.wrapping_add(step), step }
    }
}

impl Series {
    /// An empty one. Its numbers are thought to come after `start`.
    pub fn after(start: u64) -> Self {
        let start = Place { value: start, step: 0 };
        Series { front: start, back: start, turns: VecDeque::new() }
    }

    /// Adds the newest number.
    pub fn push(&mut self, value: u64) {
        let step = value.wrapping_sub(self.back.value);
        let turn = step.wrapping_sub(self.back.step);
        self.back = Place { value, step };
        // Small numbers of both signs become small numbers.
        let mut rest = (turn << 1) ^ ((turn as i64 >> 63) as u64);
        while rest >= 0x80 {
            self.turns.push_back(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.turns.push_back(rest as u8);
    }

    /// Takes the oldest number out.
    pub fn pop(&mut self) -> Option<u64> {
        let turns = &mut self.turns;
        self.front = self.front.next(read_turn(|| turns.pop_front())?);
        Some(self.front.value)
    }

    /// The newest number; before there is one, what it comes after.
    pub fn newest(&self) -> u64 {
        self.back.value
    }

    /// All numbers, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        let (mut at, mut bytes) = (self.front, self.turns.iter().copied());
        std::iter::from_fn(move || {
            at = at.next(read_turn(|| bytes.next())?);
            Some(at.value)
        })
    }
}

fn read_turn(mut next: impl FnMut() -> Option<u8>) -> Option<u64> {
    let (mut zigzag, mut shift) = (0, 0);
    loop {
        let byte = next()?;
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((zigzag >> 1) ^ (zigzag & 1).wrapping_neg());
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_take_a_few_bytes_each() {
        let second = 1_000_000_000;
        let mut series = Series::after(7 * second);
        for tick in 8..108 {
            // Late by up to a tenth of a millisecond.
            series.push(tick * second + tick * 7919 % 100_000);
        }
        assert!(series.turns.len() <= 3 * 100 + 3, "{} bytes", series.turns.len());
        let mut even = Series::after(0);
        (1..=100).for_each(|number| even.push(number * 1000));
        assert!(even.turns.len() <= 102, "{} bytes", even.turns.len());
    }

    proptest! {
        /// It is a queue of numbers.
        #[test]
        fn what_comes_out_is_what_went_in(
            start: u64,
            steps in prop::collection::vec(
                prop_oneof![Just(None), any::<u64>().prop_map(Some), (0_u64..5).prop_map(Some)],
                0..200,
            ),
        ) {
            let (mut series, mut plain) = (Series::after(start), VecDeque::new());
            for step in steps {
                match step {
                    Some(value) => {
                        series.push(value);
                        plain.push_back(value);
                        prop_assert_eq!(series.newest(), value);
                    }
                    None => prop_assert_eq!(series.pop(), plain.pop_front()),
                }
                prop_assert!(series.iter().eq(plain.iter().copied()));
            }
        }
    }
}
