//! `policy test`: what a candidate would have decided in the last minutes, beside the live policy.

use std::fs;

use samovar_tests::pictures::{check_png, check_svg};
use samovar_tests::status::{list, number, text};
use samovar_tests::{Load, Samovar, component, paths, tiny_handler, unique};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, BEHAVE, names, some_decisions, steered, stored};

/// A server with a deployment under a policy that wants one replica, which was asked a few times.
async fn observed() -> Samovar {
    let samovar = Samovar::start().await;
    samovar.push_policy("steered", BAD_POLICY).await;
    samovar.deploy("pool", BEHAVE, steered("steered", "replicas:1")).await;
    some_decisions(&samovar, "pool", 5).await;
    samovar
}

#[tokio::test]
async fn both_answer_the_same_history() {
    let samovar = observed().await;
    let log = some_decisions(&samovar, "pool", 20).await;
    let candidate = samovar.push_policy("mine", "queue-depth").await;
    let config = json!({"waiting_per_replica": 0.5});
    let body = json!({"policy": "mine", "config": config});
    let test = samovar.test_policy("pool", &body).await.expect(200).json();
    assert_eq!(test["live"]["name"], "steered");
    assert_eq!(test["candidate"], "queue-depth");
    assert_eq!(test["candidate_digest"], candidate["digest"]);
    assert_eq!(test["kept_ms"], 600_000);

    let ticks = list(&test, "/ticks");
    assert!(ticks.len() >= log.len(), "{} of {}", ticks.len(), log.len());
    for (tick, logged) in ticks.iter().zip(&log) {
        for key in ["ready", "starting", "queued", "ongoing"] {
            assert_eq!(tick[key], logged[key], "{key}: {tick} {logged}");
        }
        for key in ["wish", "target", "reason"] {
            assert_eq!(tick["live"][key], logged[key], "{key}: {tick} {logged}");
        }
        assert_eq!(tick["candidate"]["wish"], 0.0, "nobody waits: {tick}");
        assert_eq!(tick["candidate"]["target"], 0, "{tick}");
        assert_eq!(tick["candidate"]["reason"], "0 wait");
    }
    assert_eq!(number(&test, "/different"), ticks.len() as u64);
    let times: Vec<u64> = ticks.iter().map(|tick| number(tick, "/at_ms")).collect();
    assert!(times.is_sorted(), "oldest first: {times:?}");
    assert!(number(&test, "/covers_ms") > 0);
}

#[tokio::test]
async fn only_other_targets_count_as_different() {
    let samovar = observed().await;
    for (scale, differs) in [("replicas:1", false), ("replicas:0.5", false), ("replicas:9", true)] {
        let body = json!({"policy": "steered", "config": {"scale": scale}});
        let test = samovar.test_policy("pool", &body).await.expect(200).json();
        let ticks = list(&test, "/ticks").len() as u64;
        let different = number(&test, "/different");
        assert_eq!(different, if differs { ticks } else { 0 }, "{scale}: {test}");
    }
    let body = json!({"policy": "steered", "config": {"scale": "replicas:9"}});
    let test = samovar.test_policy("pool", &body).await.expect(200).json();
    assert_eq!(test["ticks"][0]["candidate"]["target"], 8, "the deployment's maximum");
}

#[tokio::test]
async fn what_makes_the_comparison_doubtful_is_noted() {
    let samovar = observed().await;
    let body = json!({"policy": "lightning"});
    let test = samovar.test_policy("pool", &body).await.expect(200).json();
    assert_eq!(list(&test, "/warnings").len(), 1, "{test}");
    names(&test["warnings"][0], &["the history covers", "of the 10m that are kept"]);
    samovar.swap("pool", "lightning", json!({})).await.expect(200);
    let test = samovar.test_policy("pool", &body).await.expect(200).json();
    names(&test["warnings"][1], &["the live policy is live for", "would have decided"]);
}

