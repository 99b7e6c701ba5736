//! Towards the target, up and down.

use super::script::check;
use expect_test::expect;

#[test]
fn a_higher_target_starts_replicas_at_once() {
    check(
        "
            min=0 max=5
            0s target 3
            0s target 3
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
        "#]],
    );
}

#[test]
fn starting_replicas_count() {
    check(
        "
            min=0 max=5
            0s target 3
            0s started r0
            1s target 4
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     start r3
        "#]],
    );
}

#[test]
fn a_target_above_the_maximum_is_the_maximum() {
    check(
        "
            min=0 max=2
            0s target 9
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
        "#]],
    );
}

#[test]
fn the_longest_idle_go_first() {
    check(
        "
            min=0 max=3 scaledown=10s
            0s target 3
            0s started r0 r1 r2
            1s arrive a b c
            2s finish b
            3s finish a
            4s finish c
            20s target 1
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     a on r2
            1s     b on r1
            1s     c on r0
            20s    drop r1
            20s    drop r2
        "#]],
    );
}

#[test]
fn a_replica_goes_only_after_its_time_idle() {
    check(
        "
            min=0 max=3 scaledown=10s
            0s target 2
            0s started r0
            5s started r1
            5s target 0
            5s next
            9s plan
            10s plan
            10s next
            15s plan
            15s next
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            5s     next at 10s
            10s    drop r0
            10s    next at 15s
            15s    drop r1
            15s    never
        "#]],
    );
}

#[test]
fn a_busy_replica_never_goes() {
    check(
        "
            min=0 max=2 scaledown=10s
            0s target 2
            0s started r0 r1
            1s arrive a
            50s target 0
            51s finish a
            60s plan
            61s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            50s    drop r0
            61s    drop r1
        "#]],
    );
}

#[test]
fn replicas_to_remove_first_go_before_longer_idle_ones() {
    check(
        "
            min=0 max=3 scaledown=10s
            0s target 3
            0s started r0
            1s started r1
            2s started r2
            20s target 2 r2
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            20s    drop r2
        "#]],
    );
}

#[test]
fn no_more_are_removed_first_than_the_target_asks() {
    check(
        "
            min=0 max=3 scaledown=10s
            0s target 3
            0s started r0 r1 r2
            20s target 2 r2 r1 r0
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            20s    drop r2
        "#]],
    );
}

#[test]
fn busy_or_unknown_replicas_are_not_removed_first() {
    check(
        "
            min=0 max=3 scaledown=10s
            0s target 3
            0s started r0 r1 r2
            1s arrive a
            20s target 1 r9 r2 r1
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     a on r2
            20s    drop r1
            20s    drop r0
        "#]],
    );
}

#[test]
fn a_warm_replica_is_not_given_up_for_one_that_starts() {
    check(
        "
            min=1 max=2 scaledown=10s
            0s plan
            0s started r0
            20s target 2
            21s target 1 r0
            21s next
            22s fail r1
            22s show
        ",
        expect![[r#"
            0s     start r0
            20s    start r1
            21s    never
            22s    0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn once_started_one_too_many_the_longest_idle_goes() {
    check(
        "
            min=1 max=2 scaledown=10s
            0s plan
            0s started r0
            20s target 2
            21s target 1
            22s started r1
            22s next
            22s plan
        ",
        expect![[r#"
            0s     start r0
            20s    start r1
            22s    next at 22s
            22s    drop r0
        "#]],
    );
}

#[test]
fn a_waiting_request_keeps_one_replica_whatever_the_target() {
    check(
        "
            min=0 max=2
            0s arrive a b
            0s target 0
            1s started r0
            2s finish a trapped
            2s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            1s     a on r0
            2s     drop r0
            2s     start r1
            2s     1 starting, 0 ready, 0 draining, target 0, 1 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_target_below_the_minimum_counts_because_the_machine_may_be_full() {
    check(
        "
            min=2 max=2 scaledown=10s
            0s plan
            0s started r0 r1
            20s target 1
            20s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            20s    drop r0
            20s    0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_clock_reading_from_before_a_replica_was_idle_does_not_remove_it() {
    check(
        "
            min=0 max=1 scaledown=0s
            5s arrive a
            5s started r0
            5s finish a
            4s target 0
            4s next
            5s plan
        ",
        expect![[r#"
            5s     a waits
            5s     start r0
            5s     a on r0
            4s     next at 5s
            5s     drop r0
        "#]],
    );
}
