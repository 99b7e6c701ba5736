//! Batches as Lightning's balancer sends them, by its recorded behaviour.
//!
//! Lightning looks at its list every 50 ms and takes one batch at a time, so there a batch leaves
//! up to 50 ms after it is due, and requests that come meanwhile are in it; here it leaves when it
//! is due. There more than the time-out must have passed, here the time-out. Otherwise the batches
//! and their order are the same.

use super::script::check;
use expect_test::expect;

/// Lightning: `ab@0.3s c@1.35s`.
#[test]
fn a_full_batch_leaves_and_the_rest_counts_from_then() {
    check(
        "
            min=1 max=1 concurrency=9 lightning=2/1s
            0s plan
            0s started r0
            0ms arrive a
            300ms arrive b
            400ms arrive c
            400ms due
            1300ms flush
        ",
        expect![[r#"
            0s     start r0
            0s     a waits
            300ms  b waits
            300ms  a+b on r0
            400ms  c waits
            400ms  due at 1.3s
            1.3s   c on r0
        "#]],
    );
}

/// Lightning: `a@1.25s`.
#[test]
fn the_very_first_batch_counts_from_its_first_request() {
    check(
        "
            min=1 max=1 lightning=8/1s
            0s plan
            0s started r0
            200ms arrive a
            200ms due
            1199ms flush
            1200ms flush
        ",
        expect![[r#"
            0s     start r0
            200ms  a waits
            200ms  due at 1.2s
            1.2s   a on r0
        "#]],
    );
}

/// Lightning: a single request leaves at the next look once the previous batch is long ago.
#[test]
fn after_a_quiet_spell_a_single_request_leaves_at_once() {
    check(
        "
            min=1 max=1 lightning=2/1s
            0s plan
            0s started r0
            0s arrive a b
            1s finish a
            5s arrive c
        ",
        expect![[r#"
            0s     start r0
            0s     a waits
            0s     b waits
            0s     a+b on r0
            5s     c waits
            5s     c on r0
        "#]],
    );
}

/// Lightning: `a@0.05s b@2.05s c@4.05s`.
#[test]
fn one_batch_in_flight_holds_everything_back() {
    check(
        "
            min=1 max=1 lightning=1/1s
            0s plan
            0s started r0
            0s arrive a b c
            2s finish a
            4s finish b
        ",
        expect![[r#"
            0s     start r0
            0s     a waits
            0s     a on r0
            0s     b waits
            0s     c waits
            2s     b on r0
            4s     c on r0
        "#]],
    );
}

/// Lightning: `abc@0.05s def@0.1s gh@1.15s`.
#[test]
fn a_long_queue_leaves_in_slices() {
    check(
        "
            min=1 max=1 concurrency=9 lightning=3/1s
            0s arrive a b c d e f g h
            0s started r0
            0s due
            1s flush
        ",
        expect![[r#"
            0s     a waits
            0s     start r0
            0s     b waits
            0s     c waits
            0s     d waits
            0s     e waits
            0s     f waits
            0s     g waits
            0s     h waits
            0s     a+b+c on r0
            0s     d+e+f on r0
            0s     due at 1s
            1s     g+h on r0
        "#]],
    );
}

/// Lightning: `ab@0.1s c@0.2s`, because it looks at 50 ms for the first time and sends at 100 ms.
#[test]
fn without_a_timeout_a_free_replica_takes_what_comes() {
    check(
        "
            min=1 max=1 concurrency=9 lightning=8/0s
            0s plan
            0s started r0
            0ms arrive a
            60ms arrive b
            200ms arrive c
        ",
        expect![[r#"
            0s     start r0
            0s     a waits
            0s     a on r0
            60ms   b waits
            60ms   b on r0
            200ms  c waits
            200ms  c on r0
        "#]],
    );
}

/// Lightning: without a limit of the queue, ten thousand wait.
#[test]
fn a_busy_server_keeps_requests_waiting() {
    check(
        "
            min=1 max=1 queue=3 lightning=2/1s
            0s plan
            0s started r0
            0s arrive a b
            9s arrive c d e
            9s show
        ",
        expect![[r#"
            0s     start r0
            0s     a waits
            0s     b waits
            0s     a+b on r0
            9s     c waits
            9s     d waits
            9s     e waits
            9s     0 starting, 1 ready, 0 draining, target 1, 3 queued, 2 ongoing
        "#]],
    );
}
