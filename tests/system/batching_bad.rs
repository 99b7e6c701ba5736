//! Batches that go wrong: one bad item fails alone if that can be, and who fails is told why.

use samovar_tests::load::InFlight;
use samovar_tests::status::{number, ready};
use samovar_tests::{Reply, Samovar};
use serde_json::{Value, json};

use crate::batching::{
    BATCH, FOR_EVER, batches_of, figure, post, post_all, statuses, wait_ongoing, wait_queued,
};
use crate::support::{names, with};

/// A server whose deployment `b` has one replica and batches of exactly three.
async fn threes(batching: Value, spec: Value) -> Samovar {
    let samovar = Samovar::start().await;
    let spec = with(batches_of(3, FOR_EVER, batching), spec);
    samovar.deploy("b", BATCH, spec).await;
    samovar
}

/// A batch of these.
async fn batch(samovar: &Samovar, bodies: [&str; 3]) -> Vec<Reply> {
    post_all(&samovar.http, "/b", &bodies).await
}

/// Fails unless the replica still serves a batch of three.
async fn serves(samovar: &Samovar) {
    for reply in batch(samovar, ["size"; 3]).await {
        assert_eq!(reply.expect(200).text(), "3");
    }
}

#[tokio::test]
async fn item_that_fails_fails_alone() {
    let samovar = threes(json!({}), json!({})).await;
    let replies = batch(&samovar, ["err", "a", "b"]).await;
    let error = replies[0].host_error(500, "batch-item");
    names(&error["message"], &["asked to fail"]);
    assert_eq!((replies[1].text(), replies[2].text()), ("a".to_owned(), "b".to_owned()));
    assert_eq!(statuses(&replies[1..]), [200, 200]);
    let all = batch(&samovar, ["err"; 3]).await;
    assert_eq!(statuses(&all), [500; 3]);
    let status = samovar.status("b").await;
    assert_eq!(number(&status, "/totals/completed"), 2);
    assert_eq!(number(&status, "/totals/failed"), 4);
    assert_eq!(number(&status, "/totals/replicas_started"), 1, "nobody is to blame for it");
}

#[tokio::test]
async fn wrong_number_of_answers_fails_the_batch() {
    let samovar = threes(json!({}), json!({})).await;
    for (word, answers) in [("few", "2"), ("many", "4"), ("none", "0")] {
        for reply in batch(&samovar, [word, "a", "b"]).await {
            let error = reply.host_error(502, "batch-answer");
            let told = format!("was answered {answers} times");
            names(&error["message"], &["batch of 3 requests", &told]);
        }
    }
    serves(&samovar).await;
    let counts = batch(&samovar, ["count"; 3]).await;
    assert_eq!(counts[0].text(), "5", "the instance is not at fault and serves on");
}

#[tokio::test]
async fn trap_fails_only_the_item_that_traps() {
    let samovar = threes(json!({}), json!({})).await;
    for word in ["trap", "exit"] {
        let replies = batch(&samovar, [word, "a", "b"]).await;
        replies[0].host_error(502, "guest-trap");
        for (reply, body) in replies[1..].iter().zip(["a", "b"]) {
            let reply = reply.clone().expect(200);
            assert_eq!((reply.text().as_str(), reply.header("x-batch")), (body, Some("0/1")));
        }
        serves(&samovar).await;
    }
    let status = samovar.status("b").await;
    assert_eq!(number(&status, "/totals/completed"), 4 + 6);
    assert_eq!(number(&status, "/totals/failed"), 2, "{status}");
    let sent = figure(&samovar, "samovar_batch_size_count", "b").await;
    assert_eq!(sent, 2.0 * (1.0 + 3.0 + 1.0), "what is tried again counts again");
}

#[tokio::test]
async fn several_items_that_trap_all_fail_alone() {
    let samovar = threes(json!({}), json!({})).await;
    let replies = batch(&samovar, ["trap", "a", "trap"]).await;
    assert_eq!(statuses(&replies), [502, 200, 502]);
    serves(&samovar).await;
}

#[tokio::test]
async fn without_retry_a_trap_fails_all() {
    let samovar = threes(json!({"retry_alone": false}), json!({})).await;
    for reply in batch(&samovar, ["trap", "a", "b"]).await {
        let error = reply.host_error(502, "guest-trap");
        names(&error["message"], &["batch of 3"]);
    }
    serves(&samovar).await;
    assert_eq!(number(&samovar.status("b").await, "/totals/failed"), 3);
}

