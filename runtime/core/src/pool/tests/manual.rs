//! Single replicas, added, removed and restarted by hand.

use super::script::check;
use expect_test::expect;

#[test]
fn added_replicas_start_at_once_and_raise_the_target() {
    check(
        "
            min=1 max=4
            0s plan
            0s started r0
            1s add 2
            1s show
            1s add 9
            1s add 1
        ",
        expect![[r#"
            0s     start r0
            1s     2 added
            1s     start r1
            1s     start r2
            1s     2 starting, 1 ready, 0 draining, target 3, 0 queued, 0 ongoing
            1s     1 added
            1s     start r3
            1s     0 added
        "#]],
    );
}

#[test]
fn what_is_there_beyond_the_target_counts_when_some_are_added() {
    check(
        "
            min=0 max=4
            0s target 3
            0s started r0 r1 r2
            1s target 1
            2s add 1
            2s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            2s     1 added
            2s     start r3
            2s     1 starting, 3 ready, 0 draining, target 4, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn added_replicas_wait_as_long_as_starts_fail() {
    check(
        "
            min=0 max=4
            0s target 1
            0s fail r0
            0s add 1
            0s show
            0s next
            100ms plan
            200ms started r1
        ",
        expect![[r#"
            0s     start r0
            0s     1 added
            0s     0 starting, 0 ready, 0 draining, target 2, 0 queued, 0 ongoing
            0s     next at 100ms
            100ms  start r1
        "#]],
    );
}

#[test]
fn adding_wakes_a_sleeping_pool_for_its_idle_time() {
    check(
        "
            min=2 max=4 idle=10s
            0s plan
            0s started r0 r1
            10s plan
            60s add 1
            62s started r2
            62s show
            62s next
            72s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            10s    drop r0
            10s    drop r1
            60s    1 added
            60s    start r2
            62s    0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
            62s    next at 72s
            72s    drop r2
        "#]],
    );
}

#[test]
fn a_removed_replica_finishes_its_requests_and_has_no_successor() {
    check(
        "
            min=2 max=2 drain=9s
            0s plan
            0s started r0 r1
            1s arrive a
            2s remove r1
            2s show
            3s finish a
            3s plan
            4s remove r0
            4s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            2s     0 starting, 1 ready, 1 draining, target 1, 0 queued, 1 ongoing
            3s     drop r1
            4s     drop r0
            4s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn the_target_stays_if_one_beyond_it_is_removed() {
    check(
        "
            min=0 max=3
            0s target 3
            0s started r0 r1 r2
            1s target 2
            2s remove r0
            2s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            2s     drop r0
            2s     0 starting, 2 ready, 0 draining, target 2, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn the_last_one_is_replaced_while_requests_wait() {
    check(
        "
            min=0 max=1
            0s arrive a b
            0s started r0
            1s remove r0
            1s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     a on r0
            1s     start r1
            1s     1 starting, 0 ready, 1 draining, target 0, 1 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn a_restarted_replica_has_a_successor_at_once() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s arrive a b
            2s restart r0
            3s started r1
            4s finish a
            4s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b waits
            2s     start r1
            3s     b on r1
            4s     drop r0
            4s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn only_ready_replicas_that_take_requests_are_removed_or_restarted() {
    check(
        "
            min=0 max=3 max_requests=1
            0s target 1
            0s remove r0
            0s restart r0
            0s started r0
            1s arrive a
            1s remove r0
            1s condemn r0
            1s restart r0
            2s finish a
            2s remove r0
            2s remove r7
            3s adopt
            3s restart r2
            3s remove r2
            4s close
            4s remove r1
            4s restart r1
            4s add 1
        ",
        expect![[r#"
            0s     start r0
            0s     not done: the replica is still starting
            0s     not done: the replica is still starting
            1s     a on r0
            1s     start r1
            1s     not done: the replica takes no more requests already
            1s     not done: the replica takes no more requests already
            2s     drop r0
            2s     not done: there is no such replica
            2s     not done: there is no such replica
            3s     r2 adopted
            3s     not done: the replica registered itself and only restarts by itself
            3s     drop r2
            4s     not done: the pool is closed and all of its replicas leave
            4s     not done: the pool is closed and all of its replicas leave
            4s     0 added
        "#]],
    );
}
