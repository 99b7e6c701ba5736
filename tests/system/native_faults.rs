//! Native processes that were ready and misbehave: clients get a clear answer, the deployment says
//! what happened, and a good replica takes over.

use rustix::process::Signal;
use samovar_tests::http::next_chunk;
use samovar_tests::load::at_once;
use samovar_tests::native::{Process, direct, processes};
use samovar_tests::raw::Raw;
use samovar_tests::status::{list, number, text};
use samovar_tests::{Load, Native, eventually};
use serde_json::{Value, json};

use crate::support::names;

/// The only process of the only replica.
async fn only(native: &Native, name: &str) -> Process {
    eventually(&format!("one process of {name}"), async || {
        let replicas = native.wait_ready(name, 1).await;
        processes(&replicas[0]).first().copied()
    })
    .await
}

/// Waits until another replica than this process serves.
async fn replaced(native: &Native, name: &str, old: Process) -> Process {
    old.ended().await;
    let next = eventually("a successor serves", async || {
        let next = only(native, name).await;
        (next != old).then_some(next)
    })
    .await;
    native.http.get(&format!("/{name}")).await.expect(200);
    next
}

#[tokio::test]
async fn answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    // If it breaks early, the client may not even see the head.
    let answer = native.http.try_get("/m/close").await;
    assert!(answer.is_err(), "8 of 1000 bytes are said to be all: {answer:?}");
    native.http.get("/m").await.expect(200);
    let status = native.status("m").await;
    assert_eq!(number(&status, "/totals/failed"), 1);
    assert_eq!(number(&status, "/totals/replicas_started"), 1, "the replica is fine");
}

#[tokio::test]
async fn chunked_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let mut body = native.http.open_get("/m/gate?gate=a").await.into_body();
    assert_eq!(next_chunk(&mut body).await, Ok(Some("first\n".into())));
    let process = only(&native, "m").await;
    process.kill9();
    next_chunk(&mut body).await.expect_err("the last piece never came");
    native.wait_failure("m", &["was killed by SIGKILL"]).await;
    replaced(&native, "m", process).await;
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let process = only(&native, "m").await;
    for (path, status, code) in [
        ("/m/hang-up", 502, "replica-failed"),
        ("/m/garbage", 502, "bad-answer"),
        ("/m/huge-head", 502, "response-too-large"),
    ] {
        native.http.get(path).await.host_error(status, code);
        native.http.get("/m").await.expect(200);
    }
    let status = native.status("m").await;
    assert_eq!(number(&status, "/totals/failed"), 3);
    assert_eq!(only(&native, "m").await, process, "it serves on");
    native.wait_log("m", "system", "").await;
}

#[tokio::test]
async fn flood_of_output_is_held_back() {
    let native = Native::start().await;
    native.deploy("calm", json!({})).await;
    native.deploy("loud", json!({"env": {"BEHAVE": "flood"}})).await;
    let calm = Load::start(&native.http, "/calm", 2);
    let loud = Load::start(&native.http, "/loud", 2);
    native.wait_log("loud", "system", "lines left out").await;
    calm.serve_more(200).await;
    loud.serve_more(20).await;
    native.wait_log("loud", "stdout", "flood flood").await;
    assert!(native.log("loud").await.len() <= 2000);
    calm.stop_without_failure().await;
    loud.stop_without_failure().await;
    native.delete("loud").await;
    eventually("the loud one is gone", async || (native.workers().len() == 1).then_some(())).await;
    native.wait_log("calm", "stdout", "listening").await;
}

