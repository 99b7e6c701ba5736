//! Workers that come by themselves.

use super::script::check;
use expect_test::expect;

#[test]
fn an_adopted_worker_serves_who_waits() {
    check(
        "
            min=0 max=2
            0s arrive a b
            1s adopt
            1s list
            2s finish a
            3s started r0
            3s show
            3s totals
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            1s     r1 adopted
            1s     a on r1
            1s     r0 Starting, 0 ongoing, idle None, age 1s
            1s     r1 external Ready, 1 ongoing, idle None, age 0ns
            2s     b on r1
            3s     0 starting, 2 ready, 0 draining, target 1, 0 queued, 1 ongoing
            3s     2 started, 0 failed
        "#]],
    );
}

#[test]
fn there_is_no_room_above_max_or_in_a_closed_pool() {
    check(
        "
            min=1 max=2
            0s plan
            0s adopt
            0s adopt
            1s release r1
            1s adopt
            2s close
            2s adopt
        ",
        expect![[r#"
            0s     start r0
            0s     r1 adopted
            0s     not adopted
            1s     drop r1
            1s     r2 adopted
            2s     drop r2
            2s     not adopted
        "#]],
    );
}

#[test]
fn fewer_others_start() {
    check(
        "
            min=3 max=4
            0s adopt
            0s plan
            1s started r1 r2
            1s plan
            1s show
            2s release r0
            2s plan
        ",
        expect![[r#"
            0s     r0 adopted
            0s     start r1
            0s     start r2
            1s     0 starting, 3 ready, 0 draining, target 3, 0 queued, 0 ongoing
            2s     drop r0
            2s     start r3
        "#]],
    );
}

#[test]
fn others_above_the_target_go_and_pinned_ones_stay() {
    check(
        "
            min=0 max=5 scaledown=0s
            0s adopt
            0s target 3
            0s started r1 r2
            1s adopt
            1s plan
            2s target 1
            3s target 0
            4s shed 0 r0 r3
            4s list
        ",
        expect![[r#"
            0s     r0 adopted
            0s     start r1
            0s     start r2
            1s     r3 adopted
            1s     drop r1
            2s     drop r2
            4s     r0 external Ready, 0 ongoing, idle Some(4s), age 4s
            4s     r3 external Ready, 0 ongoing, idle Some(3s), age 3s
        "#]],
    );
}

#[test]
fn age_and_requests_do_not_end_it() {
    check(
        "
            min=1 max=1 max_age=10s max_requests=1
            0s adopt
            1s arrive a
            2s finish a
            3s arrive b
            4s finish b
            20s plan
            20s next
            20s list
        ",
        expect![[r#"
            0s     r0 adopted
            1s     a on r0
            3s     b on r0
            20s    never
            20s    r0 external Ready, 0 ongoing, idle Some(16s), age 20s
        "#]],
    );
}

#[test]
fn a_sleeping_pool_keeps_it_and_sleeps_on_while_it_serves() {
    check(
        "
            min=1 max=3 idle=60s
            0s plan
            0s started r0
            10s adopt
            60s plan
            60s show
            60s next
            70s arrive a
            71s finish a
            71s show
            71s next
        ",
        expect![[r#"
            0s     start r0
            10s    r1 adopted
            60s    drop r0
            60s    0 starting, 1 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
            60s    never
            70s    a on r1
            71s    0 starting, 1 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
            71s    never
        "#]],
    );
}

#[test]
fn a_pool_that_has_only_pinned_replicas_falls_asleep_too() {
    check(
        "
            min=0 max=3 idle=60s
            0s adopt
            0s next
            60s plan
            60s show
            70s release r0
            70s plan
            70s show
        ",
        expect![[r#"
            0s     r0 adopted
            0s     next at 60s
            60s    0 starting, 1 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
            70s    drop r0
            70s    0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, asleep
        "#]],
    );
}

#[test]
fn a_request_that_must_wait_wakes_the_pool() {
    check(
        "
            min=0 max=3 initial=2 idle=60s
            0s adopt
            60s plan
            70s arrive a
            70s arrive b
            70s show
            71s arrive c
            72s started r1
        ",
        expect![[r#"
            0s     r0 adopted
            70s    a on r0
            70s    b waits
            70s    start r1
            70s    1 starting, 1 ready, 0 draining, target 2, 1 queued, 1 ongoing
            71s    c waits
            72s    b on r1
        "#]],
    );
}

#[test]
fn without_room_the_pool_wakes_all_the_same() {
    check(
        "
            min=0 max=1 idle=60s
            0s adopt
            60s plan
            70s arrive a b
            70s show
            71s finish a
            72s release r0
        ",
        expect![[r#"
            0s     r0 adopted
            70s    a on r0
            70s    b waits
            70s    0 starting, 1 ready, 0 draining, target 1, 1 queued, 1 ongoing
            71s    b on r0
            72s    start r1
        "#]],
    );
}

#[test]
fn it_leaves_cleanly_when_its_requests_end() {
    check(
        "
            min=1 max=2
            0s adopt
            0s arrive a
            1s release r0
            1s list
            2s started r1
            3s finish a
            3s totals
        ",
        expect![[r#"
            0s     r0 adopted
            0s     a on r0
            1s     start r1
            1s     r0 external Draining until 31s, 1 ongoing, idle None, age 1s
            1s     r1 Starting, 0 ongoing, idle None, age 0ns
            3s     drop r0
            3s     2 started, 0 failed
        "#]],
    );
}

#[test]
fn it_is_cut_at_the_drain_timeout() {
    check(
        "
            min=0 max=2 drain=5s
            0s adopt
            0s arrive a
            1s release r0
            1s next
            6s plan
        ",
        expect![[r#"
            0s     r0 adopted
            0s     a on r0
            1s     next at 6s
            6s     cut r0
        "#]],
    );
}

#[test]
fn its_crash_makes_nobody_wait() {
    check(
        "
            min=1 max=2
            0s adopt
            1s crash r0
            1s totals
            2s started r1
            3s adopt
            4s crash r2
            4s pause
            4s totals
        ",
        expect![[r#"
            0s     r0 adopted
            1s     drop r0
            1s     start r1
            1s     1 started, 1 failed
            3s     r2 adopted
            4s     drop r2
            4s     no pause
            4s     3 started, 2 failed
        "#]],
    );
}

#[test]
fn it_does_not_end_a_series_of_crashes() {
    check(
        "
            min=2 max=2
            0s plan
            0s started r0 r1
            1s crash r0
            1s adopt
            40s crash r1
            40s pause
            41s started r3
            42s crash r3
            42s next
        ",
        expect![[r#"
            0s     start r0
            0s     start r1
            1s     drop r0
            1s     r2 adopted
            40s    drop r1
            40s    start r3
            40s    no pause
            42s    drop r3
            42s    next at 42.2s
        "#]],
    );
}

#[test]
fn it_goes_when_the_pool_closes() {
    check(
        "
            min=0 max=3
            0s adopt
            0s adopt
            0s arrive a
            1s close
            2s finish a
            2s show
        ",
        expect![[r#"
            0s     r0 adopted
            0s     r1 adopted
            0s     a on r1
            1s     drop r0
            2s     drop r1
            2s     0 starting, 0 ready, 0 draining, target 0, 0 queued, 0 ongoing, finished
        "#]],
    );
}

#[test]
fn releasing_what_starts_changes_nothing() {
    check(
        "
            min=1 max=1
            0s plan
            0s release r0
            1s started r0
            1s list
        ",
        expect![[r#"
            0s     start r0
            1s     r0 Ready, 0 ongoing, idle Some(0ns), age 1s
        "#]],
    );
}
