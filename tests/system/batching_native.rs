//! Batches of processes: one POST with a JSON array, and the array it is answered with.

use std::fs;

use samovar_tests::load::InFlight;
use samovar_tests::native::{direct, processes};
use samovar_tests::status::{list, number};
use samovar_tests::{Load, Native, Reply, eventually};
use serde_json::{Value, json};

use crate::batching::{FOR_EVER, post, post_all, statuses, wait_ongoing, wait_queued};
use crate::support::{names, with};

/// One process that gets batches of up to `size`.
fn spec(size: u32, timeout: &str, batching: Value) -> Value {
    let own = json!({"max_batch_size": size, "timeout_batching": timeout, "path": "/batch"});
    json!({"batching": with(own, batching), "queue": {"timeout": "10m"}, "replicas": 1})
}

/// A server whose deployment `m` gets batches of exactly three.
async fn threes(batching: Value, more: Value) -> Native {
    let native = Native::start().await;
    native.deploy("m", with(spec(3, FOR_EVER, batching), more)).await;
    native
}

/// A batch of these.
async fn batch(native: &Native, bodies: [Value; 3]) -> Vec<Reply> {
    post_all(&native.http, "/m", &bodies).await
}

/// The bodies that the process was sent, in order.
fn record(native: &Native) -> Vec<String> {
    let record = fs::read_to_string(native.folder().join("record")).unwrap_or_default();
    record.lines().map(str::to_owned).collect()
}

/// Fails unless the replica still serves a batch of three.
async fn serves(native: &Native) {
    for (number, reply) in batch(native, [json!(1), json!(2), json!(3)]).await.iter().enumerate() {
        let answer = reply.clone().expect(200).json();
        assert_eq!((&answer["item"], &answer["size"]), (&json!(number + 1), &json!(3)));
    }
}

#[tokio::test]
async fn bodies_leave_as_one_array_in_order_and_each_client_gets_its_part() {
    let native = threes(json!({}), json!({})).await;
    let mut waiting: Vec<InFlight> = Vec::new();
    for (number, body) in [r#"{"a": 1.50}"#, " null\n"].into_iter().enumerate() {
        waiting.push(post(&native.http, "/m", body));
        wait_queued(&native, "m", number as u64 + 1).await;
    }
    waiting.push(post(&native.http, "/m", "\"\u{fc}\""));
    for (place, request) in waiting.into_iter().enumerate() {
        let reply = request.answer().await.expect(200);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.json()["place"], json!(place));
        assert_eq!(reply.json()["size"], 3);
    }
    // As they were sent: 1.50 is not 1.5.
    let sent = fs::read_to_string(native.folder().join("record")).expect("it was noted");
    assert_eq!(sent, "[{\"a\": 1.50}, null\n,\"\u{fc}\"]\n");
}

#[tokio::test]
async fn shape_of_lightning() {
    let native = threes(json!({"shape": "lightning"}), json!({})).await;
    serves(&native).await;
    let sent: Value = serde_json::from_str(&record(&native)[0]).expect("JSON");
    assert_eq!(list(&sent, "/inputs").len(), 3, "{sent}");
    for reply in batch(&native, [json!({"do": "object"}), json!(2), json!(3)]).await {
        let error = reply.host_error(502, "batch-answer");
        names(&error["message"], &["outputs"]);
    }
    serves(&native).await;
}

#[tokio::test]
async fn every_client_gets_its_own_answer() {
    let native = Native::start().await;
    native.deploy("m", with(spec(16, "20ms", json!({})), json!({"replicas": 2}))).await;
    let bodies: Vec<Value> = (0..300).map(|client| json!({"client": client})).collect();
    let mut most = 0;
    for (reply, body) in post_all(&native.http, "/m", &bodies).await.iter().zip(&bodies) {
        let answer = reply.clone().expect(200).json();
        assert_eq!(answer["item"], *body);
        most = most.max(number(&answer, "/size"));
    }
    assert!((2..=16).contains(&most), "{most}");
    let arrays = record(&native);
    let sizes = arrays.iter().map(|array| {
        let array: Value = serde_json::from_str(array).expect("JSON");
        list(&array, "").len()
    });
    assert_eq!(sizes.sum::<usize>(), 300, "nobody was sent twice");
}

