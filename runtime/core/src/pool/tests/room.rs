//! Starts that the machine has no room for.

use super::script::check;
use expect_test::expect;

#[test]
fn a_refused_start_waits_and_is_no_failure() {
    check(
        "
            min=0 max=2
            0s arrive a
            0s refuse r0 1s
            0s next
            0s pause
            0s totals
            500ms plan
            1s plan
            2s started r1
            2s pause
            2s totals
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     next at 1s
            0s     no room, waits until 1s
            0s     0 started, 0 failed
            1s     start r1
            2s     a on r1
            2s     no pause
            2s     1 started, 0 failed
        "#]],
    );
}

#[test]
fn no_room_refuses_nobody_however_often() {
    check(
        "
            min=0 max=1
            0s arrive a
            0s refuse r0 1s
            1s plan
            1s refuse r1 2s
            2s plan
            2s refuse r2 3s
            3s plan
            3s refuse r3 4s
            3s arrive b
            4s plan
            4s started r4
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     start r1
            2s     start r2
            3s     start r3
            3s     b waits
            4s     start r4
            4s     a on r4
        "#]],
    );
}

#[test]
fn all_that_start_may_be_refused_and_start_together_again() {
    check(
        "
            min=3 max=3
            0s plan
            0s refuse r0 1s
            0s refuse r1 1s
            0s refuse r2 2s
            0s next
            1s plan
            2s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            0s     next at 2s
            2s     start r3
            2s     start r4
            2s     start r5
        "#]],
    );
}

#[test]
fn a_replica_that_starts_brings_the_next_attempt_forward() {
    check(
        "
            min=2 max=2
            0s plan
            0s refuse r0 10s
            1s started r1
            1s next
            1s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     next at 1s
            1s     start r2
        "#]],
    );
}

#[test]
fn a_request_wakes_a_pool_without_room_once_there_is_room() {
    check(
        "
            min=0 max=2 initial=2
            0s arrive a
            0s refuse r0 5s
            0s refuse r1 5s
            1s cancel a
            1s target 0
            2s arrive b
            2s next
            5s plan
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     start r1
            1s     a left
            2s     b waits
            2s     next at 5s
            5s     start r2
            5s     start r3
        "#]],
    );
}

#[test]
fn no_room_and_failures_wait_for_the_later_time() {
    check(
        "
            min=2 max=2
            0s plan
            0s fail r0
            0s pause
            0s refuse r1 1s
            0s next
            100ms pause
            100ms plan
            1s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     failed 1 times, waits until 100ms
            0s     next at 1s
            100ms  no room, waits until 1s
            1s     start r2
        "#]],
    );
}

#[test]
fn requests_wait_on_when_the_attempt_after_failures_finds_no_room() {
    check(
        "
            min=0 max=1
            0s arrive a
            0s fail r0
            1s plan
            1s fail r1
            1s cancel a
            2s arrive b
            2s fail r2
            2s arrive c
            3s arrive d
            3s refuse r3 4s
            3s arrive e
            4s plan
            4s fail r4
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     start r1
            1s     a left
            2s     b waits
            2s     start r2
            2s     b refused: starts fail, retry at 2.4s
            2s     c refused: starts fail, retry at 2.4s
            3s     d waits
            3s     start r3
            3s     e waits
            4s     start r4
            4s     d refused: starts fail, retry at 4.8s
            4s     e refused: starts fail, retry at 4.8s
        "#]],
    );
}

#[test]
fn a_late_refusal_changes_nothing() {
    check(
        "
            min=1 max=1
            0s plan
            1s started r0
            2s refuse r0 9s
            2s condemn r0
            3s refuse r0 9s
            3s show
        ",
        expect![[r#"
            0s     start r0
            2s     drop r0
            2s     start r1
            3s     1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}
