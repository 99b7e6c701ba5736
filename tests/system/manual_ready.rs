//! When a deployment counts as ready, and who may scale it from outside.

use http::Method;
use samovar_tests::load::at_once;
use samovar_tests::native::direct;
use samovar_tests::status::{all_replicas, number, ready};
use samovar_tests::{Native, Options, Reply, Samovar};
use serde_json::{Value, json};

use crate::batching::{wait_ongoing, wait_queued};
use crate::manual::{act, quiet};
use crate::support::{BEHAVE, names, with};

const TOKEN: &str = "correct-horse-battery-staple";

/// What `m` says of itself, which must be with this status.
async fn readiness(samovar: &Samovar, status: u16) -> Value {
    let reply = act(samovar, Method::GET, "/ready", Value::Null).await.expect(status).json();
    assert_eq!(reply["ready"], json!(status == 200), "{reply}");
    assert_eq!(reply["reason"].is_string(), status != 200, "{reply}");
    reply
}

/// A server whose deployment `m` has this rule and so many replicas out of eight.
async fn with_rule(rule: Value, replicas: &str, initial: u32) -> Samovar {
    let samovar = Samovar::start().await;
    let spec = with(quiet(replicas, initial), json!({"ready": rule}));
    samovar.deploy("m", BEHAVE, spec).await;
    samovar
}

async fn hold(samovar: &Samovar, count: u32) {
    act(samovar, Method::PUT, "/replicas", json!({"count": count})).await.expect(200);
    let count = u64::from(count);
    samovar.wait_status("m", "as many ready", |status| ready(status) == count).await;
}

#[tokio::test]
async fn serving_means_that_requests_are_served() {
    let samovar = with_rule(json!("serving"), "0..8", 0).await;
    // Asleep it is ready: the next request wakes it up.
    assert_eq!(readiness(&samovar, 200).await["rule"], "serving");
    samovar.http.get("/m/ok").await.expect(200);
    assert_eq!(number(&readiness(&samovar, 200).await, "/num_replicas"), 1);
    hold(&samovar, 0).await;
    names(&readiness(&samovar, 503).await["reason"], &["held"]);
    act(&samovar, Method::POST, "/resume", Value::Null).await.expect(200);
    readiness(&samovar, 200).await;
    // It is the rule of a spec that says nothing.
    samovar.deploy("m", BEHAVE, quiet("0..8", 1)).await;
    assert_eq!(readiness(&samovar, 200).await["rule"], "serving");
}

#[tokio::test]
async fn any_means_one() {
    let samovar = with_rule(json!("any"), "0..8", 0).await;
    let reason = readiness(&samovar, 503).await;
    assert_eq!(
        (&reason["rule"], &reason["reason"]),
        (&json!("any"), &json!("0 of 1 replicas are ready"))
    );
    samovar.http.get("/m/ok").await.expect(200);
    readiness(&samovar, 200).await;
}

#[tokio::test]
async fn min_means_the_minimum() {
    let samovar = with_rule(json!("min"), "2..8", 2).await;
    assert_eq!(readiness(&samovar, 200).await["rule"], "min");
    hold(&samovar, 1).await;
    names(&readiness(&samovar, 503).await["reason"], &["1 of 2"]);
    hold(&samovar, 2).await;
    readiness(&samovar, 200).await;
}

#[tokio::test]
async fn target_means_all_that_are_wanted() {
    let native = Native::start().await;
    let spec = |behave: &str| {
        with(quiet("1..4", 1), json!({"ready": "target", "env": {"BEHAVE": behave}}))
    };
    native.deploy("m", spec("")).await;
    assert_eq!(readiness(&native, 200).await["rule"], "target");
    native
        .deploy("m", with(spec("load-slowly"), json!({"replicas": "0..4", "initial_replicas": 0})))
        .await;
    readiness(&native, 200).await;
    act(&native, Method::PUT, "/replicas", json!({"count": 2})).await.expect(200);
    let told = readiness(&native, 503).await;
    assert_eq!((number(&told, "/num_pending_works"), number(&told, "/num_replicas")), (2, 2));
    native.wait_ready("m", 2).await;
    assert_eq!(number(&readiness(&native, 200).await, "/num_pending_works"), 0);
}

