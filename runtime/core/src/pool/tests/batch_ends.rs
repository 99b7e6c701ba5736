//! Batches that break off or come back, and those of pools that close or sleep.

use super::script::check;
use expect_test::expect;

#[test]
fn a_closing_pool_waits_for_no_more_members() {
    check(
        "
            min=1 max=1 batch=2/10s drain=5s
            0s plan
            0s started r0
            1s arrive a b c
            2s close
            3s finish a
            4s finish c
            4s show
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     a+b on r0
            1s     c waits
            3s     c on r0
            4s     drop r0
            4s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn what_waits_leaves_when_the_pool_closes() {
    check(
        "
            min=1 max=1 batch=8/10s
            0s plan
            0s started r0
            1s arrive a b
            2s close
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            2s     a+b on r0
        "#]],
    );
}

#[test]
fn a_sleeping_pool_wakes_up_for_a_request_and_serves_it_in_a_batch() {
    check(
        "
            min=1 max=1 idle=10s batch=8/1s
            0s plan
            0s started r0
            10s plan
            20s arrive a
            20s due
            22s started r1
        ",
        expect![[r#"
            0s     start r0
            10s    drop r0
            20s    a waits
            20s    start r1
            20s    not due
            22s    a on r1
        "#]],
    );
}

#[test]
fn a_pool_sleeps_on_while_a_worker_has_a_place_for_the_next_batch() {
    check(
        "
            min=1 max=3 idle=10s batch=2/1s
            0s adopt
            10s plan
            20s arrive a
            20s show
            20s arrive b
            20s arrive c
            20s show
        ",
        expect![[r#"
            0s     r0 adopted
            20s    a waits
            20s    0 starting, 1 ready, 0 draining, target 0, 1 queued, 0 ongoing, asleep
            20s    b waits
            20s    a+b on r0
            20s    c waits
            20s    start r1
            20s    1 starting, 1 ready, 0 draining, target 2, 1 queued, 2 ongoing
        "#]],
    );
}

#[test]
fn a_pool_wakes_up_if_the_worker_leaves_that_had_a_place() {
    check(
        "
            min=1 max=3 idle=10s batch=2/1s
            0s adopt
            10s plan
            20s arrive a
            20s release r0
            20s show
        ",
        expect![[r#"
            0s     r0 adopted
            20s    a waits
            20s    drop r0
            20s    start r1
            20s    1 starting, 0 ready, 0 draining, target 1, 1 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_batch_whose_clients_have_all_left_is_given_back() {
    check(
        "
            min=1 max=1 batch=2/1s
            0s plan
            0s started r0
            1s arrive a b
            1s finish a cancelled
            1s show
            1s arrive c d
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     a+b on r0
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
            1s     c waits
            1s     d waits
            1s     c+d on r0
        "#]],
    );
}

#[test]
fn a_trapped_batch_takes_its_replica_along() {
    check(
        "
            min=1 max=1 concurrency=2 batch=2/1s
            0s plan
            0s started r0
            1s arrive a b c d
            2s finish a trapped
            2s show
            3s finish c
            3s show
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     a+b on r0
            1s     c waits
            1s     d waits
            1s     c+d on r0
            2s     start r1
            2s     1 starting, 0 ready, 1 draining, target 1, 0 queued, 2 ongoing
            3s     drop r0
            3s     1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn those_of_a_broken_batch_are_served_again_one_by_one_and_first() {
    check(
        "
            min=1 max=1 concurrency=2 batch=3/1s
            0s plan
            0s started r0
            1s arrive a b c d e
            2s retry a b
            2s show
            3s started r1
            4s finish a trapped
            4s show
            5s started r2
            6s finish d
            7s finish c
            7s show
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     c waits
            1s     a+b+c on r0
            1s     d waits
            1s     e waits
            2s     drop r0
            2s     start r1
            2s     1 starting, 0 ready, 0 draining, target 1, 4 queued, 0 ongoing
            3s     a on r1
            3s     c on r1
            4s     start r2
            4s     1 starting, 0 ready, 1 draining, target 1, 2 queued, 1 ongoing
            5s     d+e on r2
            7s     drop r1
            7s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn one_to_be_served_again_may_leave() {
    check(
        "
            min=1 max=1 batch=3/1s
            0s plan
            0s started r0
            1s arrive a b c
            2s retry a
            2s cancel b
            3s started r1
            4s finish a
            4s look
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     c waits
            1s     a+b+c on r0
            2s     drop r0
            2s     start r1
            2s     b left
            3s     a on r1
            4s     c on r1
            4s     since 0ns
            4s     queued 0 on average None
            4s     ongoing 1 on average None
            4s     arrived 3 completed 1 failed 0 rejected 1
            4s     oldest wait None, last used Some("4s"), p50 Some(3146.0) ms
        "#]],
    );
}

#[test]
fn one_to_be_served_again_goes_to_another_replica_at_once() {
    check(
        "
            min=2 max=2 batch=2/1s
            0s plan
            0s started r0 r1
            1s arrive a b
            2s retry a
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a waits
            1s     b waits
            1s     a+b on r1
            2s     drop r1
            2s     start r2
            2s     a on r0
        "#]],
    );
}
