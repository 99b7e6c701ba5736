//! Chains of calls that hold every place they need are answered at once; all others are served.

use http::Method;
use samovar_tests::http::Http;
use samovar_tests::load::{InFlight, at_once};
use samovar_tests::status::{number, text};
use samovar_tests::{Native, Reply, Samovar};
use serde_json::{Value, json};

use crate::calls::{CALLER, CALLER_ASYNC, caller, idle, patient, quoted};
use crate::support::{BAD_POLICY, steered, with};

/// Tries to get requests into one another's way: they meet only if they are served at once.
const MEETINGS_MAX: usize = 50;

/// The spec of a caller that would wait for hours.
fn waiting(name: &str, count: u32) -> Value {
    caller(name, count, patient())
}

/// How many calls to a deployment were refused.
async fn loops(samovar: &Samovar, name: &str) -> f64 {
    let label = format!("deployment=\"{name}\"");
    samovar.metric("samovar_call_loops_total", &[&label]).await.expect("it is deployed")
}

/// The chain of a refused call, whose answer has come back to its client.
#[track_caller]
fn chain(reply: &Reply) -> String {
    let text = reply.text();
    assert_eq!((reply.status, reply.header("samovar-error")), (508, Some("call-loop")), "{text}");
    let error = &text[text.find('{').expect("the error of the host")..];
    let error = error.find(": every place of").map(|end| &error[..end]);
    let message = error.unwrap_or_else(|| panic!("it does not say what is full: {text}"));
    message.rsplit('"').next().expect("the message").to_owned()
}

#[tokio::test]
async fn call_to_oneself_without_room_is_refused_at_once() {
    let samovar = Samovar::start().await;
    for (count, guest) in [CALLER, CALLER_ASYNC].into_iter().enumerate() {
        samovar.deploy("a", guest, waiting("a", 1)).await;
        assert_eq!(loops(&samovar, "a").await, count as f64);
        let reply = samovar.http.get("/a/call?to=a").await;
        assert_eq!(chain(&reply), "a -> a");
        assert!(reply.text().contains("every place of `a` (1)"), "{}", reply.text());
        assert_eq!(loops(&samovar, "a").await, (count + 1) as f64);
        // The place is free again.
        assert_eq!(samovar.http.get("/a/call").await.expect(200).text(), "a\n");
        idle(&samovar, "a").await;
    }
}

#[tokio::test]
async fn call_to_oneself_with_room_is_served() {
    let samovar = Samovar::start().await;
    let wide = with(waiting("a", 1), json!({"concurrency": 3}));
    for (guest, spec) in
        [(CALLER, waiting("a", 3)), (CALLER_ASYNC, waiting("a", 3)), (CALLER_ASYNC, wide)]
    {
        samovar.deploy("a", guest, spec).await;
        assert_eq!(samovar.http.get("/a/call?to=a,a").await.expect(200).text(), "a>a>a\n");
        assert_eq!(chain(&samovar.http.get("/a/call?to=a,a,a").await), "a -> a -> a -> a");
        // Those who wait in the queue have ancestors that are not in each other's way.
        assert_eq!(
            samovar.http.get("/a/call?to=a&fan=5").await.expect(200).text(),
            "a>[a;a;a;a;a]\n"
        );
    }
}

#[tokio::test]
async fn circle_of_several_deployments_is_refused() {
    let samovar = Samovar::start().await;
    for (name, guest) in [("a", CALLER), ("b", CALLER_ASYNC), ("c", CALLER)] {
        samovar.deploy(name, guest, waiting(name, 1)).await;
    }
    assert_eq!(samovar.http.get("/a/call?to=b,c").await.expect(200).text(), "a>b>c\n");
    assert_eq!(chain(&samovar.http.get("/a/call?to=b,c,a").await), "a -> b -> c -> a");
    assert_eq!(chain(&samovar.http.get("/c/call?to=b,a,b").await), "c -> b -> a -> b");
    assert_eq!((loops(&samovar, "a").await, loops(&samovar, "b").await), (1.0, 1.0));
    // One branch is refused, the other is served.
    let reply = samovar.http.get("/a/call?to=b|a").await;
    assert_eq!(chain(&reply), "a -> a");
    assert!(reply.text().starts_with("a>[b;{"), "{}", reply.text());
    // With one more place in the right pool the same chain is served.
    samovar.deploy("a", CALLER, waiting("a", 2)).await;
    assert_eq!(samovar.http.get("/a/call?to=b,c,a").await.expect(200).text(), "a>b>c>a\n");
}

