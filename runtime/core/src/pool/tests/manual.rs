//! What operators do by hand.

use super::script::check;
use expect_test::expect;

#[test]
fn added_replicas_start_at_once_and_raise_the_target() {
    check(
        "
            min=1 max=4
            0s plan
            0s started r0
            1s add 2
            1s show
            1s add 9
            1s add 1
        ",
        expect![[r#"
            0s     start r0
            1s     2 added
            1s     start r1
            1s     start r2
            1s     2 starting, 1 ready, 0 draining, target 3, 0 queued, 0 ongoing
            1s     1 added
            1s     start r3
            1s     0 added
        "#]],
    );
}

#[test]
fn what_is_there_beyond_the_target_counts_when_some_are_added() {
    check(
        "
            min=0 max=4
            0s target 3
            0s started r0 r1 r2
            1s target 1
            2s add 1
            2s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            2s     1 added
            2s     start r3
            2s     1 starting, 3 ready, 0 draining, target 4, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn added_replicas_wait_as_long_as_starts_fail() {
    check(
        "
            min=0 max=4
            0s target 1
            0s fail r0
            0s add 1
            0s show
            0s next
            100ms plan
            200ms started r1
        ",
        expect![[r#"
            0s     start r0
            0s     1 added
            0s     0 starting, 0 ready, 0 draining, target 2, 0 queued, 0 ongoing
            0s     next at 100ms
            100ms  start r1
        "#]],
    );
}

#[test]
fn adding_wakes_a_sleeping_pool_for_its_idle_time() {
    check(
        "
            min=2 max=4 idle=10s
            0s plan
            0s started r0 r1
            10s plan
            60s add 1
            62s started r2
            62s show
            62s next
            72s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            10s    drop r0
            10s    drop r1
            60s    1 added
            60s    start r2
            62s    0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing
            62s    next at 72s
            72s    drop r2
        "#]],
    );
}

#[test]
fn a_removed_replica_finishes_its_requests_and_has_no_successor() {
    check(
        "
            min=2 max=2 drain=9s
            0s plan
            0s started r0 r1
            1s arrive a
            2s remove r1
            2s show
            3s finish a
            3s plan
            4s remove r0
            4s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     a on r1
            2s     0 starting, 1 ready, 1 draining, target 1, 0 queued, 1 ongoing
            3s     drop r1
            4s     drop r0
            4s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn the_target_stays_if_one_beyond_it_is_removed() {
    check(
        "
            min=0 max=3
            0s target 3
            0s started r0 r1 r2
            1s target 2
            2s remove r0
            2s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            2s     drop r0
            2s     0 starting, 2 ready, 0 draining, target 2, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn the_last_one_is_replaced_while_requests_wait() {
    check(
        "
            min=0 max=1
            0s arrive a b
            0s started r0
            1s remove r0
            1s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     a on r0
            1s     start r1
            1s     1 starting, 0 ready, 1 draining, target 0, 1 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn a_restarted_replica_has_a_successor_at_once() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s arrive a b
            2s restart r0
            3s started r1
            4s finish a
            4s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b waits
            2s     start r1
            3s     b on r1
            4s     drop r0
            4s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn only_ready_replicas_that_take_requests_are_removed_or_restarted() {
    check(
        "
            min=0 max=3 max_requests=1
            0s target 1
            0s remove r0
            0s restart r0
            0s started r0
            1s arrive a
            1s remove r0
            1s condemn r0
            1s restart r0
            2s finish a
            2s remove r0
            2s remove r7
            3s adopt
            3s restart r2
            3s remove r2
            4s close
            4s remove r1
            4s restart r1
            4s add 1
        ",
        expect![[r#"
            0s     start r0
            0s     not done: the replica is still starting
            0s     not done: the replica is still starting
            1s     a on r0
            1s     start r1
            1s     not done: the replica takes no more requests already
            1s     not done: the replica takes no more requests already
            2s     drop r0
            2s     not done: there is no such replica
            2s     not done: there is no such replica
            3s     r2 adopted
            3s     not done: the replica registered itself and only restarts by itself
            3s     drop r2
            4s     not done: the pool is closed and all of its replicas leave
            4s     not done: the pool is closed and all of its replicas leave
            4s     0 added
        "#]],
    );
}

#[test]
fn a_held_number_is_kept_whatever_policies_and_idleness_say() {
    check(
        "
            min=2 max=4 idle=10s scaledown=1s
            0s plan
            0s started r0 r1
            1s hold 1
            1s show
            5s target 4
            60s plan
            60s next
            60s show
            61s crash r0
            61s condemn r1
            61s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     drop r0
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held at 1
            60s    never
            60s    0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held at 1
            61s    drop r1
            61s    start r2
            61s    1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing, held at 1
        "#]],
    );
}

#[test]
fn a_held_number_is_at_most_the_maximum() {
    check(
        "
            min=0 max=2
            0s hold 9
            0s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     2 starting, 0 ready, 0 draining, target 2, 0 queued, 0 ongoing, held at 2
        "#]],
    );
}

#[test]
fn holding_drains_what_is_above_and_what_starts_above() {
    check(
        "
            min=0 max=4
            0s target 3
            0s started r0 r1
            1s arrive a b
            2s hold 1
            2s show
            3s started r2
            3s show
            4s finish a
            5s finish b
            5s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     a on r1
            1s     b on r0
            2s     1 starting, 1 ready, 1 draining, target 1, 0 queued, 2 ongoing, held at 1
            3s     drop r2
            3s     0 starting, 1 ready, 1 draining, target 1, 0 queued, 2 ongoing, held at 1
            5s     drop r0
            5s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held at 1
        "#]],
    );
}

#[test]
fn held_at_zero_nothing_wakes_the_pool() {
    check(
        "
            min=1 max=4 initial=2
            0s hold 0
            1s arrive a
            1s plan
            1s next
            2s arrive b
            3s cancel a
            4s hold off
            4s show
        ",
        expect![[r#"
            1s     a waits
            1s     never
            2s     b waits
            3s     a left
            4s     start r0
            4s     1 starting, 0 ready, 0 draining, target 1, 1 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_pool_that_is_held_at_zero_and_closed_starts_nothing() {
    check(
        "
            min=1 max=4 drain=5s
            0s hold 0
            1s arrive a
            2s close
            2s next
            7s plan
            7s show
        ",
        expect![[r#"
            1s     a waits
            2s     next at 7s
            7s     a refused: closed
            7s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished, held at 0
        "#]],
    );
}

#[test]
fn holding_wakes_a_sleeping_pool_and_letting_go_starts_its_idle_time_anew() {
    check(
        "
            min=1 max=4 idle=10s
            0s plan
            0s started r0
            10s plan
            20s hold 2
            21s started r1 r2
            90s plan
            91s hold off
            91s show
            91s next
            101s plan
            101s show
        ",
        expect![[r#"
            0s     start r0
            10s    drop r0
            20s    start r1
            20s    start r2
            91s    0 starting, 2 ready, 0 draining, target 2, 0 queued, 0 ongoing
            91s    next at 101s
            101s   drop r1
            101s   drop r2
            101s   0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
        "#]],
    );
}

#[test]
fn a_held_number_moves_with_single_replicas() {
    check(
        "
            min=0 max=4
            0s hold 1
            0s started r0
            1s add 2
            1s show
            1s started r1 r2
            2s remove r0
            2s show
            3s restart r1
            3s show
        ",
        expect![[r#"
            0s     start r0
            1s     2 added
            1s     start r1
            1s     start r2
            1s     2 starting, 1 ready, 0 draining, target 3, 0 queued, 0 ongoing, held at 3
            2s     drop r0
            2s     0 starting, 2 ready, 0 draining, target 2, 0 queued, 0 ongoing, held at 2
            3s     drop r1
            3s     start r3
            3s     1 starting, 1 ready, 0 draining, target 2, 0 queued, 0 ongoing, held at 2
        "#]],
    );
}

#[test]
fn a_machine_without_room_gets_less_than_the_held_number() {
    check(
        "
            min=0 max=4
            0s hold 3
            0s started r0 r1 r2
            1s shed 1
            1s show
            2s target 1
            2s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     drop r0
            1s     drop r1
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held at 3
            2s     start r3
            2s     start r4
            2s     2 starting, 1 ready, 0 draining, target 3, 0 queued, 0 ongoing, held at 3
        "#]],
    );
}

#[test]
fn a_worker_that_comes_by_itself_takes_the_place_of_a_held_one() {
    check(
        "
            min=0 max=4
            0s hold 1
            0s started r0
            1s adopt
            1s show
            2s hold 0
            2s show
            2s plan
            2s next
        ",
        expect![[r#"
            0s     start r0
            1s     r1 adopted
            1s     drop r0
            1s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 0 ongoing, held at 1
            2s     0 starting, 1 ready, 0 draining, target 0, 0 queued, 0 ongoing, held at 0
            2s     never
        "#]],
    );
}

#[test]
fn letting_go_of_what_nobody_holds_changes_nothing() {
    check(
        "
            min=2 max=4 idle=10s
            0s plan
            0s started r0 r1
            10s plan
            11s hold off
            11s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            10s    drop r0
            10s    drop r1
            11s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
        "#]],
    );
}

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
