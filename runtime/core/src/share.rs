//! Dividing what the machine can hold among the deployments that want it.

use std::cmp::Reverse;

/// Max-min fair shares of `capacity`: nobody gets more than it wants, and what one does not need
/// goes to the others evenly. Left-over single units go to those that want less, to the earlier one
/// of two that want as much, so that equal inputs give equal answers.
pub fn fair_shares(capacity: u32, wants: &[u32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|&index| (wants[index], index));
    let mut shares = vec![0; wants.len()];
    let mut left = capacity;
    for (done, &index) in order.iter().enumerate() {
        let waiting = (order.len() - done) as u32;
        // Rounded up while units remain; the smallest wants are served first.
        let even = left.div_ceil(waiting);
        shares[index] = wants[index].min(even);
        left -= shares[index];
    }
    shares
}

/// What one deployment wants of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Replicas it wants.
    pub wanted: u32,
    /// What one replica takes of the resource, whole or not at all; 0 if it needs none of it.
    pub units: u64,
    /// Who has more is served first, wholly.
    pub priority: i32,
}

/// How many replicas of each claim `capacity` units suffice for.
///
/// The claims of the highest priority are served first, then the next ones with what is left, as
/// far as it goes. Among claims of one priority units are handed out replica by replica, each to
/// whoever has the fewest units so far: max-min fairness for things that cannot be divided. Of two
/// that have as many, the one that wants less is first, then the earlier one. A claim whose next
/// replica does not fit gets no more, and smaller ones may still use the rest. Who needs no units
/// gets all it wants.
///
/// Takes time for sorting, and `claims` times the bits of `capacity` for each size that stops
/// fitting, however many replicas there are.
pub fn fair_counts(capacity: u64, claims: &[Claim]) -> Vec<u32> {
    let mut counts: Vec<u32> =
        claims.iter().map(|claim| if claim.units == 0 { claim.wanted } else { 0 }).collect();
    let mut order: Vec<usize> = (0..claims.len()).filter(|&i| claims[i].units > 0).collect();
    order.sort_by_key(|&index| (Reverse(claims[index].priority), index));
    let mut left = capacity;
    for class in order.chunk_by(|&a, &b| claims[a].priority == claims[b].priority) {
        left = share_class(left, claims, class, &mut counts);
    }
    counts
}
/// Shares `left` among claims of one priority; answers what remains.
///
/// Replica `k` of a claim is its turn at level `k * units`, what it has by then. As long as all
/// fit, those below a level are given whatever their order, so the highest such level is searched
/// for; only the turns at that level are gone through one by one. One of them does not fit, and
/// neither will any of its size later.
fn share_class(mut left: u64, claims: &[Claim], class: &[usize], counts: &mut [u32]) -> u64 {
    let mut order = class.to_vec();
    order.sort_by_key(|&index| (claims[index].wanted, index));
    loop {
        order.retain(|&i| counts[i] < claims[i].wanted && claims[i].units <= left);
        if order.is_empty() {
            return left;
        }
        let top = order.iter().map(|&i| u64::from(counts[i]) * claims[i].units).max().unwrap_or(0);
        let level = level_within(left, top.saturating_add(left), |level| {
            let costs = order.iter().map(|&index| {
                let claim = &claims[index];
                let more = below(level, claim).saturating_sub(counts[index]);
                u128::from(more) * u128::from(claim.units)
            });
            costs.sum()
        });
        for &index in &order {
            let claim = &claims[index];
            let more = below(level, claim).saturating_sub(counts[index]);
            counts[index] += more;
            left -= u64::from(more) * claim.units;
        }
        for &index in &order {
            let claim = &claims[index];
            let is_next = u64::from(counts[index]) * claim.units == level;
            if is_next && counts[index] < claim.wanted && claim.units <= left {
                counts[index] += 1;
                left -= claim.units;
            }
        }
    }
}

/// Replicas of a claim whose turn is below `level`.
fn below(level: u64, claim: &Claim) -> u32 {
    let turns = level.div_ceil(claim.units);
    u32::try_from(turns).unwrap_or(u32::MAX).min(claim.wanted)
}

