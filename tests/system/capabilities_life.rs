//! The life of an instance as its handler sees it: `init` before the first request, `drain` after
//! the last.

use std::time::Duration;

use samovar_tests::http::next_chunk;
use samovar_tests::load::at_once;
use samovar_tests::status::number;
use samovar_tests::{Samovar, component, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::capabilities::{CAPABLE, deploy, logged, put, said};
use crate::support::{fixed, names, with};

/// Takes batches, and has the same life.
const BATCH: &str = "fixture-batch-behave";

/// The lines that the replicas of `c` printed, as soon as there are `count` of them with `part`.
async fn printed(samovar: &Samovar, part: &str, count: usize) -> Vec<(u64, String)> {
    eventually(&format!("{count} lines with {part:?}"), async || {
        let lines = logged(samovar, "stdout").await;
        (lines.iter().filter(|(_, line)| line.contains(part)).count() >= count).then_some(lines)
    })
    .await
}

/// Reads the log of `c`, from the beginning, until there is a line with `part`, or it ends.
async fn follow(samovar: &Samovar, part: &'static str) -> JoinHandle<String> {
    let answer = samovar.admin.open_get("/v1/deployments/c/logs?follow=true&limit=2000").await;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    tokio::spawn(async move {
        let mut text = String::new();
        while !text.contains(part) {
            let Ok(Some(piece)) = next_chunk(&mut body).await else { break };
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        text
    })
}

#[tokio::test]
async fn init_comes_once_before_the_first_request_of_each_replica() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({"replicas": 3})).await;
    for reply in at_once(&samovar.http, "/c/count", 30).answers().await {
        reply.expect(200);
    }
    let lines = printed(&samovar, "init", 3).await;
    let mut replicas: Vec<u64> = lines.iter().map(|(replica, _)| *replica).collect();
    replicas.sort_unstable();
    replicas.dedup();
    assert_eq!((replicas.len(), lines.len()), (3, 3), "{lines:?}");
    assert!(lines.iter().all(|(_, line)| line == "init"), "{lines:?}");
}

#[tokio::test]
async fn init_that_fails_fails_the_deployment() {
    let samovar = Samovar::start().await;
    let limits = json!({"start_timeout": "500ms", "cpu_time": "200ms"});
    for (guest, spec) in [
        (CAPABLE, json!({})),
        // With no replica at first one instance is tried all the same.
        (CAPABLE, json!({"replicas": "0..2", "initial_replicas": 0})),
        (BATCH, json!({"batching": {"max_batch_size": 2}})),
        (BATCH, json!({})),
    ] {
        let digest = samovar.upload(component(guest)).await;
        for (word, words) in [
            ("err", vec!["`init` failed", "asked to fail"]),
            ("trap", vec!["unreachable"]),
            ("hang", vec!["500ms"]),
            ("spin", vec![]),
        ] {
            let env = json!({"env": {"INIT": word}, "limits": limits});
            let spec = with(with(fixed(1), spec.clone()), env);
            let reply = samovar.put_spec("c", &digest, spec).await;
            let error = reply.refused(422, "start-failed");
            names(&error["message"], &words);
        }
    }
    samovar.admin.get("/v1/deployments/c").await.expect(404);
}

#[tokio::test]
async fn failed_init_of_a_new_revision_leaves_the_old_one_alone() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    for word in ["err", "trap"] {
        put(&samovar, json!({"env": {"INIT": word}})).await.refused(422, "start-failed");
        assert_eq!(said(&samovar, "/ok").await, "ok");
        assert_eq!(number(&samovar.status("c").await, "/revision"), 1);
    }
}

#[tokio::test]
async fn instance_is_not_ready_before_init_returns() {
    let samovar = Samovar::start().await;
    let cold = json!({"replicas": "0..1", "initial_replicas": 0, "env": {"INIT": "300"}});
    deploy(&samovar, cold).await;
    let before = logged(&samovar, "stdout").await.len();
    let started = Instant::now();
    assert_eq!(said(&samovar, "/count").await, "1");
    assert!(started.elapsed() >= Duration::from_millis(300), "the request waited for `init`");
    assert_eq!(printed(&samovar, "init", before + 1).await.len(), before + 1);
}

