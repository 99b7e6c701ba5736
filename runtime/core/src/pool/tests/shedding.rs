//! Giving up room that others wait for.

use super::script::check;
use expect_test::expect;

#[test]
fn replicas_above_the_share_drain_at_once_idle_ones_first() {
    check(
        "
            min=0 max=4 concurrency=2
            0s target 4
            0s started r0 r1 r2 r3
            1s arrive a b c
            2s finish b
            3s finish c
            4s shed 2
            4s shed 1
            5s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            0s     start r3
            1s     a on r3
            1s     b on r2
            1s     c on r1
            4s     drop r0
            4s     drop r2
            4s     drop r1
            5s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn among_busy_ones_the_least_busy_go() {
    check(
        "
            min=0 max=3 concurrency=3
            0s target 3
            0s started r0
            0s arrive a b c
            0s started r1
            0s arrive d e
            0s started r2
            0s arrive f
            1s shed 1
            1s list
            2s arrive g
            3s finish f
            4s finish d
            4s finish e
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            0s     a on r0
            0s     b on r0
            0s     c on r0
            0s     d on r1
            0s     e on r1
            0s     f on r2
            1s     r0 Ready, 3 ongoing, idle None, age 1s
            1s     r1 Draining until 31s, 2 ongoing, idle None, age 1s
            1s     r2 Draining until 31s, 1 ongoing, idle None, age 1s
            2s     g waits
            3s     drop r2
            4s     drop r1
        "#]],
    );
}

#[test]
fn those_to_remove_first_go_first_even_if_busy() {
    check(
        "
            min=0 max=3
            0s target 3
            0s started r0 r1 r2
            1s arrive a
            1s shed 2 r2
            2s finish a
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     a on r2
            2s     drop r2
        "#]],
    );
}

#[test]
fn one_stays_for_those_that_wait() {
    check(
        "
            min=0 max=2
            0s target 2
            0s started r0 r1
            1s arrive a b c
            2s shed 0
            2s list
            3s finish a
            4s finish b
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            1s     b on r0
            1s     c waits
            2s     r0 Draining until 32s, 1 ongoing, idle None, age 2s
            2s     r1 Ready, 1 ongoing, idle None, age 2s
            3s     c on r1
            4s     drop r0
        "#]],
    );
}

#[test]
fn without_shedding_busy_and_lately_used_ones_stay() {
    check(
        "
            min=0 max=3
            0s target 3
            0s started r0 r1 r2
            1s arrive a
            2s target 1
            2s show
            30s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     a on r2
            2s     0 starting, 3 ready, 0 draining, target 1, 0 queued, 1 ongoing
            30s    drop r0
            30s    drop r1
        "#]],
    );
}

#[test]
fn what_drains_is_cut_at_the_drain_timeout() {
    check(
        "
            min=0 max=2 drain=5s
            0s target 2
            0s started r0 r1
            0s arrive a b
            1s shed 1
            1s next
            6s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     a on r1
            0s     b on r0
            1s     next at 6s
            6s     cut r0
        "#]],
    );
}

#[test]
fn starting_and_spent_replicas_are_left_alone() {
    check(
        "
            min=0 max=4 max_requests=1
            0s target 2
            0s started r0 r1
            1s arrive a b
            2s shed 0 r0 r1
            2s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            1s     start r2
            1s     b on r0
            1s     start r3
            2s     2 starting, 2 ready, 0 draining, target 0, 0 queued, 2 ongoing
        "#]],
    );
}

#[test]
fn shedding_starts_no_successor() {
    check(
        "
            min=2 max=4
            0s target 4
            0s started r0 r1 r2 r3
            0s arrive a b c d
            1s shed 1
            1s show
            1s plan
            1s next
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            0s     start r3
            0s     a on r3
            0s     b on r2
            0s     c on r1
            0s     d on r0
            1s     0 starting, 1 ready, 3 draining, target 1, 0 queued, 4 ongoing
            1s     next at 31s
        "#]],
    );
}
