//! One more replica for a request that all others wait for.

use super::script::check;
use expect_test::expect;

#[test]
fn one_more_starts_for_a_request_that_all_others_wait_for() {
    check(
        "
            min=0 max=3 scaledown=5s
            0s arrive a
            0s started r0
            1s arrive b
            1s more
            1s more
            2s target 1
            2s shed 1
            3s started r1
            4s arrive c
            4s more
            5s started r2
            6s arrive d
            6s more
            7s finish c
            8s finish d
            9s finish b
            10s finish a
            14s target 1
            14s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            1s     b waits
            1s     one more
            1s     start r1
            1s     one more
            3s     b on r1
            4s     c waits
            4s     one more
            4s     start r2
            5s     c on r2
            6s     d waits
            6s     no room for more
            7s     d on r2
            14s    drop r2
            14s    drop r1
            14s    0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn one_more_is_tried_again_as_long_as_the_request_waits() {
    check(
        "
            min=0 max=3
            0s arrive a
            0s started r0
            1s arrive b
            1s more
            1s fail r1
            1s next
            2s plan
            2s refuse r2 3s
            3s plan
            3s cancel b
            3s fail r3
            3s next
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            1s     b waits
            1s     one more
            1s     start r1
            1s     next at 1.1s
            2s     start r2
            3s     start r3
            3s     b left
            3s     never
        "#]],
    );
}

#[test]
fn a_later_request_does_not_ask_for_one_more() {
    check(
        "
            min=0 max=3
            0s arrive a
            0s started r0
            1s arrive b
            1s more
            1s fail r1
            1s cancel b
            2s arrive c
            2s plan
            2s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            1s     b waits
            1s     one more
            1s     start r1
            1s     b left
            2s     c waits
            2s     0 starting, 1 ready, 0 draining, target 1, 1 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn one_more_needs_room_and_a_number_that_is_not_held() {
    check(
        "
            min=0 max=2
            0s hold 1
            0s started r0
            0s more
            1s arrive a b
            1s more
            2s hold off
            2s more
            2s started r1
            2s arrive c
            2s more
        ",
        expect![[r#"
            0s     start r0
            0s     one more
            1s     a on r0
            1s     b waits
            1s     no room for more
            2s     one more
            2s     start r1
            2s     b on r1
            2s     c waits
            2s     no room for more
        "#]],
    );
}

#[test]
fn one_more_starts_once_a_spent_replica_has_made_room() {
    check(
        "
            min=0 max=2 max_requests=1
            0s target 1
            0s started r0
            1s arrive a
            1s started r1
            1s target 0
            1s arrive b c
            1s more
            2s finish a
            2s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     start r1
            1s     b on r1
            1s     c waits
            1s     no room for more
            2s     drop r0
            2s     start r2
            2s     1 starting, 1 ready, 0 draining, target 0, 1 queued, 1 ongoing
        "#]],
    );
}