#[tokio::test]
async fn endless_loop_is_ended_and_fails_alone() {
    let samovar = threes(json!({}), json!({"limits": {"cpu_time": "200ms"}})).await;
    let replies = batch(&samovar, ["spin", "a", "b"]).await;
    replies[0].host_error(502, "cpu-limit");
    assert_eq!(statuses(&replies[1..]), [200, 200]);
    serves(&samovar).await;
}

#[tokio::test]
async fn silent_batch_is_answered_at_its_time_out() {
    let limits = json!({"limits": {"request_timeout": "500ms"}});
    let samovar = threes(json!({}), limits).await;
    for reply in batch(&samovar, ["hang", "a", "b"]).await {
        let error = reply.host_error(504, "request-timeout");
        names(&error["message"], &["500ms"]);
    }
    samovar.wait_status("b", "a new replica", |status| ready(status) == 1).await;
    serves(&samovar).await;
}

#[tokio::test]
async fn memory_that_a_batch_needs_too_much_is_refused_to_the_one_who_asks() {
    let samovar = threes(json!({}), json!({"limits": {"memory": "64MiB"}})).await;
    let replies = batch(&samovar, ["alloc", "a", "b"]).await;
    replies[0].host_error(502, "guest-trap");
    assert_eq!(statuses(&replies[1..]), [200, 200]);
    // Together these do not fit, one by one they do.
    for reply in batch(&samovar, ["big 15000000"; 3]).await {
        assert_eq!(reply.expect(200).body.len(), 15_000_000);
    }
    serves(&samovar).await;
}

#[tokio::test]
async fn answers_that_cannot_be_sent_fail_alone() {
    let samovar = threes(json!({}), json!({})).await;
    for status in ["status 0", "status 99", "status 100", "status 600", "status 65535"] {
        let replies = batch(&samovar, [status, "a", "b"]).await;
        let error = replies[0].host_error(502, "batch-answer");
        names(&error["message"], &[status]);
        assert_eq!(statuses(&replies[1..]), [200, 200]);
    }
    let replies = batch(&samovar, ["header", "a", "status 404"]).await;
    let error = replies[0].host_error(502, "batch-answer");
    names(&error["message"], &["header", "bad name"]);
    assert_eq!(statuses(&replies[1..]), [200, 404]);
    assert_eq!(replies[2].header("samovar-error"), None, "404 is the handler's own answer");
    let replies = batch(&samovar, ["status 204", "status 304", "status 599"]).await;
    assert_eq!(statuses(&replies), [204, 304, 599]);
    assert!(replies[0].body.is_empty() && replies[1].body.is_empty());
    let counts = batch(&samovar, ["count"; 3]).await;
    assert_eq!(counts[0].text(), "8", "the instance serves on");
}

#[tokio::test]
async fn large_answers_are_bounded_each_for_itself() {
    let samovar = threes(json!({}), json!({"limits": {"response_body": "1MiB"}})).await;
    let replies = batch(&samovar, ["big 1048577", "big 1048576", "a"]).await;
    replies[0].host_error(502, "response-too-large");
    assert_eq!(statuses(&replies[1..]), [200, 200]);
    assert_eq!(replies[1].body.len(), 1_048_576);
}

#[tokio::test]
async fn large_requests_are_refused_alone() {
    let samovar = threes(json!({}), json!({"limits": {"request_body": "1MiB"}})).await;
    let large = "x".repeat(1_048_577);
    samovar.http.post("/b", large.clone()).await.host_error(413, "request-body-too-large");
    assert_eq!(number(&samovar.status("b").await, "/queued"), 0);
    let fitting = &large[1..];
    for reply in batch(&samovar, [fitting; 3]).await {
        assert_eq!(reply.expect(200).body.len(), fitting.len());
    }
}

#[tokio::test]
async fn client_that_leaves_the_queue_takes_no_place() {
    let samovar = threes(json!({}), json!({})).await;
    let stays = post(&samovar.http, "/b", "stays");
    let leaves = post(&samovar.http, "/b", "trap");
    wait_queued(&samovar, "b", 2).await;
    drop(leaves);
    wait_queued(&samovar, "b", 1).await;
    let others = post_all(&samovar.http, "/b", &["a", "b"]).await;
    assert_eq!(statuses(&others), [200, 200]);
    let reply = stays.answer().await.expect(200);
    assert_eq!(reply.header("x-batch"), Some("0/3"), "three are served, without the one who left");
}

