//! Deployment specs that cannot be: the answer names the field and what it may hold.

use samovar_tests::{Samovar, component, status, tiny_handler};
use serde_json::{Value, json};

use crate::support::names;

/// One wrong spec: what is wrong, the code and field of the answer, words its message must have.
type Case = (Value, &'static str, &'static str, &'static [&'static str]);

async fn all_refused(cases: &[Case]) {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(tiny_handler(200)).await;
    for (spec, code, field, words) in cases {
        let error = samovar.put_spec("wrong", &digest, spec.clone()).await.refused(422, code);
        assert_eq!(error["field"], format!("spec.{field}"), "{spec}: {error}");
        names(&error["message"], words);
    }
    let list = samovar.admin.get("/v1/deployments").await.expect(200).json();
    assert_eq!(status::list(&list, "/deployments"), [] as [Value; 0]);
}

#[tokio::test]
async fn unknown_keys_are_named_with_the_allowed_ones() {
    all_refused(&[
        (json!({"replica": 1}), "unknown-field", "replica", &["replica", "replicas", "idle_ttl"]),
        (json!({"limits": {"memroy": "1MiB"}}), "unknown-field", "limits.memroy", &["memory"]),
        (json!({"queue": {"size": 1}}), "unknown-field", "queue.size", &["max", "timeout"]),
        (json!({"scaling": {"polcy": "x"}}), "unknown-field", "scaling.polcy", &["policy"]),
        (json!({"replicas": {"mn": 1}}), "unknown-field", "replicas.mn", &["min", "max"]),
    ])
    .await;
}

