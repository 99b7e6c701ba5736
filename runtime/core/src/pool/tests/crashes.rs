//! Replicas that die by themselves.

use super::script::check;
use expect_test::expect;

#[test]
fn who_crashes_early_is_replaced_after_a_pause() {
    check(
        "
            min=1 max=1
            0s plan
            1s started r0
            2s crash r0
            2s pause
            2s next
            2099ms plan
            2100ms plan
            2100ms totals
        ",
        expect![[r#"
            0s     start r0
            2s     drop r0
            2s     failed 1 times, waits until 2.1s
            2s     next at 2.1s
            2.1s   start r1
            2.1s   1 started, 1 failed
        "#]],
    );
}

#[test]
fn the_requests_of_a_crashed_replica_end_by_themselves() {
    check(
        "
            min=1 max=2 concurrency=2
            0s plan
            0s started r0
            1s arrive a b c
            2s crash r0
            2s list
            2s finish a failed
            2s crash r0
            3s finish b failed
            3s totals
            3s plan
            4s started r1
        ",
        expect![[r#"
            0s     start r0
            1s     a on r0
            1s     b on r0
            1s     c waits
            2s     r0 Draining until 32s, 2 ongoing, idle None, age 2s
            3s     drop r0
            3s     start r1
            3s     1 started, 1 failed
            4s     c on r1
        "#]],
    );
}

#[test]
fn who_crashes_after_it_was_stable_is_replaced_at_once() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            30s crash r0
            30s pause
            30s totals
        ",
        expect![[r#"
            0s     start r0
            30s    drop r0
            30s    start r1
            30s    no pause
            30s    1 started, 1 failed
        "#]],
    );
}

#[test]
fn a_start_alone_does_not_end_a_series() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s crash r0
            2s plan
            2s started r1
            3s crash r1
            3s next
            4s plan
            4s started r2
            5s crash r2
            5s next
            6s plan
            6s started r3
            7s crash r3
            7s next
        ",
        expect![[r#"
            0s     start r0
            1s     drop r0
            2s     start r1
            3s     drop r1
            3s     next at 3.2s
            4s     start r2
            5s     drop r2
            5s     next at 5.4s
            6s     start r3
            7s     drop r3
            7s     next at 7.8s
        "#]],
    );
}

#[test]
fn a_replica_that_lasts_ends_the_series() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            1s crash r0
            2s plan
            2s started r1
            3s crash r1
            4s plan
            4s started r2
            34s crash r2
            35s started r3
            36s crash r3
            36s next
        ",
        expect![[r#"
            0s     start r0
            1s     drop r0
            2s     start r1
            3s     drop r1
            4s     start r2
            34s    drop r2
            34s    start r3
            36s    drop r3
            36s    next at 36.1s
        "#]],
    );
}

#[test]
fn during_a_series_one_starts_at_a_time() {
    check(
        "
            min=3 max=3
            0s plan
            0s started r0 r1 r2
            1s crash r0
            1s crash r1
            1s crash r2
            1s next
            1400ms plan
            1400ms next
            2s started r3
            2s plan
            3s started r4
            3s plan
            3s next
            3s show
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     drop r0
            1s     drop r1
            1s     drop r2
            1s     next at 1.4s
            1.4s   start r3
            1.4s   never
            2s     start r4
            3s     start r5
            3s     never
            3s     1 starting, 2 ready, 0 draining, target 3, 0 queued, 0 ongoing
        "#]],
    );
}

#[test]
fn once_one_has_lasted_all_start_together() {
    check(
        "
            min=3 max=6
            0s plan
            0s started r0 r1 r2
            1s crash r0
            2s plan
            2s started r3
            3s crash r1
            4s plan
            5s started r4
            34s target 6
            34s next
            34900ms plan
            35s plan
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     start r2
            1s     drop r0
            2s     start r3
            3s     drop r1
            4s     start r4
            34s    start r5
            34s    next at 35s
            35s    start r6
            35s    start r7
        "#]],
    );
}

#[test]
fn an_older_replica_says_nothing_about_the_crash_of_a_newer_one() {
    check(
        "
            min=2 max=2
            0s plan
            0s started r0 r1
            40s condemn r1
            41s started r2
            42s crash r2
            42s next
            43s plan
            43s started r3
            44s crash r3
            44s next
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            40s    drop r1
            40s    start r2
            42s    drop r2
            42s    next at 42.1s
            43s    start r3
            44s    drop r3
            44s    next at 44.2s
        "#]],
    );
}

#[test]
fn a_series_of_crashes_refuses_who_waits() {
    check(
        "
            min=0 max=1
            0s arrive a
            0s started r0
            0s arrive b
            1s crash r0
            1s finish a failed
            2s plan
            2s started r1
            3s crash r1
            3s finish b failed
            3s arrive c
            4s plan
            4s started r2
            4s arrive d
            5s crash r2
            5s arrive e
            5s finish c failed
            5400ms arrive f
            6s started r3
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     a on r0
            0s     b waits
            1s     drop r0
            2s     start r1
            2s     b on r1
            3s     drop r1
            3s     c waits
            4s     start r2
            4s     c on r2
            4s     d waits
            5s     d refused: starts fail, retry at 5.4s
            5s     e refused: starts fail, retry at 5.4s
            5s     drop r2
            5.4s   f waits
            5.4s   start r3
            6s     f on r3
        "#]],
    );
}

#[test]
fn nobody_is_refused_while_another_replica_serves() {
    check(
        "
            min=2 max=2
            0s plan
            0s started r0 r1
            0s arrive a b c
            1s crash r1
            1s finish a failed
            2s plan
            2s started r2
            3s crash r2
            3s finish c failed
            4s plan
            4s started r3
            4s arrive d
            5s crash r3
            5s finish d failed
            5s arrive e
            5s show
            6s finish b
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            0s     a on r1
            0s     b on r0
            0s     c waits
            1s     drop r1
            2s     start r2
            2s     c on r2
            3s     drop r2
            4s     start r3
            4s     d on r3
            5s     drop r3
            5s     e waits
            5s     0 starting, 1 ready, 0 draining, target 2, 1 queued, 1 ongoing
            6s     e on r0
        "#]],
    );
}

#[test]
fn a_crash_before_it_started_is_a_failed_start() {
    check(
        "
            min=1 max=1
            0s plan
            0s crash r0
            0s next
            0s totals
            1s plan
            1s started r1
            1s pause
            2s condemn r1
        ",
        expect![[r#"
            0s     start r0
            0s     drop r0
            0s     next at 100ms
            0s     0 started, 1 failed
            1s     start r1
            1s     no pause
            2s     drop r1
            2s     start r2
        "#]],
    );
}

#[test]
fn a_crash_while_it_drains_counts_once() {
    check(
        "
            min=1 max=2
            0s plan
            0s started r0
            0s arrive a
            1s condemn r0
            1s started r1
            2s crash r0
            2s crash r0
            2s totals
            2s condemn r1
            2s next
            2s finish a failed
            2s crash r0
            2s totals
        ",
        expect![[r#"
            0s     start r0
            0s     a on r0
            1s     start r1
            2s     2 started, 1 failed
            2s     drop r1
            2s     next at 2.1s
            2s     drop r0
            2s     2 started, 1 failed
        "#]],
    );
}

#[test]
fn those_behind_the_last_that_a_crashing_pool_takes_are_refused_after_it() {
    check(
        "
            min=0 max=4 initial=4 max_requests=1
            0s arrive a b c
            0s started r0
            0s crash r0
            0s fail r1
            0s fail r2
            0s show
            0s started r3
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     start r1
            0s     start r2
            0s     start r3
            0s     b waits
            0s     c waits
            0s     a on r0
            0s     1 starting, 0 ready, 1 draining, target 4, 2 queued, 1 ongoing
            0s     b on r3
            0s     c refused: starts fail, retry at 400ms
        "#]],
    );
}

#[test]
fn a_closed_pool_still_serves_who_waits_after_a_crash() {
    check(
        "
            min=1 max=1
            0s plan
            0s started r0
            0s arrive a b
            1s close
            1s crash r0
            1s finish a failed
            1s next
            2s plan
            2s started r1
            3s finish b
            3s show
        ",
        expect![[r#"
            0s     start r0
            0s     a on r0
            0s     b waits
            1s     drop r0
            1s     next at 1.1s
            2s     start r1
            2s     b on r1
            3s     drop r1
            3s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}
