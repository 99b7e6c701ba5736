//! The cases that people think of, one by one.

use super::super::{CallId, Calls, Extent, Place, PoolId, Waiting};
use crate::replica::ReplicaId;
use expect_test::{Expect, expect};
use std::sync::Arc;

/// A pool with all its places.
fn full(pool: u64, capacity: u32) -> Extent {
    Extent { pool: PoolId(pool), capacity, places: capacity }
}

fn on(extent: Extent) -> Place {
    Place { extent, replica: ReplicaId(0), units: 1 }
}

fn name(name: &str) -> Arc<str> {
    Arc::from(name)
}

/// Calls and waits.
fn waiting(calls: &mut Calls, parent: CallId, callee: &str, extent: Extent) -> CallId {
    let call = calls.call(parent, &name(callee));
    assert_eq!(calls.waits(call, extent), Ok(Waiting::default()));
    call
}

/// Calls and is served.
fn served(calls: &mut Calls, parent: CallId, callee: &str, place: Place) -> CallId {
    let call = calls.call(parent, &name(callee));
    calls.granted(call, place);
    call
}

/// Calls and is refused.
#[track_caller]
fn refused(calls: &mut Calls, parent: CallId, callee: &str, extent: Extent, expected: &Expect) {
    let before = calls.len();
    let call = calls.call(parent, &name(callee));
    let refused = calls.waits(call, extent).unwrap_err();
    expected.assert_eq(&refused.to_string());
    assert_eq!((refused.call, calls.len()), (call, before), "it is forgotten");
}

#[test]
fn a_call_to_oneself_needs_a_second_place() {
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(full(0, 1)));
    refused(
        &mut calls,
        a,
        "a",
        full(0, 1),
        &expect![[r#"a -> a: every place of `a` (1) is held by requests that wait for this call"#]],
    );
    // The same where there are two, of which one is held by somebody who makes no calls.
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(full(0, 2)));
    waiting(&mut calls, a, "a", full(0, 2));
}

#[test]
fn of_two_that_wait_for_each_other_the_second_is_refused() {
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(full(0, 1)));
    let b = calls.begin(&name("b"), on(full(1, 1)));
    let call = waiting(&mut calls, a, "b", full(1, 1));
    refused(
        &mut calls,
        b,
        "a",
        full(0, 1),
        &expect![[r#"b -> a: every place of `a` (1) is held by requests that wait for this call"#]],
    );
    // It may be called again once the other one has ended.
    calls.ended(b);
    calls.granted(call, on(full(1, 1)));
    calls.ended(call);
    let b = calls.begin(&name("b"), on(full(1, 1)));
    waiting(&mut calls, b, "a", full(0, 1));
}

#[test]
fn a_circle_of_three_is_closed_by_the_last() {
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(full(0, 1)));
    let b = served(&mut calls, a, "b", on(full(1, 1)));
    let c = served(&mut calls, b, "c", on(full(2, 1)));
    assert_eq!(calls.chain(c).unwrap().to_string(), "a -> b -> c");
    assert_eq!((calls.depth(a), calls.depth(c)), (Some(1), Some(3)));
    refused(
        &mut calls,
        c,
        "a",
        full(0, 1),
        &expect![[
            r#"a -> b -> c -> a: every place of `a` (1) is held by requests that wait for this call"#
        ]],
    );
}

#[test]
fn one_call_of_several_is_enough_to_be_stuck_and_one_place_of_several_to_be_served() {
    let mut calls = Calls::default();
    let first = calls.begin(&name("a"), on(full(0, 2)));
    let second = calls.begin(&name("a"), on(full(0, 2)));
    // The first one waits for a call that is served and for one that is not.
    let other = served(&mut calls, first, "b", on(full(1, 5)));
    waiting(&mut calls, first, "a", full(0, 2));
    refused(
        &mut calls,
        second,
        "a",
        full(0, 2),
        &expect![[r#"a -> a: every place of `a` (2) is held by requests that wait for this call"#]],
    );
    // The second one has ended, so there is a place.
    calls.ended(second);
    calls.ended(other);
    waiting(&mut calls, first, "a", full(0, 2));
}

#[test]
fn a_call_out_of_a_batch_has_all_their_callers_behind_it() {
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(full(0, 1)));
    let b = calls.begin(&name("b"), on(full(1, 1)));
    let from_a = waiting(&mut calls, a, "batch", full(2, 1));
    let from_b = waiting(&mut calls, b, "batch", full(2, 1));
    let batch = calls.granted_together(&[from_a, from_b], &name("batch"), on(full(2, 1)));
    for (callee, pool) in [("a", 0), ("b", 1)] {
        let call = calls.call(batch, &name(callee));
        let refused = calls.waits(call, full(pool, 1)).unwrap_err();
        assert_eq!(refused.chain.to_string(), format!("a -> batch -> {callee}"));
    }
    // One client leaves: its caller is not held up any more.
    calls.ended(from_b);
    let call = waiting(&mut calls, batch, "b", full(1, 1));
    calls.ended(call);
    // The batch broke off: the other one waits again, alone.
    calls.ended(batch);
    assert_eq!(calls.waits(from_a, full(2, 1)), Ok(Waiting::default()));
    calls.granted(from_a, on(full(2, 1)));
    assert_eq!(calls.chain(from_a).unwrap().to_string(), "a -> batch");
}

#[test]
fn what_is_late_does_no_harm() {
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(full(0, 1)));
    let call = waiting(&mut calls, a, "b", full(1, 1));
    calls.granted(call, on(full(1, 1)));
    // It was served before its waiting was reported.
    assert_eq!(calls.waits(call, full(1, 1)), Ok(Waiting::default()));
    calls.granted(call, on(full(1, 1)));
    calls.ended(a);
    calls.ended(a);
    assert_eq!(calls.waits(a, full(0, 1)), Ok(Waiting::default()));
    calls.granted(a, on(full(0, 1)));
    assert_eq!((calls.len(), calls.chain(call).unwrap().to_string()), (1, "b".to_owned()));
    // A call of one that has ended is as one from outside, and so is a forged one.
    for parent in [a, CallId::from_u64(u64::MAX), CallId::from_u64(0)] {
        let late = calls.call(parent, &name("b"));
        assert_eq!(calls.waits(late, full(1, 1)), Ok(Waiting::default()));
        assert_eq!(calls.depth(late), Some(1));
        calls.ended(late);
    }
    assert_eq!(CallId::from_u64(call.get()), call);
    calls.ended(call);
    assert!(calls.is_forgotten());
}

