//! What workers say, good and bad, and what becomes of it: statuses, and that nothing changes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use samovar_tests::status::text;
use samovar_tests::workers::{Join, Worker, external};
use samovar_tests::{Http, Native, Reply, eventually};
use serde_json::{Value, json};

use crate::support::{BEHAVE, names};

/// Replicas without what changes by itself.
async fn state(samovar: &Native, name: &str) -> Value {
    let mut view = samovar.view(name).await;
    for replica in view["replicas"].as_array_mut().expect("a list") {
        replica.as_object_mut().expect("a replica").remove("age_ms");
    }
    view
}

/// A report that comes with a password in place of a token in it, as of the workers of 2024.
async fn report_as_user(http: &Http, user: &str, password: &str, message: &Value) -> Reply {
    let basic = STANDARD.encode(format!("{user}:{password}"));
    let request = http.request(Method::POST, "/worker_status/");
    let request = request.header("authorization", format!("Basic {basic}"));
    http.send(request, message.to_string()).await
}

/// A report of the worker of 2024 at `url`.
fn report_of_2024(url: &str) -> Value {
    json!({"id": 24, "url": url, "loadtime": 3.5, "max_perf": 50.0, "cur_load": 0.0,
        "cur_perf": 0.0, "error_msg": "", "num_requests_working": 0, "num_requests_recieved": 0,
        "cur_capacity": 0, "max_capacity": 0, "additional_disk_usage": 0.0})
}

#[tokio::test]
async fn workers_of_all_generations_report() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let today = Worker::start(&join, "1").await;
    today.report(json!({"max_perf": 11.0})).await.expect(200);

    let first = Worker::start(&join, "2").await;
    let port = first.url().rsplit_once(':').expect("a port").1.parse::<u16>().expect("a number");
    let message = json!({"id": "2", "mtoken": join.token, "port": port, "loadtime": 0.01,
        "max_perf": 12.0});
    join.report(&message).await.expect(200);
    let update = json!({"id": "2", "mtoken": join.token, "port": port, "cur_load": 2.5,
        "num_requests_recieved": 25});
    join.report(&update).await.expect(200);

    let second = Worker::start(&join, "24").await;
    let mut message = report_of_2024(&second.url());
    report_as_user(&samovar.admin, "w", &join.token, &message).await.expect(200);
    message["cur_load"] = json!(1.5);
    message["loadtime"] = json!(0.0);
    report_as_user(&samovar.admin, "w", &join.token, &message).await.expect(200);

    let mut figures: Vec<_> = samovar
        .wait_ready("w", 3)
        .await
        .iter()
        .map(|replica| (replica["max_perf"].as_f64(), replica["load"].as_f64()))
        .collect();
    figures.sort_by(|one, other| one.partial_cmp(other).expect("numbers"));
    assert_eq!(
        figures,
        [(Some(11.0), Some(0.0)), (Some(12.0), Some(2.5)), (Some(50.0), Some(1.5))]
    );
}

#[tokio::test]
async fn routes_are_there_with_and_without_a_slash() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "1").await;
    let message = worker.message(json!({})).to_string();
    let finished = json!({"worker_id": 1, "mtoken": join.token, "requests": [
        {"request_idx": 4, "success": true, "status": "Success", "entered_queue_at": 100.0,
            "work_started_at": 100.5, "work_completed_at": 102.0}]})
    .to_string();
    let leave = json!({"id": 1, "mtoken": join.token}).to_string();
    for end in ["", "/"] {
        join.post(&format!("worker_status{end}"), message.clone()).await.expect(200);
        join.post(&format!("delete_requests{end}"), finished.clone()).await.expect(200);
        join.post(&format!("leave{end}"), leave.clone()).await.expect(200);
        let key = samovar.admin.get(&format!("/workers/w/pubkey{end}")).await.expect(200).text();
        assert!(key.starts_with("-----BEGIN PUBLIC KEY-----"), "{key}");
    }
}

