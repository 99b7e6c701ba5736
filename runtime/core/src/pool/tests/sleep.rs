//! Emptying a pool that nobody uses.

use super::script::check;
use expect_test::expect;

#[test]
fn an_unused_pool_is_emptied_minimum_included() {
    check(
        "
            min=2 max=4 idle=60s scaledown=600s
            0s plan
            0s started r0 r1
            10s arrive a
            20s finish a
            20s next
            79s plan
            80s plan
            80s show
            80s next
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            10s    a on r1
            20s    next at 80s
            80s    drop r0
            80s    drop r1
            80s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
            80s    never
        "#]],
    );
}

#[test]
fn a_request_wakes_a_sleeping_pool() {
    check(
        "
            min=1 max=4 initial=2 idle=60s
            0s plan
            0s started r0 r1
            60s plan
            90s arrive a
            91s started r2
            91s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            60s    drop r0
            60s    drop r1
            90s    a waits
            90s    start r2
            90s    start r3
            91s    a on r2
            91s    1 starting, 1 ready, 0 draining, target 2, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn a_sleeping_pool_stays_empty_whatever_the_target() {
    check(
        "
            min=1 max=4 idle=60s
            0s plan
            0s started r0
            60s plan
            61s target 3
            61s plan
            61s show
        ",
        expect![[r#"
            0s     start r0
            60s    drop r0
            61s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
        "#]],
    );
}

#[test]
fn loading_is_not_idleness() {
    check(
        "
            min=1 max=1 idle=60s
            0s plan
            100s plan
            100s next
            100s started r0
            100s next
            159s plan
            160s plan
        ",
        expect![[r#"
            0s     start r0
            100s   never
            100s   next at 160s
            160s   drop r0
        "#]],
    );
}

#[test]
fn loading_all_that_a_request_woke_is_not_idleness() {
    check(
        "
            min=0 max=2 initial=2 idle=60s
            0s arrive a
            1s started r0
            2s finish a
            100s started r1
            100s next
            159s plan
            160s plan
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     start r1
            1s     a on r0
            100s   next at 160s
            160s   drop r0
            160s   drop r1
        "#]],
    );
}

#[test]
fn loading_for_a_target_is_not_idleness() {
    check(
        "
            min=0 max=1 idle=60s
            0s arrive a
            0s started r0
            0s finish a
            30s target 0
            100s target 1
            110s started r1
            110s next
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            30s    drop r0
            100s   start r1
            110s   next at 170s
        "#]],
    );
}

#[test]
fn replacements_do_not_keep_a_pool_awake() {
    check(
        "
            min=1 max=1 idle=60s max_age=50s
            0s plan
            0s started r0
            50s plan
            51s started r1
            51s next
            60s plan
            60s show
        ",
        expect![[r#"
            0s     start r0
            50s    drop r0
            50s    start r1
            51s    next at 60s
            60s    drop r1
            60s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
        "#]],
    );
}

#[test]
fn a_waiting_request_keeps_a_pool_awake() {
    check(
        "
            min=1 max=1 idle=60s
            0s plan
            0s started r0
            1s arrive a
            2s finish a trapped
            3s arrive b
            90s cancel b
            100s started r1
            100s next
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            2s     drop r0
            2s     start r1
            3s     b waits
            90s    b left
            100s   next at 150s
        "#]],
    );
}

#[test]
fn a_long_request_keeps_a_pool_awake() {
    check(
        "
            min=1 max=2 idle=60s
            0s target 2
            0s started r0 r1
            1s arrive a
            100s plan
            100s next
            101s finish a
            101s next
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            100s   never
            101s   next at 161s
        "#]],
    );
}

#[test]
fn loading_what_woke_up_is_not_idleness() {
    check(
        "
            min=0 max=1 idle=60s
            0s arrive a
            0s started r0
            0s finish a
            60s plan
            70s arrive b
            80s cancel b
            200s started r1
            200s next
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            60s    drop r0
            70s    b waits
            70s    start r1
            80s    b left
            200s   next at 260s
        "#]],
    );
}

#[test]
fn a_pool_that_is_old_and_unused_is_not_renewed() {
    check(
        "
            min=1 max=1 idle=60s max_age=60s
            0s plan
            0s started r0
            60s plan
        ",
        expect![[r#"
            0s     start r0
            60s    drop r0
        "#]],
    );
}

#[test]
fn loading_for_a_target_beside_a_spent_replica_is_not_idleness() {
    check(
        "
            min=0 max=2 idle=60s max_requests=1
            0s target 1
            0s started r0
            1s target 0
            1s arrive a
            2s target 1
            3s finish a
            100s started r1
            100s next
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            2s     start r1
            3s     drop r0
            100s   next at 160s
        "#]],
    );
}

#[test]
fn a_spent_replica_keeps_a_pool_awake() {
    check(
        "
            min=1 max=2 idle=60s max_requests=1
            0s plan
            0s started r0
            1s arrive a
            2s started r1
            100s plan
            100s next
            101s finish a
            101s next
            161s plan
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     start r1
            100s   never
            101s   drop r0
            101s   next at 161s
            161s   drop r1
        "#]],
    );
}

#[test]
fn a_worker_that_came_instead_of_a_missing_replica_ends_the_loading() {
    check(
        "
            min=0 max=2 initial=2 idle=500ms max_age=1208ms
            0s arrive a
            0s started r0
            0s refuse r1 1ms
            0s adopt
            709ms finish a
            1208ms plan
            1208ms started r3
            1209ms plan
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     start r1
            0s     a on r0
            0s     r2 adopted
            1.208s drop r0
            1.208s start r3
            1.209s drop r3
        "#]],
    );
}