#[test]
fn a_pool_that_may_grow_is_told_to() {
    let mut calls = Calls::default();
    let small = Extent { pool: PoolId(1), capacity: 4, places: 1 };
    let a = calls.begin(&name("a"), on(full(0, 1)));
    let b = calls.begin(&name("b"), on(small));
    // The pool itself.
    let own = calls.call(b, &name("b"));
    assert_eq!(calls.waits(own, small), Ok(Waiting { grow: vec![PoolId(1)] }));
    calls.ended(own);
    // Another one: the first call waits for somebody who may end, until that one calls in turn.
    waiting(&mut calls, a, "b", small);
    let closing = calls.call(b, &name("a"));
    assert_eq!(calls.waits(closing, full(0, 1)), Ok(Waiting { grow: vec![PoolId(1)] }));
    // Ticks ask again until there is one more.
    assert_eq!(calls.review(small).grow, [PoolId(1)]);
    assert_eq!(calls.review(Extent { places: 2, ..small }), super::super::Review::default());
}

#[test]
fn places_of_a_draining_replica_do_not_count() {
    let mut calls = Calls::default();
    let pool = full(0, 1);
    let old = calls.begin(&name("a"), on(pool));
    calls.drains(PoolId(0), ReplicaId(0));
    waiting(&mut calls, old, "a", pool);
    // Nor those of who is registered late; its successor's do.
    let late = calls.begin(&name("a"), on(pool));
    waiting(&mut calls, late, "a", pool);
    let next = calls.begin(&name("a"), Place { replica: ReplicaId(1), ..on(pool) });
    let call = calls.call(next, &name("a"));
    assert!(calls.waits(call, pool).is_err());
    calls.gone(PoolId(0), ReplicaId(0));
}

#[test]
fn a_spent_replica_keeps_its_idle_places_from_those_that_wait() {
    let mut calls = Calls::default();
    let pool = full(0, 2);
    let a = calls.begin(&name("a"), on(pool));
    let call = waiting(&mut calls, a, "a", pool);
    // The other place was held by somebody who has ended.
    let review = calls.spent(pool, ReplicaId(0), 1);
    let refused: Vec<CallId> = review.refused.iter().map(|refused| refused.call).collect();
    assert_eq!(refused, [call]);
    assert_eq!(review.refused[0].chain.to_string(), "a -> a");
    // The same replica, but the pool may have another one.
    let more = full(0, 4);
    waiting(&mut calls, a, "a", more);
    assert!(calls.spent(more, ReplicaId(0), 1).refused.is_empty());
    calls.forget(PoolId(0));
    calls.ended(a);
    assert_eq!(calls.len(), 1);
}

#[test]
fn as_few_pools_grow_as_need_be() {
    let mut calls = Calls::default();
    let extents = [0, 1, 2].map(|pool| Extent { pool: PoolId(pool), capacity: 2, places: 1 });
    let a = calls.begin(&name("a"), on(extents[0]));
    let b = calls.begin(&name("b"), on(extents[1]));
    let c = calls.begin(&name("c"), on(extents[2]));
    waiting(&mut calls, a, "b", extents[1]);
    waiting(&mut calls, b, "c", extents[2]);
    let closing = calls.call(c, &name("a"));
    assert_eq!(calls.waits(closing, extents[0]), Ok(Waiting { grow: vec![PoolId(0)] }));
    calls.ended(closing);
    // If the pool itself may not, one of the others is enough.
    let closing = calls.call(c, &name("a"));
    assert_eq!(calls.waits(closing, full(0, 1)), Ok(Waiting { grow: vec![PoolId(1)] }));
}

#[test]
fn workers_that_join_by_themselves_count_beyond_the_most_that_are_started() {
    let mut calls = Calls::default();
    let pool = Extent { pool: PoolId(0), capacity: 1, places: 3 };
    let a = calls.begin(&name("a"), Place { units: 2, ..on(pool) });
    waiting(&mut calls, a, "a", pool);
    // When they have left, it takes more than one of two who hold a place to end.
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(pool));
    calls.begin(&name("a"), on(pool));
    waiting(&mut calls, a, "a", pool);
    assert_eq!(calls.review(full(0, 2)).refused.len(), 0);
    assert_eq!(calls.review(full(0, 1)).refused.len(), 1);
}

#[test]
fn a_pool_that_loses_workers_refuses_who_waited_for_them() {
    let mut calls = Calls::default();
    let a = calls.begin(&name("a"), on(full(0, 2)));
    let b = calls.begin(&name("b"), on(full(1, 1)));
    let innocent = waiting(&mut calls, b, "a", full(0, 2));
    let call = waiting(&mut calls, a, "a", full(0, 2));
    let review = calls.review(full(0, 1));
    assert_eq!(review.refused.len(), 1);
    assert_eq!(review.refused[0].call, call, "whose end lets the other one be served");
    assert!(calls.chain(innocent).is_some());
}