#[tokio::test]
async fn malformed_reports_change_nothing_and_are_named() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    worker.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 1).await;
    let before = state(&samovar, "w").await;

    let good = worker.message(json!({})).to_string();
    let field = |name: &str, value: &str| {
        let start = good.find(&format!("\"{name}\":")).expect("the field is there");
        let end = good[start..].find([',', '}']).expect("it ends") + start;
        format!("{}\"{name}\":{value}{}", &good[..start], &good[end..])
    };
    let bad = [
        ("max_perf", field("max_perf", "-1")),
        ("max_perf", field("max_perf", "NaN")),
        ("loadtime", field("loadtime", "Infinity")),
        ("loadtime", field("loadtime", "-Infinity")),
        ("new_load", field("new_load", "1e400")),
        ("new_load", field("new_load", "-1e300")),
        ("cur_load", field("cur_load", "1e16")),
        ("rej_load", field("rej_load", "\"12\"")),
        ("cur_perf", field("cur_perf", "true")),
        ("cur_perf", field("cur_perf", "{\"a\":1}")),
        ("num_requests_recieved", field("num_requests_recieved", "1.5")),
        ("num_requests_working", field("num_requests_working", "-3")),
        ("error_msg", field("error_msg", "5")),
        ("id", field("id", "null")),
        ("id", field("id", "\"a b\"")),
        ("id", field("id", "7,\"id\":8")),
        ("max_perf", field("max_perf", "1,\"max_perf\":2")),
        ("id", good.replace("\"id\":", "\"name\":")),
        ("not a JSON object", String::new()),
        ("not a JSON object", "null".to_owned()),
        ("not a JSON object", format!("[{good}]")),
        ("ends too early", good[..good.len() - 1].to_owned()),
        ("more after", format!("{good}{good}")),
    ];
    for (word, body) in bad {
        let error = join.post("worker_status/", body.clone()).await.refused(400, "invalid-json");
        names(&error["message"], &[word]);
        assert!(!text(&error, "/message").contains(&join.token), "{error}");
    }
    let deep = format!("{},\"x\":{}}}", &good[..good.len() - 1], "[".repeat(20_000));
    join.post("worker_status/", deep).await.refused(400, "invalid-json");
    join.post("worker_status/", b"{\"id\":\"\xff\"}".as_slice()).await.refused(400, "invalid-json");
    assert_eq!(state(&samovar, "w").await, before);
    worker.report(json!({})).await.expect(200);
}

#[tokio::test]
async fn oversized_messages_are_refused() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    worker.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 1).await;
    let before = state(&samovar, "w").await;
    let large = worker.message(json!({"x": "y".repeat(65 << 10)})).to_string();
    let many = json!({"worker_id": 7, "mtoken": join.token, "x": "y".repeat(5 << 20)}).to_string();
    let leave = json!({"id": 7, "mtoken": join.token, "x": "y".repeat(65 << 10)}).to_string();
    for (route, body) in [("worker_status/", large), ("delete_requests/", many), ("leave/", leave)]
    {
        // The server does not read on after a refusal, so the connection is not used again.
        let fresh = Join::of(&samovar, "w").await;
        let reply = fresh.post(route, body).await;
        assert_eq!(reply.status, 413, "{route}: {}", reply.text());
    }
    assert_eq!(state(&samovar, "w").await, before);
    // What a worker has to get rid of may be more than a report.
    let request = json!({"request_idx": 4, "success": true, "status": "Success",
        "entered_queue_at": 100.0, "work_started_at": 100.5, "work_completed_at": 102.0});
    let list = json!({"worker_id": 7, "mtoken": join.token, "requests": vec![request; 10_000]});
    join.post("delete_requests/", list.to_string()).await.expect(200);
}

