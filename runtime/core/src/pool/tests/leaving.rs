//! Replicas that take no more requests are told to those who ask.

use crate::limits::PoolLimits;
use crate::pool::{Action, Arrival, Health, Leaving, Outcome, Pool};
use crate::replica::Lease;
use crate::time::Timestamp;

fn ready(limits: PoolLimits) -> (Pool<()>, Lease) {
    let mut pool = Pool::new(limits, Timestamp::ZERO);
    pool.watch_leaving();
    pool.plan(Timestamp::ZERO);
    let Some(Action::Start(lease)) = pool.next_action() else { panic!("the minimum starts") };
    pool.started(lease, Timestamp::ZERO);
    (pool, lease)
}

fn arrive(pool: &mut Pool<()>) -> Lease {
    match pool.arrive(|| (), Timestamp::ZERO) {
        Arrival::Assigned(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_busy_replica_that_drains_is_told_once() {
    let limits = PoolLimits { concurrency: 2, ..PoolLimits::sample(1, 2) };
    let (mut pool, lease) = ready(limits);
    let (first, second) = (arrive(&mut pool), arrive(&mut pool));
    assert_eq!(pool.next_leaving(), None);
    let now = Timestamp::from_millis(1);
    pool.finish(first, now, Outcome::Failed, Health::Condemned, now);
    assert_eq!(pool.next_leaving(), Some((lease, Leaving::Draining)));
    pool.finish(second, now, Outcome::Completed, Health::Sound, now);
    assert_eq!(pool.next_leaving(), None);
}

#[test]
fn an_idle_replica_that_goes_is_an_action_only() {
    let (mut pool, lease) = ready(PoolLimits::sample(1, 2));
    let first = arrive(&mut pool);
    let now = Timestamp::from_millis(1);
    pool.finish(first, now, Outcome::Failed, Health::Condemned, now);
    assert_eq!((pool.next_leaving(), pool.next_action()), (None, Some(Action::Drop(lease))));
}

#[test]
fn a_spent_replica_is_told_with_each_request() {
    let limits = PoolLimits { concurrency: 4, max_requests: Some(2), ..PoolLimits::sample(1, 2) };
    let (mut pool, lease) = ready(limits);
    arrive(&mut pool);
    assert_eq!(pool.next_leaving(), None);
    let last = arrive(&mut pool);
    assert_eq!(pool.next_leaving(), Some((lease, Leaving::Spent { idle: 2 })));
    assert_eq!(pool.next_leaving(), None);
    let now = Timestamp::from_millis(1);
    pool.finish(last, now, Outcome::Completed, Health::Sound, now);
    assert_eq!(pool.next_leaving(), Some((lease, Leaving::Spent { idle: 3 })));
    pool.finish(last, now, Outcome::Completed, Health::Sound, now);
    assert_eq!(pool.next_leaving(), None, "it is gone");
}

#[test]
fn nobody_is_told_who_did_not_ask() {
    let limits = PoolLimits { max_requests: Some(1), ..PoolLimits::sample(1, 1) };
    let mut pool = Pool::new(limits, Timestamp::ZERO);
    pool.plan(Timestamp::ZERO);
    let Some(Action::Start(lease)) = pool.next_action() else { panic!("the minimum starts") };
    pool.started(lease, Timestamp::ZERO);
    arrive(&mut pool);
    assert_eq!(pool.next_leaving(), None);
}