#[tokio::test]
async fn replica_ranges_must_make_sense() {
    all_refused(&[
        (json!({"replicas": {"min": 5, "max": 2}}), "invalid-field", "replicas", &["5", "2"]),
        (json!({"replicas": "5..2"}), "invalid-field", "replicas", &["5", "2"]),
        (json!({"replicas": "many"}), "invalid-field", "replicas", &["0..8"]),
        (json!({"replicas": "1..x"}), "invalid-field", "replicas", &["0..8"]),
        (json!({"replicas": -1}), "invalid-field", "replicas", &["0..8"]),
        (json!({"replicas": 1.5}), "invalid-field", "replicas", &["0..8"]),
        (json!({"replicas": 0}), "invalid-field", "replicas.max", &["1"]),
        (json!({"replicas": "0..0"}), "invalid-field", "replicas.max", &["1"]),
        (
            json!({"replicas": "0..2", "initial_replicas": 3}),
            "invalid-field",
            "initial_replicas",
            &["2"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn counts_must_be_positive() {
    all_refused(&[
        (json!({"concurrency": 0}), "invalid-field", "concurrency", &["1"]),
        (json!({"concurrency": "many"}), "invalid-field", "concurrency", &["whole number"]),
        (json!({"queue": {"max": 0}}), "invalid-field", "queue.max", &["1"]),
        (json!({"queue": {"max": -1}}), "invalid-field", "queue.max", &["0"]),
        (json!({"max_requests": -5}), "invalid-field", "max_requests", &["0"]),
    ])
    .await;
}

#[tokio::test]
async fn durations_must_be_durations() {
    let off: &[&str] = &["off"];
    let never_off: &[&str] = &["30s"];
    all_refused(&[
        (json!({"idle_ttl": "soon"}), "invalid-field", "idle_ttl", off),
        (json!({"idle_ttl": "-5s"}), "invalid-field", "idle_ttl", off),
        (json!({"idle_ttl": -5}), "invalid-field", "idle_ttl", off),
        (json!({"max_age": [5]}), "invalid-field", "max_age", off),
        (json!({"scaledown_ttl": "5 parsecs"}), "invalid-field", "scaledown_ttl", never_off),
        (json!({"max_age": "old"}), "invalid-field", "max_age", off),
        (json!({"drain_timeout": "never"}), "invalid-field", "drain_timeout", never_off),
        (json!({"queue": {"timeout": "1"}}), "invalid-field", "queue.timeout", never_off),
        (json!({"scaling": {"interval": "0s"}}), "invalid-field", "scaling.interval", &["ms"]),
        (
            json!({"limits": {"request_timeout": "long"}}),
            "invalid-field",
            "limits.request_timeout",
            never_off,
        ),
        (json!({"limits": {"cpu_time": "0s"}}), "invalid-field", "limits.cpu_time", &["ms"]),
    ])
    .await;
}

#[tokio::test]
async fn sizes_routes_and_variables_must_be_such() {
    let size: &[&str] = &["MiB"];
    all_refused(&[
        (json!({"limits": {"memory": "lots"}}), "invalid-field", "limits.memory", size),
        (json!({"limits": {"memory": "0B"}}), "invalid-field", "limits.memory", size),
        (json!({"limits": {"request_body": -1}}), "invalid-field", "limits.request_body", size),
        (json!({"route": "no-slash"}), "invalid-field", "route", &["/"]),
        (json!({"route": "/a b"}), "invalid-field", "route", &["/"]),
        (json!({"env": {"A": 1}}), "invalid-field", "env.A", &["string"]),
        (json!({"scaling": {"config": 5}}), "invalid-field", "scaling.config", &["map"]),
    ])
    .await;
}

#[tokio::test]
async fn body_that_is_not_json_is_refused() {
    let samovar = Samovar::start().await;
    for body in ["", "{", "component = 'toml'"] {
        samovar.admin.put("/v1/deployments/wrong", body).await.refused(400, "invalid-json");
    }
    let error = samovar.admin.put("/v1/deployments/wrong", "[]").await;
    assert!(matches!(error.status, 400 | 422), "{}", error.text());
}

#[tokio::test]
async fn component_must_be_given_well_formed_and_known() {
    let samovar = Samovar::start().await;
    let put = async |spec: Value| samovar.admin.put_json("/v1/deployments/wrong", &spec).await;
    let error = put(json!({})).await.refused(422, "invalid-field");
    assert_eq!(error["field"], "spec.component");
    let error = put(json!({"component": "sha256:zz"})).await.refused(422, "invalid-field");
    assert_eq!(error["field"], "spec.component");
    let unknown = format!("sha256:{}", "0".repeat(64));
    let error = put(json!({"component": unknown})).await.refused(404, "not-found");
    names(&error["message"], &[&unknown]);
}

#[tokio::test]
async fn unknown_policy_is_named() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(tiny_handler(200)).await;
    let spec = json!({"scaling": {"policy": "crystal-ball"}});
    let error = samovar.put_spec("wrong", &digest, spec).await.refused(404, "not-found");
    names(&error["message"], &["crystal-ball"]);
}

#[tokio::test]
async fn deployment_names_are_checked() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(tiny_handler(200)).await;
    let too_long = "a".repeat(64);
    for name in ["Upper", "under_score", "-dash", "dash-", "dot.dot", too_long.as_str()] {
        let reply = samovar.put_spec(name, &digest, json!({})).await;
        let error = reply.refused(422, "invalid-field");
        assert_eq!(error["field"], "name", "{name}");
        names(&error["message"], &["a-z"]);
    }
    let longest = "a".repeat(63);
    samovar.put_spec(&longest, &digest, json!({})).await.expect(201);
    samovar.put_spec("x", &digest, json!({})).await.expect(201);
}

#[tokio::test]
async fn handler_of_wasi_02_takes_one_request_at_a_time() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(tiny_handler(200)).await;
    let reply = samovar.put_spec("wrong", &digest, json!({"concurrency": 2})).await;
    let error = reply.refused(422, "concurrency-unsupported");
    assert_eq!(error["field"], "spec.concurrency");
    names(&error["message"], &["0.2"]);
    names(&error["hint"], &["1", "0.3"]);
    samovar.put_spec("right", &digest, json!({"concurrency": 1})).await.expect(201);
}

#[tokio::test]
async fn defaults_are_filled_in() {
    let samovar = Samovar::start().await;
    let old = samovar.deploy_wasm("old", tiny_handler(200), json!({})).await;
    let spec = &old["spec"];
    assert_eq!(old["route"], "/old");
    assert_eq!(old["revision"], 1);
    assert_eq!(spec["concurrency"], 1);
    assert_eq!(spec["queue"], json!({"max": 1000, "timeout": "30s"}));
    assert_eq!(spec["idle_ttl"], "5m");
    assert_eq!(spec["limits"]["memory"], "128MiB");
    assert_eq!(old["policy"]["name"], "lightning");

    let new = samovar.deploy_wasm("new", component("hello-async"), json!({})).await;
    assert_eq!(new["spec"]["concurrency"], 16);
}

#[tokio::test]
async fn two_deployments_cannot_share_a_route() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(tiny_handler(200)).await;
    samovar.put_spec("first", &digest, json!({"route": "/shared"})).await.expect(201);
    let reply = samovar.put_spec("second", &digest, json!({"route": "/shared"})).await;
    let error = reply.refused(409, "name-taken");
    names(&error["message"], &["/shared", "first"]);
    samovar.admin.get("/v1/deployments/second").await.refused(404, "not-found");
}

#[tokio::test]
async fn refused_change_keeps_the_old_revision() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(tiny_handler(201)).await;
    samovar.put_spec("steady", &digest, json!({})).await.expect(201);
    samovar.put_spec("steady", &digest, json!({"replicas": "3..1"})).await.expect(422);
    assert_eq!(samovar.status("steady").await["revision"], 1);
    samovar.http.get("/steady").await.expect(201);
}
