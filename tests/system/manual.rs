//! What operators do by hand with single replicas and with their number, and how long it holds.

use http::Method;
use samovar_tests::load::at_once;
use samovar_tests::native::direct;
use samovar_tests::status::{all_replicas, list, number, ready};
use samovar_tests::{Native, Reply, Samovar, eventually};
use serde_json::{Value, json};

use crate::batching::{BATCH, wait_ongoing, wait_queued};
use crate::support::{BAD_POLICY, BEHAVE, BEHAVE_ASYNC, steered, with};

/// A pool that no policy touches while a test lasts.
pub fn quiet(replicas: &str, initial: u32) -> Value {
    json!({"replicas": replicas, "initial_replicas": initial, "idle_ttl": "off",
        "scaledown_ttl": "1h", "scaling": {"interval": "1h"}})
}

/// Deploys `m`: a process, or the guest of this name.
pub async fn deploy(native: &Native, kind: &str, spec: Value) -> Value {
    let samovar: &Samovar = native;
    match kind {
        "process" => native.deploy("m", spec).await,
        guest => samovar.deploy("m", guest, spec).await,
    }
}

/// Sends JSON, or nothing, to a route of the deployment `m`.
pub async fn act(samovar: &Samovar, method: Method, below: &str, body: Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = samovar.admin.request(method, &format!("/v1/deployments/m{below}"));
    samovar.admin.send(request, body).await
}

/// The ids of the replicas of `m` that are ready.
pub async fn ready_ids(native: &Native) -> Vec<u64> {
    let replicas = native.replicas("m").await;
    let ready = replicas.iter().filter(|replica| replica["state"] == "ready");
    ready.map(|replica| number(replica, "/id")).collect()
}

/// Waits until `m` has so many ready replicas and no others, and answers their ids.
async fn settled(native: &Native, count: u64) -> Vec<u64> {
    let what = format!("{count} replicas, all ready");
    let settled = |status: &Value| (ready(status), all_replicas(status)) == (count, count);
    native.wait_status("m", &what, settled).await;
    ready_ids(native).await
}

/// Waits until policies were asked ten times more, on a deployment beside `m`.
async fn ticks(samovar: &Samovar) {
    let enough = samovar.decisions("clock").await.len() + 10;
    eventually("time goes by", async || {
        (samovar.decisions("clock").await.len() >= enough).then_some(())
    })
    .await;
}

#[tokio::test]
async fn replicas_are_listed_and_shown() {
    for kind in [BEHAVE, BEHAVE_ASYNC, BATCH, "process"] {
        let native = Native::start().await;
        deploy(&native, kind, quiet("1..4", 2)).await;
        for id in settled(&native, 2).await {
            let shown = act(&native, Method::GET, &format!("/replicas/{id}"), Value::Null).await;
            let shown = shown.expect(200).json();
            assert_eq!(number(&shown, "/id"), id);
            assert_eq!((&shown["state"], number(&shown, "/revision")), (&json!("ready"), 1));
            let is_process = kind == "process";
            assert_eq!(shown["kind"], if is_process { "process" } else { "wasm" }, "{shown}");
            assert_eq!(shown["pids"].is_array(), is_process, "{shown}");
        }
        act(&native, Method::GET, "/replicas/999", Value::Null).await.refused(404, "not-found");
        let odd = act(&native, Method::GET, "/replicas/first", Value::Null).await;
        assert!(matches!(odd.status, 400 | 404 | 422), "{}", odd.text());
    }
}