#[tokio::test]
async fn history_of_a_moment_is_compared_and_drawn() {
    let mut samovar = Samovar::start().await;
    samovar.deploy("asleep", "hello", json!({"replicas": "0..2"})).await;
    samovar.restart().await; // That forgets what was observed.
    let body = json!({"policy": "lightning"});
    let test = samovar.test_policy("asleep", &body).await.expect(200).json();
    assert!(number(&test, "/covers_ms") < 600_000, "{test}");
    names(&test["warnings"][0], &["history"]);
    let shown = samovar.cli().ok(&["policy", "test", "asleep", "lightning"]).await;
    assert!(shown.contains("note: "), "{shown}");
    // One tick, as a sleeping pool is not looked at again.
    some_decisions(&samovar, "asleep", 1).await;
    let plot = ["policy", "test", "asleep", "lightning", "--plot", "moment.svg"];
    samovar.cli().ok(&plot).await;
    let svg = fs::read_to_string(samovar.folder().join("moment.svg")).expect("it was drawn");
    check_svg(&svg);
}

#[tokio::test]
async fn component_without_a_name_is_a_candidate() {
    let samovar = observed().await;
    let digest = samovar.upload(unique(&component("queue-depth"), 1)).await;
    let config = json!({"waiting_per_replica": 1});
    let body = json!({"component": digest, "config": config});
    let test = samovar.test_policy("pool", &body).await.expect(200).json();
    assert_eq!(
        (&test["candidate"], &test["candidate_digest"]),
        (&json!("queue-depth"), &json!(digest))
    );
    // It was a trial, not a use.
    samovar.admin.delete(&format!("/v1/components/{digest}")).await.expect(204);
}

#[tokio::test]
async fn candidates_that_are_none_are_refused() {
    let samovar = observed().await;
    let test = async |body: Value| samovar.test_policy("pool", &body).await;
    let refused = test(json!({"policy": "lightning", "config": {"max_batch": 1}})).await;
    let error = refused.refused(422, "policy-create-failed");
    names(&error["message"], &["unknown field `max_batch`", "max_batch_size"]);
    let refused = test(json!({"policy": "steered", "config": {"create": "error"}})).await;
    let error = refused.refused(422, "policy-create-failed");
    assert_eq!(error["message"], "the policy refused: asked to refuse");

    let error = test(json!({"policy": "nothing"})).await.refused(404, "not-found");
    names(&error["message"], &["policy", "nothing"]);
    let nowhere = format!("sha256:{}", "0".repeat(64));
    test(json!({"component": nowhere})).await.refused(404, "not-found");
    let handler = samovar.upload(tiny_handler(200)).await;
    test(json!({"component": handler})).await.refused(422, "not-a-policy");

    for body in [json!({}), json!({"policy": "lightning", "component": nowhere})] {
        let error = test(body).await.refused(422, "invalid-field");
        names(&error["message"], &["either `policy` or `component`"]);
    }
    test(json!({"policy": "lightning", "confg": {}})).await.refused(422, "unknown-field");
    let error = samovar.test_policy("nobody", &json!({"policy": "lightning"})).await;
    names(&error.refused(404, "not-found")["message"], &["nobody"]);
}

#[tokio::test]
async fn candidate_that_fails_on_the_past_changes_nothing() {
    let samovar = observed().await;
    samovar.push_policy_wasm("other", unique(&component(BAD_POLICY), 1)).await;
    let before = (samovar.status("pool").await["policy"].clone(), samovar.versions("pool").await);
    let kept = stored(&samovar).await;
    let load = Load::start(&samovar.http, "/pool/ok", 2);
    // The live policy's own component, and one that shares nothing with it.
    for policy in ["steered", "other"] {
        for fault in ["trap", "panic", "loop", "alloc", "nan", "inf"] {
            let body = json!({"policy": policy, "config": {"scale": fault, "after": 3}});
            samovar.test_policy("pool", &body).await.refused(422, "policy-replay-failed");
        }
        for fault in ["trap", "panic", "loop", "alloc"] {
            let body = json!({"policy": policy, "config": {"create": fault}});
            samovar.test_policy("pool", &body).await.refused(422, "policy-create-failed");
        }
    }
    load.serve_more(5).await;
    load.stop_without_failure().await;
    let count = samovar.decisions("pool").await.len();
    for decision in some_decisions(&samovar, "pool", count + 3).await {
        assert_eq!((&decision["policy"], &decision["error"]), (&json!("steered"), &Value::Null));
        assert_eq!(decision["shadow"], Value::Null);
    }
    let after = (samovar.status("pool").await["policy"].clone(), samovar.versions("pool").await);
    assert_eq!(after, before);
    assert_eq!(stored(&samovar).await, kept);
}

