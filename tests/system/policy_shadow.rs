//! A policy in the shadow: told what the live one is told, compared with it, never obeyed.

use samovar_tests::status::{list, number, text};
use samovar_tests::{Load, Samovar, component, eventually, unique};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, BEHAVE, names, some_decisions, steered, with};

/// A deployment whose live policy wants two replicas. The same policy is there as `other` too, as a
/// component of its own.
async fn live_wants_two() -> Samovar {
    let samovar = Samovar::start().await;
    samovar.push_policy("steered", BAD_POLICY).await;
    samovar.push_policy_wasm("other", unique(&component(BAD_POLICY), 1)).await;
    samovar.deploy("pool", BEHAVE, steered("steered", "replicas:2")).await;
    let is_two = |status: &Value| number(status, "/replicas/ready") == 2;
    samovar.wait_status("pool", "two replicas", is_two).await;
    samovar
}

async fn ticks(samovar: &Samovar, result: &str) -> Option<f64> {
    let labels = ["deployment=\"pool\"", &format!("result=\"{result}\"")];
    samovar.metric("samovar_policy_shadow_ticks_total", &labels).await
}

/// The decisions that have an answer of the shadow, as soon as there are `count`.
async fn compared(samovar: &Samovar, count: usize) -> Vec<Value> {
    eventually("the shadow answers", async || {
        let mut decisions = samovar.decisions("pool").await;
        decisions.retain(|decision| decision["shadow"].is_object());
        (decisions.len() >= count).then_some(decisions)
    })
    .await
}

#[tokio::test]
async fn shadow_is_compared_and_never_obeyed() {
    let samovar = live_wants_two().await;
    assert_eq!(samovar.status("pool").await["shadow"], Value::Null);
    assert_eq!(ticks(&samovar, "same").await, None);
    let config = json!({"scale": "replicas:5"});
    let started = samovar.shadow("pool", "other", config.clone()).await.expect(200).json();
    let digest = samovar.admin.get("/v1/policies/other").await.expect(200).json()["digest"].clone();
    let uses = (&started["name"], &started["digest"], &started["config"]);
    assert_eq!(uses, (&json!("other"), &digest, &config));
    assert!(number(&started, "/replayed") > 0, "{started}");
    assert_eq!(number(&started, "/compared"), 0);

    for decision in compared(&samovar, 5).await {
        let expected = json!({"policy": "other", "digest": digest, "wish": 5.0, "target": 5,
            "differs": true, "reason": decision["shadow"]["reason"], "error": null});
        assert_eq!(decision["shadow"], expected);
        assert!(text(&decision, "/shadow/reason").ends_with(": replicas:5"), "{decision}");
        let live = (&decision["policy"], &decision["wish"], &decision["target"]);
        assert_eq!(live, (&json!("steered"), &json!(2.0), &json!(2)));
    }
    let shadow = samovar.get_shadow("pool").await.expect(200).json();
    assert!(number(&shadow, "/compared") >= 5);
    let others = (&shadow["fewer"], &shadow["failed"], &shadow["last_error"]);
    assert_eq!(others, (&json!(0), &json!(0), &Value::Null));
    let status = samovar.status("pool").await;
    assert_eq!((&status["target"], &status["policy"]["name"]), (&json!(2), &json!("steered")));
    assert_eq!(number(&status, "/totals/replicas_started"), 2, "none was started for the shadow");
    let logs = samovar.admin.get("/v1/deployments/pool/logs").await.expect(200).text();
    assert!(logs.contains("shadow other wants 5, live wants 2"), "{logs}");
}

