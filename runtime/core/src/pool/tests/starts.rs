//! Starts that fail.

use super::script::check;
use expect_test::expect;

#[test]
fn a_failed_start_is_tried_again_after_a_pause() {
    check(
        "
            min=1 max=1
            0s plan
            0s fail r0
            0s next
            99ms plan
            100ms plan
        ",
        expect![[r#"
            0s     start r0
            0s     next at 100ms
            100ms  start r1
        "#]],
    );
}

#[test]
fn the_pause_doubles_up_to_its_cap() {
    check(
        "
            min=1 max=1
            0s plan
            0ms fail r0
            0ms next
            100ms plan
            100ms fail r1
            100ms next
            300ms plan
            300ms fail r2
            300ms next
            700ms plan
            700ms fail r3
            700ms next
            1500ms plan
            1500ms fail r4
            1500ms next
            3100ms plan
            3100ms fail r5
            3100ms next
            6300ms plan
            6300ms fail r6
            6300ms next
            12700ms plan
            12700ms fail r7
            12700ms next
            25500ms plan
            25500ms fail r8
            25500ms next
            51100ms plan
            51100ms fail r9
            51100ms next
            81100ms plan
            81100ms fail r10
            81100ms next
            111100ms plan
        ",
        expect![[r#"
            0s     start r0
            0s     next at 100ms
            100ms  start r1
            100ms  next at 300ms
            300ms  start r2
            300ms  next at 700ms
            700ms  start r3
            700ms  next at 1.5s
            1.5s   start r4
            1.5s   next at 3.1s
            3.1s   start r5
            3.1s   next at 6.3s
            6.3s   start r6
            6.3s   next at 12.7s
            12.7s  start r7
            12.7s  next at 25.5s
            25.5s  start r8
            25.5s  next at 51.1s
            51.1s  start r9
            51.1s  next at 81.1s
            81.1s  start r10
            81.1s  next at 111.1s
            111.1s start r11
        "#]],
    );
}

#[test]
fn after_a_failure_one_attempt_at_a_time() {
    check(
        "
            min=3 max=3
            0s plan
            0s fail r0
            1s plan
            1s next
            1s fail r1
            1s fail r2
            2s plan
            2s plan
            3s started r3
            3s next
            3s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     never
            2s     start r3
            3s     next at 3s
            3s     start r4
            3s     start r5
        "#]],
    );
}

#[test]
fn a_success_ends_the_pause() {
    check(
        "
            min=2 max=3
            0s plan
            0s fail r0
            10ms started r1
            10ms next
            10ms plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            10ms   next at 10ms
            10ms   start r2
        "#]],
    );
}

#[test]
fn a_request_makes_one_attempt_too_while_starts_fail() {
    check(
        "
            min=0 max=3 initial=3
            0s arrive a
            0s fail r0
            0s fail r1
            0s fail r2
            0s target 0
            1s arrive b
            1s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     start r1
            0s     start r2
            0s     a refused: starts fail, retry at 400ms
            1s     b waits
            1s     start r3
            1s     1 starting, 0 ready, 0 draining, target 3, 1 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn waiting_requests_are_refused_once_starts_look_hopeless() {
    check(
        "
            min=0 max=1
            0s arrive a b
            0s fail r0
            1s plan
            1s fail r1
            2s plan
            2s fail r2
            2s arrive c
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            1s     start r1
            2s     start r2
            2s     a refused: starts fail, retry at 2.4s
            2s     b refused: starts fail, retry at 2.4s
            2s     c refused: starts fail, retry at 2.4s
        "#]],
    );
}

#[test]
fn one_or_two_failures_keep_requests_waiting() {
    check(
        "
            min=0 max=1
            0s arrive a
            0s fail r0
            1s plan
            1s fail r1
            1s arrive b
            2s plan
            2s started r2
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     start r1
            1s     b waits
            2s     start r2
            2s     a on r2
        "#]],
    );
}

#[test]
fn a_request_during_a_short_pause_waits_for_the_next_attempt() {
    check(
        "
            min=0 max=1
            0s arrive a
            0s fail r0
            10ms cancel a
            10ms target 0
            20ms arrive b
            20ms next
            100ms plan
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            10ms   a left
            20ms   b waits
            20ms   next at 100ms
            100ms  start r1
        "#]],
    );
}

#[test]
fn a_request_after_the_pause_tries_again() {
    check(
        "
            min=0 max=1
            0s arrive a
            0s fail r0
            1s plan
            1s fail r1
            2s plan
            2s fail r2
            2s target 0
            2s next
            3s arrive b
            4s started r3
            4s finish b
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     start r1
            2s     start r2
            2s     a refused: starts fail, retry at 2.4s
            2s     never
            3s     b waits
            3s     start r3
            4s     b on r3
        "#]],
    );
}

#[test]
fn nobody_is_refused_while_a_replica_serves() {
    check(
        "
            min=2 max=2
            0s plan
            0s started r0
            0s fail r1
            0s arrive a b
            1s plan
            1s fail r2
            2s plan
            2s fail r3
            2s show
            3s finish a
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     a on r0
            0s     b waits
            1s     start r2
            2s     start r3
            2s     0 starting, 1 ready, 0 draining, target 2, 1 queued, 1 ongoing
            3s     b on r0
        "#]],
    );
}

#[test]
fn losing_the_last_replica_while_starts_fail_refuses_who_waits() {
    check(
        "
            min=2 max=2
            0s plan
            0s started r0
            0s fail r1
            0s arrive a b
            1s plan
            1s fail r2
            2s plan
            2s fail r3
            2100ms finish a trapped
            2100ms arrive c
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     a on r0
            0s     b waits
            1s     start r2
            2s     start r3
            2.1s   drop r0
            2.1s   b refused: starts fail, retry at 2.4s
            2.1s   c refused: starts fail, retry at 2.4s
        "#]],
    );
}

#[test]
fn nobody_waits_for_spent_replicas_when_starts_look_hopeless() {
    check(
        "
            min=1 max=3 max_requests=1
            0s plan
            0s started r0
            1s arrive a
            1s fail r1
            2s arrive b
            2s plan
            2s fail r2
            3s plan
            3s fail r3
            3s arrive c
            4s finish a
            4s plan
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     start r1
            2s     b waits
            2s     start r2
            3s     start r3
            3s     b refused: starts fail, retry at 3.4s
            3s     c refused: starts fail, retry at 3.4s
            4s     drop r0
            4s     start r4
        "#]],
    );
}

#[test]
fn those_behind_the_last_that_a_replica_takes_are_refused_when_starts_look_hopeless() {
    check(
        "
            min=2 max=2 max_requests=2
            0s plan
            0s started r0
            0s fail r1
            0s arrive a b c
            1s plan
            1s fail r2
            2s plan
            2s fail r3
            2100ms finish a
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     a on r0
            0s     b waits
            0s     c waits
            1s     start r2
            2s     start r3
            2.1s   b on r0
            2.1s   c refused: starts fail, retry at 2.4s
        "#]],
    );
}
