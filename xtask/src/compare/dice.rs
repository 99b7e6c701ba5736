//! Random choices that a seed decides, biased to values where two implementations part ways.

use serde_json::{Number, Value, json};

/// Increment and multipliers of SplitMix64 (Steele, Lea, Flood, 2014).
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
const MIX: [u64; 2] = [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB];

/// A stream of random choices. The same seed and number give the same stream.
pub struct Dice(u64);

impl Dice {
    /// The stream of the trace with this number, so that each can be made again alone.
    pub fn new(seed: u64, number: u64) -> Self {
        let mixed_seed = Self(seed).next();
        Self(Self(mixed_seed ^ number).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(MIX[0]);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(MIX[1]);
        mixed ^ (mixed >> 31)
    }

    /// A whole number, both ends included.
    pub fn int(&mut self, from: i64, to: i64) -> i64 {
        assert!(from <= to, "a range from {from} to {to}");
        let width = to.abs_diff(from) + 1;
        from + i64::try_from(self.next() % width).expect("narrower than the range")
    }

    pub fn chance(&mut self, percent: i64) -> bool {
        self.int(1, 100) <= percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// An index into something of this length.
    pub fn below(&mut self, length: usize) -> usize {
        (self.next() % length as u64) as usize
    }

    /// One of the choices; each number is its weight.
    pub fn weighted<T: Copy>(&mut self, choices: &[(T, u64)]) -> T {
        let sum: u64 = choices.iter().map(|(_, weight)| weight).sum();
        let mut left = self.next() % sum;
        for (choice, weight) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("the weights add up to {sum}")
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An amount of work from 0 on: zeros, small counts, fractions that do not add up in binary,
    /// tiny and huge ones.
    pub fn amount(&mut self) -> f64 {
        match self.int(0, 9) {
            0 => 0.0,
            1..=4 => self.int(1, 40) as f64,
            5 => self.int(1, 2000) as f64 / 10.0,
            6 => self.int(1, 100) as f64 / 3.0,
            7 => self.unit() * 100.0,
            8 => self.pick(&[0.1 + 0.2, 1e-9, 1e-6, 0.07 * 100.0, 1.1 * 1.1, 29.0, 4.35 * 100.0]),
            _ => self.pick(&[1e3, 12_345.678, 1e6, 99_999.999_999]),
        }
    }

    /// The point itself more often than not, or its nearest neighbours.
    pub fn around(&mut self, point: f64) -> f64 {
        match self.int(0, 9) {
            0 => point.next_up(),
            1 => point.next_down().max(0.0),
            2 => point * 1.000_001,
            3 => point * 0.999_999,
            _ => point,
        }
    }

    /// Seconds between two ticks.
    pub fn step_s(&mut self) -> f64 {
        self.pick(&[0.0, 0.1, 0.1, 0.1, 0.1, 0.05, 0.3, 0.5, 1.0, 1.0, 1.0, 2.0, 2.5, 7.3, 60.0])
    }

    /// Sets a field in about so many percent of the calls.
    pub fn maybe(&mut self, fields: &mut Value, percent: i64, key: &str, value: impl Into<Value>) {
        if self.chance(percent) {
            fields[key] = value.into();
        }
    }
}

/// The number as JSON, without a point if it is whole, as a person would write it.
pub fn number(value: f64) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        return json!(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_number_decide_the_stream() {
        let draw = |seed, number| {
            let mut dice = Dice::new(seed, number);
            (0..8).map(|_| dice.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 1));
    }

    #[test]
    fn choices_stay_in_their_range() {
        let mut dice = Dice::new(7, 0);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            let drawn = dice.int(-2, 2);
            seen[usize::try_from(drawn + 2).unwrap()] = true;
            assert!((0.0..1.0).contains(&dice.unit()));
            assert!(dice.amount() >= 0.0);
            assert_eq!(dice.weighted(&[("never", 0), ("always", 3)]), "always");
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn whole_numbers_have_no_point() {
        assert_eq!(number(3.0).to_string(), "3");
        assert_eq!(number(0.1 + 0.2).to_string(), "0.30000000000000004");
    }
}
