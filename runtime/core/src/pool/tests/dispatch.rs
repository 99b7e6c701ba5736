//! Which replica serves which request, and who waits.

use super::script::check;
use expect_test::expect;

#[test]
fn the_least_busy_replica_serves() {
    check(
        "
            min=2 max=2 concurrency=3
            0s plan
            1s started r0 r1
            1s arrive a b c d
            2s finish a
            2s arrive e
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            1s     b on r0
            1s     c on r0
            1s     d on r1
            2s     e on r1
        "#]],
    );
}

#[test]
fn among_equals_the_last_used_serves() {
    check(
        "
            min=3 max=3
            0s plan
            1s started r0 r1 r2
            1s arrive a b c
            2s finish b
            3s finish a
            4s finish c
            5s arrive d e f
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     a on r2
            1s     b on r1
            1s     c on r0
            5s     d on r0
            5s     e on r2
            5s     f on r1
        "#]],
    );
}

#[test]
fn a_replica_serves_up_to_its_concurrency() {
    check(
        "
            min=1 max=1 concurrency=2
            0s plan
            1s started r0
            1s arrive a b c
            1s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b on r0
            1s     c waits
            1s     0 starting, 1 ready, 0 draining, target 1, 1 queued, 2 ongoing
        "#]],
    );
}

#[test]
fn first_come_first_served() {
    check(
        "
            min=0 max=1
            0s arrive a b c
            1s started r0
            2s finish a
            3s finish b
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     c waits
            1s     a on r0
            2s     b on r0
            3s     c on r0
        "#]],
    );
}

#[test]
fn a_started_replica_takes_as_many_as_it_may() {
    check(
        "
            min=0 max=1 concurrency=2
            0s arrive a b c
            1s started r0
            1s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     c waits
            1s     a on r0
            1s     b on r0
            1s     0 starting, 1 ready, 0 draining, target 1, 1 queued, 2 ongoing
        "#]],
    );
}

#[test]
fn a_freed_place_goes_to_the_longest_waiter() {
    check(
        "
            min=2 max=2
            0s plan
            1s started r0 r1
            1s arrive a b c d
            2s finish b
            3s finish a
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            1s     b on r0
            1s     c waits
            1s     d waits
            2s     c on r0
            3s     d on r1
        "#]],
    );
}

#[test]
fn a_full_queue_refuses() {
    check(
        "
            min=0 max=1 queue=2
            0s arrive a b c
            1s started r0
            1s arrive d e
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     c refused: queue full
            1s     a on r0
            1s     d waits
            1s     e refused: queue full
        "#]],
    );
}

#[test]
fn one_that_left_the_middle_of_the_queue_is_skipped() {
    check(
        "
            min=0 max=1
            0s arrive a b c d
            1s cancel b
            1s cancel c
            2s started r0
            3s finish a
            3s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     c waits
            0s     d waits
            1s     b left
            1s     c left
            2s     a on r0
            3s     d on r0
            3s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn one_that_left_makes_room_in_the_queue() {
    check(
        "
            min=0 max=1 queue=1
            0s arrive a b
            1s cancel a
            1s arrive c
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b refused: queue full
            1s     a left
            1s     c waits
        "#]],
    );
}

#[test]
fn leaving_after_being_woken_is_too_late() {
    check(
        "
            min=0 max=1
            0s arrive a
            1s started r0
            1s cancel a
            1s finish a cancelled
            1s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     a on r0
            1s     a waits no more
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn leaving_twice_is_leaving_once() {
    check(
        "
            min=0 max=1
            0s arrive a b
            0s cancel a
            0s cancel a
            0s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     a left
            0s     a waits no more
            0s     1 starting, 0 ready, 0 draining, target 1, 1 queued, 0 ongoing
        "#]],
    );
}