#[tokio::test]
async fn command_line_shows_where_both_differ() {
    let samovar = observed().await;
    let cli = samovar.cli();
    let wants_two = ["policy", "test", "pool", "steered", "--set", "scale=replicas:2"];
    let shown = cli.ok(&[&wants_two[..], &["--limit", "2"]].concat()).await;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("fixture-policy instead of steered on pool: "), "{shown}");
    assert!(lines[1].starts_with("note: the history covers "), "{shown}");
    assert_eq!(lines[2], "the last 2 of them; --limit shows more");
    let columns = ["TIME", "HELD", "LIVE", "CANDIDATE", "CANDIDATE'S REASON"];
    assert!(columns.iter().all(|column| lines[3].contains(column)), "{shown}");
    assert_eq!(lines.len(), 6, "{shown}");
    assert!(lines[5].ends_with("replicas:2"), "{shown}");

    let same = ["policy", "test", "pool", "steered", "--set", "scale=replicas:1"];
    let shown = cli.ok(&same).await;
    assert!(shown.contains(", 0 differ") && !shown.contains("HELD"), "{shown}");
    let json = cli.json(&wants_two).await;
    assert_eq!(json["candidate"], "fixture-policy");

    let complaint = cli.fails(1, &["policy", "test", "pool", "nothing"]).await;
    assert!(complaint.contains("nothing"), "{complaint}");
    let complaint = cli.fails(1, &["policy", "test", "pool", "lightning", "--set", "x=1"]).await;
    assert!(complaint.contains("unknown field `x`"), "{complaint}");
}

#[tokio::test]
async fn command_line_tries_a_file_and_draws_it() {
    let samovar = observed().await;
    let cli = samovar.cli();
    let file = paths::component("queue-depth");
    let file = file.to_str().expect("the path is text");
    let test = ["policy", "test", "pool", file, "--set", "waiting_per_replica=1", "--plot"];
    let shown = cli.ok(&[&test[..], &["both.svg"]].concat()).await;
    assert!(shown.starts_with("queue-depth instead of steered on pool"), "{shown}");
    let svg = fs::read_to_string(samovar.folder().join("both.svg")).expect("it was drawn");
    check_svg(&svg);
    assert!(svg.contains("pool: steered and queue-depth"), "it has a title");
    cli.ok(&[&test[..], &["both.png"]].concat()).await;
    let png = fs::read(samovar.folder().join("both.png")).expect("it was drawn");
    let (width, height) = check_png(&png);
    assert!(width >= 400 && height >= 200, "{width}x{height}");

    let complaint = cli.fails(1, &[&test[..], &["both.jpg"]].concat()).await;
    assert!(complaint.contains("both.jpg: pictures are .svg or .png"), "{complaint}");
    let complaint = cli.fails(1, &[&test[..], &["nowhere/both.svg"]].concat()).await;
    assert!(complaint.contains("nowhere/both.svg"), "{complaint}");
    let complaint = cli.fails(1, &["policy", "test", "pool", "absent.wasm"]).await;
    assert!(complaint.contains("absent.wasm"), "{complaint}");
    // The candidate has no name, so nothing but its component was kept.
    let policies = samovar.admin.get("/v1/policies").await.expect(200).json();
    assert!(
        list(&policies, "/policies").iter().all(|policy| text(policy, "/name") != "queue-depth")
    );
}
