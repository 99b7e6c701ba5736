//! Each rule is broken once, and the book notices.

use super::*;
use crate::scenario::{DeploymentSpec, Replicas};
use samovar_core::replica::ReplicaId;

const AT: fn(u64) -> Timestamp = Timestamp::from_millis;

fn lease(id: u64) -> Lease {
    Lease { slot: id as u32, id: ReplicaId(id) }
}

/// A book about one deployment of one to two replicas that serve two requests each, and in which
/// two may wait for a second. Replica 0 is ready.
fn book() -> Book {
    let mut spec = DeploymentSpec::named("a");
    spec.replicas = Replicas { min: 1, max: 2 };
    spec.concurrency = 2;
    spec.queue.max = 2;
    spec.queue.timeout = Duration::from_secs(1);
    let mut book = Book::new(&Scenario::of(Duration::from_secs(9), 7, vec![spec]));
    book.ordered(0, lease(0), AT(0));
    book.started(0, lease(0), AT(0));
    book
}

/// What the pool would say of a ready replica with `ongoing` requests, and `queued` that wait.
fn counts(ongoing: u32, queued: u32) -> Counts {
    Counts { ready: 1, target: 1, queued, ongoing, ..Counts::default() }
}

#[track_caller]
fn check(expected: &str, story: impl FnOnce(&mut Book)) {
    let mut book = book();
    story(&mut book);
    let [violation] = &book.violations[..] else {
        panic!("expected one violation, not {:?}", book.violations);
    };
    assert!(violation.to_string().contains(expected), "{violation}");
    assert_eq!((violation.seed, violation.deployment.as_str()), (7, "a"));
}

fn serve(book: &mut Book, number: u64) {
    book.arrived(0, number, AT(1));
    book.assigned(0, number, lease(0), AT(1));
}

#[test]
fn an_ordinary_day_is_fine() {
    let mut book = book();
    serve(&mut book, 0);
    serve(&mut book, 1);
    for number in [2, 3] {
        book.arrived(0, number, AT(2));
        book.queued(0, number, AT(2));
    }
    book.audit(0, counts(2, 2), false, AT(2));
    book.ended(0, 2, Ended::TimedOut, AT(1_002));
    book.ended(0, 0, Ended::Completed, AT(1_002));
    book.assigned(0, 3, lease(0), AT(1_002));
    book.ended(0, 1, Ended::Failed, AT(1_003));
    book.ended(0, 3, Ended::Completed, AT(1_004));
    book.audit(0, counts(0, 0), false, AT(1_004));
    book.gone(0, lease(0), AT(40_000));
    assert_eq!(book.violations, []);
}

#[test]
fn a_request_ends_once() {
    check("request 0 ends as Completed, but was None", |book| {
        serve(book, 0);
        book.ended(0, 0, Ended::Completed, AT(2));
        book.ended(0, 0, Ended::Completed, AT(3));
    });
}

#[test]
fn who_waits_longest_comes_first() {
    check("request 1 is served, but Some(0) waits longer", |book| {
        for number in [0, 1] {
            book.arrived(0, number, AT(1));
            book.queued(0, number, AT(1));
        }
        book.assigned(0, 1, lease(0), AT(2));
    });
    check("request 1 is served before Some(0)", |book| {
        book.arrived(0, 0, AT(1));
        book.queued(0, 0, AT(1));
        serve(book, 1);
    });
}

#[test]
fn nobody_waits_too_long_or_is_sent_away_too_early() {
    check("request 0 waited 1.001s", |book| {
        book.arrived(0, 0, AT(1));
        book.queued(0, 0, AT(1));
        book.assigned(0, 0, lease(0), AT(1_002));
    });
    check("request 0 ends as TimedOut", |book| {
        book.arrived(0, 0, AT(1));
        book.queued(0, 0, AT(1));
        book.ended(0, 0, Ended::TimedOut, AT(1_000));
    });
}

#[test]
fn the_queue_and_the_replicas_are_bounded() {
    check("3 wait, at most 2 may", |book| {
        for number in 0..3 {
            book.arrived(0, number, AT(1));
            book.queued(0, number, AT(1));
        }
    });
    check("3 replicas start or are ready, at most 2 may", |book| {
        book.ordered(0, lease(1), AT(1));
        book.ordered(0, lease(2), AT(1));
    });
    check("serves more than it may", |book| {
        (0..3).for_each(|number| serve(book, number));
    });
}

#[test]
fn replicas_serve_while_they_are_ready() {
    check("which takes none", |book| {
        book.ordered(0, lease(1), AT(1));
        book.arrived(0, 0, AT(1));
        book.assigned(0, 0, lease(1), AT(1));
    });
    check("which takes none", |book| {
        book.condemned(0, lease(0), AT(1));
        serve(book, 0);
    });
    check("which does not exist", |book| {
        book.gone(0, lease(0), AT(40_000));
        serve(book, 0);
    });
    check("is gone, but was not there", |book| book.gone(0, lease(5), AT(1)));
}

#[test]
fn replicas_are_removed_when_they_are_idle_and_leave_in_time() {
    check("is removed before it was idle for 30s", |book| book.gone(0, lease(0), AT(29_999)));
    check("is on its way out for more than 30s", |book| {
        serve(book, 0);
        book.condemned(0, lease(0), AT(1));
        book.ordered(0, lease(1), AT(1));
        let counts = Counts { starting: 1, ready: 0, draining: 1, ..counts(1, 0) };
        book.audit(0, counts, false, AT(30_001));
    });
}

#[test]
fn a_pool_keeps_its_minimum_and_serves_who_waits() {
    check("0 replicas start or are ready, at least 1 must", |book| {
        book.gone(0, lease(0), AT(40_000));
        book.audit(0, Counts { target: 1, ..Counts::default() }, false, AT(40_000));
    });
    check("the pool says [0, 2, 0, 0, 0]", |book| {
        book.audit(0, Counts { ready: 2, ..counts(0, 0) }, false, AT(1));
    });
    check("1 requests wait beside", |book| {
        book.arrived(0, 0, AT(1));
        book.queued(0, 0, AT(1));
        book.audit(0, counts(0, 1), false, AT(1));
    });
}

#[test]
fn a_pool_that_was_used_does_not_sleep() {
    check("the pool falls asleep, but was used at", |book| {
        serve(book, 0);
        book.ended(0, 0, Ended::Completed, AT(2));
        book.condemned(0, lease(0), AT(3));
        book.gone(0, lease(0), AT(3));
        book.decided(0, 0);
        book.audit(0, Counts::default(), true, AT(300_001));
    });
}
