//! Policies that fail: the old one stays, the last target holds, requests do not notice.

use samovar_tests::status::{number, ready, text};
use samovar_tests::{Load, Samovar};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, BEHAVE, names, some_decisions, with};

/// Two replicas that nothing but a decision could take away.
fn two_replicas(scaling: Value) -> Value {
    json!({"replicas": "0..8", "initial_replicas": 2, "idle_ttl": "off", "scaledown_ttl": "1ms",
        "scaling": with(json!({"interval": "50ms"}), scaling)})
}

/// A server with a deployment under `lightning` that has seen something, and the bad policy.
async fn prepared() -> Samovar {
    let samovar = Samovar::start().await;
    samovar.push_policy("bad", BAD_POLICY).await;
    let spec = json!({"replicas": "1..8", "idle_ttl": "off", "scaling": {"interval": "50ms"}});
    samovar.deploy("pool", BEHAVE, spec).await;
    some_decisions(&samovar, "pool", 3).await;
    samovar
}

/// A swap to the bad policy with `config` must fail with `code`; the old policy goes on deciding
/// and no request fails.
async fn swap_is_rolled_back(samovar: &Samovar, config: Value, code: &str) -> Value {
    let before = samovar.status("pool").await["policy"].clone();
    let load = Load::start(&samovar.http, "/pool/ok", 2);
    let error = samovar.swap("pool", "bad", config.clone()).await.refused(422, code);
    let count = samovar.decisions("pool").await.len();
    let decisions = some_decisions(samovar, "pool", count + 3).await;
    for decision in &decisions {
        assert_eq!(decision["policy"], "lightning", "{config}");
        assert_eq!(decision["error"], Value::Null, "{config}");
    }
    load.serve_more(5).await;
    load.stop_without_failure().await;
    let after = samovar.status("pool").await["policy"].clone();
    assert_eq!(after, before, "{config}");
    error
}

#[tokio::test]
async fn failing_create_rolls_back() {
    let samovar = prepared().await;
    for create in ["trap", "panic", "loop", "alloc"] {
        let config = json!({"create": create});
        swap_is_rolled_back(&samovar, config, "policy-create-failed").await;
    }
    let config = json!({"create": "error"});
    let error = swap_is_rolled_back(&samovar, config, "policy-create-failed").await;
    names(&error["message"], &["asked to refuse"]);
}

#[tokio::test]
async fn failing_replay_rolls_back() {
    let samovar = prepared().await;
    for scale in ["trap", "panic", "loop", "alloc"] {
        let config = json!({"replay": scale});
        swap_is_rolled_back(&samovar, config, "policy-replay-failed").await;
    }
}

#[tokio::test]
async fn refused_config_is_explained_with_the_policys_own_words() {
    let samovar = prepared().await;
    let reply = samovar.swap("pool", "lightning", json!({"max_batch": 1})).await;
    let error = reply.refused(422, "policy-create-failed");
    names(&error["message"], &["max_batch"]);
    assert_eq!(samovar.status("pool").await["policy"]["config"], json!({}));
}

#[tokio::test]
async fn deployment_with_a_policy_that_cannot_be_created_is_refused() {
    let samovar = prepared().await;
    let digest = samovar.status("pool").await["component"].clone();
    let spec = two_replicas(json!({"policy": "bad", "config": {"create": "error"}}));
    let digest = digest.as_str().expect("a digest");
    samovar.put_spec("new", digest, spec).await.refused(422, "policy-create-failed");
    samovar.admin.get("/v1/deployments/new").await.refused(404, "not-found");
}

