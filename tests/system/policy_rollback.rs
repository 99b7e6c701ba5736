//! The policies a deployment has had, and going back to them.

use samovar_tests::status::{number, text};
use samovar_tests::{Load, Samovar, component, unique};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, BEHAVE, names, some_decisions};

/// What a version of the policy is, without its times.
fn brief(version: &Value) -> (u64, &str, &str, Value) {
    let config = version["config"].clone();
    (number(version, "/version"), text(version, "/via"), text(version, "/name"), config)
}

/// A deployment that has had three policies: `lightning`, `mine`, and `lightning` with settings.
async fn three_versions() -> Samovar {
    let samovar = Samovar::start().await;
    samovar.push_policy("mine", "queue-depth").await;
    let scaling = json!({"policy": "lightning", "interval": "50ms"});
    let spec = json!({"replicas": "1..4", "idle_ttl": "off", "scaling": scaling});
    samovar.deploy("pool", BEHAVE, spec).await;
    some_decisions(&samovar, "pool", 3).await;
    let config = json!({"waiting_per_replica": 2});
    assert_eq!(samovar.swap("pool", "mine", config).await.expect(200).json()["version"], 2);
    let config = json!({"max_batch_size": 3});
    assert_eq!(samovar.swap("pool", "lightning", config).await.expect(200).json()["version"], 3);
    samovar
}

async fn live(samovar: &Samovar) -> (String, Value) {
    let policy = samovar.status("pool").await["policy"].clone();
    (text(&policy, "/name").to_owned(), policy["config"].clone())
}

#[tokio::test]
async fn versions_tell_what_went_live_and_how() {
    let samovar = three_versions().await;
    let versions = samovar.versions("pool").await;
    let expected = [
        (1, "deploy", "lightning", json!({})),
        (2, "swap", "mine", json!({"waiting_per_replica": 2})),
        (3, "swap", "lightning", json!({"max_batch_size": 3})),
    ];
    assert_eq!(versions.iter().map(brief).collect::<Vec<_>>(), expected);
    let times: Vec<u64> = versions.iter().map(|version| number(version, "/since_ms")).collect();
    assert!(times.is_sorted() && times[0] > 0, "{times:?}");
    assert_eq!(versions[2]["digest"], samovar.status("pool").await["policy"]["digest"]);
    let path = "/v1/deployments/nobody/policy/versions";
    samovar.admin.get(path).await.refused(404, "not-found");
}

#[tokio::test]
async fn only_another_policy_makes_a_version() {
    let samovar = three_versions().await;
    let status = samovar.status("pool").await;
    let digest = text(&status, "/component");
    let mut spec = status["spec"].clone();
    spec["queue"]["max"] = json!(9);
    samovar.put_spec("pool", digest, spec.clone()).await.expect(200);
    assert_eq!(samovar.versions("pool").await.len(), 3);
    spec["scaling"]["config"] = json!({"max_batch_size": 4});
    samovar.put_spec("pool", digest, spec).await.expect(200);
    let versions = samovar.versions("pool").await;
    let newest = (4, "deploy", "lightning", json!({"max_batch_size": 4}));
    assert_eq!(versions.last().map(brief), Some(newest));
    let refused = samovar.swap("pool", "lightning", json!({"max": 4})).await;
    refused.refused(422, "policy-create-failed");
    assert_eq!(samovar.versions("pool").await, versions);
}

#[tokio::test]
async fn rollback_goes_back_and_forth() {
    let samovar = three_versions().await;
    let with_two = ("mine".to_owned(), json!({"waiting_per_replica": 2}));
    let with_three = ("lightning".to_owned(), json!({"max_batch_size": 3}));
    let load = Load::start(&samovar.http, "/pool/ok", 2);
    for (version, expected) in [(4, &with_two), (5, &with_three), (6, &with_two)] {
        let back = samovar.rollback("pool", None).await.expect(200).json();
        assert_eq!(number(&back, "/version"), version);
        assert!(number(&back, "/replayed") > 0, "{back}");
        assert_eq!(live(&samovar).await, *expected);
        let by_it = |last: &Value| last["policy"] == expected.0.as_str();
        samovar.wait_decision("pool", "by the earlier one", by_it).await;
    }
    load.stop_without_failure().await;
    let versions = samovar.versions("pool").await;
    let via: Vec<&str> = versions.iter().map(|version| text(version, "/via")).collect();
    assert_eq!(via, ["deploy", "swap", "swap", "rollback", "rollback", "rollback"]);
}

