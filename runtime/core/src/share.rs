//! Dividing what the machine can hold among the deployments that want it.

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
}