#[tokio::test]
async fn client_that_leaves_its_batch_harms_nobody() {
    let samovar = threes(json!({}), json!({})).await;
    let mut batch: Vec<InFlight> =
        ["sleep 1000", "a", "b"].map(|body| post(&samovar.http, "/b", body)).into();
    wait_ongoing(&samovar, "b", 3).await;
    drop(batch.remove(0));
    for (request, body) in batch.into_iter().zip(["a", "b"]) {
        assert_eq!(request.answer().await.expect(200).text(), body);
    }
    serves(&samovar).await;
    let status = samovar.status("b").await;
    assert_eq!(number(&status, "/totals/replicas_started"), 1);
    assert_eq!(number(&status, "/ongoing"), 0);
}

#[tokio::test]
async fn batch_that_everybody_leaves_ends_by_itself() {
    let samovar = threes(json!({}), json!({})).await;
    let batch: Vec<InFlight> =
        ["sleep 500", "a", "b"].map(|body| post(&samovar.http, "/b", body)).into();
    wait_ongoing(&samovar, "b", 3).await;
    drop(batch);
    wait_ongoing(&samovar, "b", 0).await;
    serves(&samovar).await;
}

#[tokio::test]
async fn full_queue_refuses_further_requests() {
    let queue =
        json!({"queue": {"max": 3, "timeout": "10m"}, "limits": {"request_timeout": "10m"}});
    let samovar = threes(json!({}), queue).await;
    let _serving = ["hang", "a", "b"].map(|body| post(&samovar.http, "/b", body));
    wait_ongoing(&samovar, "b", 3).await;
    let _waiting = ["a", "b", "c"].map(|body| post(&samovar.http, "/b", body));
    wait_queued(&samovar, "b", 3).await;
    let rejected = samovar.http.post("/b", "d").await;
    rejected.host_error(503, "queue-full");
    assert!(rejected.header("retry-after").is_some());
    assert_eq!(number(&samovar.status("b").await, "/totals/rejected"), 1);
}

#[tokio::test]
async fn waiting_too_long_is_answered() {
    let spec = json!({"queue": {"timeout": "300ms"}, "limits": {"request_timeout": "10m"}});
    let samovar = threes(json!({}), spec).await;
    // For company that does not come.
    samovar.http.post("/b", "a").await.host_error(504, "queue-timeout");
    assert_eq!(number(&samovar.status("b").await, "/queued"), 0);
    // For the replica.
    let _serving = ["hang", "a", "b"].map(|body| post(&samovar.http, "/b", body));
    wait_ongoing(&samovar, "b", 3).await;
    for reply in batch(&samovar, ["a", "b", "c"]).await {
        reply.host_error(504, "queue-timeout");
    }
    let status = samovar.status("b").await;
    assert_eq!((number(&status, "/queued"), number(&status, "/totals/timed_out")), (0, 4));
}

#[tokio::test]
async fn drain_time_out_cuts_a_batch() {
    let spec = json!({"drain_timeout": "300ms", "limits": {"request_timeout": "10m"}});
    let samovar = threes(json!({}), spec).await;
    let serving = ["hang", "a", "b"].map(|body| post(&samovar.http, "/b", body));
    wait_ongoing(&samovar, "b", 3).await;
    samovar.deploy("b", BATCH, batches_of(1, "0s", json!({}))).await;
    for request in serving {
        request.answer().await.host_error(503, "shutting-down");
    }
    samovar.http.post("/b", "a").await.expect(200);
}

#[tokio::test]
async fn hundreds_of_good_requests_survive_some_that_trap() {
    let samovar = Samovar::start().await;
    let spec = with(batches_of(8, "5ms", json!({})), json!({"replicas": 2}));
    samovar.deploy("b", BATCH, spec).await;
    let bodies: Vec<String> = (0..200)
        .map(|number| if number % 20 == 7 { "trap".to_owned() } else { format!("body {number}") })
        .collect();
    for (reply, body) in post_all(&samovar.http, "/b", &bodies).await.iter().zip(&bodies) {
        if body == "trap" {
            reply.host_error(502, "guest-trap");
        } else {
            assert_eq!(reply.clone().expect(200).text(), *body);
        }
    }
}
