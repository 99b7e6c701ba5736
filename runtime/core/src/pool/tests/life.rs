//! Retirement, draining and late news.

use super::script::check;
use expect_test::expect;

#[test]
fn an_old_replica_is_replaced() {
    check(
        "
            min=1 max=1 max_age=60s
            0s plan
            5s started r0
            5s next
            59s plan
            60s plan
            61s started r1
            61s next
        ",
        expect![[r#"
            0s     start r0
            5s     next at 60s
            60s    drop r0
            60s    start r1
            61s    next at 120s
        "#]],
    );
}

#[test]
fn an_old_replica_finishes_its_request_first() {
    check(
        "
            min=1 max=1 max_age=60s
            0s plan
            0s started r0
            59s arrive a
            60s plan
            61s arrive b
            62s finish a
            63s started r1
        ",
        expect![[r#"
            0s     start r0
            59s    a on r0
            60s    start r1
            61s    b waits
            62s    drop r0
            63s    b on r1
        "#]],
    );
}

#[test]
fn age_counts_from_the_start_of_loading() {
    check(
        "
            min=1 max=1 max_age=60s
            0s plan
            90s next
            90s started r0
            90s next
            90s plan
        ",
        expect![[r#"
            0s     start r0
            90s    never
            90s    next at 90s
            90s    drop r0
            90s    start r1
        "#]],
    );
}

#[test]
fn a_trap_replaces_the_replica() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s arrive a b
            2s finish a trapped
            3s started r1
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b waits
            2s     drop r0
            2s     start r1
            3s     b on r1
        "#]],
    );
}

#[test]
fn a_trap_lets_the_other_requests_of_the_replica_finish() {
    check(
        "
            min=1 max=1 concurrency=2
            0s plan
            0s started r0
            1s arrive a b c
            2s finish a trapped
            2s show
            3s finish b
            4s started r1
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b on r0
            1s     c waits
            2s     start r1
            2s     1 starting, 0 ready, 1 draining, target 1, 1 queued, 1 ongoing
            3s     drop r0
            4s     c on r1
        "#]],
    );
}

#[test]
fn a_condemned_idle_replica_goes_at_once() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s condemn r0
            1s show
        ",
        expect![[r#"
            0s     start r0
            1s     drop r0
            1s     start r1
            1s     1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_condemned_busy_replica_drains() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s arrive a
            2s condemn r0
            2s show
            3s finish a
            3s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            2s     start r1
            2s     1 starting, 0 ready, 1 draining, target 1, 0 queued, 1 ongoing
            3s     drop r0
            3s     1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn a_replica_lost_while_it_starts_did_not_start() {
    check(
        "
            min=1 max=1
            0s plan
            1s condemn r0
            1s started r0
            1s next
            1100ms plan
        ",
        expect![[r#"
            0s     start r0
            1s     drop r0
            1s     next at 1.1s
            1.1s   start r1
        "#]],
    );
}

#[test]
fn requests_are_cut_at_the_drain_deadline() {
    check(
        "
            min=1 max=1 concurrency=2 drain=10s
            0s plan
            0s started r0
            1s arrive a b
            2s condemn r0
            2s next
            11999ms plan
            12s plan
            12s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b on r0
            2s     start r1
            2s     next at 12s
            12s    cut r0
            12s    1 starting, 0 ready, 0 draining, target 1, 0 queued, 2 ongoing
        "#]],
    );
}

#[test]
fn the_end_of_a_cut_request_comes_late_and_counts() {
    check(
        "
            min=0 max=1 drain=10s
            0s arrive a
            0s started r0
            1s condemn r0
            11s plan
            12s show
            12s finish a failed
            12s show
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            1s     start r1
            11s    cut r0
            12s    1 starting, 0 ready, 0 draining, target 1, 0 queued, 1 ongoing
            12s    1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn late_events_about_gone_replicas_are_ignored() {
    check(
        "
            min=1 max=1
            0s plan
            1s fail r0
            2s plan
            2s started r0
            2s fail r0
            2s condemn r0
            2s show
        ",
        expect![[r#"
            0s     start r0
            2s     start r1
            2s     1 starting, 0 ready, 0 draining, target 1, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn late_news_of_a_slot_used_again_is_ignored() {
    check(
        "
            min=0 max=1 max_requests=1
            0s arrive a
            1s started r0
            2s finish a
            3s arrive b
            3s condemn r0
            3s fail r0
            4s started r1
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            1s     a on r0
            2s     drop r0
            2s     start r1
            3s     b waits
            4s     b on r1
        "#]],
    );
}

#[test]
fn a_replica_starts_once() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s arrive a
            2s started r0
            2s fail r0
            2s show
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            2s     0 starting, 1 ready, 0 draining, target 1, 0 queued, 1 ongoing
        "#]],
    );
}

#[test]
fn without_time_to_drain_one_plan_retires_and_cuts() {
    check(
        "
            min=1 max=1 max_age=60s drain=0s
            0s plan
            0s started r0
            1s arrive a
            60s plan
            60s next
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            60s    start r1
            60s    cut r0
            60s    never
        "#]],
    );
}
