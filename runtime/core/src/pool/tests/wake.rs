//! Activation: who starts, and how many.

use super::script::check;
use expect_test::expect;

#[test]
fn a_request_at_zero_starts_one_replica() {
    check(
        "
            min=0 max=4
            0s arrive a
            1s started r0
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     a on r0
        "#]],
    );
}

#[test]
fn a_request_at_zero_starts_initial_replicas_and_not_more() {
    check(
        "
            min=3 max=4 initial=2
            0s arrive a b c
            0s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     start r1
            0s     b waits
            0s     c waits
            0s     2 starting, 0 ready, 0 draining, target 3, 3 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn nothing_starts_before_a_request_or_a_plan() {
    check(
        "
            min=1 max=4
            0s show
            0s plan
        ",
        expect![[r#"
            0s     0 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
            0s     start r0
        "#]],
    );
}

#[test]
fn a_new_pool_plans_for_its_minimum_or_initial() {
    check(
        "
            min=1 max=4 initial=3
            0s plan
            0s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
        "#]],
    );
}

#[test]
fn a_second_request_starts_nothing_while_one_loads() {
    check(
        "
            min=0 max=4
            0s arrive a
            1s arrive b
            2s started r0
            3s finish a
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     b waits
            2s     a on r0
            3s     b on r0
        "#]],
    );
}

#[test]
fn a_pool_that_wakes_up_plans_for_its_minimum() {
    check(
        "
            min=3 max=4 initial=1 idle=60s
            0s plan
            0s started r0 r1 r2
            60s plan
            70s arrive a
            70s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            60s    drop r0
            60s    drop r1
            60s    drop r2
            70s    a waits
            70s    start r3
            70s    start r4
            70s    start r5
        "#]],
    );
}