#[tokio::test]
async fn single_replicas_are_added_removed_and_restarted() {
    for kind in [BEHAVE, BEHAVE_ASYNC, BATCH, "process"] {
        let native = Native::start().await;
        deploy(&native, kind, quiet("1..4", 1)).await;
        let first = settled(&native, 1).await[0];
        let changed = act(&native, Method::POST, "/replicas", Value::Null).await.expect(200).json();
        assert_eq!((number(&changed, "/target"), &changed["held"]), (2, &Value::Null), "{kind}");
        settled(&native, 2).await;
        // More than there may be: as many as there may be.
        let changed = act(&native, Method::POST, "/replicas", json!({"count": 9})).await;
        assert_eq!(number(&changed.expect(200).json(), "/target"), 4);
        let four = settled(&native, 4).await;
        let full = act(&native, Method::POST, "/replicas", Value::Null).await;
        let error = full.refused(409, "conflict");
        crate::support::names(&error["message"], &["4"]);

        let gone = format!("/replicas/{first}");
        let changed = act(&native, Method::DELETE, &gone, Value::Null).await.expect(200).json();
        assert_eq!(number(&changed, "/target"), 3, "{changed}");
        let three = settled(&native, 3).await;
        assert!(!three.contains(&first) && three.iter().all(|id| four.contains(id)), "{three:?}");
        act(&native, Method::GET, &gone, Value::Null).await.refused(404, "not-found");
        act(&native, Method::DELETE, &gone, Value::Null).await.refused(404, "not-found");

        let restarted = three[1];
        let path = format!("/replicas/{restarted}/restart");
        let changed = act(&native, Method::POST, &path, Value::Null).await.expect(200).json();
        assert_eq!(number(&changed, "/target"), 3, "{changed}");
        eventually("another one is ready", async || {
            let ids = ready_ids(&native).await;
            let is_new = ids.iter().any(|id| !four.contains(id));
            (ids.len() == 3 && is_new && !ids.contains(&restarted)).then_some(())
        })
        .await;
        settled(&native, 3).await;
        act(&native, Method::POST, &path, Value::Null).await.refused(404, "not-found");
        let status = native.status("m").await;
        assert_eq!(number(&status, "/totals/replicas_started"), 5, "{kind}: {status}");
        assert_eq!(number(&status, "/totals/replicas_failed"), 0);
        assert_eq!(status["held"], Value::Null, "{kind}: nothing is held by that");
    }
}

#[tokio::test]
async fn replica_that_is_removed_finishes_what_it_has() {
    let native = Native::start().await;
    native.deploy("m", with(quiet("0..2", 1), json!({"limits": {"request_timeout": "10m"}}))).await;
    let id = settled(&native, 1).await[0];
    let asking = at_once(&native.http, "/m/wait?gate=a", 1);
    wait_ongoing(&native, "m", 1).await;
    let replica = native.replicas("m").await.remove(0);
    let path = format!("/replicas/{id}");
    act(&native, Method::DELETE, &path, Value::Null).await.expect(200);
    let shown = act(&native, Method::GET, &path, Value::Null).await.expect(200).json();
    assert_eq!(shown["state"], "draining");
    for (method, below) in
        [(Method::DELETE, path.clone()), (Method::POST, format!("{path}/restart"))]
    {
        let error = act(&native, method, &below, Value::Null).await.refused(409, "conflict");
        crate::support::names(&error["message"], &[&id.to_string()]);
    }
    direct(&replica).get("/open?gate=a").await.expect(200);
    asking.answers().await[0].clone().expect(200);
    native.wait_status("m", "no replica", |status| all_replicas(status) == 0).await;
    native.http.get("/m").await.expect(200);
}

