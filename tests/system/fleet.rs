//! Machines that a hook makes and destroys: when it is called, with what, and what may go wrong.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use samovar_tests::load::at_once;
use samovar_tests::native::{Process, python};
use samovar_tests::paths::fixture;
use samovar_tests::status::{number, text};
use samovar_tests::workers::{Join, Site, Worker, answer, external};
use samovar_tests::{Load, Native, Options, eventually};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, names, with};

/// A server with a hook whose machines are processes. Ends them all with the test.
struct Fleet {
    samovar: Option<Native>,
    folder: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        Self { samovar: Some(Native::start().await), folder }
    }

    fn samovar(&self) -> &Native {
        self.samovar.as_ref().expect("it runs")
    }

    /// The hook, as the spec has it; `kind` is how a create goes.
    fn hook(&self, kind: &str, settings: Value) -> Value {
        let script = fixture("fleet/fleet.py");
        with(json!({"command": [python(), script, self.folder.path(), kind]}), settings)
    }

    /// Deploys `w` with the hook.
    async fn deploy(&self, kind: &str, settings: Value, spec: Value) -> Value {
        let spec = with(json!({"fleet": self.hook(kind, settings)}), spec);
        self.samovar().deploy_spec("w", &external(spec)).await
    }

    /// The requests that the hook got so far.
    fn calls(&self) -> Vec<Value> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        let read = |line| serde_json::from_str::<Value>(line).expect("a line is JSON");
        calls.lines().map(read).map(|call| call["request"].clone()).collect()
    }

    fn of(&self, action: &str) -> Vec<Value> {
        self.calls().into_iter().filter(|call| call["action"] == action).collect()
    }

    /// The files of machines that were made and not destroyed.
    fn machines(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).expect("the folder is there").flatten();
        let files = files.map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|end| end == "pid")).collect()
    }

    fn processes(&self) -> Vec<Process> {
        let read = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse().ok();
        self.machines().into_iter().filter_map(read).filter_map(Process::of).collect()
    }

    /// Waits until each create has a destroy with the same key, and no machine is left.
    async fn all_destroyed(&self) {
        eventually("all machines are destroyed", async || {
            let keys = |action: &str| {
                let mut keys: Vec<String> =
                    self.of(action).iter().map(|call| text(call, "/key").to_owned()).collect();
                keys.sort();
                keys.dedup();
                keys
            };
            let is_clean = self.machines().is_empty();
            (is_clean && !keys("create").is_empty() && keys("create") == keys("destroy"))
                .then_some(())
        })
        .await;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.samovar.take()); // It could make more of them.
        for process in self.processes() {
            process.kill9();
        }
    }
}

/// A scaling that wants `count` replicas, and asks often.
fn steered(count: u32) -> Value {
    let config = json!({"scale": format!("replicas:{count}")});
    json!({"policy": "steered", "config": config, "interval": "50ms"})
}

#[tokio::test]
async fn first_request_makes_a_machine_whose_worker_serves() {
    let fleet = Fleet::start().await;
    fleet.deploy("good", json!({}), json!({"replicas": "0..2"})).await;
    assert_eq!(fleet.of("create"), Vec::<Value>::new(), "nobody wants a machine yet");
    let samovar = fleet.samovar();
    let served = samovar.http.get("/w/env").await.expect(200).json();

    let created = fleet.of("create");
    let [create] = &created[..] else { panic!("one create: {created:?}") };
    let join = Join::of(samovar, "w").await;
    assert_eq!((&create["action"], &create["deployment"]), (&json!("create"), &json!("w")));
    assert_eq!(text(create, "/token"), join.token);
    assert_eq!(text(create, "/report_addr"), join.report_addr);
    assert_eq!(create["worker_id"], served["CONTAINER_ID"]);
    assert_eq!(create["machine"], Value::Null);
    let replica = samovar.wait_ready("w", 1).await.remove(0);
    assert_eq!(replica["kind"], "external");
    let machine = format!("m-{}", text(create, "/worker_id"));
    names(&replica["message"], &[&machine]);
    samovar.wait_log("w", "system", "made a machine").await;
    let shown = samovar.cli().ok(&["status", "w"]).await;
    assert!(shown.contains(&machine), "{shown}");
    samovar.delete("w").await;
    fleet.all_destroyed().await;
}