#[tokio::test]
async fn daemons_end_with_their_replica() {
    let native = Native::start().await;
    for how in ["drained", "killed"] {
        native.deploy("m", json!({})).await;
        let process = only(&native, "m").await;
        let mut daemons = Vec::new();
        for path in ["/m/fork", "/m/fork?clean=1"] {
            let pid = number(&native.http.get(path).await.expect(200).json(), "/pid");
            let pid = i32::try_from(pid).expect("a small number");
            daemons.push(Process::of(pid).expect("the daemon runs"));
        }
        if how == "killed" {
            process.kill9();
            replaced(&native, "m", process).await;
        } else {
            native.delete("m").await;
        }
        for daemon in daemons {
            daemon.ended().await;
        }
    }
    native.delete("m").await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn process_that_ignores_sigterm_is_killed() {
    let native = Native::start().await;
    let process = json!({"grace": "300ms"});
    native.deploy("m", json!({"process": process, "env": {"BEHAVE": "ignore-term"}})).await;
    let process = only(&native, "m").await;
    process.signal(Signal::TERM);
    native.http.get("/m").await.expect(200);
    native.delete("m").await;
    process.ended().await;
}

#[tokio::test]
async fn server_that_stops_kills_what_ignores_sigterm() {
    let mut native = Native::start().await;
    let process = json!({"grace": "300ms"});
    native.deploy("m", json!({"process": process, "env": {"BEHAVE": "ignore-term"}})).await;
    let process = only(&native, "m").await;
    native.terminate();
    native.ended(0).await;
    assert!(!process.is_alive());
}

#[tokio::test]
async fn process_that_eats_too_much_is_replaced() {
    let native = Native::start().await;
    native.deploy("m", json!({"process": {"memory": "200MiB"}})).await;
    let process = only(&native, "m").await;
    // It may be ended before it has answered.
    let _ = native.http.get("/m/eat?mib=300").await;
    let message = native.wait_failure("m", &["of memory, its limit is 200.0 MiB"]).await;
    replaced(&native, "m", process).await;
    let failures = list(&native.view("m").await, "/failures").len();
    assert_eq!(failures, 1, "{message}");
}

#[tokio::test]
async fn process_that_crashes_while_idle_is_replaced() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let process = only(&native, "m").await;
    process.kill9();
    native.wait_failure("m", &["was killed by SIGKILL", "listening"]).await;
    let next = replaced(&native, "m", process).await;
    // It may die before it has answered, or after.
    let _ = native.http.try_get("/m/exit?code=5").await;
    native.wait_failure("m", &["exited with code 5"]).await;
    replaced(&native, "m", next).await;
    let status = native.status("m").await;
    assert_eq!(number(&status, "/totals/replicas_failed"), 2);
    assert_eq!(number(&status, "/totals/replicas_started"), 3);
    let shown = native.cli().ok(&["status", "m"]).await;
    assert!(shown.contains("was killed by SIGKILL") && shown.contains("code 5"), "{shown}");
}

#[tokio::test]
async fn process_that_crashes_takes_only_its_requests_with_it() {
    let native = Native::start().await;
    native.deploy("m", json!({"replicas": 2, "concurrency": 2})).await;
    let waiting = at_once(&native.http, "/m/wait?gate=a", 2);
    native
        .wait_view("m", "one request each", |replicas, _| {
            replicas.len() == 2 && replicas.iter().all(|replica| replica["ongoing"] == 1)
        })
        .await;
    let replicas = native.replicas("m").await;
    processes(&replicas[0])[0].kill9();
    native.wait_failure("m", &["was killed by SIGKILL"]).await;
    direct(&replicas[1]).get("/open?gate=a").await.expect(200);
    let answers = waiting.answers().await;
    let failed: Vec<_> = answers.iter().filter(|reply| reply.status != 200).collect();
    assert_eq!(failed.len(), 1, "{answers:?}");
    failed[0].host_error(502, "replica-failed");
    native.http.get("/m/crash").await.host_error(502, "replica-failed");
    native.wait_ready("m", 2).await;
    native.http.get("/m").await.expect(200);
}

