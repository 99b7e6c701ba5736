//! Randomness: one stream per deployment and purpose, all from one seed.
//!
//! A stream depends on the seed and on names only, so adding a deployment or a fault leaves the
//! draws of all others as they were.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

/// The generator of all streams.
pub type Rng = Xoshiro256PlusPlus;

/// The stream of `purpose` for what is called `owner`.
pub fn stream(seed: u64, owner: &str, purpose: &str) -> Rng {
    let name = owner.bytes().chain([0]).chain(purpose.bytes());
    // FNV-1a: the same on every platform and in every version of Rust.
    let hash = name.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Rng::seed_from_u64(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A number from 0, included, to 1, excluded.
pub fn unit(rng: &mut Rng) -> f64 {
    // The 53 bits that a double holds.
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Whether something happens that has this probability. Draws nothing if it cannot happen.
pub fn chance(rng: &mut Rng, probability: f64) -> bool {
    probability > 0.0 && unit(rng) < probability
}

/// A whole number of `0..count`, which must not be empty.
pub fn below(rng: &mut Rng, count: u64) -> u64 {
    // The high half of a product; its bias is below 2^-64 times `count`.
    ((u128::from(rng.next_u64()) * u128::from(count)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_owner_and_purpose_and_repeat() {
        let first = |seed, owner, purpose| stream(seed, owner, purpose).next_u64();
        assert_eq!(first(1, "a", "service"), first(1, "a", "service"));
        assert_ne!(first(1, "a", "service"), first(2, "a", "service"));
        assert_ne!(first(1, "a", "service"), first(1, "b", "service"));
        assert_ne!(first(1, "a", "service"), first(1, "a", "start"));
        assert_ne!(first(1, "ab", "c"), first(1, "a", "bc"));
    }

    #[test]
    fn numbers_are_in_their_ranges() {
        let mut rng = stream(7, "x", "y");
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&unit(&mut rng)));
            seen[below(&mut rng, 5) as usize] = true;
            assert!(!chance(&mut rng, 0.0) && chance(&mut rng, 1.0));
        }
        assert_eq!(seen, [true; 5]);
    }
}