#[tokio::test]
async fn chain_of_twenty_is_served_and_a_longer_circle_is_told_in_short() {
    const DEPTH: usize = 20;
    let samovar = Samovar::start().await;
    let all: Vec<String> = (0..DEPTH).map(|number| format!("d{number}")).collect();
    for (number, name) in all.iter().enumerate() {
        let guest = [CALLER, CALLER_ASYNC][number % 2];
        samovar.deploy(name, guest, waiting(name, 1)).await;
    }
    let path = format!("/d0/call?to={}", all[1..].join(","));
    let reply = samovar.http.get(&path).await.expect(200);
    assert_eq!(reply.text(), format!("{}\n", all.join(">")));
    let circle = samovar.http.get(&format!("{path},d0")).await;
    assert_eq!(chain(&circle), "d0 -> d1 -> d2 -> d3 -> (13 more) -> d17 -> d18 -> d19 -> d0");
}

/// Sends requests at once, `each` times every path, until some of them get in one another's way. In
/// every round at most one of them may be refused: the others are served as soon as it is.
async fn meet(samovar: &Samovar, paths: &[&str], each: usize) {
    for round in 0..MEETINGS_MAX {
        let before = all_loops(samovar).await;
        let sent: Vec<InFlight> =
            paths.iter().map(|path| at_once(&samovar.http, path, each)).collect();
        let mut answers = Vec::new();
        for sent in sent {
            answers.extend(sent.answers().await);
        }
        let (served, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|reply| reply.status == 200);
        assert_eq!(all_loops(samovar).await - before, refused.len() as f64);
        if let Some(refused) = refused.first() {
            let chain = chain(refused);
            assert!(chain.contains(" -> "), "{chain}");
            assert_eq!(served.len(), paths.len() * each - 1, "round {round}: one was enough");
            return;
        }
    }
    panic!("{paths:?} never met in {MEETINGS_MAX} rounds");
}

async fn all_loops(samovar: &Samovar) -> f64 {
    samovar.metric("samovar_call_loops_total", &[]).await.expect("there are deployments")
}

#[tokio::test]
async fn two_that_call_each_other_lose_one_of_them() {
    let samovar = Samovar::start().await;
    for (left, right) in [(CALLER, CALLER), (CALLER, CALLER_ASYNC), (CALLER_ASYNC, CALLER_ASYNC)] {
        samovar.deploy("a", left, waiting("a", 1)).await;
        samovar.deploy("b", right, waiting("b", 1)).await;
        meet(&samovar, &["/a/call?to=b&hold=200", "/b/call?to=a&hold=200"], 1).await;
    }
}

#[tokio::test]
async fn many_that_call_one_another_lose_one_of_them() {
    let samovar = Samovar::start().await;
    for (name, guest) in [("a", CALLER), ("b", CALLER_ASYNC), ("c", CALLER)] {
        samovar.deploy(name, guest, waiting(name, 2)).await;
    }
    let paths = ["/a/call?to=b&hold=300", "/b/call?to=c&hold=300", "/c/call?to=a&hold=300"];
    meet(&samovar, &paths, 2).await;
    for name in ["a", "b", "c"] {
        idle(&samovar, name).await;
    }
}

