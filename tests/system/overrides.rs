//! Instances that serve once, calls that bring their own settings, and what a policy of reuse may say.

use std::fs;

use http::Method;
use samovar_tests::load::{InFlight, at_once};
use samovar_tests::status::{all_replicas, number, ready};
use samovar_tests::{Load, Native, Reply, Samovar, component};
use serde_json::{Value, json};

use crate::batching::BATCH;
use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, names, with};

/// Uses what its host offers.
const CAPABLE: &str = "fixture-capable";

/// Calls `path` of the deployment `m`, with these overrides.
async fn invoke(samovar: &Samovar, path: &str, overrides: &Value) -> Reply {
    invoke_with(samovar, path, &overrides.to_string(), "").await
}

async fn invoke_with(samovar: &Samovar, path: &str, overrides: &str, body: &str) -> Reply {
    let path = format!("/v1/deployments/m/invoke{path}");
    let request = samovar.admin.request(Method::POST, &path).header("samovar-override", overrides);
    samovar.admin.send(request, body.to_owned()).await
}

async fn text(samovar: &Samovar, path: &str, overrides: &Value) -> String {
    invoke(samovar, path, overrides).await.expect(200).text().trim().to_owned()
}

/// Waits until no instance but those of the pool is left.
async fn only_the_pool(samovar: &Samovar, count: u64) {
    let alone = |status: &Value| (ready(status), all_replicas(status)) == (count, count);
    samovar.wait_status("m", "only its pool", alone).await;
}

#[tokio::test]
async fn without_reuse_every_request_has_an_instance_of_its_own() {
    for (guest, path) in [("counter", "/m"), (BEHAVE, "/m/count"), (BEHAVE_ASYNC, "/m/count")] {
        let samovar = Samovar::start().await;
        let spec = json!({"reuse": "off", "replicas": "1..4", "idle_ttl": "off"});
        samovar.deploy("m", guest, spec).await;
        for _ in 0..10 {
            assert_eq!(samovar.http.get(path).await.expect(200).text(), "1\n", "{guest}");
        }
        for reply in at_once(&samovar.http, path, 100).answers().await {
            assert_eq!(reply.expect(200).text(), "1\n", "{guest}");
        }
        let status = samovar.wait_status("m", "one again", |status| ready(status) >= 1).await;
        assert!(all_replicas(&status) <= 4, "{status}");
        assert!(number(&status, "/totals/replicas_started") >= 110, "{guest}: {status}");
        assert_eq!(number(&status, "/totals/failed"), 0, "{guest}: {status}");
    }
}

#[tokio::test]
async fn with_reuse_an_instance_serves_on() {
    let samovar = Samovar::start().await;
    samovar.deploy("m", "counter", fixed(1)).await;
    for number in 1..10 {
        assert_eq!(samovar.http.get("/m").await.expect(200).text(), format!("{number}\n"));
    }
    // An instance that fails is replaced with or without it.
    samovar.deploy("m", BEHAVE, with(fixed(1), json!({"reuse": "off"}))).await;
    samovar.http.get("/m/trap").await.host_error(502, "guest-trap");
    assert_eq!(samovar.http.get("/m/count").await.expect(200).text(), "1\n");
}

#[tokio::test]
async fn without_reuse_some_settings_make_no_sense() {
    let native = Native::start().await;
    let digest = native.upload(component(BEHAVE_ASYNC)).await;
    let off = |more: Value| with(json!({"reuse": "off"}), more);
    for more in [json!({"max_requests": 5}), json!({"batching": {}}), json!({"concurrency": 2})] {
        let reply = native.put_spec("m", &digest, off(more.clone())).await;
        assert_eq!(reply.status, 422, "{more}: {}", reply.text());
        assert!(reply.json()["error"]["field"].is_string(), "{more}: {}", reply.text());
    }
    let error = native.put("m", &native.spec(off(json!({})))).await.refused(422, "invalid-field");
    assert_eq!(error["field"], "spec.reuse", "{error}");
    let odd = native.put_spec("m", &digest, json!({"reuse": "sometimes"})).await;
    assert_eq!(odd.status, 422, "{}", odd.text());
}