#[tokio::test]
async fn number_means_so_many() {
    let samovar = with_rule(json!(3), "0..8", 2).await;
    samovar.wait_status("m", "two ready", |status| ready(status) == 2).await;
    let told = readiness(&samovar, 503).await;
    names(&told["reason"], &["2 of 3"]);
    names(&told["rule"], &["3"]);
    hold(&samovar, 3).await;
    readiness(&samovar, 200).await;
    hold(&samovar, 5).await;
    readiness(&samovar, 200).await;
}

#[tokio::test]
async fn failing_starts_are_told_whatever_the_rule() {
    for rule in [json!("serving"), json!("any"), json!("target"), json!(1)] {
        let native = Native::start().await;
        let spec = json!({"replicas": "0..2", "ready": rule, "env": {"BEHAVE": "exit-at-once"}});
        native.deploy("m", spec).await;
        native.http.get("/m").await.host_error(503, "start-failed");
        let told = readiness(&native, 503).await;
        if rule == json!("serving") {
            names(&told["reason"], &["weights.bin is missing"]);
        }
        native.deploy("m", json!({"replicas": "1..2", "ready": rule})).await;
        readiness(&native, 200).await;
    }
}

#[tokio::test]
async fn pending_requests_are_those_that_wait_or_run() {
    let native = Native::start().await;
    let limits = json!({"request_timeout": "10m"});
    let spec = json!({"concurrency": 2, "queue": {"timeout": "10m"}, "limits": limits});
    native.deploy("m", spec).await;
    let five = at_once(&native.http, "/m/wait?gate=a", 5);
    wait_ongoing(&native, "m", 2).await;
    wait_queued(&native, "m", 3).await;
    let told = readiness(&native, 200).await;
    assert_eq!(number(&told, "/num_pending_requests"), 5);
    assert_eq!((number(&told, "/num_replicas"), number(&told, "/num_pending_works")), (1, 0));
    direct(&native.wait_ready("m", 1).await[0]).get("/open?gate=a").await.expect(200);
    for reply in five.answers().await {
        reply.expect(200);
    }
    native.wait_status("m", "nobody served", |status| number(status, "/ongoing") == 0).await;
    assert_eq!(number(&readiness(&native, 200).await, "/num_pending_requests"), 0);
}

#[tokio::test]
async fn rules_that_are_none_are_refused() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(samovar_tests::component(BEHAVE)).await;
    for rule in [json!("sometimes"), json!(0), json!(9), json!(-1), json!(1.5), json!([1])] {
        let spec = with(quiet("0..8", 1), json!({"ready": rule}));
        let reply = samovar.put_spec("m", &digest, spec).await;
        assert_eq!(reply.status, 422, "{rule}: {}", reply.text());
        assert_eq!(reply.json()["error"]["field"], "spec.ready", "{rule}: {}", reply.text());
    }
}

/// Ray Serve's endpoint.
async fn scale(samovar: &Samovar, application: &str, deployment: &str, body: &str) -> Reply {
    let path = format!("/api/v1/applications/{application}/deployments/{deployment}/scale");
    samovar.admin.post(&path, body.to_owned()).await
}

#[tokio::test]
async fn external_scaler_sets_the_number() {
    let mut samovar = Samovar::start().await;
    let spec = with(quiet("0..4", 1), json!({"external_scaler": true}));
    samovar.deploy("m", BEHAVE, spec).await;
    for application in ["default", "m"] {
        for (asked, given) in [(3, 3), (0, 0), (4, 4), (9, 4), (1, 1)] {
            let body = json!({"target_num_replicas": asked}).to_string();
            let told = scale(&samovar, application, "m", &body).await.expect(200).json();
            assert_eq!(number(&told, "/target_num_replicas"), given);
            names(&told["message"], &[&given.to_string()]);
            let settled = |status: &Value| (ready(status), all_replicas(status)) == (given, given);
            let status = samovar.wait_status("m", "the number", settled).await;
            assert_eq!(number(&status, "/held"), given);
        }
    }
    samovar.restart().await;
    samovar.wait_status("m", "the number again", |status| ready(status) == 1).await;
    act(&samovar, Method::POST, "/resume", Value::Null).await.expect(200);
    assert_eq!(samovar.status("m").await["held"], Value::Null);
}