#[tokio::test]
async fn replica_that_starts_cannot_be_removed_or_restarted() {
    let native = Native::start().await;
    let env = json!({"BEHAVE": "load-slowly", "LOAD_S": "2"});
    let spec = with(quiet("0..2", 0), json!({"env": env}));
    native.deploy("m", spec).await;
    act(&native, Method::POST, "/replicas", Value::Null).await.expect(200);
    let id = number(&native.replicas("m").await[0], "/id");
    for (method, below) in [(Method::DELETE, ""), (Method::POST, "/restart")] {
        let path = format!("/replicas/{id}{below}");
        let error = act(&native, method, &path, Value::Null).await.refused(409, "conflict");
        crate::support::names(&error["message"], &["starting"]);
    }
    // It goes as soon as it is ready, if nobody wants it any more.
    act(&native, Method::PUT, "/replicas", json!({"count": 0})).await.expect(200);
    native.wait_status("m", "no replica", |status| all_replicas(status) == 0).await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn number_is_set_and_held() {
    for kind in [BEHAVE, BEHAVE_ASYNC, BATCH, "process"] {
        let native = Native::start().await;
        deploy(&native, kind, with(quiet("1..3", 1), json!({"queue": {"timeout": "10m"}}))).await;
        for count in [3, 0, 2, 1] {
            let set = act(&native, Method::PUT, "/replicas", json!({"count": count})).await;
            let set = set.expect(200).json();
            assert_eq!((number(&set, "/held"), number(&set, "/target")), (count, count), "{kind}");
            settled(&native, count).await;
            assert_eq!(native.metric("samovar_pool_held", &["\"m\""]).await, Some(1.0));
        }
        let more = act(&native, Method::PUT, "/replicas", json!({"count": 4})).await;
        crate::support::names(&more.refused(422, "invalid-field")["message"], &["4", "3"]);
        let status = settled(&native, 1).await;
        assert_eq!(status.len(), 1, "nothing has changed");
        let changed = act(&native, Method::POST, "/resume", Value::Null).await.expect(200).json();
        assert_eq!(changed["held"], Value::Null);
        assert_eq!(native.metric("samovar_pool_held", &["\"m\""]).await, Some(0.0));
        act(&native, Method::POST, "/resume", Value::Null).await.expect(200);
    }
}

#[tokio::test]
async fn held_at_none_requests_wait_until_it_ends() {
    for kind in [BEHAVE, BEHAVE_ASYNC, "process"] {
        let native = Native::start().await;
        let queue = |timeout: &str| json!({"queue": {"timeout": timeout}});
        deploy(&native, kind, with(quiet("0..2", 1), queue("300ms"))).await;
        act(&native, Method::PUT, "/replicas", json!({"count": 0})).await.expect(200);
        settled(&native, 0).await;
        native.http.get("/m/ok").await.host_error(504, "queue-timeout");
        assert_eq!(all_replicas(&native.status("m").await), 0, "{kind}: held is held");
        // The hold outlives the redeployment that lets them wait longer.
        deploy(&native, kind, with(quiet("0..2", 1), queue("10m"))).await;
        let waiting = at_once(&native.http, "/m/ok", 5);
        wait_queued(&native, "m", 5).await;
        assert_eq!(all_replicas(&native.status("m").await), 0, "{kind}: held is held");
        act(&native, Method::POST, "/resume", Value::Null).await.expect(200);
        for reply in waiting.answers().await {
            reply.expect(200);
        }
    }
}

#[tokio::test]
async fn paused_policies_change_nothing() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    native.push_policy("steered", BAD_POLICY).await;
    samovar.deploy("clock", BEHAVE, steered("steered", "hold")).await;
    samovar.deploy("m", BEHAVE, steered("steered", "replicas:2")).await;
    settled(&native, 2).await;
    let paused = act(&native, Method::POST, "/pause", Value::Null).await.expect(200).json();
    assert_eq!(number(&paused, "/held"), 2, "as many as there are");
    assert_eq!(number(&native.status("m").await, "/held"), 2);
    native.swap("m", "steered", json!({"scale": "replicas:5"})).await.expect(200);
    ticks(&native).await;
    assert_eq!(settled(&native, 2).await.len(), 2);
    // At another number, and no body that says it.
    let paused = act(&native, Method::POST, "/pause", json!({"replicas": 3})).await.expect(200);
    assert_eq!(number(&paused.json(), "/held"), 3);
    settled(&native, 3).await;
    ticks(&native).await;
    settled(&native, 3).await;
    act(&native, Method::POST, "/pause", json!({"replicas": 9}))
        .await
        .refused(422, "invalid-field");
    act(&native, Method::POST, "/decide", Value::Null).await.refused(409, "conflict");
    act(&native, Method::POST, "/resume", Value::Null).await.expect(200);
    settled(&native, 5).await;
}

#[tokio::test]
async fn single_replicas_change_what_is_held() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    samovar.deploy("m", BEHAVE, quiet("0..4", 2)).await;
    act(&native, Method::PUT, "/replicas", json!({"count": 2})).await.expect(200);
    act(&native, Method::POST, "/replicas", Value::Null).await.expect(200);
    let ids = settled(&native, 3).await;
    assert_eq!(number(&native.status("m").await, "/held"), 3);
    let path = format!("/replicas/{}", ids[0]);
    act(&native, Method::DELETE, &path, Value::Null).await.expect(200);
    settled(&native, 2).await;
    assert_eq!(number(&native.status("m").await, "/held"), 2);
}

#[tokio::test]
async fn hold_outlives_restarts_and_redeployments() {
    for kind in [BEHAVE, "process"] {
        let mut native = Native::start().await;
        deploy(&native, kind, quiet("0..4", 1)).await;
        act(&native, Method::PUT, "/replicas", json!({"count": 3})).await.expect(200);
        settled(&native, 3).await;
        act(&native, Method::POST, "/replicas", Value::Null).await.expect(200);
        settled(&native, 4).await;
        native.restart().await;
        settled(&native, 4).await;
        assert_eq!(number(&native.status("m").await, "/held"), 4, "{kind}");
        deploy(&native, kind, with(quiet("0..5", 1), json!({"env": {"A": "1"}}))).await;
        settled(&native, 4).await;
        act(&native, Method::PUT, "/replicas", json!({"count": 0})).await.expect(200);
        native.restart().await;
        assert_eq!(number(&native.status("m").await, "/held"), 0, "{kind}");
        settled(&native, 0).await;
        act(&native, Method::POST, "/resume", Value::Null).await.expect(200);
        native.restart().await;
        assert_eq!(native.status("m").await["held"], Value::Null, "{kind}");
        native.http.get("/m/ok").await.expect(200);
    }
}