/// The highest level up to `top` that costs no more than `left`; level 0 costs nothing.
fn level_within(left: u64, top: u64, cost: impl Fn(u64) -> u128) -> u64 {
    let (mut low, mut high) = (0, top);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if cost(middle) <= u128::from(left) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_wants_are_met_and_the_rest_is_even() {
        assert_eq!(fair_shares(10, &[2, 20, 20]), [2, 4, 4]);
        assert_eq!(fair_shares(10, &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(fair_shares(0, &[1, 2]), [0, 0]);
        assert_eq!(fair_shares(1, &[5, 5]), [1, 0]);
    }

    #[test]
    fn a_left_over_unit_goes_to_the_smaller_want_and_then_to_the_earlier() {
        assert_eq!(fair_shares(7, &[20, 3, 20]), [2, 3, 2]);
        assert_eq!(fair_shares(8, &[20, 3, 20]), [3, 3, 2]);
        assert_eq!(fair_shares(1, &[5, 3]), [0, 1]);
    }

    #[test]
    fn nobody_shares_nothing() {
        assert_eq!(fair_shares(7, &[]), []);
    }

    proptest! {
        #[test]
        fn shares_fit_and_waste_nothing(capacity in 0u32..200, wants in proptest::collection::vec(0u32..50, 0..20)) {
            let shares = fair_shares(capacity, &wants);
            let given: u32 = shares.iter().sum();
            let wanted: u32 = wants.iter().sum();
            prop_assert_eq!(given, capacity.min(wanted));
            for (share, want) in shares.iter().zip(&wants) {
                prop_assert!(share <= want);
            }
            // Nobody who lacks something has over one unit less than somebody else.
            for (a, &lacking) in shares.iter().enumerate() {
                if lacking < wants[a] {
                    prop_assert!(shares.iter().all(|&other| other <= lacking + 1));
                }
            }
        }
    }

    fn claim(wanted: u32, units: u64, priority: i32) -> Claim {
        Claim { wanted, units, priority }
    }

    #[test]
    fn units_are_shared_not_replicas() {
        // Twelve units each: three replicas of four units, six of two.
        assert_eq!(fair_counts(24, &[claim(9, 4, 0), claim(9, 2, 0)]), [3, 6]);
        // The rest is too small for another large one.
        assert_eq!(fair_counts(26, &[claim(9, 4, 0), claim(9, 2, 0)]), [3, 7]);
        assert_eq!(fair_counts(3, &[claim(1, 4, 0), claim(9, 2, 0)]), [0, 1]);
    }

    #[test]
    fn the_more_important_claims_are_served_first() {
        let claims = [claim(3, 1, 0), claim(4, 1, 7), claim(9, 1, -1)];
        assert_eq!(fair_counts(5, &claims), [1, 4, 0]);
        assert_eq!(fair_counts(9, &claims), [3, 4, 2]);
        // What does not fit the more important one is not wasted.
        assert_eq!(fair_counts(5, &[claim(2, 4, 1), claim(9, 1, 0)]), [1, 1]);
    }

    #[test]
    fn who_needs_none_gets_all_it_wants() {
        assert_eq!(fair_counts(0, &[claim(5, 0, 0), claim(5, 1, 9)]), [5, 0]);
        assert_eq!(fair_counts(u64::MAX, &[claim(u32::MAX, 7, 0)]), [u32::MAX]);
        assert_eq!(fair_counts(3, &[]), []);
    }

    #[test]
    fn ten_thousand_claims_of_two_sizes_share_a_large_machine() {
        let size = |index: usize| if index.is_multiple_of(2) { 1_000 } else { 250 };
        let claims: Vec<Claim> =
            (0..10_000).map(|index| claim(1_000_000, size(index), 0)).collect();
        let counts = fair_counts(2_000_000_000, &claims);
        // An equal part is 200,000 units.
        assert!(counts.iter().step_by(2).all(|&count| count == 200));
        assert!(counts.iter().skip(1).step_by(2).all(|&count| count == 800));
    }

    /// The rule, carried out replica by replica.
    fn one_by_one(mut left: u64, claims: &[Claim]) -> Vec<u32> {
        let mut counts = vec![0; claims.len()];
        loop {
            let fits = |&i: &usize| counts[i] < claims[i].wanted && claims[i].units <= left;
            let next = (0..claims.len()).filter(fits).min_by_key(|&i| {
                let units = u64::from(counts[i]) * claims[i].units;
                let is_free = claims[i].units == 0;
                (!is_free, Reverse(claims[i].priority), units, claims[i].wanted, i)
            });
            let Some(next) = next else { return counts };
            counts[next] += 1;
            left -= claims[next].units;
        }
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let claim = (0u32..12, 0u64..9, -1i32..2);
        let claim = claim.prop_map(|(wanted, units, priority)| Claim { wanted, units, priority });
        proptest::collection::vec(claim, 0..9)
    }

    proptest! {
        #[test]
        fn all_at_once_is_as_one_by_one(capacity in 0u64..200, claims in claims()) {
            prop_assert_eq!(fair_counts(capacity, &claims), one_by_one(capacity, &claims));
        }

        #[test]
        fn claims_of_one_unit_and_priority_get_fair_shares(
            capacity in 0u32..200,
            wants in proptest::collection::vec(0u32..50, 0..20),
        ) {
            let claims: Vec<Claim> = wants.iter().map(|&wanted| claim(wanted, 1, 0)).collect();
            prop_assert_eq!(fair_counts(capacity.into(), &claims), fair_shares(capacity, &wants));
        }

        #[test]
        fn counts_fit_waste_nothing_and_are_fair(capacity in 0u64..200, claims in claims()) {
            let counts = fair_counts(capacity, &claims);
            let units = |i: usize| u64::from(counts[i]) * claims[i].units;
            let given: u64 = (0..claims.len()).map(units).sum();
            prop_assert!(given <= capacity);
            for (i, lacking) in claims.iter().enumerate() {
                prop_assert!(counts[i] <= lacking.wanted);
                if counts[i] == lacking.wanted {
                    continue;
                }
                prop_assert!(lacking.units > capacity - given, "nothing that fits is wasted");
                for (j, other) in claims.iter().enumerate() {
                    if other.priority < lacking.priority && other.units > 0 {
                        // What less important ones got was too little for one more of these.
                        let lower = (0..claims.len())
                            .filter(|&k| claims[k].priority < lacking.priority)
                            .map(units);
                        let spare = capacity - given + lower.sum::<u64>();
                        prop_assert!(spare < lacking.units);
                    }
                    if other.priority == lacking.priority && other.units == lacking.units {
                        prop_assert!(counts[j] <= counts[i] + 1, "no one is far ahead");
                    }
                }
            }
        }
    }
}
