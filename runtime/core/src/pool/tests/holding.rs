//! The number of replicas, held by hand.

use super::script::check;
use expect_test::expect;

#[test]
fn a_held_number_is_kept_whatever_policies_and_idleness_say() {
    check(
        "
            min=2 max=4 idle=10s scaledown=1s
            0s plan
            0s started r0 r1
            1s hold 1
            1s show
            5s target 4
            60s plan
            60s next
            60s show
            61s crash r0
            61s condemn r1
            61s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     drop r0
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held 1
            60s    never
            60s    0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held 1
            61s    drop r1
            61s    start r2
            61s    1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing, held 1
        "#]],
    );
}

#[test]
fn a_held_number_is_at_most_the_maximum() {
    check(
        "
            min=0 max=2
            0s hold 9
            0s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     2 starting, 0 ready, 0 draining, target 2, 0 queued, 0 ongoing, held 2
        "#]],
    );
}

#[test]
fn holding_drains_what_is_above_and_what_starts_above() {
    check(
        "
            min=0 max=4
            0s target 3
            0s started r0 r1
            1s arrive a b
            2s hold 1
            2s show
            3s started r2
            3s show
            4s finish a
            5s finish b
            5s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     a on r1
            1s     b on r0
            2s     1 starting, 1 ready, 1 draining, target 1, 0 queued, 2 ongoing, held 1
            3s     drop r2
            3s     0 starting, 1 ready, 1 draining, target 1, 0 queued, 2 ongoing, held 1
            5s     drop r0
            5s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held 1
        "#]],
    );
}

#[test]
fn held_at_zero_nothing_wakes_the_pool() {
    check(
        "
            min=1 max=4 initial=2
            0s hold 0
            1s arrive a
            1s plan
            1s next
            2s arrive b
            3s cancel a
            4s hold off
            4s show
        ",
        expect![[r#"
            1s     a waits
            1s     never
            2s     b waits
            3s     a left
            4s     start r0
            4s     1 starting, 0 ready, 0 draining, target 1, 1 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_pool_that_is_held_at_zero_and_closed_starts_nothing() {
    check(
        "
            min=1 max=4 drain=5s
            0s hold 0
            1s arrive a
            2s close
            2s next
            7s plan
            7s show
        ",
        expect![[r#"
            1s     a waits
            2s     next at 7s
            7s     a refused: closed
            7s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished, held 0
        "#]],
    );
}

#[test]
fn holding_wakes_a_sleeping_pool_and_letting_go_starts_its_idle_time_anew() {
    check(
        "
            min=1 max=4 idle=10s
            0s plan
            0s started r0
            10s plan
            20s hold 2
            21s started r1 r2
            90s plan
            91s hold off
            91s show
            91s next
            101s plan
            101s show
        ",
        expect![[r#"
            0s     start r0
            10s    drop r0
            20s    start r1
            20s    start r2
            91s    0 starting, 2 ready, 0 draining, target 2, 0 queued, 0 ongoing
            91s    next at 101s
            101s   drop r1
            101s   drop r2
            101s   0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
        "#]],
    );
}

#[test]
fn a_held_number_moves_with_single_replicas() {
    check(
        "
            min=0 max=4
            0s hold 1
            0s started r0
            1s add 2
            1s show
            1s started r1 r2
            2s remove r0
            2s show
            3s restart r1
            3s show
        ",
        expect![[r#"
            0s     start r0
            1s     2 added
            1s     start r1
            1s     start r2
            1s     2 starting, 1 ready, 0 draining, target 3, 0 queued, 0 ongoing, held 3
            2s     drop r0
            2s     0 starting, 2 ready, 0 draining, target 2, 0 queued, 0 ongoing, held 2
            3s     drop r1
            3s     start r3
            3s     1 starting, 1 ready, 0 draining, target 2, 0 queued, 0 ongoing, held 2
        "#]],
    );
}

#[test]
fn a_machine_without_room_gets_less_than_the_held_number() {
    check(
        "
            min=0 max=4
            0s hold 3
            0s started r0 r1 r2
            1s shed 1
            1s show
            2s target 1
            2s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     drop r0
            1s     drop r1
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held 3
            2s     start r3
            2s     start r4
            2s     2 starting, 1 ready, 0 draining, target 3, 0 queued, 0 ongoing, held 3
        "#]],
    );
}

#[test]
fn a_worker_that_comes_by_itself_takes_the_place_of_a_held_one() {
    check(
        "
            min=0 max=4
            0s hold 1
            0s started r0
            1s adopt
            1s show
            2s hold 0
            2s show
            2s plan
            2s next
        ",
        expect![[r#"
            0s     start r0
            1s     r1 adopted
            1s     drop r0
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held 1
            2s     0 starting, 1 ready, 0 draining, target 0, 0 queued, 0 ongoing, held 0
            2s     never
        "#]],
    );
}

#[test]
fn letting_go_of_what_nobody_holds_changes_nothing() {
    check(
        "
            min=2 max=4 idle=10s
            0s plan
            0s started r0 r1
            10s plan
            11s hold off
            11s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            10s    drop r0
            10s    drop r1
            11s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
        "#]],
    );
}
