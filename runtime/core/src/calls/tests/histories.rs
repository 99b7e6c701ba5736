//! Random histories of whole systems.

use super::owner::Owner;
use super::world::Pool;
use proptest::collection::vec;
use proptest::prelude::*;

/// More at a time take long to try out.
const REQUESTS_MAX: usize = 8;

/// What happens next, to the how-manieth of those it may happen to.
#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive(usize),
    Call(usize, usize),
    End(usize),
    /// It ends although it waits for calls.
    Cut(usize),
    Leave(usize),
    BreakUp(usize),
    Drain(usize, usize),
    Grow(usize),
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (which, pool) = (0..16usize, 0..4usize);
    prop_oneof![
        4 => pool.clone().prop_map(Step::Arrive),
        9 => (which.clone(), pool.clone()).prop_map(|(which, pool)| Step::Call(which, pool)),
        4 => which.clone().prop_map(Step::End),
        1 => which.clone().prop_map(Step::Cut),
        1 => which.clone().prop_map(Step::Leave),
        1 => which.clone().prop_map(Step::BreakUp),
        1 => (pool.clone(), which.clone()).prop_map(|(pool, which)| Step::Drain(pool, which)),
        1 => pool.prop_map(Step::Grow),
        8 => which.prop_map(Step::Finish),
    ]
}

fn pools(most: impl Strategy<Value = Option<u32>> + Clone) -> impl Strategy<Value = Vec<Pool>> {
    let size = prop_oneof![4 => Just((1, 1)), 2 => Just((1, 2)), 2 => Just((2, 1)),
        1 => Just((3, 1)), 1 => Just((1, 3)), 1 => Just((2, 2))];
    let pool = (size, most);
    let pool = pool.prop_map(|((max, concurrency), most)| Pool::new(max, concurrency, most));
    vec(pool, 1..=4)
}

fn pick(from: &[u32], which: usize) -> Option<u32> {
    (!from.is_empty()).then(|| from[which % from.len()])
}

fn take(owner: &mut Owner, step: Step) {
    let count = owner.world.pools.len();
    let has_room = owner.world.requests.len() < REQUESTS_MAX;
    match step {
        Step::Arrive(pool) if has_room => owner.arrive(pool % count),
        Step::Call(which, pool) if has_room => {
            if let Some(caller) = pick(&owner.running(), which) {
                owner.call(caller, pool % count);
            }
        }
        Step::Arrive(_) | Step::Call(..) => {}
        Step::End(which) => {
            let able: Vec<u32> = owner.world.able().collect();
            let mut running = owner.running();
            running.retain(|id| able.contains(id));
            pick(&running, which).into_iter().for_each(|id| owner.end(id));
        }
        Step::Cut(which) => {
            pick(&owner.running(), which).into_iter().for_each(|id| owner.end(id));
        }
        Step::Leave(which) => {
            pick(&owner.leavable(), which).into_iter().for_each(|id| owner.end(id));
        }
        Step::BreakUp(which) => {
            pick(&owner.batches(), which).into_iter().for_each(|id| owner.break_up(id));
        }
        Step::Drain(pool, which) => {
            let pool = pool % count;
            let replicas = owner.world.pools[pool].replicas.iter();
            let ready = replicas.filter(|(_, replica)| !replica.draining);
            let ready: Vec<u64> = ready.map(|(id, _)| *id).collect();
            if !ready.is_empty() {
                owner.drain(pool, ready[which % ready.len()]);
            }
        }
        Step::Grow(pool) => owner.grow(pool % count),
        Step::Finish(which) => owner.finish(which),
    }
}

fn live(mut owner: Owner, steps: &[Step], order: usize) -> Owner {
    for step in steps {
        take(&mut owner, *step);
    }
    owner.run_out(order);
    owner
}

fn batch() -> impl Strategy<Value = (u32, bool)> {
    prop_oneof![2 => Just((1, true)), 1 => Just((2, true)), 1 => Just((3, false))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Each verdict is that of the model, and so are the replicas asked for.
    #[test]
    fn verdicts_are_exact(
        pools in pools(Just(None)),
        batch in batch(),
        steps in vec(step(), 0..60),
        order in 0..7usize,
    ) {
        live(Owner::new(pools, batch, true), &steps, order);
    }

    /// Whatever comes between the halves of what the owner does, nobody is refused wrongly, and
    /// nobody waits for ever.
    #[test]
    fn races_do_no_harm(
        pools in pools(Just(None)),
        batch in batch(),
        steps in vec(step(), 0..90),
        order in 0..7usize,
    ) {
        live(Owner::new(pools, batch, false), &steps, order);
    }

    /// The same with replicas that serve a number of requests only, and so take places away.
    #[test]
    fn spent_replicas_do_no_harm(
        pools in pools(prop_oneof![Just(None), (1..5u32).prop_map(Some)]),
        batch in batch(),
        is_prompt in any::<bool>(),
        steps in vec(step(), 0..90),
        order in 0..7usize,
    ) {
        live(Owner::new(pools, batch, is_prompt), &steps, order);
    }
}
