//! From what a policy answered to what the host holds.

use crate::replica::ReplicaId;
use crate::time::Timestamp;

/// What a policy asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wish {
    /// Keep the current target.
    Hold,
    /// This many replicas; rounded up.
    Replicas(f64),
}

/// What a policy answered in one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How many replicas.
    pub wish: Wish,
    /// Which to remove first, best first.
    pub remove_first: Vec<ReplicaId>,
    /// When to ask again; can bring the next tick forward, not put it off.
    pub next_tick: Option<Timestamp>,
    /// Why, for the decision log.
    pub reason: String,
}

/// What kept the target from being what the policy asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedBy {
    /// The deployment's minimum is higher.
    Min,
    /// The deployment's maximum is lower.
    Max,
    /// The machine has room for fewer.
    Slots,
    /// The machine has accelerators for fewer.
    Devices,
}

/// How many replicas the machine has for a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Most replicas it may hold.
    pub replicas: u32,
    /// What is short if that is too few.
    pub limited_by: LimitedBy,
}

impl Room {
    /// A machine without bounds.
    pub const UNBOUNDED: Room = Room::of_slots(u32::MAX);

    /// Room for this many replicas, and nothing but room is short.
    pub const fn of_slots(replicas: u32) -> Self {
        Room { replicas, limited_by: LimitedBy::Slots }
    }
}

/// The outcome of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What the policy asked for, rounded up; none when it held.
    pub proposed: Option<u64>,
    /// Replicas the host will hold.
    pub replicas: u32,
    /// Why `replicas` is not `proposed`.
    pub limited_by: Option<LimitedBy>,
}

/// A policy answered a number that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

/// The new target: the wish rounded up, then clamped to `min..=max`, then to `room`, what the
/// machine has for this deployment. Below zero counts as zero.
///
/// # Errors
///
/// [`NotANumber`] for NaN and infinities; the caller keeps the last target.
pub fn decide(
    wish: Wish,
    current: u32,
    min: u32,
    max: u32,
    room: Room,
) -> Result<Target, NotANumber> {
    assert!(min <= max, "checked when the spec was read");
    let proposed = match wish {
        Wish::Hold => None,
        Wish::Replicas(wanted) if !wanted.is_finite() => return Err(NotANumber),
        // A float above the range of u64 becomes its largest value, which the clamp then cuts.
        Wish::Replicas(wanted) => Some(wanted.ceil().max(0.0) as u64),
    };
    let wanted = proposed.unwrap_or(u64::from(current));
    let clamped = wanted.clamp(u64::from(min), u64::from(max)) as u32;
    let replicas = clamped.min(room.replicas);
    let limited_by = if u64::from(replicas) == wanted {
        None
    } else if replicas < clamped {
        Some(room.limited_by)
    } else if u64::from(clamped) < wanted {
        Some(LimitedBy::Max)
    } else {
        Some(LimitedBy::Min)
    };
    Ok(Target { proposed, replicas, limited_by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(wish: Wish, expected: (Option<u64>, u32, Option<LimitedBy>)) {
        let target = decide(wish, 3, 1, 10, Room::of_slots(8)).expect("a number");
        assert_eq!((target.proposed, target.replicas, target.limited_by), expected);
    }

    #[test]
    fn a_wish_is_rounded_up_and_clamped() {
        check(Wish::Hold, (None, 3, None));
        check(Wish::Replicas(4.0), (Some(4), 4, None));
        check(Wish::Replicas(4.01), (Some(5), 5, None));
        check(Wish::Replicas(0.0), (Some(0), 1, Some(LimitedBy::Min)));
        check(Wish::Replicas(-7.5), (Some(0), 1, Some(LimitedBy::Min)));
        check(Wish::Replicas(4e9), (Some(4_000_000_000), 8, Some(LimitedBy::Slots)));
        check(Wish::Replicas(9.0), (Some(9), 8, Some(LimitedBy::Slots)));
        check(Wish::Replicas(1e300), (Some(u64::MAX), 8, Some(LimitedBy::Slots)));
    }

    #[test]
    fn the_maximum_cuts_when_the_machine_is_large() {
        let target = decide(Wish::Replicas(50.0), 3, 1, 10, Room::of_slots(100)).expect("a number");
        assert_eq!(target.limited_by, Some(LimitedBy::Max));
        assert_eq!(target.replicas, 10);
    }

    #[test]
    fn holding_is_limited_too() {
        let hold = |current, share| {
            let target =
                decide(Wish::Hold, current, 2, 5, Room::of_slots(share)).expect("a number");
            (target.replicas, target.limited_by)
        };
        assert_eq!(hold(3, 9), (3, None));
        assert_eq!(hold(0, 9), (2, Some(LimitedBy::Min)));
        assert_eq!(hold(7, 9), (5, Some(LimitedBy::Max)));
        assert_eq!(hold(4, 3), (3, Some(LimitedBy::Slots)));
    }

    #[test]
    fn the_machine_is_stronger_than_the_minimum() {
        let target = decide(Wish::Replicas(4.0), 0, 3, 5, Room::of_slots(1)).expect("a number");
        assert_eq!((target.replicas, target.limited_by), (1, Some(LimitedBy::Slots)));
    }

    #[test]
    fn what_is_short_is_named() {
        let room = Room { replicas: 2, limited_by: LimitedBy::Devices };
        let limited_by = |wish, max| {
            let target = decide(Wish::Replicas(wish), 0, 0, max, room).expect("a number");
            (target.replicas, target.limited_by)
        };
        assert_eq!(limited_by(3.0, 9), (2, Some(LimitedBy::Devices)));
        assert_eq!(limited_by(3.0, 2), (2, Some(LimitedBy::Max)));
        assert_eq!(limited_by(2.0, 9), (2, None));
        let unbounded = decide(Wish::Replicas(1e9), 0, 0, 9, Room::UNBOUNDED).expect("a number");
        assert_eq!((unbounded.replicas, unbounded.limited_by), (9, Some(LimitedBy::Max)));
    }

    #[test]
    fn a_wish_that_is_met_is_not_limited() {
        let target = decide(Wish::Replicas(0.0), 1, 1, 5, Room::of_slots(0)).expect("a number");
        assert_eq!((target.replicas, target.limited_by), (0, None));
    }

    proptest! {
        #[test]
        fn a_target_is_in_its_bounds(
            wish in -1e3f64..1e3,
            bounds in (0u32..20, 0u32..20),
            share in 0u32..20,
        ) {
            let (min, max) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            let room = Room::of_slots(share);
            let target = decide(Wish::Replicas(wish), 0, min, max, room).expect("a number");
            prop_assert!(target.replicas <= max.min(share));
            prop_assert!(target.replicas >= min.min(share));
            let is_met = target.proposed == Some(u64::from(target.replicas));
            prop_assert_eq!(target.limited_by.is_none(), is_met);
        }
    }

    #[test]
    fn not_a_number_is_an_error() {
        for wish in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(decide(Wish::Replicas(wish), 3, 1, 10, Room::of_slots(8)), Err(NotANumber));
        }
    }
}
