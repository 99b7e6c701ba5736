//! What a policy is told.

use super::script::check;
use expect_test::expect;

#[test]
fn the_first_look_has_no_averages() {
    check(
        "
            min=0 max=1
            5s look
        ",
        expect![[r#"
            5s     since 0ns
            5s     queued 0 on average None
            5s     ongoing 0 on average None
            5s     arrived 0 completed 0 failed 0 rejected 0
            5s     oldest wait None, last used None, p50 None ms
        "#]],
    );
}

#[test]
fn averages_are_weighted_by_time() {
    check(
        "
            min=0 max=1
            0s look
            0s arrive a b
            4s started r0
            10s look
            10s finish a
            12s look
        ",
        expect![[r#"
            0s     since 0ns
            0s     queued 0 on average None
            0s     ongoing 0 on average None
            0s     arrived 0 completed 0 failed 0 rejected 0
            0s     oldest wait None, last used None, p50 None ms
            0s     a waits
            0s     start r0
            0s     b waits
            4s     a on r0
            10s    since 10s
            10s    queued 1 on average Some(1.4)
            10s    ongoing 1 on average Some(0.6)
            10s    arrived 2 completed 0 failed 0 rejected 0
            10s    oldest wait Some(10s), last used Some("0s"), p50 None ms
            10s    b on r0
            12s    since 2s
            12s    queued 0 on average Some(0.0)
            12s    ongoing 1 on average Some(1.0)
            12s    arrived 0 completed 1 failed 0 rejected 0
            12s    oldest wait None, last used Some("10s"), p50 Some(10486.0) ms
        "#]],
    );
}

#[test]
fn counts_start_anew_with_each_look() {
    check(
        "
            min=0 max=1 queue=2
            0s arrive a b c
            1s started r0
            2s finish a
            3s finish b failed
            3s look
            4s arrive d
            5s finish d cancelled
            6s look
            7s look
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     c refused: queue full
            1s     a on r0
            2s     b on r0
            3s     since 0ns
            3s     queued 0 on average None
            3s     ongoing 0 on average None
            3s     arrived 3 completed 1 failed 1 rejected 1
            3s     oldest wait None, last used Some("3s"), p50 Some(2097.0) ms
            4s     d on r0
            6s     since 3s
            6s     queued 0 on average Some(0.0)
            6s     ongoing 0 on average Some(0.3333333333333333)
            6s     arrived 1 completed 0 failed 1 rejected 0
            6s     oldest wait None, last used Some("5s"), p50 Some(1049.0) ms
            7s     since 1s
            7s     queued 0 on average Some(0.0)
            7s     ongoing 0 on average Some(0.0)
            7s     arrived 0 completed 0 failed 0 rejected 0
            7s     oldest wait None, last used Some("5s"), p50 None ms
        "#]],
    );
}

#[test]
fn the_oldest_wait_is_that_of_the_first_who_still_waits() {
    check(
        "
            min=0 max=1
            0s arrive a
            2s arrive b
            5s cancel a
            6s look
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            2s     b waits
            5s     a left
            6s     since 0ns
            6s     queued 1 on average None
            6s     ongoing 0 on average None
            6s     arrived 2 completed 0 failed 0 rejected 1
            6s     oldest wait Some(4s), last used Some("5s"), p50 None ms
        "#]],
    );
}

#[test]
fn leaving_the_queue_is_use_and_a_rejection() {
    check(
        "
            min=0 max=1
            0s look
            0s arrive a
            7s cancel a
            9s look
        ",
        expect![[r#"
            0s     since 0ns
            0s     queued 0 on average None
            0s     ongoing 0 on average None
            0s     arrived 0 completed 0 failed 0 rejected 0
            0s     oldest wait None, last used None, p50 None ms
            0s     a waits
            0s     start r0
            7s     a left
            9s     since 9s
            9s     queued 0 on average Some(0.7777777777777778)
            9s     ongoing 0 on average Some(0.0)
            9s     arrived 1 completed 0 failed 0 rejected 1
            9s     oldest wait None, last used Some("7s"), p50 None ms
        "#]],
    );
}

#[test]
fn two_looks_at_once_have_no_averages() {
    check(
        "
            min=0 max=1
            3s look
            3s look
        ",
        expect![[r#"
            3s     since 0ns
            3s     queued 0 on average None
            3s     ongoing 0 on average None
            3s     arrived 0 completed 0 failed 0 rejected 0
            3s     oldest wait None, last used None, p50 None ms
            3s     since 0ns
            3s     queued 0 on average None
            3s     ongoing 0 on average None
            3s     arrived 0 completed 0 failed 0 rejected 0
            3s     oldest wait None, last used None, p50 None ms
        "#]],
    );
}

#[test]
fn only_a_ready_replica_without_requests_is_idle() {
    check(
        "
            min=3 max=4
            0s plan
            1s started r0
            2s started r1
            3s arrive a
            3s condemn r1
            5s list
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            3s     a on r1
            3s     start r3
            5s     r0 Ready, 0 ongoing, idle Some(4s), age 5s
            5s     r1 Draining until 33s, 1 ongoing, idle None, age 5s
            5s     r2 Starting, 0 ongoing, idle None, age 5s
            5s     r3 Starting, 0 ongoing, idle None, age 2s
        "#]],
    );
}
