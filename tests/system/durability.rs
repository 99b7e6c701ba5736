//! What was acknowledged survives `kill -9`, and is served again without compiling.

use samovar_tests::status::{list, number};
use samovar_tests::{Load, Samovar, component, tiny_handler, unique};
use serde_json::{Value, json};

use crate::support::BEHAVE;

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_kill() {
    let mut samovar = Samovar::start().await;
    let mine = samovar.push_policy("mine", "queue-depth").await;
    let spec = json!({"replicas": "1..3", "env": {"TEA": "assam"}, "queue": {"max": 7}});
    samovar.deploy("kept", BEHAVE, spec.clone()).await;
    samovar.deploy("kept", BEHAVE, spec).await;
    let config = json!({"waiting_per_replica": 3});
    samovar.swap("kept", "mine", config.clone()).await.expect(200);
    samovar.deploy_wasm("gone", tiny_handler(200), json!({})).await;
    samovar.admin.delete("/v1/deployments/gone").await.expect(204);
    let unused = samovar.upload(unique(&tiny_handler(200), 9)).await;
    let before = samovar.status("kept").await;

    samovar.restart().await;
    let after = samovar.status("kept").await;
    for key in ["name", "revision", "component", "world", "route", "spec"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["policy"]["name"], "mine");
    assert_eq!(after["policy"]["digest"], mine["digest"]);
    assert_eq!(after["policy"]["config"], config);
    assert_eq!(after["spec"]["env"], json!({"TEA": "assam"}));
    samovar.admin.get("/v1/deployments/gone").await.refused(404, "not-found");
    samovar.admin.get(&format!("/v1/components/{unused}")).await.expect(200);
    samovar.admin.get("/v1/policies/mine").await.expect(200);
    assert!(samovar.http.get("/kept/env").await.expect(200).text().contains("TEA=assam"));
}

#[tokio::test]
async fn first_request_after_a_restart_is_served_without_compiling() {
    let mut samovar = Samovar::start().await;
    samovar.push_policy("mine", "queue-depth").await;
    let scaling = json!({"policy": "mine", "config": {"waiting_per_replica": 3}});
    samovar.deploy("zero", "hello", json!({"scaling": scaling})).await;
    samovar.deploy("one", "hello-async", json!({"replicas": "1..2"})).await;
    let compiled = samovar.metric("samovar_compilations_total", &[]).await;
    assert!(compiled.is_some_and(|count| count >= 3.0), "{compiled:?}");
    samovar.restart().await;
    for path in ["/zero", "/one"] {
        samovar.http.get(path).await.expect(200);
    }
    assert_eq!(samovar.metric("samovar_compilations_total", &[]).await, Some(0.0));
}

#[tokio::test]
async fn minimum_replicas_are_back_after_a_restart() {
    let mut samovar = Samovar::start().await;
    samovar.deploy("pool", "hello", json!({"replicas": "2..3"})).await;
    samovar.restart().await;
    let ready = |status: &Value| number(status, "/replicas/ready") == 2;
    samovar.wait_status("pool", "two replicas", ready).await;
}

#[tokio::test]
async fn revisions_go_on_counting_after_a_restart() {
    let mut samovar = Samovar::start().await;
    samovar.deploy_wasm("tiny", tiny_handler(201), json!({})).await;
    samovar.deploy_wasm("tiny", tiny_handler(202), json!({})).await;
    samovar.restart().await;
    samovar.http.get("/tiny").await.expect(202);
    let third = samovar.deploy_wasm("tiny", tiny_handler(203), json!({})).await;
    assert_eq!(third["revision"], 3);
    samovar.http.get("/tiny").await.expect(203);
}

#[tokio::test]
async fn kill_under_load_loses_nothing_acknowledged() {
    let mut samovar = Samovar::start().await;
    samovar.deploy("busy", "hello", json!({"replicas": "0..2"})).await;
    let load = Load::start(&samovar.http, "/busy", 8);
    load.serve_more(50).await;
    samovar.kill9();
    drop(load);
    samovar.start_again().await;
    samovar.http.get("/busy").await.expect(200);
    assert_eq!(samovar.metric("samovar_compilations_total", &[]).await, Some(0.0));
}

#[tokio::test]
async fn same_component_uploaded_again_after_a_restart_is_known() {
    let mut samovar = Samovar::start().await;
    let digest = samovar.upload(component("hello")).await;
    samovar.restart().await;
    let again = samovar.admin.post("/v1/components", component("hello")).await.expect(200).json();
    assert_eq!(again["digest"], digest);
    assert_eq!(samovar.metric("samovar_compilations_total", &[]).await, Some(0.0));
    let all = samovar.admin.get("/v1/components").await.expect(200).json();
    assert_eq!(list(&all, "/components").len(), 1);
}