#[tokio::test]
async fn call_without_overrides_is_like_a_clients() {
    let native = Native::start().await;
    let samovar: &Samovar = &native;
    samovar.deploy("m", BEHAVE, fixed(1)).await;
    for number in 1..4 {
        let reply = native.admin.get("/v1/deployments/m/invoke/count").await.expect(200);
        assert_eq!(reply.text(), format!("{number}\n"), "on the instance of the pool");
    }
    assert_eq!(text(samovar, "/count", &json!({})).await, "4", "they say nothing");
    let trap = native.admin.get("/v1/deployments/m/invoke/trap").await;
    trap.host_error(502, "guest-trap");
    for root in ["", "/", "?a=1", "/?a=1"] {
        native.admin.get(&format!("/v1/deployments/m/invoke{root}")).await.expect(200);
    }
    native.admin.get("/v1/deployments/m/invoke/nothing/here?a=1").await.expect(404);
    native.deploy("m", json!({})).await;
    let request = native.admin.request(Method::PUT, "/v1/deployments/m/invoke/head?a=%20b");
    let seen = native.admin.send(request, "").await.expect(200).json();
    assert_eq!(seen["path"], "/head?a=%20b");
    let body = "x".repeat(3_000_000);
    let reply = native.admin.post("/v1/deployments/m/invoke/echo", body.clone()).await.expect(200);
    assert!(reply.text() == body);
}

#[tokio::test]
async fn environment_is_for_one_call_on_a_fresh_instance() {
    for guest in [BEHAVE, BEHAVE_ASYNC] {
        let samovar = Samovar::start().await;
        let env = json!({"env": {"A": "1", "B": "1"}});
        samovar.deploy("m", guest, with(fixed(1), env)).await;
        assert_eq!(samovar.http.get("/m/count").await.expect(200).text(), "1\n");
        let mine = json!({"reuse": "off", "env": {"B": "2", "C": "3"}});
        let seen = text(&samovar, "/env", &mine).await;
        for line in ["A=1", "B=2", "C=3"] {
            assert!(seen.lines().any(|other| other == line), "{guest}: no {line} in {seen}");
        }
        assert_eq!(text(&samovar, "/count", &mine).await, "1", "{guest}");
        assert_eq!(text(&samovar, "/count", &json!({"reuse": "off"})).await, "1", "{guest}");
        let others = samovar.http.get("/m/env").await.expect(200).text();
        assert!(others.contains("B=1") && !others.contains("C="), "{guest}: {others}");
        let count = samovar.http.get("/m/count").await.expect(200).text();
        assert_eq!(count, "3\n", "{guest}: the instance of the pool served none of these");
        only_the_pool(&samovar, 1).await;
        let status = samovar.status("m").await;
        assert_eq!((number(&status, "/revision"), &status["spec"]["env"]["B"]), (1, &json!("1")));
    }
}

#[tokio::test]
async fn limits_are_for_one_call() {
    let samovar = Samovar::start().await;
    let limits = json!({"limits": {"memory": "16MiB", "request_timeout": "10m"}});
    samovar.deploy("m", BEHAVE, with(fixed(1), limits.clone())).await;
    let off = |limits: Value| json!({"reuse": "off", "limits": limits});
    let short = off(json!({"cpu_time": "50ms"}));
    invoke(&samovar, "/loop", &short).await.host_error(502, "cpu-limit");
    let quick = off(json!({"request_timeout": "200ms"}));
    invoke(&samovar, "/hang", &quick).await.host_error(504, "request-timeout");
    let head = off(json!({"response_headers": "1KiB"}));
    let large = invoke(&samovar, "/big-headers?bytes=3000", &head).await;
    large.host_error(502, "response-too-large");
    samovar.http.get("/m/big-headers?bytes=3000").await.expect(200);
    // The same answer needs more memory than the deployment gives, and the call brings it along.
    samovar.deploy("m", BATCH, with(fixed(1), limits)).await;
    let big = "big 30000000";
    samovar.http.post("/m", big).await.host_error(502, "guest-trap");
    let more = off(json!({"memory": "256MiB"})).to_string();
    assert_eq!(invoke_with(&samovar, "/", &more, big).await.expect(200).body.len(), 30_000_000);
    samovar.http.post("/m", big).await.host_error(502, "guest-trap");
    let fewer = off(json!({"memory": "2MiB"})).to_string();
    let small = "big 5000000";
    samovar.http.post("/m", small).await.expect(200);
    invoke_with(&samovar, "/", &fewer, small).await.host_error(502, "guest-trap");
    only_the_pool(&samovar, 1).await;
}

