//! Ends: polite, forced, and of processes that would rather stay.

use crate::support::{Case, eventually, exists, within};
use std::time::Duration;

#[tokio::test]
async fn polite_end_lets_it_finish() {
    let program = "
def leave(*_):
    print('bye')
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
serve()";
    let output = Case::python(program).start().await.end().await;
    output.after("bye").await;
}

#[tokio::test]
async fn end_is_no_failure_and_can_be_asked_for_twice() {
    let running = Case::python("serve()").start().await;
    within(async { tokio::join!(running.replica.end(), running.replica.end()) }).await;
    within(running.replica.end()).await;
    let failed = tokio::time::timeout(Duration::from_millis(100), running.replica.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
}

#[tokio::test]
async fn deaf_process_is_killed_after_the_grace() {
    let mut case = Case::python("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nserve()");
    case.plan.grace = Duration::from_millis(100);
    case.start().await.end().await;
}

#[tokio::test]
async fn stopped_process_ends_politely() {
    let running = Case::python("serve()").start().await;
    let pid = rustix::process::Pid::from_raw(running.pids()[0]).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // The grace is as long as the deadline: it must have been woken to hear the request.
    running.end().await;
}

#[tokio::test]
async fn children_end_with_it() {
    let program = "
for _ in range(5):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
serve()";
    let mut case = Case::python(program);
    case.plan.grace = Duration::from_millis(100);
    let running = case.start().await;
    assert_eq!(running.pids().len(), 6);
    running.end().await;
}

#[tokio::test]
async fn grandchildren_that_went_away_end_with_it() {
    let program = "
for _ in range(3):
    if detach():
        os.write(1, b'stray %d\\n' % os.getpid())
        time.sleep(1000)
serve()";
    let running = Case::python(program).start().await;
    eventually("three strays", || (running.output.lines().len() == 3).then_some(())).await;
    let output = running.end().await;
    for (_, _, line) in output.lines() {
        assert!(!exists(line.strip_prefix("stray ").unwrap()), "{line}");
    }
}

/// Leaves parent, session, and environment behind.
const NAMELESS: &str = "
if detach():
    os.execve('/bin/sh', ['sh', '-c', 'echo stray $$; exec sleep 1000'], {})
serve()";

#[tokio::test]
async fn nameless_grandchild_ends_with_it() {
    for _ in 0..5 {
        let running = Case::python(NAMELESS).start().await;
        let stray = running.output.after("stray ").await;
        assert!(exists(&stray));
        running.end().await;
        eventually("the stray is gone", || (!exists(&stray)).then_some(())).await;
    }
}

#[tokio::test]
async fn dropped_replica_is_killed() {
    let program = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
if detach():
    time.sleep(1000)
time.sleep(1000) if os.getsid(0) != os.getpid() else serve()";
    Case::python(program).start().await.drop().await;
}

#[tokio::test]
async fn many_that_fork_on_and_on() {
    // Each child forks again before it sleeps, some in sessions of their own.
    let program = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def breed(depth):
    for n in range(3):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if n == 1: os.setsid()
            if depth: breed(depth - 1)
            while True:
                if os.fork() == 0:
                    time.sleep(0.5)
                    os._exit(0)
                time.sleep(0.5)
                try:
                    while os.waitpid(-1, os.WNOHANG)[0]: pass
                except ChildProcessError: pass
breed(2)
serve()";
    let mut case = Case::python(program);
    case.plan.grace = Duration::from_millis(50);
    let running = case.start().await;
    eventually("there are many", || (running.replica.usage().processes > 39).then_some(())).await;
    running.end().await;
}

#[tokio::test]
async fn process_that_flees_from_session_to_session() {
    // Lives for milliseconds, in a session of its own each time.
    let program = "
listener = listen()
if os.fork() == 0:
    listener.close()
    while True:
        if os.fork(): os._exit(0)
        os.setsid()
        time.sleep(0.01)
serve(listener=listener)";
    let mut case = Case::python(program);
    case.plan.grace = Duration::ZERO;
    case.start().await.end().await;
}

#[tokio::test]
async fn replicas_do_not_end_each_other() {
    let stays = Case::python("serve()").start().await;
    for _ in 0..3 {
        Case::python(NAMELESS).start().await.end().await;
        Case::python("serve()").start().await.drop().await;
    }
    assert_eq!(stays.pids().len(), 1);
    stays.end().await;
}
