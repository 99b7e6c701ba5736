//! Replicas that were given all the requests they may serve.

use super::script::check;
use expect_test::expect;

#[test]
fn a_spent_replica_is_not_cut() {
    check(
        "
            min=1 max=2 max_requests=1 drain=10s
            0s plan
            0s started r0
            1s arrive a
            2s started r1
            2s next
            100s plan
            100s list
            200s finish a
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     start r1
            2s     never
            100s   r0 Ready, 1 ongoing, idle None, age 100s
            100s   r1 Ready, 0 ongoing, idle Some(98s), age 99s
            200s   drop r0
        "#]],
    );
}

#[test]
fn a_spent_replica_is_replaced_at_once_when_there_is_room() {
    check(
        "
            min=1 max=2 max_requests=2
            0s plan
            0s started r0
            1s arrive a
            2s finish a
            3s arrive b
            3s show
            4s started r1
            5s finish b
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            3s     b on r0
            3s     start r1
            3s     1 starting, 1 ready, 0 draining, target 1, 0 queued, 1 ongoing
            5s     drop r0
        "#]],
    );
}

#[test]
fn without_room_a_spent_replica_is_replaced_once_it_is_gone() {
    check(
        "
            min=1 max=1 max_requests=2
            0s plan
            0s started r0
            1s arrive a
            2s finish a
            3s arrive b
            3s next
            4s finish b
            5s started r1
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            3s     b on r0
            3s     never
            4s     drop r0
            4s     start r1
        "#]],
    );
}

#[test]
fn max_requests_never_exceeds_max() {
    check(
        "
            min=0 max=2 max_requests=1
            0s arrive a b c d
            1s started r0
            2s started r1
            2s show
            2s target 2
            3s finish a
            4s started r2
            5s finish b
            6s finish c
            6s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     c waits
            0s     d waits
            1s     a on r0
            1s     start r1
            2s     b on r1
            2s     0 starting, 2 ready, 0 draining, target 1, 2 queued, 2 ongoing
            3s     drop r0
            3s     start r2
            4s     c on r2
            5s     drop r1
            5s     start r3
            6s     drop r2
            6s     start r4
            6s     2 starting, 0 ready, 0 draining, target 2, 1 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_replica_is_spent_by_a_waiting_request_too() {
    check(
        "
            min=1 max=2 max_requests=2
            0s plan
            0s started r0
            1s arrive a b c
            2s finish a
            3s finish b
            4s started r1
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b waits
            1s     c waits
            2s     b on r0
            2s     start r1
            3s     drop r0
            4s     c on r1
        "#]],
    );
}

#[test]
fn a_spent_replica_finishes_all_it_serves_and_takes_no_more() {
    check(
        "
            min=1 max=1 concurrency=3 max_requests=3
            0s plan
            0s started r0
            1s arrive a b c d
            2s finish b
            2s arrive e
            3s finish c
            4s finish a
            5s started r1
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b on r0
            1s     c on r0
            1s     d waits
            2s     e waits
            4s     drop r0
            4s     start r1
            5s     d on r1
            5s     e on r1
        "#]],
    );
}

#[test]
fn a_request_that_only_spent_replicas_could_serve_starts_one_whatever_the_target() {
    check(
        "
            min=0 max=3 max_requests=1
            0s arrive a
            0s target 0
            0s started r0
            0s show
            1s arrive b c
            1s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            0s     0 starting, 1 ready, 0 draining, target 0, 0 queued, 1 ongoing
            1s     b waits
            1s     start r1
            1s     c waits
            1s     1 starting, 1 ready, 0 draining, target 1, 2 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn spent_replicas_leave_a_pool_that_wakes_up_no_more_than_the_rest_of_max() {
    check(
        "
            min=0 max=3 initial=3 max_requests=1
            0s target 1
            0s arrive a
            0s target 0
            0s started r0
            1s arrive b
            1s show
        ",
        expect![[r#"
            0s     start r0
            0s     a waits
            0s     a on r0
            1s     b waits
            1s     start r1
            1s     start r2
            1s     2 starting, 1 ready, 0 draining, target 3, 1 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn a_request_waits_for_a_place_beside_spent_replicas_without_raising_the_target() {
    check(
        "
            min=0 max=2 initial=2 max_requests=1
            0s target 1
            0s started r0
            1s arrive a
            1s started r1
            1s arrive b c
            1s show
            1s next
            2s finish b
            3s started r2
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     start r1
            1s     b on r1
            1s     c waits
            1s     0 starting, 2 ready, 0 draining, target 1, 1 queued, 2 ongoing
            1s     never
            2s     drop r1
            2s     start r2
            3s     c on r2
        "#]],
    );
}

#[test]
fn the_successor_of_a_spent_replica_is_not_one_too_many() {
    check(
        "
            min=1 max=3 max_requests=1 scaledown=10s
            0s plan
            0s started r0
            1s arrive a
            2s started r1
            2s next
            60s plan
            60s target 1 r1
            60s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     start r1
            2s     never
            60s    0 starting, 2 ready, 0 draining, target 1, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn a_spent_replica_is_not_removed_first() {
    check(
        "
            min=0 max=3 max_requests=1 scaledown=0s
            0s target 2
            0s started r0 r1
            1s arrive a
            2s started r2
            3s target 1 r1
            3s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            1s     start r2
            3s     drop r0
            3s     0 starting, 2 ready, 0 draining, target 1, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn a_higher_target_waits_for_the_room_that_spent_replicas_take() {
    check(
        "
            min=0 max=2 max_requests=1
            0s target 1
            0s started r0
            1s arrive a
            2s target 2
            2s show
            3s finish a
            3s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     start r1
            2s     1 starting, 1 ready, 0 draining, target 2, 0 queued, 1 ongoing
            3s     drop r0
            3s     start r2
            3s     2 starting, 0 ready, 0 draining, target 2, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_condemned_spent_replica_drains_and_makes_room() {
    check(
        "
            min=1 max=1 max_requests=1 drain=10s
            0s plan
            0s started r0
            1s arrive a b
            2s condemn r0
            2s show
            2s next
            3s started r1
            12s plan
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b waits
            2s     start r1
            2s     1 starting, 0 ready, 1 draining, target 1, 1 queued, 1 ongoing
            2s     next at 12s
            3s     b on r1
            12s    cut r0
        "#]],
    );
}

#[test]
fn a_trap_lets_the_other_requests_of_a_spent_replica_finish() {
    check(
        "
            min=1 max=1 concurrency=3 max_requests=2
            0s plan
            0s started r0
            1s arrive a b
            2s finish a trapped
            2s show
            3s finish b
            3s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b on r0
            2s     start r1
            2s     1 starting, 0 ready, 1 draining, target 1, 0 queued, 1 ongoing
            3s     drop r0
            3s     1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_trap_of_its_last_request_ends_a_spent_replica() {
    check(
        "
            min=1 max=1 max_requests=1
            0s plan
            0s started r0
            1s arrive a
            2s finish a trapped
            2s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            2s     drop r0
            2s     start r1
            2s     1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn an_old_spent_replica_drains() {
    check(
        "
            min=1 max=1 concurrency=2 max_requests=1 max_age=60s drain=10s
            0s plan
            0s started r0
            1s arrive a
            1s next
            60s plan
            60s next
            70s plan
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     next at 60s
            60s    start r1
            60s    next at 70s
            70s    cut r0
        "#]],
    );
}