#[tokio::test]
async fn requests_from_outside_are_never_part_of_a_circle() {
    let samovar = Samovar::start().await;
    samovar.deploy("a", CALLER, waiting("a", 1)).await;
    samovar.deploy("b", CALLER, waiting("b", 1)).await;
    // All of them wait for the only place of `a`, or of `b`, and none is a caller of another.
    let calls = at_once(&samovar.http, "/a/call?to=b&hold=5", 20);
    let leaves = at_once(&samovar.http, "/b/call?hold=5", 20);
    for reply in calls.answers().await.into_iter().chain(leaves.answers().await) {
        reply.expect(200);
    }
    assert_eq!(all_loops(&samovar).await, 0.0);
}

#[tokio::test]
async fn pool_that_may_grow_does_so_for_a_chain_that_needs_it() {
    let samovar = Samovar::start().await;
    samovar.push_policy("still", BAD_POLICY).await;
    for guest in [CALLER, CALLER_ASYNC] {
        // The policy never asks for another replica.
        let pool = with(steered("still", "hold"), json!({"replicas": "0..3"}));
        samovar.deploy("a", guest, with(waiting("a", 1), pool.clone())).await;
        assert_eq!(samovar.http.get("/a/call?to=a,a").await.expect(200).text(), "a>a>a\n");
        let started = number(&samovar.status("a").await, "/totals/replicas_started");
        assert!(started >= 3, "{started} replicas were started");
        assert_eq!(chain(&samovar.http.get("/a/call?to=a,a,a").await), "a -> a -> a -> a");
        samovar.admin.delete("/v1/deployments/a").await.expect(204);
    }
}

#[tokio::test]
async fn cold_pools_in_a_chain_are_warmed() {
    let samovar = Samovar::start().await;
    samovar.push_policy("still", BAD_POLICY).await;
    for (name, guest) in [("a", CALLER), ("b", CALLER_ASYNC), ("c", CALLER)] {
        let cold = json!({"replicas": "0..1", "initial_replicas": 0});
        let pool = with(steered("still", "hold"), cold);
        samovar.deploy(name, guest, with(waiting(name, 1), pool)).await;
    }
    assert_eq!(samovar.http.get("/a/call?to=b,c").await.expect(200).text(), "a>b>c\n");
    assert_eq!(chain(&samovar.http.get("/a/call?to=b,c,a").await), "a -> b -> c -> a");
}

/// A server with processes `n` and `m`, and a handler `a`, all with `count` places.
async fn with_processes(count: u32) -> Native {
    let native = Native::start().await;
    for name in ["n", "m"] {
        let spec = with(json!({"env": {"NAME": name}, "concurrency": count}), patient());
        native.deploy(name, spec).await;
    }
    Samovar::deploy(&native, "a", CALLER, waiting("a", count)).await;
    native
}

#[tokio::test]
async fn circle_through_processes_is_refused() {
    let native = with_processes(1).await;
    let plane = native.http.address();
    let call = async |path: &str| native.http.get(&format!("{path}&plane={plane}")).await;
    assert_eq!(call("/a/call?to=n").await.expect(200).text(), "a>n\n");
    assert_eq!(call("/n/call?to=a").await.expect(200).text(), "n>a\n");
    assert_eq!(call("/a/call?to=n,m").await.expect(200).text(), "a>n>m\n");
    for (path, expected) in [
        ("/a/call?to=n,a", "a -> n -> a"),
        ("/n/call?to=a,n", "n -> a -> n"),
        ("/n/call?to=n", "n -> n"),
        ("/n/call?to=m,n", "n -> m -> n"),
        ("/a/call?to=n,m,a", "a -> n -> m -> a"),
    ] {
        assert_eq!(chain(&call(path).await), expected, "{path}");
    }
    let wider = with_processes(2).await;
    let plane = wider.http.address();
    let reply = wider.http.get(&format!("/a/call?to=n,a,n,m&plane={plane}")).await;
    assert_eq!(reply.expect(200).text(), "a>n>a>n>m\n");
}

#[tokio::test]
async fn handlers_and_processes_that_call_each_other_lose_one_of_them() {
    let native = with_processes(1).await;
    let plane = native.http.address();
    let paths = [
        format!("/a/call?to=n&hold=300&plane={plane}"),
        format!("/n/call?to=a&hold=300&plane={plane}"),
    ];
    meet(&native, &[&paths[0], &paths[1]], 1).await;
}