#[tokio::test]
async fn forged_messages_are_refused() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let other = samovar.deploy_external("other", json!({})).await;
    assert_ne!(join.token, other.token);
    let worker = Worker::start(&join, "7").await;
    worker.report(json!({})).await.expect(200);
    samovar.wait_ready("w", 1).await;
    let before = state(&samovar, "w").await;

    let tokens = ["", "wrong", &join.token[1..], &other.token, &join.token.to_uppercase()];
    for token in tokens {
        // Known and unknown names are answered alike.
        for id in ["7", "8"] {
            let report = worker.message(json!({"id": id, "mtoken": token, "error_msg": "forged"}));
            let known = join.report(&report).await.refused(401, "unauthorized");
            assert!(!known.to_string().contains("forged"), "{known}");
            let leave = json!({"id": id, "mtoken": token}).to_string();
            join.post("leave/", leave).await.refused(401, "unauthorized");
            let finished = json!({"worker_id": id, "mtoken": token, "requests": []}).to_string();
            join.post("delete_requests/", finished).await.refused(401, "unauthorized");
            let of_2024 = report_of_2024(&worker.url());
            let reply = report_as_user(&samovar.admin, "w", token, &of_2024).await;
            reply.refused(401, "unauthorized");
        }
    }
    let mut without = worker.message(json!({}));
    without.as_object_mut().expect("it is one").remove("mtoken");
    join.report(&without).await.refused(401, "unauthorized");
    let nobody = samovar.admin.post("/worker_status/", without.to_string()).await;
    nobody.refused(401, "unauthorized");
    assert_eq!(state(&samovar, "w").await, before);
    assert_eq!(state(&samovar, "other").await["replicas"], json!([]));
    samovar.http.get("/w/x").await.expect(200);
}