#[tokio::test]
async fn requests_find_another_replica_than_the_one_that_just_died() {
    let native = Native::start().await;
    native.deploy("m", json!({"replicas": 3})).await;
    for _ in 0..20 {
        native.http.get("/m").await.expect(200);
    }
    // A replica that stopped listening, but lives: nothing can be sent to it.
    let deaf = native.replicas("m").await.remove(0);
    direct(&deaf).get("/deaf").await.expect(200);
    eventually("it takes no connections", async || {
        tokio::net::TcpStream::connect(text(&deaf, "/address")).await.err()
    })
    .await;
    let load = Load::start(&native.http, "/m", 2);
    load.serve_more(100).await;
    native
        .wait_view("m", "a successor of the deaf one", |replicas, failures| {
            let is_deaf = |told: &Value| told["replica"] == deaf["id"];
            replicas.iter().all(|replica| replica["id"] != deaf["id"])
                && failures.iter().any(is_deaf)
        })
        .await;
    load.stop_without_failure().await;
}

#[tokio::test]
async fn replicas_that_crash_again_and_again_make_their_successors_wait() {
    let native = Native::start().await;
    native.deploy("m", json!({"queue": {"timeout": "10m"}})).await;
    std::fs::write(native.folder().join("crash"), "").expect("write a file");
    only(&native, "m").await.kill9();
    let crashed =
        |count: u64| move |status: &Value| number(status, "/totals/replicas_failed") >= count;
    let status = native.wait_status("m", "three crashes", crashed(3)).await;
    names(&status["last_start_error"], &["exited with code 9"]);
    // Nobody waits for what does not come, although the queue would let them wait for minutes.
    let refused = eventually("requests are refused", async || {
        let reply = native.http.get("/m/hold").await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    names(&refused.host_error(503, "start-failed")["message"], &["exited with code 9"]);
    assert!(refused.header("retry-after").is_some());
    let failures = list(&native.view("m").await, "/failures").to_vec();
    assert!(failures.len() >= 3, "{failures:?}");
    // The pauses double, so the crashes get farther apart, whatever a start takes.
    native.wait_status("m", "seven crashes", crashed(7)).await;
    let failures = list(&native.view("m").await, "/failures").to_vec();
    let at: Vec<u64> = failures.iter().map(|failure| number(failure, "/at_ms")).collect();
    let last = at[at.len() - 1] - at[at.len() - 2];
    assert!(last >= 3200, "the pause after the sixth crash is 3.2 s: {at:?}");
    native.delete("m").await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn process_that_gets_unhealthy_is_replaced() {
    let native = Native::start().await;
    let process = json!({"health_interval": "100ms", "health_timeout": "2s", "health_failures": 2});
    native.deploy("m", json!({"process": process})).await;
    let process = only(&native, "m").await;
    native.http.get("/m/sicken").await.expect(200);
    native.wait_failure("m", &["unhealthy", "/health", "500", "2 times in a row"]).await;
    replaced(&native, "m", process).await;
}

#[tokio::test]
async fn process_that_hangs_is_replaced() {
    let native = Native::start().await;
    let process = json!({"health_interval": "100ms", "health_timeout": "2s", "health_failures": 1,
        "grace": "300ms"});
    native.deploy("m", json!({"process": process})).await;
    let process = only(&native, "m").await;
    let request = at_once(&native.http, "/m/wait?gate=never", 1);
    native.wait_status("m", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    process.signal(Signal::STOP);
    native.wait_failure("m", &["unhealthy", "does not answer within"]).await;
    replaced(&native, "m", process).await;
    request.answers().await.remove(0).host_error(502, "replica-failed");
}

#[tokio::test]
async fn bytes_that_are_no_http_do_not_reach_the_replica() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    for bytes in [
        "POST /m/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\
         transfer-encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /m/crash HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /m/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "POST /m/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut raw = Raw::connect(native.http.address()).await;
        raw.write(bytes).await;
        raw.finish_writing().await;
        let answer = raw.read_to_end().await;
        assert!(!answer.contains("HTTP/1.1 5"), "{bytes:?}: {answer}");
    }
    native.http.get("/m").await.expect(200);
    let replicas = native.replicas("m").await;
    assert_eq!(text(&replicas[0], "/state"), "ready");
}