/// A shadow that answers `scale` is counted as `result`, and as nothing else.
async fn counts_as(scale: &str, result: &str) {
    let samovar = live_wants_two().await;
    samovar.shadow("pool", "other", json!({"scale": scale})).await.expect(200);
    let seen = samovar.wait_shadow("pool", result, |shadow| number(shadow, "/compared") >= 5).await;
    let all = number(&seen, "/compared");
    let expected = match result {
        "same" => (0, 0),
        "more" => (all, 0),
        _ => (0, all),
    };
    assert_eq!((number(&seen, "/more"), number(&seen, "/fewer")), expected, "{scale}: {seen}");
    for other in ["same", "more", "fewer", "failed"] {
        let count = ticks(&samovar, other).await.expect("there is a shadow");
        let is_right = if other == result { count >= 5.0 } else { count == 0.0 };
        assert!(is_right, "{scale}: {count} times {other}");
    }
    let differs = result != "same";
    for decision in compared(&samovar, 5).await {
        assert_eq!(decision["shadow"]["differs"], differs, "{scale}: {decision}");
    }
}

#[tokio::test]
async fn more_replicas_are_counted() {
    counts_as("replicas:3", "more").await;
}

#[tokio::test]
async fn fewer_replicas_are_counted() {
    counts_as("replicas:1", "fewer").await;
}

#[tokio::test]
async fn same_replicas_are_counted() {
    counts_as("replicas:1.5", "same").await; // Rounded up, that is two.
}

#[tokio::test]
async fn holding_is_the_same_as_the_target_held() {
    counts_as("hold", "same").await;
}

/// A shadow that fails in this way fails alone: the live policy, whose component is another or the
/// same one, goes on deciding and no request notices.
async fn fails_alone(policy: &str, fault: &str) {
    let samovar = live_wants_two().await;
    let load = Load::start(&samovar.http, "/pool/ok", 2);
    let config = json!({"scale": fault, "after": 1_000_000});
    samovar.shadow("pool", policy, config).await.expect(200);
    // A fault in the past, which is fed at once, is refused; one in a tick to come is not.
    let past = number(&samovar.get_shadow("pool").await.expect(200).json(), "/replayed");
    let config = json!({"scale": fault, "after": past + 25});
    samovar.shadow("pool", policy, config).await.expect(200);
    // After a trap it starts anew and may do well for a while.
    let failed =
        |shadow: &Value| number(shadow, "/failed") >= 3 && shadow["last_error"].is_string();
    let seen = samovar.wait_shadow("pool", "failures", failed).await;
    assert!(!text(&seen, "/last_error").is_empty(), "{seen}");
    let failures = ticks(&samovar, "failed").await;
    assert!(failures.is_some_and(|count| count >= 3.0), "{failures:?}");

    let before = samovar.decisions("pool").await.len();
    let decisions = some_decisions(&samovar, "pool", before + 5).await;
    for decision in &decisions {
        assert_eq!((&decision["error"], &decision["target"]), (&Value::Null, &json!(2)), "{fault}");
        if decision["shadow"]["error"].is_string() {
            assert_eq!(decision["shadow"]["target"], Value::Null, "{fault}: {decision}");
            assert_eq!(decision["shadow"]["wish"], "hold", "{fault}: {decision}");
        }
    }
    assert!(decisions.iter().any(|decision| decision["shadow"]["error"].is_string()), "{fault}");
    load.serve_more(5).await;
    load.stop_without_failure().await;
    let status = samovar.status("pool").await;
    assert_eq!((&status["policy"]["state"], &status["target"]), (&json!("live"), &json!(2)));
    let errors = samovar.metric("samovar_policy_errors_total", &["deployment=\"pool\""]).await;
    assert_eq!(errors, Some(0.0), "{fault}");
}

#[tokio::test]
async fn command_line_fails_with_the_shadow() {
    let samovar = live_wants_two().await;
    samovar.shadow("pool", "other", json!({"scale": "nan", "after": 200})).await.expect(200);
    let failed = |shadow: &Value| number(shadow, "/failed") >= 1;
    samovar.wait_shadow("pool", "a failure", failed).await; // So it goes on, as nothing trapped.
    let complaint = samovar.cli().fails(1, &["policy", "shadow", "pool"]).await;
    assert!(
        complaint.contains("the shadow fails: it answered what is not a number"),
        "{complaint}"
    );
}

