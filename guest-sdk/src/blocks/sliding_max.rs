//! The largest value of the last ticks.

use std::collections::VecDeque;

/// The largest value recorded in the last few ticks: what it takes to delay scaling down.
///
/// Ticks are numbers that the caller counts up, such as the time divided by the pause between two
/// decisions; some may be left out. A window of `n` ticks holds the tick recorded last and the
/// `n - 1` numbers before it. Of several values in one tick the largest counts.
///
/// Only values that can still become the maximum are kept, so recording costs a few steps on
/// average, and memory for `n` values is taken once.
///
/// ```
/// use samovar_sdk::blocks::SlidingMax;
///
/// let mut wishes = SlidingMax::new(3);
/// assert_eq!(wishes.record(0, 8), 8);
/// assert_eq!(wishes.record(2, 5), 8);
/// assert_eq!(wishes.record(3, 1), 5); // Tick 0 has left.
/// ```
#[derive(Debug, Clone)]
pub struct SlidingMax<T> {
    ticks: u64,
    /// Ticks rise and values fall from front to back.
    falling: VecDeque<(u64, T)>,
}

impl<T: Copy + PartialOrd> SlidingMax<T> {
    /// A window of `ticks`; 0 counts as 1.
    pub fn new(ticks: u32) -> Self {
        let ticks = ticks.max(1);
        Self { ticks: ticks.into(), falling: VecDeque::with_capacity(ticks as usize) }
    }

    /// Records `value` in `tick` and returns the maximum of the window that ends with it.
    ///
    /// `tick` must not be below one recorded before.
    pub fn record(&mut self, tick: u64, value: T) -> T {
        let mut value = value;
        while self.falling.back().is_some_and(|&(_, last)| value >= last) {
            self.falling.pop_back();
        }
        while self.falling.front().is_some_and(|&(first, _)| first + self.ticks <= tick) {
            self.falling.pop_front();
        }
        if let Some((_, larger)) = self.falling.pop_back_if(|&mut (last, _)| last == tick) {
            value = larger;
        }
        self.falling.push_back((tick, value));
        self.max().unwrap_or(value)
    }

    /// The maximum of the window that ends with the tick recorded last; none before.
    pub fn max(&self) -> Option<T> {
        self.falling.front().map(|&(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::SlidingMax;

    #[test]
    fn equals_the_maximum_of_the_last_ticks() {
        let mut window = SlidingMax::new(5);
        let mut all: Vec<(u64, u64)> = Vec::new();
        assert_eq!(window.max(), None);
        for step in 0..500_u64 {
            let tick = step + step / 7; // Every seventh tick is left out.
            let value = (step * 7919) % 13;
            all.push((tick, value));
            let inside = all.iter().filter(|&&(at, _)| at + 5 > tick).map(|&(_, value)| value);
            assert_eq!(Some(window.record(tick, value)), inside.max(), "tick {tick}");
        }
    }

    #[test]
    fn of_one_tick_the_largest_counts() {
        let mut window = SlidingMax::new(3);
        assert_eq!([7, 6, 9, 5].map(|value| window.record(1, value)), [7, 7, 9, 9]);
        assert_eq!(window.record(4, 1), 1);
    }

    #[test]
    fn window_of_nothing_is_the_newest_tick() {
        let mut window = SlidingMax::new(0);
        assert_eq!([window.record(0, 3), window.record(1, 2)], [3, 2]);
    }

    #[test]
    fn memory_is_taken_once() {
        let mut window = SlidingMax::new(30);
        let before = window.falling.capacity();
        for tick in 0..1_000 {
            window.record(tick, 1_000 - tick % 100);
        }
        assert_eq!(window.falling.capacity(), before);
    }
}