#[tokio::test]
async fn overrides_need_an_instance_of_their_own() {
    let samovar = Samovar::start().await;
    samovar.deploy("m", BEHAVE, fixed(1)).await;
    let cases = [
        (json!({"env": {"A": "2"}}), "override.env"),
        (json!({"limits": {"memory": "1GiB"}}), "override.limits"),
        (json!({"reuse": "on", "env": {"A": "2"}}), "override.env"),
    ];
    for (overrides, field) in cases {
        let error = invoke(&samovar, "/env", &overrides).await.refused(422, "invalid-field");
        assert_eq!(error["field"], field, "{overrides}: {error}");
        names(&error["hint"], &["\"reuse\": \"off\""]);
    }
    // Where nothing is reused anyway, it need not be said.
    samovar.deploy("m", BEHAVE, with(fixed(1), json!({"reuse": "off"}))).await;
    assert!(text(&samovar, "/env", &json!({"env": {"A": "2"}})).await.contains("A=2"));
    let on = invoke(&samovar, "/env", &json!({"reuse": "on"})).await.refused(422, "invalid-field");
    assert_eq!(on["field"], "override.reuse");
}

#[tokio::test]
async fn overrides_that_are_none_are_refused() {
    let samovar = Samovar::start().await;
    samovar.deploy("m", BEHAVE, fixed(1)).await;
    let unknown = [
        (json!({"reuses": "off"}), "override.reuses"),
        (json!({"reuse": "off", "replicas": 3}), "override.replicas"),
        (
            json!({"reuse": "off", "limits": {"request_body": "1KiB"}}),
            "override.limits.request_body",
        ),
        (json!({"reuse": "off", "secrets": {}}), "override.secrets"),
        (json!({"reuse": "off", "component": "sha256:00"}), "override.component"),
    ];
    for (overrides, field) in unknown {
        let error = invoke(&samovar, "/ok", &overrides).await.refused(422, "unknown-field");
        assert_eq!(error["field"], field, "{error}");
    }
    let invalid = [
        json!({"reuse": "sometimes"}),
        json!({"reuse": false}),
        json!({"reuse": "off", "env": ["A=1"]}),
        json!({"reuse": "off", "env": {"A": 1}}),
        json!({"reuse": "off", "env": {"A=B": "1"}}),
        json!({"reuse": "off", "env": {"": "1"}}),
        json!({"reuse": "off", "limits": {"memory": "1B"}}),
        json!({"reuse": "off", "limits": {"memory": "5GiB"}}),
        json!({"reuse": "off", "limits": {"cpu_time": "0s"}}),
        json!({"reuse": "off", "limits": {"request_timeout": "fast"}}),
        json!({"reuse": "off", "limits": 7}),
        json!([{"reuse": "off"}]),
    ];
    for overrides in invalid {
        let reply = invoke(&samovar, "/ok", &overrides).await;
        let error = reply.refused(422, "invalid-field");
        let field = error["field"].as_str().unwrap_or_default();
        assert!(field.starts_with("override"), "{overrides}: {error}");
    }
    for text in ["", "off", "{", "{} {}"] {
        let reply = invoke_with(&samovar, "/ok", text, "").await;
        assert!(matches!(reply.status, 400 | 422), "{text:?}: {} {}", reply.status, reply.text());
    }
    only_the_pool(&samovar, 1).await;
    assert_eq!(number(&samovar.status("m").await, "/totals/arrived"), 0);
}