#[tokio::test]
async fn scaling_down_destroys_what_was_made() {
    let fleet = Fleet::start().await;
    let samovar = fleet.samovar();
    samovar.push_policy("steered", BAD_POLICY).await;
    let spec = json!({"scaling": steered(2), "scaledown_ttl": "100ms"});
    fleet.deploy("good", json!({}), spec).await;
    samovar.wait_ready("w", 2).await;
    let processes = fleet.processes();
    assert_eq!(processes.len(), 2);
    samovar.swap("w", "steered", json!({"scale": "replicas:0"})).await.expect(200);
    fleet.all_destroyed().await;
    for process in processes {
        process.ended().await;
    }
    let (created, destroyed) = (fleet.of("create"), fleet.of("destroy"));
    assert_eq!((created.len(), destroyed.len()), (2, 2));
    for create in &created {
        let pair = destroyed.iter().find(|one| one["key"] == create["key"]).expect("its destroy");
        let machine = format!("m-{}", text(create, "/worker_id"));
        assert_eq!(text(pair, "/machine"), machine);
        assert_eq!(pair["worker_id"], create["worker_id"]);
    }
    assert_ne!(created[0]["key"], created[1]["key"]);
    samovar.wait_view("w", "no replica", |all, _| all.is_empty()).await;
    assert_eq!(samovar.view("w").await["failures"], json!([]));
}

#[tokio::test]
async fn destroy_goes_on_until_it_is_done() {
    let fleet = Fleet::start().await;
    fleet.deploy("stubborn", json!({}), json!({"replicas": 1})).await;
    let process = fleet.processes()[0];
    fleet.samovar().delete("w").await;
    fleet.all_destroyed().await;
    process.ended().await;
    assert_eq!(fleet.of("destroy").len(), 2);
    assert_eq!(fleet.of("create").len(), 1);
}

#[tokio::test]
async fn create_that_may_go_well_later_is_tried_again_with_the_same_key() {
    let fleet = Fleet::start().await;
    fleet.deploy("busy", json!({}), json!({"replicas": "0..1"})).await;
    fleet.samovar().http.get("/w/pid").await.expect(200);
    let created = fleet.of("create");
    assert_eq!(created.len(), 3);
    assert!(created.iter().all(|call| *call == created[0]), "{created:?}");
    assert_eq!(fleet.machines().len(), 1);
    assert_eq!(number(&fleet.samovar().status("w").await, "/totals/replicas_failed"), 0);
}

#[tokio::test]
async fn refused_machine_is_a_failed_start_with_the_hooks_words() {
    let fleet = Fleet::start().await;
    let samovar = fleet.samovar();
    let hook = json!({"fleet": fleet.hook("refuse", json!({})), "replicas": 1});
    let error = samovar.put("w", &external(hook)).await.refused(422, "start-failed");
    names(&error["message"], &["exit code 1", "the credit card has expired"]);

    let queue = json!({"replicas": "0..1", "queue": {"timeout": "1s"}});
    fleet.deploy("refuse", json!({}), queue).await;
    let reply = samovar.http.get("/w/x").await;
    assert!(matches!(reply.status, 503 | 504), "{} {}", reply.status, reply.text());
    let status = samovar.status("w").await;
    names(&status["last_start_error"], &["was not created", "the credit card has expired"]);
    samovar.wait_failure("w", &["the credit card has expired"]).await;
    let shown = samovar.cli().ok(&["status", "w"]).await;
    assert!(shown.contains("the credit card has expired"), "{shown}");
}

#[tokio::test]
async fn answer_that_is_none_is_named_and_the_machine_given_back() {
    let fleet = Fleet::start().await;
    let hook = json!({"fleet": fleet.hook("garbage", json!({})), "replicas": 1});
    let reply = fleet.samovar().put("w", &external(hook)).await;
    names(&reply.refused(422, "start-failed")["message"], &["created your machine!"]);
    fleet.all_destroyed().await;
}

