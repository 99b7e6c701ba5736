//! Gangs: ready when all are, and all end when one does.

use crate::support::{Case, within};
use samovar_native::{Asked, Failure};

#[tokio::test]
async fn gang_is_ready_when_all_members_are() {
    let slow = "time.sleep(0.3)\nprint('late')\nserve()";
    let case = Case::gang(&["serve()", slow, "serve()"]);
    let first = case.endpoint();
    let running = case.start().await;
    let lines = running.output.lines();
    assert!(lines.iter().any(|(rank, _, text)| *rank == 1 && text == "late"), "{lines:?}");
    assert_eq!(*running.replica.endpoint(), first);
    assert_eq!(running.pids().len(), 3);
    running.end().await;
}

#[tokio::test]
async fn only_rank_zero_needs_to_listen_if_only_it_is_asked() {
    let mut case = Case::gang(&["serve()", "time.sleep(1000)"]);
    case.plan.asked = Asked::RankZero;
    case.start().await.end().await;
}

#[tokio::test]
async fn gang_fails_with_the_first_member_that_does() {
    let broken = "time.sleep(0.1)\nsys.exit('cannot reach rank 0')";
    let (failure, _) = Case::gang(&["time.sleep(1000)", "serve()", broken]).fail().await;
    let Failure::Member { rank: 2, .. } = failure else { panic!("{failure}") };
    assert_eq!(failure.kind(), "exited");
    assert!(failure.to_string().starts_with("rank 2: exited with code 1 after "), "{failure}");
    assert!(failure.to_string().ends_with("; its last words: cannot reach rank 0"), "{failure}");
}

#[tokio::test]
async fn member_that_cannot_start_ends_those_before_it() {
    let mut case = Case::gang(&["serve()", "serve()"]);
    case.plan.members[1].program = "no-such-command".into();
    let (failure, _) = case.fail().await;
    assert_eq!(failure.to_string(), "rank 1: command `no-such-command` not found in PATH");
}

#[tokio::test]
async fn member_that_is_never_ready_is_named() {
    let mut case = Case::gang(&["serve()", "serve(503)"]);
    case.plan.start_timeout = std::time::Duration::from_secs(4);
    let (failure, _) = case.fail().await;
    assert_eq!(failure.to_string(), "rank 1: not ready after 4.0 s: GET / answers 503");
}

#[tokio::test]
async fn ready_gang_loses_a_member_and_is_gone() {
    let running = Case::gang(&["serve()", "serve()", "serve()"]).start().await;
    let victim = rustix::process::Pid::from_raw(running.pids()[2]).unwrap();
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
    let failure = running.failed().await;
    assert!(matches!(failure, Failure::Member { .. }), "{failure}");
    assert!(["killed", "kernel_out_of_memory"].contains(&failure.kind()), "{failure}");
    within(running.replica.end()).await;
}
