//! Processes that come and go in a loop leave nothing behind: no zombie, descriptor, port, thread,
//! lease or place.
//!
//! `SAMOVAR_LOOPS` says how many processes, 40 by default.

use samovar_tests::native::Holdings;
use samovar_tests::status::{list, number};
use samovar_tests::{Http, Native, eventually};
use serde_json::{Value, json};

use crate::support::with;

/// Processes of one round.
const AT_ONCE: usize = 4;

/// What the processes of a round are: they listen on ports or sockets, or are gangs.
fn shape(round: usize) -> Value {
    let half = json!({"process": {"gpus": 0.5}});
    match round % 3 {
        0 => with(half, json!({"replicas": AT_ONCE})),
        1 => json!({"process": {"gpus": 0.5, "listen": "socket"}, "replicas": AT_ONCE}),
        _ => with(half, json!({"replicas": AT_ONCE / 2, "distribute": {"workers": 2}})),
    }
}

/// Starts some processes, uses them and drains them.
async fn come_and_go(native: &Native, round: usize) {
    native.deploy("m", shape(round)).await;
    assert_eq!(native.workers().len(), AT_ONCE);
    for path in ["/m", "/m/fork", "/m/fork?clean=1", "/m/say?line=hello"] {
        native.http.get(path).await.expect(200);
    }
    native.delete("m").await;
    native.wait_no_workers().await;
    native.wait_unleased().await;
}

/// What the server holds when nothing is deployed and nobody is connected but for the question.
async fn at_rest(native: &mut Native) -> Holdings {
    native.wait_unleased().await;
    eventually("all places are free", async || {
        let machine = native.machine().await;
        (machine["slots"] == machine["slots_free"]).then_some(())
    })
    .await;
    // Connections of earlier requests are closed with their client.
    native.http = Http::new(native.http.address());
    native.admin = Http::new(native.admin.address());
    Holdings::of(native.server_pid())
}

#[tokio::test]
async fn processes_that_come_and_go_leave_nothing_behind() {
    let wanted = std::env::var("SAMOVAR_LOOPS").ok();
    let wanted: usize = wanted.map_or(40, |text| text.parse().expect("a number"));
    let mut native = Native::start_with(&["--devices", "2"]).await;
    // What is made only once is there after one round of each shape.
    for round in 0..3 {
        come_and_go(&native, round).await;
    }
    let before = at_rest(&mut native).await;
    println!("before: {before:?}");
    let rounds = wanted.div_ceil(AT_ONCE);
    for round in 0..rounds {
        come_and_go(&native, round).await;
    }
    let after = eventually(&format!("as before: {before:?}"), async || {
        let now = at_rest(&mut native).await;
        (now.is_within(&before) && now.zombies == 0).then_some(now)
    })
    .await;
    println!("after {} processes: {after:?}", rounds * AT_ONCE);
    let machine = native.machine().await;
    assert_eq!(number(&machine, "/slots"), number(&machine, "/slots_free"));
    assert!(list(&machine, "/devices").iter().all(|device| device["leased"] == 0.0), "{machine}");
    native.stop().await;
}