#[tokio::test]
async fn hook_that_hangs_is_killed() {
    let fleet = Fleet::start().await;
    let settings = json!({"timeout": "5s", "attempts": 1});
    let hook = json!({"fleet": fleet.hook("hang", settings), "replicas": 1});
    let reply = fleet.samovar().put("w", &external(hook)).await;
    names(&reply.refused(422, "start-failed")["message"], &["no answer within 5s"]);
    assert_eq!(fleet.of("create").len(), 1);
    // It is not known whether there is a machine.
    eventually("a destroy with the same key", async || {
        let destroyed = fleet.of("destroy");
        destroyed.iter().any(|call| call["key"] == fleet.of("create")[0]["key"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn hook_that_is_not_there_is_named() {
    let fleet = Fleet::start().await;
    let hook = json!({"fleet": {"command": ["no-such-hook-anywhere"]}, "replicas": 1});
    let reply = fleet.samovar().put("w", &external(hook)).await;
    names(&reply.refused(422, "start-failed")["message"], &["no-such-hook-anywhere"]);
}

#[tokio::test]
async fn machine_whose_worker_never_joins_is_given_back() {
    let fleet = Fleet::start().await;
    let spec = json!({"limits": {"start_timeout": "1s"}, "replicas": 1,
        "fleet": fleet.hook("empty", json!({}))});
    let reply = fleet.samovar().put("w", &external(spec)).await;
    names(&reply.refused(422, "start-failed")["message"], &["did not join"]);
    fleet.all_destroyed().await;
    let destroy = fleet.of("destroy").remove(0);
    assert_eq!(text(&destroy, "/machine"), format!("m-{}", text(&destroy, "/worker_id")));
}

#[tokio::test]
async fn worker_of_a_machine_that_dies_is_replaced_by_another_machine() {
    let fleet = Fleet::start().await;
    let spec = json!({"replicas": 1, "worker": {"timeout": "2s"}});
    fleet.deploy("good", json!({}), spec).await;
    let samovar = fleet.samovar();
    let before = samovar.wait_ready("w", 1).await.remove(0);
    fleet.processes()[0].kill9();
    samovar
        .wait_view("w", "another replica", |all, _| {
            all.len() == 1 && all[0]["state"] == "ready" && all[0]["id"] != before["id"]
        })
        .await;
    samovar.wait_failure("w", &["silent"]).await;
    eventually("the first machine is given back", async || {
        let first = fleet.of("create")[0]["key"].clone();
        fleet.of("destroy").iter().any(|call| call["key"] == first).then_some(())
    })
    .await;
    assert_eq!(fleet.machines().len(), 1);
    samovar.http.get("/w/pid").await.expect(200);
}

#[tokio::test]
async fn dry_run_calls_nothing_and_says_so() {
    let fleet = Fleet::start().await;
    let spec = json!({"replicas": "0..2", "queue": {"timeout": "1500ms"}});
    fleet.deploy("good", json!({"dry_run": true}), spec).await;
    let samovar = fleet.samovar();
    samovar.http.get("/w/x").await.host_error(504, "queue-timeout");
    names(&samovar.status("w").await["no_room"], &["dry run"]);
    samovar.wait_log("w", "system", "would create worker").await;
    assert_eq!(fleet.calls(), Vec::<Value>::new());
    let log = samovar.log("w").await;
    assert!(log.len() < 50, "the log is flooded: {} lines", log.len());
    assert!(!log.iter().any(|line| text(line, "/line").contains("gave worker")), "{log:?}");
    // A worker that comes by itself is welcome.
    let join = Join::of(samovar, "w").await;
    let _worker = Worker::loaded(&join, "7").await;
    assert_eq!(samovar.http.get("/w/x").await.expect(200).json()["worker"], "7");
}

#[tokio::test]
async fn deleting_destroys_the_machines_after_their_requests() {
    let fleet = Fleet::start().await;
    fleet.deploy("good", json!({}), json!({"replicas": 2})).await;
    let samovar = fleet.samovar();
    let processes = fleet.processes();
    let ongoing = at_once(&samovar.http, "/w/sleep?ms=1500", 4);
    samovar.wait_status("w", "four ongoing", |status| number(status, "/ongoing") == 4).await;
    samovar.delete("w").await;
    for reply in ongoing.answers().await {
        reply.expect(200);
    }
    fleet.all_destroyed().await;
    for process in processes {
        process.ended().await;
    }
}

#[tokio::test]
async fn stopping_the_server_destroys_the_machines() {
    let mut fleet = Fleet::start().await;
    fleet.deploy("good", json!({}), json!({"replicas": 2})).await;
    let processes = fleet.processes();
    assert_eq!(processes.len(), 2);
    fleet.samovar.take().expect("it runs").stop().await;
    assert_eq!(fleet.machines(), Vec::<PathBuf>::new(), "not one is left when it has ended");
    for process in processes {
        process.ended().await;
    }
    assert_eq!(fleet.of("destroy").len(), 2);
}

#[tokio::test]
async fn machines_of_a_server_that_was_killed_are_given_back() {
    let mut fleet = Fleet::start().await;
    fleet.deploy("good", json!({}), json!({"replicas": 1})).await;
    let lost = fleet.processes()[0];
    let create = fleet.of("create").remove(0);
    fleet.samovar.as_mut().expect("it runs").restart().await;
    lost.ended().await;
    let destroy = eventually("a destroy", async || fleet.of("destroy").into_iter().next()).await;
    assert_eq!(destroy["key"], create["key"]);
    fleet.samovar().wait_ready("w", 1).await;
    fleet.samovar().http.get("/w/pid").await.expect(200);
    eventually("one machine", async || (fleet.machines().len() == 1).then_some(())).await;
    fleet.samovar().delete("w").await;
    fleet.all_destroyed().await;
}

#[tokio::test]
async fn machine_that_is_given_back_is_not_taken_in_again() {
    let fleet = Fleet::start().await;
    let spec = json!({"replicas": "1..3", "worker": {"timeout": "2s"}});
    fleet.deploy("slow", json!({}), spec.clone()).await;
    let samovar = fleet.samovar();
    let load = Load::start(&samovar.http, "/w/pid", 2);
    let (before, first) = (samovar.wait_ready("w", 1).await.remove(0), fleet.processes()[0]);
    fleet.deploy("slow", json!({}), with(spec, json!({"concurrency": 3}))).await;
    // The old machine goes on reporting until it is destroyed, which takes its time.
    while first.is_alive() {
        for replica in samovar.replicas("w").await {
            let is_old = replica["revision"] == 1 || replica["address"] != before["address"];
            assert!(is_old, "the old worker is in the new revision: {replica}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    samovar.wait_ready("w", 1).await;
    load.serve_more(10).await;
    load.stop_without_failure().await;
    samovar.delete("w").await;
    fleet.all_destroyed().await;
}

#[tokio::test]
async fn machine_that_scaling_gave_back_stays_away() {
    let fleet = Fleet::start().await;
    let samovar = fleet.samovar();
    samovar.push_policy("steered", BAD_POLICY).await;
    let spec = json!({"scaling": steered(2), "scaledown_ttl": "1ms"});
    fleet.deploy("slow", json!({}), spec).await;
    samovar.wait_ready("w", 2).await;
    let machines = fleet.processes();
    samovar.swap("w", "steered", json!({"scale": "replicas:0"})).await.expect(200);
    samovar.wait_view("w", "no replica", |all, _| all.is_empty()).await;
    while machines.iter().any(|machine| machine.is_alive()) {
        assert_eq!(samovar.replicas("w").await, Vec::<Value>::new());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    fleet.all_destroyed().await;
}

#[tokio::test]
async fn new_revision_has_new_machines() {
    let fleet = Fleet::start().await;
    fleet.deploy("good", json!({}), json!({"replicas": 1})).await;
    let before = fleet.processes()[0];
    fleet.deploy("good", json!({}), json!({"replicas": 1, "concurrency": 3})).await;
    before.ended().await;
    let after = fleet.samovar().wait_ready("w", 1).await.remove(0);
    assert_eq!(after["revision"], 2);
    eventually("one machine", async || (fleet.machines().len() == 1).then_some(())).await;
    fleet.samovar().http.get("/w/pid").await.expect(200);
    fleet.samovar().delete("w").await;
    fleet.all_destroyed().await;
}

/// A webhook inside the test: what it was sent, and the workers it made.
struct Hook {
    site: Site,
    requests: Arc<Mutex<Vec<(http::HeaderMap, Value)>>>,
}

impl Hook {
    /// A webhook that answers with one of `statuses` after the other, and then with 200. When it is
    /// asked for a list it knows of no machine.
    async fn start(statuses: &[u16]) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, statuses) = (Arc::clone(&requests), statuses.to_vec());
        let site = Site::start(move |request: Request<Bytes>| {
            let body: Value = serde_json::from_slice(request.body()).expect("JSON");
            if body["action"] == "list" {
                return std::future::ready(answer(200, &json!({"machines": []})));
            }
            let mut all = seen.lock().expect("nobody panics with it");
            let status = statuses.get(all.len()).copied().unwrap_or(200);
            all.push((request.headers().clone(), body));
            let machine = json!({"machine": 4711, "note": "as you wish"});
            std::future::ready(answer(status, &machine))
        })
        .await;
        Self { site, requests }
    }

    fn requests(&self) -> Vec<(http::HeaderMap, Value)> {
        self.requests.lock().expect("nobody panics with it").clone()
    }

    /// Waits for the request number `index`.
    async fn request(&self, index: usize) -> (http::HeaderMap, Value) {
        eventually("the webhook is called", async || self.requests().get(index).cloned()).await
    }

    fn url(&self) -> String {
        format!("http://{}/machines", self.site.address())
    }
}

#[tokio::test]
async fn webhook_makes_and_destroys() {
    let env = vec![("HOOK_TOKEN".to_owned(), "s3cret".to_owned())];
    let samovar = Native::start_options(Options { env, ..Options::default() }).await;
    let hook = Hook::start(&[503]).await;
    let fleet = json!({"url": hook.url(), "token_env": "HOOK_TOKEN"});
    samovar.deploy_spec("w", &external(json!({"fleet": fleet}))).await;
    let waiting = at_once(&samovar.http, "/w/x", 1);
    let (first, _) = hook.request(0).await;
    let (headers, create) = hook.request(1).await;
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["idempotency-key"], format!("create-{}", text(&create, "/key")));
    assert_eq!(headers["idempotency-key"], first["idempotency-key"], "the same for each attempt");
    // The machine's worker, under the name that it was given.
    let join = Join::of(&samovar, "w").await;
    let worker = Worker::loaded(&join, text(&create, "/worker_id")).await;
    assert_eq!(waiting.answers().await[0].status, 200);
    let replica = samovar.wait_ready("w", 1).await.remove(0);
    names(&replica["message"], &["4711"]);
    samovar.delete("w").await;
    let (headers, destroy) = hook.request(2).await;
    assert_eq!((&destroy["action"], &destroy["machine"]), (&json!("destroy"), &json!("4711")));
    assert_eq!(destroy["key"], create["key"]);
    assert_eq!(headers["idempotency-key"], format!("destroy-{}", text(&destroy, "/key")));
    assert!(worker.served() > 0);
    assert!(!samovar.stderr().contains("s3cret"));
}

#[tokio::test]
async fn webhook_that_refuses_is_quoted() {
    let samovar = Native::start().await;
    let hook = Hook::start(&[402]).await;
    let spec = json!({"fleet": {"url": hook.url()}, "replicas": 1});
    let reply = samovar.put("w", &external(spec)).await;
    names(&reply.refused(422, "start-failed")["message"], &["status 402", "as you wish"]);
    assert_eq!(hook.request(1).await.1["action"], "destroy");
}

#[tokio::test]
async fn webhook_that_cannot_be_reached_or_written_is_named() {
    let samovar = Native::start().await;
    let nobody = Hook::start(&[]).await.url();
    let spec = json!({"fleet": {"url": nobody, "attempts": 1}, "replicas": 1});
    let error = samovar.put("w", &external(spec)).await.refused(422, "start-failed");
    names(&error["message"], &["cannot reach", &nobody]);
    for (fleet, field) in [
        (json!({}), "fleet"),
        (json!({"url": "machines.example"}), "fleet.url"),
        (json!({"url": "ftp://machines.example"}), "fleet.url"),
        (json!({"url": nobody, "command": ["x"]}), "fleet"),
        (json!({"command": []}), "fleet.command"),
        (json!({"command": ["x"], "cwd": "relative"}), "fleet.cwd"),
        (json!({"command": ["x"], "attempts": 0}), "fleet.attempts"),
        (json!({"command": ["x"], "timeout": "1ms"}), "fleet.timeout"),
    ] {
        let reply = samovar.put("w", &external(json!({"fleet": fleet}))).await;
        let error = reply.refused(422, "invalid-field");
        assert_eq!(text(&error, "/field"), format!("spec.{field}"), "{fleet}");
    }
    let spec = json!({"process": {"command": "x"}, "fleet": {"command": ["x"]}});
    let error = samovar.put("w", &external(spec)).await.refused(422, "invalid-field");
    assert_eq!(error["field"], "spec.fleet");
    let all = samovar.admin.get("/v1/deployments").await.expect(200).json();
    assert_eq!(all["deployments"], json!([]));
}