#[tokio::test]
async fn secrets_are_there_and_cannot_be_changed() {
    let samovar = Samovar::start().await;
    let file = samovar.folder().join("secret");
    fs::write(&file, "do not tell\n").expect("write the secret");
    let secrets = json!({"secrets": {"TOKEN": {"file": file}}});
    samovar.deploy("m", CAPABLE, with(fixed(1), secrets)).await;
    let mine = json!({"reuse": "off", "env": {"TOKEN": "mine"}});
    let reply = invoke(&samovar, "/env?key=TOKEN", &mine).await;
    assert_eq!(reply.refused(422, "invalid-field")["field"], "override.env.TOKEN");
    assert!(!reply.text().contains("do not tell"));
    let other = json!({"reuse": "off", "env": {"OTHER": "mine"}});
    assert_eq!(text(&samovar, "/env?key=TOKEN", &other).await, "do not tell");
    assert_eq!(text(&samovar, "/env?key=OTHER", &other).await, "mine");
}

#[tokio::test]
async fn processes_are_not_started_for_one_call() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    for overrides in [json!({"reuse": "off"}), json!({"reuse": "off", "env": {"A": "1"}})] {
        let error = invoke(&native, "/ok", &overrides).await.refused(422, "invalid-field");
        names(&error["message"], &["components"]);
    }
    invoke(&native, "/ok", &json!({})).await.expect(200);
    assert_eq!(native.workers().len(), 1);
}

#[tokio::test]
async fn only_operators_override() {
    let samovar = Samovar::start().await;
    samovar.deploy("m", BEHAVE, with(fixed(1), json!({"env": {"A": "1"}}))).await;
    let overrides = json!({"reuse": "off", "env": {"A": "2"}}).to_string();
    let request = samovar.http.request(Method::GET, "/m/env");
    let request = request.header("samovar-override", overrides);
    let seen = samovar.http.send(request, "").await.expect(200).text();
    assert!(seen.contains("A=1"), "the data plane knows no overrides: {seen}");
    assert_eq!(samovar.http.get("/m/count").await.expect(200).text(), "2\n");
}

#[tokio::test]
async fn fresh_instance_is_gone_afterwards_and_none_of_the_pool() {
    let samovar = Samovar::start().await;
    let limits = json!({"limits": {"request_timeout": "10m"}, "drain_timeout": "1h"});
    samovar.deploy("m", BEHAVE, with(fixed(2), limits)).await;
    let off = json!({"reuse": "off"}).to_string();
    let path = "/v1/deployments/m/invoke/hang";
    let request = samovar.admin.request(Method::GET, path).header("samovar-override", &off);
    let hanging = InFlight::one(&samovar.admin, request, String::new());
    let seen = |status: &Value| (ready(status), number(status, "/ongoing")) == (2, 1);
    let status = samovar.wait_status("m", "one that runs beside its pool", seen).await;
    assert_eq!((all_replicas(&status), number(&status, "/target")), (3, 2), "{status}");
    // The pool has all of its places.
    for reply in at_once(&samovar.http, "/m/sleep?ms=10", 10).answers().await {
        reply.expect(200);
    }
    drop(hanging);
    only_the_pool(&samovar, 2).await;
    for path in ["/ok", "/trap", "/exit", "/twice", "/never"] {
        invoke(&samovar, path, &json!({"reuse": "off"})).await;
        only_the_pool(&samovar, 2).await;
    }
    for reply in many(&samovar, "/count", 30).await {
        assert_eq!(reply.expect(200).text(), "1\n");
    }
    only_the_pool(&samovar, 2).await;
}

