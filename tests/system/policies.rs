//! Policies that behave: pushed, listed, swapped with replay, and followed.

use samovar_tests::status::{list, number, ready, text};
use samovar_tests::{Http, Load, Samovar, component};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, BEHAVE, names, some_decisions, with};

/// A deployment that is asked often.
fn asked_often(config: Value) -> Value {
    json!({"replicas": "1..4", "idle_ttl": "off", "scaledown_ttl": "200ms",
        "scaling": {"policy": "lightning", "config": config, "interval": "50ms"}})
}

#[tokio::test]
async fn built_in_policies_are_listed_and_cannot_be_replaced() {
    let samovar = Samovar::start().await;
    let all = samovar.admin.get("/v1/policies").await.expect(200).json();
    let all = list(&all, "/policies");
    let found: Vec<&str> = all.iter().map(|policy| text(policy, "/name")).collect();
    assert_eq!(found, ["flyte", "kubetorch", "lightning", "ray-serve", "vast"]);
    for policy in all {
        let name = text(policy, "/name");
        assert_eq!((&policy["builtin"], &policy["used_by"]), (&json!(true), &json!([])), "{name}");
        assert_eq!(policy["description"]["name"], name);
        assert!(policy["description"]["config_schema"]["properties"].is_object(), "{name}");
        assert!(text(policy, "/digest").starts_with("sha256:"), "{name}");

        let path = format!("/v1/policies/{name}");
        // The server does not read on after a refusal, so the connection is not used again.
        let reply = Http::new(samovar.admin.address()).put(&path, component("queue-depth")).await;
        names(&reply.refused(409, "name-taken")["message"], &[name]);
        samovar.admin.delete(&path).await.refused(409, "name-taken");
        assert_eq!(samovar.admin.get(&path).await.expect(200).json(), *policy);
    }
}

#[tokio::test]
async fn pushed_policy_describes_itself_and_its_users() {
    let samovar = Samovar::start().await;
    let path = "/v1/policies/mine";
    let pushed = samovar.admin.put(path, component("queue-depth")).await.expect(201).json();
    assert_eq!(pushed["name"], "mine");
    assert_eq!(pushed["builtin"], false);
    assert_eq!(pushed["description"]["name"], "queue-depth");
    assert_eq!(pushed["used_by"], json!([]));
    samovar.admin.put(path, component("queue-depth")).await.expect(200);

    let scaling = json!({"policy": "mine", "config": {"waiting_per_replica": 2}});
    samovar.deploy("user", BEHAVE, json!({"scaling": scaling})).await;
    let seen = samovar.admin.get(path).await.expect(200).json();
    assert_eq!(seen["used_by"], json!(["user"]));
    let all = samovar.admin.get("/v1/policies").await.expect(200).json();
    assert!(list(&all, "/policies").iter().any(|policy| policy["name"] == "mine"));
}

#[tokio::test]
async fn policy_names_are_checked() {
    let samovar = Samovar::start().await;
    let reply = samovar.admin.put("/v1/policies/No_Name", component("queue-depth")).await;
    assert_eq!(reply.refused(422, "invalid-field")["field"], "name");
}

#[tokio::test]
async fn lightning_scales_up_under_load_and_down_after() {
    let samovar = Samovar::start().await;
    let config = json!({"scale_out_interval": 0.05, "scale_in_interval": 0.05,
        "max_batch_size": 2});
    samovar.deploy("burst", BEHAVE, asked_often(config)).await;
    let load = Load::start(&samovar.http, "/burst/sleep?ms=20", 16);
    samovar.wait_status("burst", "four replicas", |status| ready(status) == 4).await;
    load.stop_without_failure().await;
    samovar.wait_status("burst", "one replica", |status| ready(status) == 1).await;
    samovar.http.get("/burst/ok").await.expect(200);
}

#[tokio::test]
async fn every_decision_is_explained() {
    let samovar = Samovar::start().await;
    samovar.deploy("why", BEHAVE, asked_often(json!({}))).await;
    samovar.http.get("/why/ok").await.expect(200);
    let decisions = some_decisions(&samovar, "why", 5).await;
    let digest = samovar.status("why").await["policy"]["digest"].clone();
    for decision in &decisions {
        assert_eq!(decision["policy"], "lightning");
        assert_eq!(decision["digest"], digest);
        assert!(!text(decision, "/reason").is_empty(), "{decision}");
        assert!(decision["wish"] == "hold" || decision["wish"].is_number(), "{decision}");
        assert_eq!(decision["error"], Value::Null);
        for number_of in ["at_ms", "target", "took_us", "ready", "starting", "queued", "ongoing"] {
            number(decision, &format!("/{number_of}"));
        }
    }
    let times: Vec<u64> = decisions.iter().map(|decision| number(decision, "/at_ms")).collect();
    assert!(times.is_sorted(), "newest comes last: {times:?}");
    let path = "/v1/deployments/why/decisions?limit=2";
    let few = samovar.admin.get(path).await.expect(200).json();
    assert_eq!(list(&few, "/decisions").len(), 2);
    assert!(number(&few, "/decisions/1/at_ms") >= *times.last().expect("there are five"));
}