#[tokio::test]
async fn trapping_shadow_fails_alone() {
    fails_alone("other", "trap").await;
}

#[tokio::test]
async fn looping_shadow_fails_alone() {
    fails_alone("other", "loop").await;
}

#[tokio::test]
async fn shadow_without_a_number_fails_alone() {
    fails_alone("other", "nan").await;
}

#[tokio::test]
async fn trapping_shadow_of_the_same_component_fails_alone() {
    fails_alone("steered", "trap").await;
}

#[tokio::test]
async fn looping_shadow_leaves_other_deployments_alone() {
    let samovar = live_wants_two().await;
    let spec = steered("lightning", "");
    let spec = with(spec, json!({"scaling": {"policy": "lightning", "interval": "50ms"}}));
    samovar.deploy("neighbour", BEHAVE, spec).await;
    let load = Load::start(&samovar.http, "/neighbour/ok", 2);
    let config = json!({"scale": "loop", "after": 100});
    samovar.shadow("pool", "other", config).await.expect(200);
    let failed = |shadow: &Value| number(shadow, "/failed") >= 1;
    samovar.wait_shadow("pool", "a failure", failed).await;
    let before = samovar.decisions("neighbour").await.len();
    let failures = async || number(&samovar.status("pool").await["shadow"], "/failed");
    let first = failures().await;
    eventually("it fails again and again", async || (failures().await >= first + 5).then_some(()))
        .await;
    let decisions = samovar.decisions("neighbour").await;
    assert!(decisions.len() >= before + 5, "{} after {before}", decisions.len());
    assert!(decisions.iter().all(|decision| decision["error"].is_null()), "{decisions:?}");
    load.stop_without_failure().await;
}

#[tokio::test]
async fn shadow_that_cannot_start_leaves_the_one_before() {
    let samovar = live_wants_two().await;
    some_decisions(&samovar, "pool", 3).await;
    samovar.shadow("pool", "other", json!({"scale": "replicas:4"})).await.expect(200);
    for (config, code) in [
        (json!({"create": "error"}), "policy-create-failed"),
        (json!({"create": "loop"}), "policy-create-failed"),
        (json!({"replay": "trap"}), "policy-replay-failed"),
        (json!({"replay": "loop"}), "policy-replay-failed"),
    ] {
        let reply = samovar.shadow("pool", "other", config.clone()).await;
        reply.refused(422, code);
        let shadow = samovar.get_shadow("pool").await.expect(200).json();
        assert_eq!(shadow["config"], json!({"scale": "replicas:4"}), "{config}");
    }
    samovar.wait_shadow("pool", "more ticks", |shadow| number(shadow, "/compared") >= 5).await;
}

#[tokio::test]
async fn shadow_is_replaced_and_stopped() {
    let samovar = live_wants_two().await;
    samovar.shadow("pool", "other", json!({"scale": "replicas:4"})).await.expect(200);
    samovar.wait_shadow("pool", "ticks", |shadow| number(shadow, "/compared") >= 20).await;
    let next = samovar.shadow("pool", "lightning", json!({})).await.expect(200).json();
    assert_eq!((&next["name"], &next["compared"]), (&json!("lightning"), &json!(0)));
    let by_lightning = |last: &Value| last["shadow"]["policy"] == "lightning";
    samovar.wait_decision("pool", "beside lightning", by_lightning).await;
    let spec = steered("steered", "replicas:2");
    let digest = samovar.status("pool").await["component"].clone();
    let spec = with(spec, json!({"queue": {"max": 7}}));
    samovar.put_spec("pool", digest.as_str().expect("a digest"), spec).await.expect(200);
    assert_eq!(samovar.get_shadow("pool").await.expect(200).json()["name"], "lightning");

    samovar.delete_shadow("pool").await.expect(204);
    samovar.get_shadow("pool").await.refused(404, "not-found");
    samovar.delete_shadow("pool").await.refused(404, "not-found");
    assert_eq!(samovar.status("pool").await["shadow"], Value::Null);
    assert_eq!(ticks(&samovar, "same").await, None);
    let alone = |last: &Value| last["shadow"].is_null();
    samovar.wait_decision("pool", "without a shadow", alone).await;
    assert_eq!(samovar.versions("pool").await.len(), 1, "a shadow is no version");
}