#[tokio::test]
async fn instance_that_is_fresh_for_each_request_is_initialised_for_each() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({"reuse": "off"})).await;
    for _ in 0..3 {
        assert_eq!(said(&samovar, "/count").await, "1");
    }
    let lines = printed(&samovar, "drain after 1 calls", 3).await;
    let inits = lines.iter().filter(|(_, line)| line == "init").count();
    assert!(inits >= 3, "{lines:?}");
}

#[tokio::test]
async fn drain_comes_when_an_instance_is_not_needed() {
    let samovar = Samovar::start().await;
    let idle = json!({"replicas": "0..1", "initial_replicas": 1, "idle_ttl": "100ms"});
    samovar.deploy("c", CAPABLE, idle).await;
    let drained = printed(&samovar, "drain after 0 calls", 1).await;
    assert_eq!(drained.len(), 2, "{drained:?}");
    assert_eq!(said(&samovar, "/count").await, "1");
    printed(&samovar, "drain after 1 calls", 1).await;
}

#[tokio::test]
async fn drain_comes_when_a_replica_has_served_enough() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({"max_requests": 2})).await;
    for expected in ["1", "2", "1", "2"] {
        assert_eq!(said(&samovar, "/count").await, expected);
    }
    printed(&samovar, "drain after 2 calls", 2).await;
}

#[tokio::test]
async fn drain_comes_when_a_revision_is_replaced_or_replicas_are_taken_away() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({"replicas": "0..2", "initial_replicas": 2})).await;
    deploy(&samovar, json!({"replicas": "0..2", "initial_replicas": 2, "env": {"NEW": "1"}})).await;
    printed(&samovar, "drain after 0 calls", 2).await;
    let wish = json!({"count": 0});
    samovar.admin.put_json("/v1/deployments/c/replicas", &wish).await.expect(200);
    printed(&samovar, "drain after 0 calls", 4).await;
}

#[tokio::test]
async fn drain_comes_when_the_deployment_is_deleted() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    for _ in 0..3 {
        said(&samovar, "/ok").await;
    }
    let log = follow(&samovar, "drain after").await;
    samovar.admin.delete("/v1/deployments/c").await.expect(204);
    let log = log.await.expect("there is such a line");
    assert!(log.contains("drain after 3 calls"), "{log}");
}

#[tokio::test]
async fn server_that_ends_waits_for_drain_and_not_for_ever() {
    for (word, least) in [("700", Duration::from_millis(700)), ("hang", Duration::from_millis(400))]
    {
        let samovar = Samovar::start().await;
        let spec = json!({"env": {"DRAIN": word}, "drain_timeout": "400ms"});
        let spec = match word {
            "hang" => spec,
            _ => with(spec, json!({"drain_timeout": "1m"})),
        };
        deploy(&samovar, spec).await;
        let log = follow(&samovar, "drain after").await;
        said(&samovar, "/ok").await;
        let asked = Instant::now();
        samovar.stop().await;
        assert!(asked.elapsed() >= least, "{word}: it did not wait");
        let log = log.await.expect("there is such a line");
        assert!(log.contains("drain after 1 calls"), "{word}: {log}");
    }
}

#[tokio::test]
async fn drain_that_fails_is_told_and_harms_nobody() {
    let samovar = Samovar::start().await;
    for word in ["trap", "hang", "spin"] {
        let env = json!({"env": {"DRAIN": word}, "drain_timeout": "200ms"});
        let spec = with(env, json!({"limits": {"cpu_time": "200ms"}, "max_requests": 1}));
        deploy(&samovar, spec).await;
        for _ in 0..3 {
            assert_eq!(said(&samovar, "/count").await, "1", "{word}");
        }
        let is_told = async || {
            let log =
                samovar.admin.get("/v1/deployments/c/logs?limit=2000").await.expect(200).text();
            (log.matches("`drain` failed").count() >= 3).then_some(())
        };
        eventually(&format!("{word} is told"), is_told).await;
        samovar.admin.delete("/v1/deployments/c").await.expect(204);
    }
}

#[tokio::test]
async fn batch_handlers_have_the_same_life() {
    let samovar = Samovar::start().await;
    let batching = json!({"batching": {"max_batch_size": 4, "timeout_batching": "1ms"}});
    let spec: Value = with(with(fixed(1), batching), json!({"max_requests": 1}));
    samovar.deploy("c", BATCH, spec).await;
    samovar.http.post("/c", "size").await.expect(200);
    let lines = printed(&samovar, "drain after 1 calls", 1).await;
    assert!(lines.iter().any(|(_, line)| line == "init"), "{lines:?}");
}
