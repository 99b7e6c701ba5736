//! What it costs: counted, not timed.

use super::super::{Calls, Extent, Place, PoolId};
use crate::replica::ReplicaId;
use std::sync::Arc;

fn extent(pool: u64, capacity: u32) -> Extent {
    Extent { pool: PoolId(pool), capacity, places: capacity }
}

fn place(pool: u64, capacity: u32) -> Place {
    Place { extent: extent(pool, capacity), replica: ReplicaId(0), units: 1 }
}

#[test]
fn a_million_calls_leave_nothing_behind() {
    let mut calls = Calls::default();
    let name: Arc<str> = Arc::from("a");
    let mut ids = Vec::new();
    for round in 0..250_000u64 {
        let pool = round % 50;
        let root = calls.begin(&name, place(pool, 2));
        let first = calls.call(root, &name);
        calls.granted(first, place(pool + 50, 1));
        let second = calls.call(first, &name);
        assert!(calls.waits(second, extent(pool, 2)).is_ok());
        let batch = calls.granted_together(&[second], &name, place(pool, 2));
        // From either end, so that some outlive their callers.
        let mut order = [root, first, second, batch];
        order.rotate_left(round as usize % 4);
        order.into_iter().for_each(|id| calls.ended(id));
        ids.extend(order);
    }
    assert!(calls.is_forgotten());
    assert_eq!(calls.graph.slots(), 4);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1_000_000, "no id is used again");
    assert!(ids.iter().all(|id| calls.depth(*id).is_none()));
}

/// Each of many pools has one place, held by a request that calls the next pool.
fn long_chain(length: u64) -> (Calls, super::super::CallId) {
    let mut calls = Calls::default();
    let name = |pool: u64| -> Arc<str> { Arc::from(format!("d{pool}")) };
    let mut last = calls.begin(&name(0), place(0, 1));
    for pool in 1..length {
        last = calls.call(last, &name(pool));
        assert!(calls.waits(last, extent(pool, 1)).is_ok());
        calls.granted(last, place(pool, 1));
    }
    (calls, last)
}

#[test]
fn a_chain_of_ten_thousand_is_searched_once_without_recursion() {
    let length = 10_000;
    let (mut calls, last) = long_chain(length);
    assert_eq!(calls.looked_at, 0, "pools with spare places are not looked into");
    assert_eq!(calls.depth(last), Some(10_000));
    let call = calls.call(last, &Arc::from("d0"));
    let refused = calls.waits(call, extent(0, 1)).unwrap_err();
    // The pool, the request that holds it, and all below that one in turn.
    assert!(calls.looked_at <= 2 * length as usize + 2, "{}", calls.looked_at);
    assert_eq!(
        refused.to_string(),
        "d0 -> d1 -> d2 -> d3 -> (9993 more) -> d9997 -> d9998 -> d9999 -> d0: every place of \
         `d0` (1) is held by requests that wait for this call"
    );
    assert_eq!(refused.chain.len(), 10_001);
    assert!(calls.chain(call).is_none());
}

#[test]
fn of_many_holders_one_that_can_end_is_enough() {
    let mut calls = Calls::default();
    let name: Arc<str> = Arc::from("a");
    let wide = 10_000;
    for _ in 0..wide {
        let holder = calls.begin(&name, place(0, wide));
        let call = calls.call(holder, &name);
        calls.granted(call, place(1, wide));
    }
    for _ in 0..wide {
        let caller = calls.begin(&name, place(2, wide));
        let call = calls.call(caller, &name);
        assert!(calls.waits(call, extent(0, wide)).is_ok());
    }
    // The call, its pool, a holder and what that one waits for.
    assert_eq!(calls.looked_at, 4 * wide as usize);
}

#[test]
fn all_that_is_in_a_knot_is_looked_at_once() {
    let mut calls = Calls::default();
    let name: Arc<str> = Arc::from("a");
    let wide = 1_000;
    let roots: Vec<_> = (0..wide).map(|_| calls.begin(&name, place(0, wide))).collect();
    let (last, others) = roots.split_last().unwrap();
    for root in others {
        let call = calls.call(*root, &name);
        assert!(calls.waits(call, extent(0, wide)).is_ok());
    }
    let before = calls.looked_at;
    let call = calls.call(*last, &name);
    assert!(calls.waits(call, extent(0, wide)).is_err());
    // The pool, its holders and their calls.
    assert_eq!(calls.looked_at - before, 1 + 2 * wide as usize);
    for root in roots {
        calls.ended(root);
    }
    assert_eq!(calls.len(), wide as usize - 1, "their calls still wait");
}