#[tokio::test]
async fn deployments_without_workers_look_like_those_that_are_not_there() {
    let samovar = Native::start().await;
    samovar.deploy("handler", json!({"replicas": "0..1"})).await;
    samovar.upload(samovar_tests::component(BEHAVE)).await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    let report = worker.message(json!({})).to_string();
    let mut answers = Vec::new();
    for name in ["nobody", "handler", "No_Name", "..", "%00"] {
        let path = format!("/workers/{name}/worker_status/");
        let reply = samovar.admin.post(&path, report.clone()).await;
        if name == ".." {
            assert_eq!(reply.status, 404);
            continue;
        }
        answers.push(reply.refused(404, "not-found"));
        let leave = json!({"id": 7, "mtoken": join.token}).to_string();
        let reply = samovar.admin.post(&format!("/workers/{name}/leave/"), leave).await;
        assert_eq!(reply.status, 404, "{name}");
        let reply = samovar.admin.get(&format!("/v1/deployments/{name}/join")).await;
        assert!(matches!(reply.status, 404 | 422), "{name}: {}", reply.text());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    let reply = samovar.admin.get("/v1/deployments/handler/join").await;
    names(&reply.refused(404, "not-found")["hint"], &["worker"]);
}

#[tokio::test]
async fn replayed_and_old_reports_change_nothing() {
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "7").await;
    let received = |count: u64, work: f64| {
        let max_perf = 100.0 + work;
        json!({"num_requests_recieved": count, "new_load": work, "max_perf": max_perf})
    };
    worker.report(json!({"loadtime": 0.0, "max_perf": 0.0})).await.expect(200);
    worker.report(received(0, 0.0)).await.expect(200);
    let busy = worker.message(received(5, 50.0));
    join.report(&busy).await.expect(200);
    let newest = worker.message(received(9, 20.0));
    join.report(&newest).await.expect(200);
    samovar.wait_ready("w", 1).await;
    let before = state(&samovar, "w").await;
    assert_eq!(before["replicas"][0]["max_perf"], 120.0);

    // The same bytes again: delivered, and not counted twice.
    join.report(&newest).await.expect(200);
    assert_eq!(state(&samovar, "w").await, before);
    // Fewer requests than are known of this process.
    let error = join.report(&busy).await.refused(409, "old-message");
    names(&error["message"], &["5 requests", "9"]);
    for count in [0, 8] {
        worker.report(received(count, 1.0)).await.refused(409, "old-message");
    }
    // An error lasts as long as its process.
    assert_eq!(state(&samovar, "w").await, before);
    worker.report(json!({"num_requests_recieved": 9, "error_msg": "boom"})).await.expect(200);
    samovar.wait_failure("w", &["boom"]).await;
    worker.report(received(9, 0.5)).await.refused(409, "old-message");
    samovar.wait_ready("w", 0).await;
    eventually("the refusal is in the log", async || {
        let log = samovar.log("w").await;
        log.iter().any(|line| text(line, "/line").contains("message refused")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tokens_of_operators_and_of_workers_open_different_doors() {
    const TOKEN: &str = "correct-horse-battery-staple";
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).expect("write the file");
    let args = ["--admin-token-file", file.to_str().expect("the path is text")];
    let mut samovar = Native::start_with(&args).await;
    let open = samovar.admin.clone();
    open.get("/v1/deployments/w/join").await.refused(401, "unauthorized");
    open.get("/v1/machine").await.refused(401, "unauthorized");
    samovar.admin = open.with_token(TOKEN);
    let join = samovar.deploy_external("w", json!({})).await;
    assert_ne!(join.token, TOKEN);

    // Workers need no operator's token, and it does not make a worker.
    let worker = Worker::loaded(&join, "7").await;
    samovar.wait_ready("w", 1).await;
    assert!(join.public_key().await.expect(200).text().contains("PUBLIC KEY"));
    for message in [json!({"mtoken": TOKEN}), json!({"mtoken": null}), json!({"mtoken": ""})] {
        let report = worker.message(message.clone()).to_string();
        let path = "/workers/w/worker_status/";
        open.post(path, report.clone()).await.refused(401, "unauthorized");
        // As the header of a request, too.
        samovar.admin.post(path, report).await.refused(401, "unauthorized");
    }
    let of_2024 = report_of_2024(&worker.url());
    report_as_user(&open, "w", TOKEN, &of_2024).await.refused(401, "unauthorized");

    // A worker's token opens nothing of the operators'.
    let as_worker = open.with_token(&join.token);
    for path in ["/v1/deployments", "/v1/deployments/w", "/v1/deployments/w/join", "/v1/machine"] {
        as_worker.get(path).await.refused(401, "unauthorized");
    }
    as_worker.delete("/v1/deployments/w").await.refused(401, "unauthorized");
    let spec = external(json!({"replicas": "0..1"}));
    as_worker.put_json("/v1/deployments/w", &spec).await.refused(401, "unauthorized");
    assert_eq!(samovar.wait_ready("w", 1).await.len(), 1);
    let stderr = samovar.stderr();
    assert!(!stderr.contains(TOKEN) && !stderr.contains(&join.token), "a token is in the log");
    let log = samovar.log("w").await;
    assert!(!log.iter().any(|line| text(line, "/line").contains(&join.token)), "{log:?}");
}

#[tokio::test]
async fn more_workers_than_anybody_has_are_refused() {
    const MOST: u16 = 1000;
    let samovar = Native::start().await;
    let join = samovar.deploy_external("w", json!({})).await;
    let worker = Worker::start(&join, "first").await;
    worker.report(json!({})).await.expect(200);
    let other = |number: u16| {
        let url = format!("http://127.0.0.1:{}", 10_000 + number);
        worker.message(json!({"id": number, "url": url, "loadtime": 0.0, "max_perf": 0.0}))
    };
    for number in 1..MOST {
        join.report(&other(number)).await.expect(200);
    }
    join.report(&other(MOST)).await.refused(409, "too-many-workers");
    // Those that are there go on, and who leaves makes room.
    worker.report(json!({})).await.expect(200);
    assert_eq!(samovar.wait_ready("w", 1).await.len(), 1);
    let leave = json!({"id": 1, "mtoken": join.token}).to_string();
    join.post("leave/", leave).await.expect(200);
    join.report(&other(MOST)).await.expect(200);
}