#[tokio::test]
async fn element_with_an_error_fails_alone() {
    let native = threes(json!({}), json!({})).await;
    let answer = |answer: Value| json!({"answer": {"$error": answer}});
    let failing = answer(json!({"status": 422, "message": "too dark"}));
    let replies = batch(&native, [failing, answer(json!({})), json!(3)]).await;
    let error = replies[0].host_error(422, "batch-item");
    assert_eq!(error["message"], "too dark");
    assert_eq!((replies[1].status, replies[1].header("samovar-error")), (500, Some("batch-item")));
    assert_eq!(replies[2].status, 200);
    // What is no error status is none to the client either.
    let odd = [json!({"status": 200}), json!({"status": 302}), json!({"status": 999})];
    for reply in batch(&native, odd.map(answer)).await {
        assert_eq!((reply.status, reply.header("samovar-error")), (500, Some("batch-item")));
    }
    serves(&native).await;
}

#[tokio::test]
async fn elements_of_any_type_are_answers() {
    let native = threes(json!({}), json!({})).await;
    let answers = [json!(null), json!([1, {"x": "y"}]), json!("text, with a comma")];
    let asked = answers.clone().map(|answer| json!({"answer": answer}));
    for (reply, answer) in batch(&native, asked).await.iter().zip(&answers) {
        assert_eq!(reply.clone().expect(200).json(), *answer);
    }
}

#[tokio::test]
async fn wrong_answers_fail_the_batch() {
    let native = threes(json!({}), json!({})).await;
    let cases = [
        ("few", ["3 requests", "answered 2 times"]),
        ("many", ["3 requests", "answered 4 times"]),
        ("text", ["not a JSON array", "line 1"]),
        ("object", ["not a JSON array", "map"]),
    ];
    for (word, told) in cases {
        let before = record(&native).len();
        for reply in batch(&native, [json!({"do": word}), json!(2), json!(3)]).await {
            let error = reply.host_error(502, "batch-answer");
            names(&error["message"], &told);
        }
        assert_eq!(record(&native).len(), before + 1, "{word}: it was not sent again");
        serves(&native).await;
    }
    let started = number(&native.status("m").await, "/totals/replicas_started");
    assert_eq!(started, 1, "the process lives");
}

#[tokio::test]
async fn answer_with_an_error_status_is_only_that_of_the_bad_item() {
    let native = threes(json!({}), json!({})).await;
    let replies = batch(&native, [json!({"do": "fail"}), json!(2), json!(3)]).await;
    let own = replies[0].clone().expect(500);
    assert_eq!(own.json(), json!({"error": "asked to fail"}), "the process's own words");
    assert_eq!(own.header("samovar-error"), None);
    assert_eq!(statuses(&replies[1..]), [200, 200]);
    assert_eq!(replies[2].json()["size"], 1);
    serves(&native).await;
}

#[tokio::test]
async fn answer_with_an_error_status_is_everybodys_without_retry() {
    let native = threes(json!({"retry_alone": false}), json!({})).await;
    for reply in batch(&native, [json!({"do": "fail"}), json!(2), json!(3)]).await {
        let error = reply.host_error(502, "batch-answer");
        names(&error["message"], &["3 requests", "500", "asked to fail"]);
    }
    assert_eq!(record(&native).len(), 1);
    serves(&native).await;
}

#[tokio::test]
async fn answer_that_breaks_off_is_only_that_of_the_bad_item() {
    let native = threes(json!({}), json!({})).await;
    let replies = batch(&native, [json!({"do": "hang-up"}), json!(2), json!(3)]).await;
    replies[0].host_error(502, "batch-answer");
    assert_eq!(statuses(&replies[1..]), [200, 200]);
    serves(&native).await;
}

#[tokio::test]
async fn process_that_crashes_takes_only_the_bad_item_along() {
    let native = threes(json!({}), json!({})).await;
    let replies = batch(&native, [json!({"do": "crash"}), json!(2), json!(3)]).await;
    replies[0].host_error(502, "replica-failed");
    for reply in &replies[1..] {
        reply.clone().expect(200);
    }
    serves(&native).await;
    // And all of them if nobody may see a request twice.
    native.deploy("m", spec(3, FOR_EVER, json!({"retry_alone": false}))).await;
    for reply in batch(&native, [json!({"do": "crash"}), json!(2), json!(3)]).await {
        reply.host_error(502, "replica-failed");
    }
    native.wait_failure("m", &["was killed by SIGKILL"]).await;
    native.wait_ready("m", 1).await;
    serves(&native).await;
}