#[tokio::test]
async fn hold_beats_idle_time_and_minimum_and_replaces_what_crashes() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    let idle = |replicas: &str| {
        let spec = json!({"replicas": replicas, "idle_ttl": "200ms", "initial_replicas": 2});
        with(quiet(replicas, 2), spec)
    };
    samovar.deploy("m", BEHAVE, idle("0..4")).await;
    act(&native, Method::PUT, "/replicas", json!({"count": 2})).await.expect(200);
    samovar.deploy("other", BEHAVE, idle("0..4")).await;
    native.wait_status("other", "nobody left", |status| all_replicas(status) == 0).await;
    let before = settled(&native, 2).await;
    native.http.get("/m/trap").await.expect(502);
    let after = settled(&native, 2).await;
    assert_ne!(before, after, "the broken one has a successor");
    samovar.deploy("m", BEHAVE, idle("2..4")).await;
    act(&native, Method::PUT, "/replicas", json!({"count": 1})).await.expect(200);
    settled(&native, 1).await;
}

#[tokio::test]
async fn policies_decide_when_they_are_asked() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    native.push_policy("steered", BAD_POLICY).await;
    let spec = with(steered("steered", "replicas:3"), quiet("0..8", 1));
    let scaling = json!({"policy": "steered", "config": {"scale": "replicas:3"}, "interval": "1h"});
    samovar.deploy("m", BEHAVE, with(spec, json!({"scaling": scaling}))).await;
    let decision = act(&native, Method::POST, "/decide", Value::Null).await.expect(200).json();
    assert_eq!(number(&decision, "/target"), 3, "{decision}");
    assert!(native.decisions("m").await.contains(&decision), "it is in the log");
    settled(&native, 3).await;
    // A policy that fails has decided too, and the number stays.
    native.swap("m", "steered", json!({"scale": "nan"})).await.expect(200);
    let failed = act(&native, Method::POST, "/decide", Value::Null).await.expect(200).json();
    assert!(failed["error"].is_string(), "{failed}");
    settled(&native, 3).await;
}

#[tokio::test]
async fn sleeping_pool_decides_nothing_and_is_woken_by_hand() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    samovar.deploy("m", BEHAVE, with(quiet("0..4", 1), json!({"idle_ttl": "200ms"}))).await;
    settled(&native, 0).await;
    let error = act(&native, Method::POST, "/decide", Value::Null).await.refused(409, "conflict");
    crate::support::names(&error["message"], &["sleeps"]);
    let added = act(&native, Method::POST, "/replicas", Value::Null).await.expect(200).json();
    assert_eq!(number(&added, "/target"), 1);
    let started = |status: &Value| number(status, "/totals/replicas_started") == 2;
    native.wait_status("m", "one more started", started).await;
}

#[tokio::test]
async fn bodies_and_names_are_checked() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    samovar.deploy("m", BEHAVE, quiet("0..4", 1)).await;
    let bad = [
        json!({"count": -1}),
        json!({"count": 1.5}),
        json!({"count": "2"}),
        json!({"cnt": 2}),
        json!([2]),
        json!({"count": 4_294_967_296_u64}),
    ];
    for body in bad {
        for (method, below) in [(Method::PUT, "/replicas"), (Method::POST, "/replicas")] {
            let reply = act(&native, method, below, body.clone()).await;
            assert!(matches!(reply.status, 400 | 422), "{below} {body}: {}", reply.text());
            assert!(reply.json()["error"]["code"].is_string());
        }
    }
    act(&native, Method::PUT, "/replicas", Value::Null).await.refused(400, "invalid-json");
    let odd = act(&native, Method::POST, "/pause", json!({"replica": 1})).await;
    odd.refused(422, "unknown-field");
    let routes = [
        (Method::GET, "/replicas"),
        (Method::POST, "/replicas"),
        (Method::GET, "/replicas/0"),
        (Method::DELETE, "/replicas/0"),
        (Method::POST, "/replicas/0/restart"),
        (Method::POST, "/pause"),
        (Method::POST, "/resume"),
        (Method::POST, "/decide"),
        (Method::GET, "/ready"),
        (Method::GET, "/invoke/ok"),
    ];
    for (method, below) in routes {
        let request = native.admin.request(method, &format!("/v1/deployments/nobody{below}"));
        native.admin.send(request, "").await.refused(404, "not-found");
    }
    let status = native.status("m").await;
    assert_eq!(
        (&status["held"], list(&native.view("m").await, "/replicas").len()),
        (&Value::Null, 1)
    );
}
