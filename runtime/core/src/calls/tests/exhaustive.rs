//! Everything that can happen in tiny systems, up to a number of steps.

use super::owner::Owner;
use super::world::{Pool, World};
use std::collections::BTreeSet;

/// All that may happen next.
fn futures(owner: &Owner, requests_max: usize) -> Vec<Owner> {
    let mut futures = Vec::new();
    let mut may = |step: &dyn Fn(&mut Owner)| {
        let mut next = owner.clone();
        step(&mut next);
        futures.push(next);
    };
    if owner.world.requests.len() < requests_max {
        for pool in 0..owner.world.pools.len() {
            may(&|next| next.arrive(pool));
            for caller in owner.running() {
                may(&|next| next.call(caller, pool));
            }
        }
    }
    for id in owner.running().into_iter().chain(owner.leavable()) {
        may(&|next| next.end(id));
    }
    for batch in owner.batches() {
        may(&|next| next.break_up(batch));
    }
    futures
}

/// Takes all ways of so many steps. Each verdict is compared with the model's on the way, and from
/// each state all must come to an end. Answers how many states there are, and in how many of them a
/// call had been refused, and a replica asked for.
fn explore(pools: Vec<Pool>, batch: (u32, bool), steps: u32) -> (usize, usize, usize) {
    let mut seen: BTreeSet<World> = BTreeSet::new();
    let mut edge = vec![Owner::new(pools, batch, true)];
    let (mut refused, mut grown) = (0, 0);
    for _ in 0..steps {
        let mut next = Vec::new();
        for owner in &edge {
            for future in futures(owner, 5) {
                if seen.insert(future.world.clone()) {
                    refused += usize::from(future.refused > 0);
                    grown += usize::from(future.grown > 0);
                    future.clone().run_out(0);
                    next.push(future);
                }
            }
        }
        edge = next;
    }
    (seen.len(), refused, grown)
}

#[test]
fn one_place() {
    let (states, refused, _) = explore(vec![Pool::new(1, 1, None)], (1, true), 7);
    assert!(states > 100 && refused > 20, "{states} {refused}");
}

#[test]
fn one_pool_with_two_places() {
    for (max, concurrency) in [(1, 2), (2, 1)] {
        let pools = vec![Pool::new(max, concurrency, None)];
        let (states, refused, grown) = explore(pools, (1, true), 7);
        assert!(states > 100 && refused > 20, "{states} {refused}");
        assert_eq!(grown > 0, max > 1, "a pool that starts with one replica has to grow");
    }
}

#[test]
fn two_pools() {
    for (first, second) in [((1, 1), (1, 1)), ((1, 1), (2, 1)), ((1, 2), (1, 1))] {
        let pools = [first, second].map(|(max, concurrency)| Pool::new(max, concurrency, None));
        let (states, refused, _) = explore(pools.to_vec(), (1, true), 6);
        assert!(states > 1_000 && refused > 20, "{states} {refused}");
    }
}

#[test]
fn batches_in_one_and_in_several_places() {
    for batch in [(2, true), (2, false)] {
        let pools = vec![Pool::new(1, 2, None), Pool::new(1, 1, None)];
        let (states, refused, _) = explore(pools, batch, 6);
        assert!(states > 1_000 && refused > 0, "{states} {refused}");
    }
}