/// Calls `path` of `m` so many times at once, each on a fresh instance.
async fn many(samovar: &Samovar, path: &str, count: usize) -> Vec<Reply> {
    let path = format!("/v1/deployments/m/invoke{path}");
    let request = |_| {
        let request = samovar.admin.request(Method::GET, &path);
        let request = request.header("samovar-override", r#"{"reuse": "off"}"#);
        InFlight::one(&samovar.admin, request, String::new())
    };
    let calls: Vec<_> = (0..count).map(request).collect();
    let mut replies = Vec::new();
    for call in calls {
        replies.push(call.answer().await);
    }
    replies
}

#[tokio::test]
async fn fresh_instance_that_does_not_start_says_why() {
    let samovar = Samovar::start().await;
    samovar.deploy("m", CAPABLE, fixed(1)).await;
    let bad = json!({"reuse": "off", "env": {"INIT": "err"}});
    let error = invoke(&samovar, "/ok", &bad).await.host_error(503, "start-failed");
    names(&error["message"], &["asked to fail"]);
    let slow =
        json!({"reuse": "off", "env": {"INIT": "hang"}, "limits": {"start_timeout": "300ms"}});
    let reply = invoke(&samovar, "/ok", &slow).await;
    assert!(reply.status >= 500 && reply.header("samovar-error").is_some(), "{}", reply.text());
    only_the_pool(&samovar, 1).await;
    let status = samovar.status("m").await;
    assert_eq!(status["last_start_error"], Value::Null, "the deployment is fine: {status}");
    samovar.http.get("/m/ok").await.expect(200);
}

#[tokio::test]
async fn fresh_instance_needs_room_on_the_machine() {
    let samovar = Samovar::start_with(&["--slots", "1"], &[]).await;
    samovar.deploy("m", BEHAVE, with(fixed(1), json!({"queue": {"timeout": "300ms"}}))).await;
    let reply = invoke(&samovar, "/ok", &json!({"reuse": "off"})).await;
    assert!(matches!(reply.status, 503 | 504), "{} {}", reply.status, reply.text());
    assert!(reply.header("samovar-error").is_some(), "{}", reply.text());
    samovar.http.get("/m/ok").await.expect(200);
    only_the_pool(&samovar, 1).await;
}

#[tokio::test]
async fn fresh_instances_outlive_redeployments_and_disturb_nobody() {
    let samovar = Samovar::start().await;
    samovar.deploy("m", BEHAVE, fixed(2)).await;
    let load = Load::start(&samovar.http, "/m/ok", 4);
    for number in 0..10 {
        let mine = json!({"reuse": "off", "env": {"NUMBER": number.to_string()}});
        let spec = with(fixed(2), json!({"env": {"OTHER": number.to_string()}}));
        let call = invoke(&samovar, "/sleep?ms=200", &mine);
        let (call, _) = tokio::join!(call, samovar.deploy("m", BEHAVE, spec));
        call.expect(200);
    }
    load.stop_without_failure().await;
    only_the_pool(&samovar, 2).await;
}

#[tokio::test]
async fn what_flyte_refuses_of_a_reuse_policy_is_refused() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(component(BEHAVE_ASYNC)).await;
    let refused = [
        json!({"replicas": [5, 2]}),
        json!({"replicas": -1}),
        json!({"replicas": [1, 2, 3]}),
        json!({"replicas": "two"}),
        json!({"replicas": 2.5}),
        json!({"replicas": [0, 0]}),
        json!({"concurrency": 0}),
        json!({"concurrency": "many"}),
        json!({"idle_ttl": -1}),
        json!({"idle_ttl": "soon"}),
        json!({"scaledown_ttl": -5}),
    ];
    for spec in refused {
        let reply = samovar.put_spec("m", &digest, spec.clone()).await;
        assert_eq!(reply.status, 422, "{spec}: {}", reply.text());
        let key = spec.as_object().and_then(|spec| spec.keys().next()).expect("one key").clone();
        let field = reply.json()["error"]["field"].as_str().unwrap_or_default().to_owned();
        assert!(field.starts_with(&format!("spec.{key}")), "{spec}: {field}");
    }
    samovar.admin.get("/v1/deployments/m").await.refused(404, "not-found");
    // Times below Flyte's minimum are useful, and told.
    let short = json!({"replicas": [1, 3], "idle_ttl": "10s", "scaledown_ttl": "5s"});
    let status = samovar.put_spec("m", &digest, short).await.expect(201).json();
    let warnings = status["warnings"].to_string();
    for word in ["idle_ttl", "scaledown_ttl", "30"] {
        assert!(warnings.contains(word), "{warnings}");
    }
}
