//! The end of a pool.

use super::script::check;
use expect_test::expect;

#[test]
fn a_closed_pool_refuses_requests() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s close
            1s arrive a
            1s show
        ",
        expect![[r#"
            0s     start r0
            1s     drop r0
            1s     a refused: closed
            1s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn a_closed_pool_serves_what_waits_and_then_ends() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s arrive a b c
            2s close
            3s finish a
            4s finish b
            5s finish c
            5s show
            5s next
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b waits
            1s     c waits
            3s     b on r0
            4s     c on r0
            5s     drop r0
            5s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
            5s     never
        "#]],
    );
}

#[test]
fn a_closed_pool_starts_what_its_waiting_requests_need() {
    check(
        "
            min=0 max=2
            0s arrive a b
            1s close
            2s started r0
            3s finish a trapped
            4s started r1
            5s finish b
            5s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            2s     a on r0
            3s     drop r0
            3s     start r1
            4s     b on r1
            5s     drop r1
            5s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn a_closed_pool_drops_what_it_does_not_need() {
    check(
        "
            min=2 max=2 scaledown=60s
            0s plan
            0s started r0
            1s arrive a
            2s close
            3s started r1
            4s finish a
            4s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r0
            3s     drop r1
            4s     drop r0
            4s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn a_closed_pool_refuses_what_waits_at_its_deadline() {
    check(
        "
            min=0 max=1 drain=10s
            0s arrive a b
            1s close
            1s next
            11s plan
            11s next
            12s started r0
            12s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            1s     next at 11s
            11s    a refused: closed
            11s    b refused: closed
            11s    never
            12s    drop r0
            12s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn a_closed_pool_cuts_what_it_serves_at_its_deadline() {
    check(
        "
            min=0 max=1 drain=10s
            0s arrive a
            0s started r0
            1s close
            1s next
            10s plan
            11s plan
            11s show
            11s next
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            1s     next at 11s
            11s    cut r0
            11s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 1 ongoing, finished
            11s    never
        "#]],
    );
}

#[test]
fn a_replica_that_drains_in_a_closed_pool_has_no_more_time() {
    check(
        "
            min=0 max=1 drain=10s
            0s arrive a
            0s started r0
            1s close
            9s condemn r0
            9s next
            11s plan
            11s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            9s     next at 11s
            11s    cut r0
            11s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 1 ongoing, finished
        "#]],
    );
}

#[test]
fn a_failed_start_ends_a_closed_pool_nobody_waits_for() {
    check(
        "
            min=1 max=1
            0s plan
            1s close
            1s show
            2s fail r0
            2s show
            2s next
        ",
        expect![[r#"
            0s     start r0
            1s     1 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing
            2s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
            2s     never
        "#]],
    );
}

#[test]
fn closing_again_does_not_put_the_deadline_off() {
    check(
        "
            min=0 max=1 drain=10s
            0s arrive a
            0s started r0
            1s close
            5s close
            5s next
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            5s     next at 11s
        "#]],
    );
}

#[test]
fn a_closed_pool_takes_no_target() {
    check(
        "
            min=0 max=2
            0s close
            0s target 2
            0s show
        ",
        expect![[r#"
            0s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn a_closed_pool_serves_what_waits_with_successors_of_spent_replicas() {
    check(
        "
            min=0 max=1 max_requests=1
            0s arrive a b
            0s started r0
            1s close
            2s finish a
            3s started r1
            4s finish b
            4s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     a on r0
            2s     drop r0
            2s     start r1
            3s     b on r1
            4s     drop r1
            4s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn a_closed_pool_cuts_its_spent_replicas_at_its_deadline() {
    check(
        "
            min=0 max=1 max_requests=1 drain=10s
            0s arrive a
            0s started r0
            1s close
            1s next
            10s plan
            11s plan
            11s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            1s     next at 11s
            11s    cut r0
            11s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 1 ongoing, finished
        "#]],
    );
}