#[tokio::test]
async fn shadow_is_there_after_a_restart() {
    let mut samovar = live_wants_two().await;
    let config = json!({"scale": "replicas:4"});
    let before = samovar.shadow("pool", "other", config.clone()).await.expect(200).json();
    samovar.wait_shadow("pool", "ticks", |shadow| number(shadow, "/compared") >= 3).await;
    // It is kept although its name is gone.
    samovar.admin.delete("/v1/policies/other").await.expect(204);
    let path = format!("/v1/components/{}", text(&before, "/digest"));
    let error = samovar.admin.delete(&path).await.refused(409, "component-in-use");
    names(&error["message"], &["pool"]);

    samovar.restart().await;
    let after = samovar.get_shadow("pool").await.expect(200).json();
    for key in ["name", "digest", "config"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    samovar.wait_shadow("pool", "more", |shadow| number(shadow, "/more") >= 3).await;
    samovar.delete_shadow("pool").await.expect(204);
    samovar.restart().await;
    samovar.get_shadow("pool").await.refused(404, "not-found");
    samovar.admin.delete(&path).await.expect(204);
}

#[tokio::test]
async fn names_that_are_not_there_are_named() {
    let samovar = live_wants_two().await;
    let nobody = samovar.shadow("nobody", "lightning", json!({})).await;
    names(&nobody.refused(404, "not-found")["message"], &["nobody"]);
    samovar.get_shadow("nobody").await.refused(404, "not-found");
    samovar.delete_shadow("nobody").await.refused(404, "not-found");
    samovar.promote("nobody").await.refused(404, "not-found");
    let nothing = samovar.shadow("pool", "nothing", json!({})).await;
    names(&nothing.refused(404, "not-found")["message"], &["nothing"]);
    let none = samovar.get_shadow("pool").await.refused(404, "not-found");
    names(&none["message"], &["pool", "no policy in the shadow"]);
    names(&none["hint"], &["samovar policy shadow pool"]);
    let wish = json!({"policy": "lightning", "confg": {}});
    let path = "/v1/deployments/pool/policy/shadow";
    samovar.admin.put_json(path, &wish).await.refused(422, "unknown-field");
}

#[tokio::test]
async fn command_line_starts_shows_and_stops_it() {
    let samovar = live_wants_two().await;
    let cli = samovar.cli();
    let start = ["policy", "shadow", "pool", "other", "--set", "scale=replicas:4"];
    let shown = cli.ok(&start).await;
    assert!(shown.starts_with("other in the shadow of pool\n"), "{shown}");
    assert!(shown.contains(r#"{"scale":"replicas:4"}"#), "{shown}");
    samovar.wait_shadow("pool", "ticks", |shadow| number(shadow, "/more") >= 2).await;
    let shown = cli.ok(&["policy", "shadow", "pool"]).await;
    assert!(shown.contains(" ticks: 0 the same, ") && shown.contains("0 failed"), "{shown}");
    assert!(number(&cli.json(&["policy", "shadow", "pool"]).await, "/more") >= 2);
    let decisions = cli.json(&["decisions", "pool"]).await;
    let last = list(&decisions, "/decisions").last().expect("there are some").clone();
    assert_eq!(last["policy"], "steered");
    cli.ok(&["policy", "shadow", "pool", "--stop"]).await;
    let complaint = cli.fails(1, &["policy", "shadow", "pool"]).await;
    assert!(complaint.contains("no policy in the shadow"), "{complaint}");
    cli.fails(1, &["policy", "shadow", "pool", "--stop"]).await;
    cli.fails(2, &["policy", "shadow", "pool", "other", "--stop"]).await;
}