#[tokio::test]
async fn swap_replays_what_was_seen() {
    let samovar = Samovar::start().await;
    samovar.push_policy("mine", "queue-depth").await;
    let first = samovar.deploy("pool", BEHAVE, asked_often(json!({}))).await;
    let seen = some_decisions(&samovar, "pool", 5).await.len() as u64;
    let config = json!({"waiting_per_replica": 2});
    let swapped = samovar.swap("pool", "mine", config.clone()).await.expect(200).json();
    assert_eq!(swapped["policy"]["name"], "mine");
    assert_eq!(swapped["policy"]["config"], config);
    assert_eq!(swapped["policy"]["state"], "live");
    assert_eq!(swapped["version"], 2);
    assert_eq!(swapped["previous"]["name"], "lightning");
    assert_eq!(swapped["previous"]["digest"], first["policy"]["digest"]);
    assert!(number(&swapped, "/replayed") >= seen, "{swapped}");
    assert!(swapped["took_ms"].is_number(), "{swapped}");

    let status = samovar.status("pool").await;
    assert_eq!(status["policy"]["name"], "mine");
    assert_eq!(status["policy"]["digest"], swapped["policy"]["digest"]);
    assert_eq!(status["policy"]["config"], config);
    samovar.wait_decision("pool", "by the new policy", |last| last["policy"] == "mine").await;
}

#[tokio::test]
async fn fifty_swaps_under_load_lose_no_request() {
    let samovar = Samovar::start().await;
    samovar.push_policy("mine", "queue-depth").await;
    samovar.deploy("pool", BEHAVE, asked_often(json!({}))).await;
    let load = Load::start(&samovar.http, "/pool/ok", 8);
    for round in 0..50 {
        let swap = match round % 2 {
            0 => samovar.swap("pool", "mine", json!({"waiting_per_replica": 1})),
            _ => samovar.swap("pool", "lightning", json!({})),
        };
        swap.await.expect(200);
        load.serve_more(1).await;
    }
    load.stop_without_failure().await;
    assert_eq!(samovar.status("pool").await["policy"]["name"], "lightning");
}

#[tokio::test]
async fn push_under_a_used_name_waits_for_the_swap() {
    let samovar = Samovar::start().await;
    let old = samovar.push_policy("mine", "queue-depth").await;
    let scaling = json!({"policy": "mine", "config": {"waiting_per_replica": 2}});
    samovar.deploy("pool", BEHAVE, json!({"scaling": scaling})).await;
    let new = samovar.push_policy("mine", BAD_POLICY).await;
    assert_ne!(old["digest"], new["digest"]);
    assert_eq!(samovar.status("pool").await["policy"]["digest"], old["digest"]);
    samovar.swap("pool", "mine", json!({"scale": "replicas:1"})).await.expect(200);
    assert_eq!(samovar.status("pool").await["policy"]["digest"], new["digest"]);
}

#[tokio::test]
async fn one_policy_decides_for_many_deployments_apart() {
    let samovar = Samovar::start().await;
    samovar.push_policy("steered", BAD_POLICY).await;
    let base = json!({"replicas": "0..8", "idle_ttl": "off", "scaledown_ttl": "1h"});
    for (name, scale) in [("one", "replicas:1"), ("three", "replicas:3"), ("bad", "trap")] {
        let scaling = json!({"policy": "steered", "config": {"scale": scale}, "interval": "50ms"});
        samovar.deploy(name, BEHAVE, with(base.clone(), json!({"scaling": scaling}))).await;
    }
    samovar.wait_status("bad", "a failing policy", |s| s["policy"]["state"] == "failing").await;
    samovar.wait_status("one", "one replica", |status| ready(status) == 1).await;
    samovar.wait_status("three", "three replicas", |status| ready(status) == 3).await;
    for name in ["one", "three"] {
        assert_eq!(samovar.status(name).await["policy"]["state"], "live", "{name}");
    }
}

#[tokio::test]
async fn unknown_names_in_a_swap_are_named() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, json!({})).await;
    let error = samovar.swap("pool", "nothing", json!({})).await.refused(404, "not-found");
    names(&error["message"], &["nothing"]);
    let error = samovar.swap("nobody", "lightning", json!({})).await.refused(404, "not-found");
    names(&error["message"], &["nobody"]);
}

#[tokio::test]
async fn swap_bodies_are_checked() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, json!({})).await;
    let path = "/v1/deployments/pool/policy";
    samovar.admin.put(path, "{").await.refused(400, "invalid-json");
    let wish = json!({"policy": "lightning", "confg": {}});
    let error = samovar.admin.put_json(path, &wish).await.refused(422, "unknown-field");
    names(&error["message"], &["confg", "config"]);
    let error = samovar.admin.put_json(path, &json!({})).await.refused(422, "invalid-field");
    names(&error["message"], &["policy"]);
}

#[tokio::test]
async fn python_policy_decides() {
    let samovar = Samovar::start().await;
    let pushed = samovar.push_policy("snake", "queue-depth-python").await;
    assert_eq!(pushed["description"]["name"], "queue-depth-python");
    samovar.deploy("pool", BEHAVE, asked_often(json!({}))).await;
    let refused = samovar.swap("pool", "snake", json!({"waiting": 1})).await;
    let error = refused.refused(422, "policy-create-failed");
    names(&error["message"], &["unknown field `waiting`, expected `waiting_per_replica`"]);
    samovar.swap("pool", "snake", json!({"waiting_per_replica": 1})).await.expect(200);
    let load = Load::start(&samovar.http, "/pool/sleep?ms=20", 16);
    let grows = |last: &Value| last["policy"] == "snake" && number(last, "/target") == 4;
    let decision = samovar.wait_decision("pool", "four replicas", grows).await;
    assert!(text(&decision, "/reason").ends_with(" wait"), "{decision}");
    assert_eq!(decision["error"], Value::Null);
    load.stop_without_failure().await;
}
