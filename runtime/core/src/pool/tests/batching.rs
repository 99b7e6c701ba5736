//! Requests that are served together.

use super::script::check;
use expect_test::expect;

#[test]
fn a_full_batch_leaves_at_once() {
    check(
        "
            min=1 max=1 batch=3/1s
            0s plan
            0s started r0
            1s arrive a b c d
            1s show
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     c waits
            1s     a+b+c on r0
            1s     d waits
            1s     0 starting, 1 ready, 0 draining, target 1, 1 queued, 3 ongoing
        "#]],
    );
}

#[test]
fn a_batch_leaves_when_its_oldest_request_has_waited() {
    check(
        "
            min=1 max=1 batch=8/100ms
            0s plan
            0s started r0
            1000ms arrive a
            1000ms due
            1060ms arrive b
            1060ms due
            1099ms flush
            1100ms flush
            1100ms due
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     due at 1.1s
            1.06s  b waits
            1.06s  due at 1.1s
            1.1s   a+b on r0
            1.1s   not due
        "#]],
    );
}

#[test]
fn the_control_loop_sends_what_is_due_as_well() {
    check(
        "
            min=1 max=1 batch=8/100ms
            0s plan
            0s started r0
            1s arrive a
            1s next
            1100ms plan
            1100ms next
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     next at 1.1s
            1.1s   a on r0
            1.1s   never
        "#]],
    );
}

#[test]
fn without_a_free_place_a_batch_waits_and_then_leaves_at_once() {
    check(
        "
            min=1 max=1 batch=2/100ms
            0s plan
            0s started r0
            1s arrive a b c
            1s due
            2s flush
            2s arrive d e
            3s finish a
            4s finish c
            4s due
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     a+b on r0
            1s     c waits
            1s     not due
            2s     d waits
            2s     e waits
            3s     c+d on r0
            4s     e on r0
            4s     not due
        "#]],
    );
}

#[test]
fn a_place_that_becomes_free_does_not_make_a_batch_leave_before_its_time() {
    check(
        "
            min=1 max=1 batch=2/10s
            0s plan
            0s started r0
            1s arrive a b c
            2s finish a
            2s due
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     a+b on r0
            1s     c waits
            2s     due at 11s
        "#]],
    );
}

#[test]
fn a_replica_runs_as_many_batches_as_its_concurrency_the_least_busy_first() {
    check(
        "
            min=2 max=2 concurrency=2 batch=2/1s
            0s plan
            0s started r0 r1
            1s arrive a b c d e f g h i j
            1s list
            2s finish c
            3s finish i
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a waits
            1s     b waits
            1s     a+b on r1
            1s     c waits
            1s     d waits
            1s     c+d on r0
            1s     e waits
            1s     f waits
            1s     e+f on r0
            1s     g waits
            1s     h waits
            1s     g+h on r1
            1s     i waits
            1s     j waits
            1s     r0 Ready, 4 ongoing, idle None, age 1s
            1s     r1 Ready, 4 ongoing, idle None, age 1s
            2s     i+j on r0
        "#]],
    );
}

#[test]
fn a_started_replica_takes_full_batches_and_those_that_are_due() {
    check(
        "
            min=0 max=1 concurrency=3 batch=2/1s
            0s arrive a b
            1500ms arrive c
            2s started r0
            2s due
            2500ms flush
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            1.5s   c waits
            2s     a+b on r0
            2s     due at 2.5s
            2.5s   c on r0
        "#]],
    );
}

#[test]
fn one_that_left_is_in_no_batch_and_the_time_counts_from_the_next() {
    check(
        "
            min=1 max=1 batch=3/100ms
            0s plan
            0s started r0
            1000ms arrive a
            1050ms arrive b
            1060ms cancel a
            1060ms due
            1070ms arrive c
            1150ms flush
            1150ms cancel b
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1.05s  b waits
            1.06s  a left
            1.06s  due at 1.15s
            1.07s  c waits
            1.15s  b+c on r0
            1.15s  b waits no more
        "#]],
    );
}

#[test]
fn a_short_queue_makes_a_full_batch_when_it_is_full() {
    check(
        "
            min=1 max=1 queue=2 batch=8/1s
            0s plan
            0s started r0
            1s arrive a b c d e
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     a+b on r0
            1s     c waits
            1s     d waits
            1s     e refused: queue full
        "#]],
    );
}

#[test]
fn a_batch_is_cut_to_what_its_replica_may_still_serve() {
    check(
        "
            min=1 max=2 max_requests=3 batch=2/1s
            0s plan
            0s started r0
            1s arrive a b c d e
            2s finish a
            3s started r1
            4s finish c
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     a+b on r0
            1s     c waits
            1s     d waits
            1s     e waits
            2s     c on r0
            2s     start r1
            3s     d+e on r1
            4s     drop r0
        "#]],
    );
}

#[test]
fn policies_see_requests() {
    check(
        "
            min=1 max=1 batch=4/1s
            0s plan
            0s started r0
            0s look
            1s arrive a b
            2s flush
            3s arrive c
            4s finish a
            4s look
            4s list
        ",
        expect![[r#"
            0s     start r0
            0s     since 0ns
            0s     queued 0 on average None
            0s     ongoing 0 on average None
            0s     arrived 0 completed 0 failed 0 rejected 0
            0s     oldest wait None, last used None, p50 None ms
            1s     a waits
            1s     b waits
            2s     a+b on r0
            3s     c waits
            4s     c on r0
            4s     since 4s
            4s     queued 0 on average Some(0.75)
            4s     ongoing 1 on average Some(1.0)
            4s     arrived 3 completed 2 failed 0 rejected 0
            4s     oldest wait None, last used Some("4s"), p50 Some(3146.0) ms
            4s     r0 Ready, 1 ongoing, idle None, age 4s
        "#]],
    );
}

#[test]
fn sizes_and_waits_are_counted() {
    check(
        "
            min=1 max=1 concurrency=9 batch=4/1s
            0s plan
            0s started r0
            1s arrive a b c
            2s flush
            2s arrive d e f g
            3s arrive h
            5s flush
            5s batches
        ",
        expect![[r#"
            0s     start r0
            1s     a waits
            1s     b waits
            1s     c waits
            2s     a+b+c on r0
            2s     d waits
            2s     e waits
            2s     f waits
            2s     g waits
            2s     d+e+f+g on r0
            3s     h waits
            5s     h on r0
            5s     3 sent with 8, up to 1: 1, 2: 1, 4: 3, 8: 3, 16: 3; 8 waited 5s
        "#]],
    );
}