#[tokio::test]
async fn external_scaler_answers_with_rays_statuses() {
    let samovar = Samovar::start().await;
    let spec = with(quiet("0..4", 1), json!({"external_scaler": true}));
    samovar.deploy("m", BEHAVE, spec).await;
    samovar.deploy("off", BEHAVE, quiet("0..4", 1)).await;
    let good = r#"{"target_num_replicas": 2}"#;
    for (application, deployment) in [("default", "nobody"), ("other", "m"), ("default", "%3Cb%3E")]
    {
        scale(&samovar, application, deployment, good).await.refused(404, "not-found");
    }
    let error = scale(&samovar, "default", "off", good).await.refused(412, "external-scaler-off");
    names(&error["message"], &["external_scaler"]);
    let bad = [
        "",
        "2",
        "[2]",
        "hello",
        "{}",
        r#"{"target_num_replicas": -1}"#,
        r#"{"target_num_replicas": 1.5}"#,
        r#"{"target_num_replicas": "2"}"#,
        r#"{"target_num_replicas": null}"#,
        r#"{"target_num_replicas": 4294967296}"#,
        r#"{"target_num_replicas": 2, "more": 1}"#,
    ];
    for body in bad {
        scale(&samovar, "default", "m", body).await.refused(400, "invalid-json");
    }
    assert_eq!(samovar.status("m").await["held"], Value::Null, "nothing was held");
    let get = samovar.admin.get("/api/v1/applications/default/deployments/m/scale").await;
    assert_eq!(get.status, 405, "{}", get.text());
}

#[tokio::test]
async fn external_scaler_of_a_deployment_that_is_being_deleted_is_off() {
    let native = Native::start().await;
    let limits = json!({"external_scaler": true, "limits": {"request_timeout": "10m"}});
    native.deploy("m", limits).await;
    let _asking = at_once(&native.http, "/m/wait?gate=a", 1);
    wait_ongoing(&native, "m", 1).await;
    native.delete("m").await;
    let reply = scale(&native, "default", "m", r#"{"target_num_replicas": 1}"#).await;
    assert!(matches!(reply.status, 404 | 412), "{} {}", reply.status, reply.text());
}

#[tokio::test]
async fn all_of_it_needs_the_token() {
    let options =
        Options { env: vec![("SAMOVAR_ADMIN_TOKEN".into(), TOKEN.into())], ..Options::default() };
    let samovar = Samovar::start_options(options).await;
    let right = samovar.admin.with_token(TOKEN);
    let digest = right.post("/v1/components", samovar_tests::component(BEHAVE)).await;
    let spec = with(quiet("0..4", 1), json!({"external_scaler": true}));
    let spec = with(spec, json!({"component": digest.expect(201).json()["digest"]}));
    right.put_json("/v1/deployments/m", &spec).await.expect(201);
    let m = "/v1/deployments/m";
    let routes = [
        (Method::GET, format!("{m}/replicas/0")),
        (Method::POST, format!("{m}/replicas")),
        (Method::PUT, format!("{m}/replicas")),
        (Method::DELETE, format!("{m}/replicas/0")),
        (Method::POST, format!("{m}/replicas/0/restart")),
        (Method::POST, format!("{m}/pause")),
        (Method::POST, format!("{m}/resume")),
        (Method::POST, format!("{m}/decide")),
        (Method::GET, format!("{m}/ready")),
        (Method::GET, format!("{m}/invoke/ok")),
        (Method::POST, "/api/v1/applications/default/deployments/m/scale".into()),
    ];
    for (method, path) in routes {
        for stranger in [samovar.admin.clone(), samovar.admin.with_token("wrong")] {
            let request = stranger.request(method.clone(), &path);
            stranger
                .send(request, r#"{"target_num_replicas": 0}"#)
                .await
                .refused(401, "unauthorized");
        }
    }
    let path = "/api/v1/applications/default/deployments/m/scale";
    right.post(path, r#"{"target_num_replicas": 2}"#).await.expect(200);
    let headers = right.get(&format!("{m}/invoke/headers")).await.expect(200).text();
    assert!(!headers.contains(TOKEN) && !headers.contains("authorization"), "{headers}");
}