#[tokio::test]
async fn rollback_finds_a_version_by_its_number() {
    let samovar = three_versions().await;
    let back = samovar.rollback("pool", Some(1)).await.expect(200).json();
    assert_eq!((&back["version"], &back["previous"]["name"]), (&json!(4), &json!("lightning")));
    assert_eq!(live(&samovar).await, ("lightning".to_owned(), json!({})));
    samovar.rollback("pool", Some(2)).await.expect(200);
    assert_eq!(live(&samovar).await.0, "mine");

    for unknown in [0, 6, u64::MAX] {
        let error = samovar.rollback("pool", Some(unknown)).await.refused(404, "not-found");
        names(&error["message"], &["policy version", &unknown.to_string()]);
        names(&error["hint"], &["samovar policy versions pool"]);
    }
    samovar.rollback("nobody", None).await.refused(404, "not-found");
    let path = "/v1/deployments/pool/policy/rollback";
    samovar.admin.post(path, r#"{"verson": 1}"#).await.refused(422, "unknown-field");
    samovar.admin.post(path, r#"{"version": -1}"#).await.refused(422, "invalid-field");
    samovar.admin.post(path, "{").await.refused(400, "invalid-json");
    assert_eq!(samovar.versions("pool").await.len(), 5);
}

#[tokio::test]
async fn first_policy_has_nothing_before_it() {
    let samovar = Samovar::start().await;
    samovar.deploy("pool", BEHAVE, json!({})).await;
    let error = samovar.rollback("pool", None).await.refused(404, "not-found");
    names(&error["message"], &["pool", "no other policy than the live one"]);
    assert_eq!(samovar.versions("pool").await.len(), 1);
}

#[tokio::test]
async fn rollback_to_a_policy_that_fails_on_the_past_changes_nothing() {
    let samovar = Samovar::start().await;
    samovar.push_policy("bad", BAD_POLICY).await;
    // Without a past it can go live.
    let scaling = json!({"policy": "bad", "config": {"scale": "trap", "after": 5},
        "interval": "50ms"});
    let spec = json!({"replicas": "1..4", "idle_ttl": "off", "scaling": scaling});
    samovar.deploy("pool", BEHAVE, spec).await;
    samovar.wait_status("pool", "failures", |s| s["policy"]["state"] == "failing").await;
    samovar.swap("pool", "lightning", json!({})).await.expect(200);
    let before = samovar.versions("pool").await;
    samovar.rollback("pool", None).await.refused(422, "policy-replay-failed");
    assert_eq!(samovar.versions("pool").await, before);
    assert_eq!(live(&samovar).await, ("lightning".to_owned(), json!({})));
}

#[tokio::test]
async fn rollback_brings_the_very_component_back() {
    let samovar = three_versions().await;
    let old = samovar.versions("pool").await[1]["digest"].clone();
    let wasm = unique(&component("queue-depth"), 1);
    let new = samovar.push_policy_wasm("mine", wasm).await["digest"].clone();
    assert_ne!(old, new);
    samovar.rollback("pool", Some(2)).await.expect(200);
    assert_eq!(samovar.status("pool").await["policy"]["digest"], old, "not what was pushed later");

    samovar.rollback("pool", Some(3)).await.expect(200);
    samovar.admin.delete("/v1/policies/mine").await.expect(204);
    samovar.rollback("pool", Some(2)).await.expect(200);
    let policy = samovar.status("pool").await["policy"].clone();
    assert_eq!((&policy["name"], &policy["digest"]), (&json!("mine"), &old));
    samovar.wait_decision("pool", "by it", |last| last["digest"] == old).await;
}

#[tokio::test]
async fn history_keeps_its_components() {
    const KEPT: u64 = 50;
    let samovar = three_versions().await;
    let mine = samovar.versions("pool").await[1]["digest"].clone();
    let path = format!("/v1/components/{}", mine.as_str().expect("a digest"));
    samovar.admin.delete("/v1/policies/mine").await.expect(204);
    let error = samovar.admin.delete(&path).await.refused(409, "component-in-use");
    names(&error["message"], &["pool"]);
    samovar.rollback("pool", Some(2)).await.expect(200); // It is version 4 too.
    for round in 5..KEPT + 4 {
        samovar.swap("pool", "lightning", json!({"max_batch_size": round})).await.expect(200);
    }
    let versions = samovar.versions("pool").await;
    assert_eq!((versions.len() as u64, number(&versions[0], "/version")), (KEPT, 4));
    samovar.rollback("pool", Some(3)).await.refused(404, "not-found");
    samovar.admin.delete(&path).await.refused(409, "component-in-use");
    samovar.swap("pool", "lightning", json!({})).await.expect(200);
    samovar.admin.delete(&path).await.expect(204);
}

#[tokio::test]
async fn deleted_deployments_keep_nothing() {
    let samovar = three_versions().await;
    let mine = samovar.versions("pool").await[1]["digest"].clone();
    samovar.admin.delete("/v1/policies/mine").await.expect(204);
    samovar.admin.delete("/v1/deployments/pool").await.expect(204);
    let path = format!("/v1/components/{}", mine.as_str().expect("a digest"));
    samovar.admin.delete(&path).await.expect(204);
    samovar.deploy("pool", BEHAVE, json!({})).await;
    assert_eq!(samovar.versions("pool").await.len(), 1, "a new one of this name starts anew");
}

#[tokio::test]
async fn versions_are_there_after_a_restart() {
    let mut samovar = three_versions().await;
    samovar.rollback("pool", None).await.expect(200);
    let before = samovar.versions("pool").await;
    let policy = live(&samovar).await;
    samovar.restart().await;
    assert_eq!(samovar.versions("pool").await, before);
    assert_eq!(live(&samovar).await, policy);
    let back = samovar.rollback("pool", Some(3)).await.expect(200).json();
    assert_eq!(back["version"], 5);
    assert_eq!(live(&samovar).await.1, json!({"max_batch_size": 3}));
}

#[tokio::test]
async fn command_line_lists_and_goes_back() {
    let samovar = three_versions().await;
    let cli = samovar.cli();
    let shown = cli.ok(&["policy", "versions", "pool"]).await;
    let rows: Vec<Vec<&str>> = shown.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["VERSION", "SINCE", "VIA", "POLICY", "COMPONENT", "SETTINGS"]);
    let row = |index: usize| (rows[index][0], rows[index][2], rows[index][3], rows[index][5]);
    assert_eq!(row(1), ("1", "deploy", "lightning", "{}"));
    assert_eq!(row(2), ("2", "swap", "mine", r#"{"waiting_per_replica":2}"#));
    assert_eq!(row(3), ("3", "swap", "lightning", r#"{"max_batch_size":3}"#));

    let shown = cli.ok(&["policy", "rollback", "pool"]).await;
    assert!(shown.starts_with("pool now uses mine ") && shown.contains("version 4"), "{shown}");
    assert!(shown.contains("observations of the past"), "{shown}");
    let back = cli.json(&["policy", "rollback", "pool", "--to", "1"]).await;
    assert_eq!((&back["version"], &back["policy"]["config"]), (&json!(5), &json!({})));
    let complaint = cli.fails(1, &["policy", "rollback", "pool", "--to", "77"]).await;
    assert!(complaint.contains("77") && complaint.contains("hint: "), "{complaint}");
    let complaint = cli.fails(1, &["policy", "versions", "nobody"]).await;
    assert!(complaint.contains("nobody"), "{complaint}");
}