/// A deployment whose policy goes wrong once it is live keeps its target, says so, and serves.
async fn target_holds(scale: &str) {
    let samovar = Samovar::start().await;
    samovar.push_policy("bad", BAD_POLICY).await;
    let scaling = json!({"policy": "bad", "config": {"scale": scale, "after": 2}});
    samovar.deploy("pool", BEHAVE, two_replicas(scaling)).await;
    let load = Load::start(&samovar.http, "/pool/ok", 2);
    samovar
        .wait_status("pool", "a failing policy", |status| status["policy"]["state"] == "failing")
        .await;
    let failed = |decision: &&Value| decision["error"].is_string();
    let decisions = samovar_tests::eventually("the policy failed five times", async || {
        let decisions = samovar.decisions("pool").await;
        (decisions.iter().filter(failed).count() >= 5).then_some(decisions)
    })
    .await;
    load.serve_more(5).await;
    load.stop_without_failure().await;

    let first = decisions.iter().position(|decision| failed(&decision)).expect("there are five");
    let held = first.checked_sub(1).map_or(2, |last_good| number(&decisions[last_good], "/target"));
    assert!(held > 0, "{scale}: nothing to hold: {decisions:?}");
    for decision in decisions.iter().filter(failed) {
        assert_eq!(number(decision, "/target"), held, "{scale}: {decision}");
        assert_eq!(decision["proposed"], Value::Null, "{scale}: {decision}");
    }
    // It fails in every third tick, and the status is that of the last one.
    let status = samovar_tests::eventually("the status names the failure", async || {
        let status = samovar.status("pool").await;
        status["policy"]["last_error"].is_string().then_some(status)
    })
    .await;
    assert_eq!((number(&status, "/target"), ready(&status)), (held, held), "{scale}");
    assert!(!text(&status, "/policy/last_error").is_empty(), "{scale}");
    let alarm = samovar.metric("samovar_policy_errors_total", &["deployment=\"pool\""]).await;
    assert!(alarm.is_some_and(|count| count >= 5.0), "{scale}: {alarm:?}");
}

#[tokio::test]
async fn target_holds_when_scale_traps() {
    target_holds("trap").await;
}

#[tokio::test]
async fn target_holds_when_scale_panics() {
    target_holds("panic").await;
}

#[tokio::test]
async fn target_holds_when_scale_loops() {
    target_holds("loop").await;
}

#[tokio::test]
async fn target_holds_when_scale_allocates_without_end() {
    target_holds("alloc").await;
}

#[tokio::test]
async fn target_holds_when_the_answer_is_not_a_number() {
    target_holds("nan").await;
}

#[tokio::test]
async fn target_holds_when_the_answer_is_infinite() {
    target_holds("inf").await;
}

/// An answer out of bounds is a wish like any other: clamped, and the log says by what.
async fn wish_is_clamped(scale: &str, target: u64, limited_by: &str) {
    let samovar = Samovar::start().await;
    samovar.push_policy("bad", BAD_POLICY).await;
    let spec = json!({"replicas": "1..3", "idle_ttl": "off", "scaling":
        {"policy": "bad", "config": {"scale": scale}, "interval": "50ms"}});
    samovar.deploy("pool", BEHAVE, spec).await;
    let limited = |decision: &Value| decision["limited_by"] == limited_by;
    let decision = samovar.wait_decision("pool", limited_by, limited).await;
    assert_eq!((number(&decision, "/target"), &decision["error"]), (target, &Value::Null));
    samovar.wait_status("pool", "that many replicas", |status| ready(status) == target).await;
    samovar.http.get("/pool/ok").await.expect(200);
    let status = samovar.status("pool").await;
    assert_eq!(status["policy"]["state"], "live");
    assert!(number(&status, "/totals/replicas_started") <= 3, "{status}");
}

#[tokio::test]
async fn negative_answer_means_the_minimum() {
    wish_is_clamped("negative", 1, "min").await;
}

#[tokio::test]
async fn answer_of_four_billion_means_the_maximum() {
    wish_is_clamped("huge", 3, "max").await;
}

#[tokio::test]
async fn failing_policy_can_be_swapped_out() {
    let samovar = Samovar::start().await;
    samovar.push_policy("bad", BAD_POLICY).await;
    let scaling = json!({"policy": "bad", "config": {"scale": "trap"}});
    samovar.deploy("pool", BEHAVE, two_replicas(scaling)).await;
    samovar.wait_status("pool", "a failing policy", |s| s["policy"]["state"] == "failing").await;
    samovar.swap("pool", "lightning", json!({})).await.expect(200);
    let status = samovar.status("pool").await;
    assert_eq!(status["policy"]["state"], "live");
    assert_eq!(status["policy"]["last_error"], Value::Null);
    samovar.wait_decision("pool", "without error", |last| last["error"].is_null()).await;
}