#[tokio::test]
async fn process_that_is_killed_in_a_batch_does_not_lose_it() {
    let native = threes(json!({}), json!({"limits": {"request_timeout": "10m"}})).await;
    let waiting = [json!({"do": "wait"}), json!(2), json!(3)]
        .map(|body| post(&native.http, "/m", &body.to_string()));
    wait_ongoing(&native, "m", 3).await;
    let replica = native.wait_ready("m", 1).await.remove(0);
    eventually("it was sent", async || (record(&native).len() == 1).then_some(())).await;
    processes(&replica)[0].kill9();
    // All are sent again, and one of them waits again.
    let next = eventually("another process has it", async || {
        let replicas = native.replicas("m").await;
        let other = replicas.into_iter().find(|other| other["id"] != replica["id"]);
        other.filter(|other| number(other, "/ongoing") > 0 && other["state"] == "ready")
    });
    direct(&next.await).get("/open?gate=batch").await.expect(200);
    for request in waiting {
        assert_eq!(request.answer().await.expect(200).json()["size"], 1);
    }
}

#[tokio::test]
async fn body_that_is_not_json_is_refused_alone() {
    let native = threes(json!({}), json!({})).await;
    for body in ["", "hello", "{\"a\":", "1 2", "{'a': 1}", "[1],2", "NaN"] {
        let error = native.http.post("/m", body).await.host_error(400, "body-not-json");
        names(&error["message"], &["not JSON"]);
    }
    let reply = native.http.post("/m", &b"\"\xff\""[..]).await;
    reply.host_error(400, "body-not-json");
    assert_eq!(record(&native).len(), 0, "nothing was sent");
    serves(&native).await;
}

#[tokio::test]
async fn body_that_the_process_cannot_read_fails_alone() {
    let native = threes(json!({}), json!({})).await;
    // Python's parser gives up on it, and with it on the whole array.
    let tower = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let replies = post_all(&native.http, "/m", &[tower.as_str(), "2", "3"]).await;
    assert_eq!(replies[0].status, 502, "{}", replies[0].text());
    assert_eq!(statuses(&replies[1..]), [200, 200]);
    serves(&native).await;
}

#[tokio::test]
async fn silent_process_is_answered_at_the_time_out() {
    let native = threes(json!({}), json!({"limits": {"request_timeout": "500ms"}})).await;
    for reply in batch(&native, [json!({"do": "wait"}), json!(2), json!(3)]).await {
        reply.host_error(504, "request-timeout");
    }
    direct(&native.wait_ready("m", 1).await[0]).get("/open?gate=batch").await.expect(200);
    serves(&native).await;
}

#[tokio::test]
async fn answer_that_is_too_large_is_refused() {
    let native = threes(json!({}), json!({"limits": {"response_body": "1MiB"}})).await;
    let replies = batch(&native, [json!({"do": "huge"}), json!(2), json!(3)]).await;
    assert_eq!(statuses(&replies), [502, 200, 200], "{}", replies[0].text());
    serves(&native).await;
}

#[tokio::test]
async fn several_batches_at_a_time_if_the_process_may() {
    let native = Native::start().await;
    let limits = json!({"concurrency": 2, "limits": {"request_timeout": "10m"}});
    native.deploy("m", with(spec(2, FOR_EVER, json!({})), limits)).await;
    let wait = json!({"do": "wait"}).to_string();
    let ongoing: Vec<_> = (0..4).map(|_| post(&native.http, "/m", &wait)).collect();
    wait_ongoing(&native, "m", 4).await;
    let waiting: Vec<_> = (0..2).map(|_| post(&native.http, "/m", &wait)).collect();
    wait_queued(&native, "m", 2).await;
    direct(&native.wait_ready("m", 1).await[0]).get("/open?gate=batch").await.expect(200);
    for request in ongoing.into_iter().chain(waiting) {
        assert_eq!(request.answer().await.expect(200).json()["size"], 2);
    }
}

#[tokio::test]
async fn batching_is_switched_on_and_off_under_load() {
    let native = Native::start().await;
    let single = json!({"replicas": 2});
    let batched = with(spec(8, "5ms", json!({"path": "/echo"})), single.clone());
    native.deploy("m", single.clone()).await;
    let load = Load::post(&native.http, "/m/echo", "{\"a\": 1}", 8);
    for _ in 0..3 {
        load.serve_more(50).await;
        native.deploy("m", batched.clone()).await;
        load.serve_more(50).await;
        native.deploy("m", single.clone()).await;
    }
    load.stop_without_failure().await;
}

#[tokio::test]
async fn redeploys_of_batches_under_load_lose_nothing() {
    let native = Native::start().await;
    let spec = |number: u32| {
        let env = json!({"NUMBER": number.to_string()});
        let batched = spec(8, "5ms", json!({"path": "/echo"}));
        with(batched, json!({"replicas": 2, "env": env}))
    };
    native.deploy("m", spec(0)).await;
    let load = Load::post(&native.http, "/m", "[1, 2]", 12);
    for number in 1..4 {
        load.serve_more(100).await;
        native.deploy("m", spec(number)).await;
    }
    load.serve_more(100).await;
    load.stop_without_failure().await;
}
