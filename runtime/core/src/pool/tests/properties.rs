//! Random operations on pools with random limits.

use super::world::{Requests, Step, World};
use crate::limits::{BatchLimits, BatchSince, PoolLimits};
use crate::pool::{Health, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

proptest! {
    #[test]
    fn the_invariants_hold_after_every_step(limits in limits(), steps in vec(step(), 1..150)) {
        let mut world = World::new(limits);
        for step in &steps {
            world.step(step);
        }
    }

    #[test]
    fn every_waiting_request_is_woken_or_refused(limits in limits(), steps in vec(step(), 1..80)) {
        let mut world = World::new(limits);
        for step in &steps {
            world.step(step);
        }
        world.serve_all();
    }

    #[test]
    fn an_unused_pool_falls_asleep(limits in limits(), steps in vec(step(), 1..60)) {
        let mut world = World::new(limits.clone());
        for step in &steps {
            world.step(step);
        }
        if let Some(idle_ttl) = limits.idle_ttl {
            world.serve_all();
            world.fall_asleep(idle_ttl);
        }
    }

    #[test]
    fn where_nothing_else_ends_replicas_none_is_cut_or_above_max(
        limits in limits(),
        most in 1u64..4,
        steps in vec(step(), 1..150),
    ) {
        let limits = PoolLimits { max_requests: Some(most), max_age: None, ..limits };
        let mut world = World::new(limits.clone());
        for step in steps.iter().filter(|step| !ends_replicas(step)) {
            world.step(step);
            let counts = world.pool.counts();
            prop_assert_eq!(counts.draining, 0, "what a spent replica serves has no deadline");
            prop_assert!(world.pool.replica_count() <= limits.max, "never above max, all counted");
        }
    }

    #[test]
    fn a_closed_pool_finishes_by_its_deadline(
        limits in limits(),
        steps in vec(step(), 1..80),
        requests in prop_oneof![Just(Requests::End), Just(Requests::Hang)],
    ) {
        let mut world = World::new(limits);
        for step in steps.iter().filter(|step| !matches!(step, Step::Close)) {
            world.step(step);
        }
        world.close_and_finish(requests);
    }
}

/// Whether a step may end replicas before they are spent, other than idle ones.
fn ends_replicas(step: &Step) -> bool {
    let inner = if let Step::Behind(_, inner) = step { inner } else { step };
    let is_end = matches!(inner, Step::Condemn(_) | Step::Crashed(_) | Step::Release(_));
    is_end
        || matches!(inner, Step::Close | Step::Finish(_, _, Health::Condemned))
        || matches!(inner, Step::SetTarget(_, _, true) | Step::Retry(_, _, Health::Condemned))
        || matches!(inner, Step::Hold(Some(_)) | Step::Remove(_) | Step::Restart(_))
}

/// Small limits, so that all of them are met often.
fn limits() -> impl Strategy<Value = PoolLimits> {
    let counts = (0u32..3, 1u32..5, 0u32..5, 1u32..4, 1u32..5);
    let times = (
        proptest::option::of(100u64..3_000),
        0u64..2_000,
        proptest::option::of(300u64..3_000),
        0u64..2_000,
        proptest::option::of(1u64..5),
    );
    (counts, times, batch()).prop_map(
        |((min, max, initial, concurrency, queue_max), times, batch)| {
            let (idle_ttl, scaledown_ttl, max_age, drain_timeout, max_requests) = times;
            let max = max.max(min);
            PoolLimits {
                min,
                max,
                initial: initial.min(max),
                concurrency,
                idle_ttl: idle_ttl.map(Duration::from_millis),
                scaledown_ttl: Duration::from_millis(scaledown_ttl),
                max_requests,
                max_age: max_age.map(Duration::from_millis),
                drain_timeout: Duration::from_millis(drain_timeout),
                queue_max,
                batch,
            }
        },
    )
}

fn batch() -> impl Strategy<Value = Option<BatchLimits>> {
    let since = prop_oneof![Just(BatchSince::Oldest), Just(BatchSince::PreviousSend)];
    let batch = (1u32..5, 0u64..1_000, since).prop_map(|(max_size, timeout, since)| BatchLimits {
        max_size,
        timeout: Duration::from_millis(timeout),
        since,
    });
    proptest::option::of(batch)
}

fn step() -> impl Strategy<Value = Step> {
    let lag = (1u64..20).prop_map(Duration::from_millis);
    let behind = (lag, request_step()).prop_map(|(lag, step)| Step::Behind(lag, Box::new(step)));
    prop_oneof![
        34 => request_step(),
        2 => behind,
        2 => set_target(),
        4 => Just(Step::Plan),
        3 => Just(Step::PlanWhenDue),
        6 => (0u64..1_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => (1_000u64..60_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        2 => Just(Step::Observe),
        1 => prop_oneof![9 => Just(Step::Plan), 1 => Just(Step::Close)],
        3 => operator_step(),
    ]
}

fn operator_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => proptest::option::of(0u32..5).prop_map(Step::Hold),
        1 => Just(Step::Hold(None)),
        2 => (0u32..4).prop_map(Step::Add),
        2 => (0usize..1_000).prop_map(Step::Remove),
        2 => (0usize..1_000).prop_map(Step::Restart),
    ]
}

fn set_target() -> impl Strategy<Value = Step> {
    (0u32..6, vec(0usize..8, 0..3), any::<bool>())
        .prop_map(|(target, first, shed)| Step::SetTarget(target, first, shed))
}

/// What any thread may do at any time.
fn request_step() -> impl Strategy<Value = Step> {
    let index = 0usize..1_000;
    prop_oneof![
        12 => Just(Step::Arrive),
        2 => index.clone().prop_map(Step::Cancel),
        8 => (index.clone(), outcome(), health()).prop_map(|(i, o, h)| Step::Finish(i, o, h)),
        2 => (index.clone(), 0usize..4, health()).prop_map(|(i, n, h)| Step::Retry(i, n, h)),
        2 => Just(Step::Flush),
        1 => Just(Step::OneMore),
        8 => index.clone().prop_map(Step::Started),
        3 => index.clone().prop_map(Step::StartFailed),
        2 => (index.clone(), 1u64..500).prop_map(|(index, millis)| {
            Step::StartRefused(index, Duration::from_millis(millis))
        }),
        1 => index.clone().prop_map(Step::Condemn),
        2 => index.clone().prop_map(Step::Crashed),
        1 => index.prop_map(Step::Release),
        1 => Just(Step::Adopt),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::Completed), Just(Outcome::Failed), Just(Outcome::Cancelled)]
}

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![4 => Just(Health::Sound), 1 => Just(Health::Condemned)]
}