#[tokio::test]
async fn circle_through_a_batch_is_refused() {
    let native = Native::start().await;
    let batching = json!({"max_batch_size": 2, "timeout_batching": "1s", "path": "/batch"});
    native.deploy("n", with(json!({"batching": batching}), patient())).await;
    let plane = native.http.address().to_string();
    let item = |to: &str| json!({"to": to, "plane": plane}).to_string();
    let path = format!("/a/proxy?u={}", quoted("http://n.internal/"));
    // Two requests of `a` in one batch, which calls `a` for each of them: a place more is enough.
    for (places, is_enough) in [(3, true), (2, false)] {
        Samovar::deploy(&native, "a", CALLER, waiting("a", places)).await;
        let http: &Http = &native.http;
        let (left, right) = tokio::join!(http.post(&path, item("a")), http.post(&path, item("a")));
        for reply in [left, right] {
            let answer = reply.expect(200).json();
            let (status, text) = (number(&answer, "/0"), text(&answer, "/2"));
            if is_enough {
                assert_eq!((status, text), (200, "a\n"));
            } else {
                assert_eq!((status, &answer[1]), (508, &json!("call-loop")), "{text}");
                assert!(text.contains("a -> n -> a: every place of `a` (2)"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn place_that_is_spent_is_no_place() {
    let samovar = Samovar::start().await;
    for guest in [CALLER, CALLER_ASYNC] {
        let once = with(waiting("a", 2), json!({"max_requests": 1}));
        samovar.deploy("a", guest, once).await;
        for _ in 0..5 {
            assert_eq!(samovar.http.get("/a/call?to=a").await.expect(200).text(), "a>a\n");
        }
        assert_eq!(chain(&samovar.http.get("/a/call?to=a,a").await), "a -> a -> a");
        let fresh = with(waiting("a", 2), json!({"reuse": "off"}));
        samovar.deploy("a", guest, fresh).await;
        assert_eq!(samovar.http.get("/a/call?to=a").await.expect(200).text(), "a>a\n");
        assert_eq!(chain(&samovar.http.get("/a/call?to=a,a").await), "a -> a -> a");
    }
}

#[tokio::test]
async fn chain_that_an_operator_holds_up_waits_for_him() {
    let samovar = Samovar::start().await;
    samovar.deploy("a", CALLER, with(waiting("a", 1), json!({"replicas": "1..2"}))).await;
    let pause = samovar.admin.request(Method::POST, "/v1/deployments/a/pause");
    let pause = pause.header("content-type", "application/json");
    samovar.admin.send(pause, json!({"replicas": 1}).to_string()).await.expect(200);
    let chain = at_once(&samovar.http, "/a/call?to=a", 1);
    let is_waiting = |status: &Value| status["queued"] == 1 && status["ongoing"] == 1;
    samovar.wait_status("a", "a call that waits", is_waiting).await;
    samovar.admin.post("/v1/deployments/a/resume", "").await.expect(200);
    assert_eq!(chain.answer().await.expect(200).text(), "a>a\n");
    assert_eq!(loops(&samovar, "a").await, 0.0);
}

#[tokio::test]
async fn answer_that_its_caller_does_not_read_yet_takes_no_place() {
    let samovar = Samovar::start().await;
    for callee in [CALLER, CALLER_ASYNC] {
        samovar.deploy("a", CALLER, waiting("a", 1)).await;
        samovar.deploy("x", CALLER, waiting("x", 1)).await;
        samovar.deploy("b", callee, waiting("b", 1)).await;
        // A handler of WASI 0.2 looks at the answer of `x` first, which comes after `x` itself has
        // called `b`. That of `b` is there before, and nobody reads it.
        let reply = samovar.http.get("/a/call?to=x|b,b&hold=50").await;
        assert_eq!(chain(&reply), "a -> b -> b");
        assert!(reply.text().starts_with("a>[x>b;b>{"), "{callee}: {}", reply.text());
    }
}
