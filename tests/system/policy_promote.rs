//! The shadow goes live with the state it has, under load too.

use samovar_tests::status::{number, text};
use samovar_tests::{Load, Samovar};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, BEHAVE, names, some_decisions, steered};

/// How many calls the bad policy had answered, by its own account.
fn calls(reason: &Value) -> u64 {
    let reason = reason.as_str().expect("a reason");
    let count = reason.strip_prefix("call ").and_then(|rest| rest.split(':').next()?.parse().ok());
    count.unwrap_or_else(|| panic!("no count of calls: {reason}"))
}

/// `lightning` is live, and the bad policy that wants three replicas in its shadow.
async fn shadowed() -> Samovar {
    let samovar = Samovar::start().await;
    samovar.push_policy("steered", BAD_POLICY).await;
    let mut spec = steered("lightning", "");
    spec["scaling"]["config"] = json!({});
    samovar.deploy("pool", BEHAVE, spec).await;
    some_decisions(&samovar, "pool", 3).await;
    samovar.shadow("pool", "steered", json!({"scale": "replicas:3"})).await.expect(200);
    samovar.wait_shadow("pool", "ticks", |shadow| number(shadow, "/compared") >= 5).await;
    samovar
}

#[tokio::test]
async fn promoted_shadow_decides_and_goes_on_with_its_state() {
    let samovar = shadowed().await;
    let before = samovar.status("pool").await;
    assert_eq!(before["policy"]["name"], "lightning");
    let last = before["shadow"].clone();
    let promoted = samovar.promote("pool").await.expect(200).json();
    assert_eq!(promoted["policy"]["name"], "steered");
    assert_eq!(promoted["policy"]["config"], json!({"scale": "replicas:3"}));
    assert_eq!(promoted["previous"]["name"], "lightning");
    assert_eq!(promoted["previous"]["digest"], before["policy"]["digest"]);
    assert_eq!(promoted["version"], 2);
    let known = number(&last, "/replayed") + number(&last, "/compared");
    assert!(number(&promoted, "/replayed") >= known, "{promoted}");

    samovar.get_shadow("pool").await.refused(404, "not-found");
    assert_eq!(samovar.status("pool").await["shadow"], Value::Null);
    let three = |status: &Value| number(status, "/replicas/ready") == 3;
    samovar.wait_status("pool", "three replicas", three).await;
    samovar.wait_decision("pool", "by the new one", |last| last["policy"] == "steered").await;
    let count = samovar.decisions("pool").await.len();
    let decisions = some_decisions(&samovar, "pool", count + 5).await;
    let (shadowed, live): (Vec<_>, Vec<_>) =
        decisions.into_iter().partition(|decision| decision["policy"] == "lightning");
    let counted: Vec<u64> = live.iter().map(|decision| calls(&decision["reason"])).collect();
    let beside = shadowed.iter().filter(|decision| decision["shadow"]["reason"].is_string());
    let in_shadow = beside.map(|decision| calls(&decision["shadow"]["reason"])).max();
    assert!(in_shadow.is_some_and(|count| counted[0] > count), "{in_shadow:?} {counted:?}");
    assert!(
        counted.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "none is told twice: {counted:?}"
    );
    // It was told everything there ever was, once.
    let told = shadowed.len() as u64 + 1;
    assert!((told..=told + 1).contains(&counted[0]), "{told} {counted:?}");
    let versions = samovar.versions("pool").await;
    let via: Vec<&str> = versions.iter().map(|version| text(version, "/via")).collect();
    assert_eq!(via, ["deploy", "promote"]);
}

#[tokio::test]
async fn promoting_without_a_shadow_is_refused() {
    let samovar = shadowed().await;
    samovar.promote("pool").await.expect(200);
    let error = samovar.promote("pool").await.refused(404, "not-found");
    names(&error["message"], &["pool", "no policy in the shadow"]);
    assert_eq!(samovar.versions("pool").await.len(), 2);
    let complaint = samovar.cli().fails(1, &["policy", "promote", "pool"]).await;
    assert!(complaint.contains("no policy in the shadow"), "{complaint}");
}

#[tokio::test]
async fn promoted_policy_is_live_after_a_restart() {
    let mut samovar = shadowed().await;
    samovar.promote("pool").await.expect(200);
    let before = (samovar.status("pool").await["policy"].clone(), samovar.versions("pool").await);
    samovar.restart().await;
    let after = (samovar.status("pool").await["policy"].clone(), samovar.versions("pool").await);
    assert_eq!(after, before);
    samovar.get_shadow("pool").await.refused(404, "not-found");
    samovar.http.get("/pool/ok").await.expect(200); // Wakes the pool, which had no minimum.
    samovar.wait_decision("pool", "by the new one", |last| last["policy"] == "steered").await;
}

#[tokio::test]
async fn command_line_promotes() {
    let samovar = shadowed().await;
    let shown = samovar.cli().ok(&["policy", "promote", "pool"]).await;
    assert!(shown.starts_with("pool now uses steered "), "{shown}");
    assert!(shown.contains(" instead of lightning ") && shown.contains("version 2"), "{shown}");
}

#[tokio::test]
async fn steps_in_turn_under_load_lose_no_request() {
    const ROUNDS: u64 = 20;
    let samovar = shadowed().await;
    let mine = json!({"waiting_per_replica": 1});
    samovar.push_policy("mine", "queue-depth").await;
    let load = Load::start(&samovar.http, "/pool/ok", 8);
    for round in 0..ROUNDS {
        samovar.swap("pool", "mine", mine.clone()).await.expect(200);
        load.serve_more(1).await;
        let config = json!({"max_batch_size": round + 1});
        samovar.shadow("pool", "lightning", config.clone()).await.expect(200);
        load.serve_more(1).await;
        let promoted = samovar.promote("pool").await.expect(200).json();
        assert_eq!(promoted["policy"]["config"], config);
        load.serve_more(1).await;
        let back = samovar.rollback("pool", None).await.expect(200).json();
        assert_eq!(back["policy"]["config"], mine);
        load.serve_more(1).await;
    }
    load.stop_without_failure().await;
    let versions = samovar.versions("pool").await;
    let newest = versions.last().expect("there are some");
    assert_eq!(number(newest, "/version"), 1 + 3 * ROUNDS);
    assert_eq!(samovar.status("pool").await["policy"]["name"], "mine");
    let count = samovar.decisions("pool").await.len();
    let decisions = some_decisions(&samovar, "pool", count + 1).await;
    assert!(decisions.iter().all(|decision| decision["error"].is_null()), "no tick was lost");
}
