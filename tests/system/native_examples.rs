//! The examples in `plugins/native`, deployed with their own manifests, do what they promise.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use samovar_tests::native::{self, Process};
use samovar_tests::paths::workspace;
use samovar_tests::status::{number, text};
use samovar_tests::{Native, Reply};
use serde_json::{Value, json};

use crate::support::names;

fn folder(name: &str) -> PathBuf {
    workspace().join("plugins/native").join(name)
}

/// Applies the manifest of an example.
async fn apply(native: &Native, name: &str) {
    native.cli().inside(&folder(name)).ok(&["apply", "-f", "samovar.toml"]).await;
}

async fn post(native: &Native, path: &str, body: Value) -> Reply {
    native.http.post(path, body.to_string()).await
}

/// Whether the `python3` that the manifests name has PyTorch. It is some gigabytes, so nothing here
/// installs it.
fn has_torch() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import torch"]).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

#[tokio::test]
async fn model_server_predicts() {
    let native = Native::start().await;
    apply(&native, "model-server").await;
    let question = json!({"prompt": "The class ", "length": 120, "seed": 1});
    let first = post(&native, "/model-server/predict", question.clone()).await.expect(200).json();
    assert_eq!(text(&first, "/text").chars().count(), 120);
    assert!(first["prompt_log2_likelihood"].as_f64().is_some_and(|bits| bits < 0.0), "{first}");
    let again = post(&native, "/model-server/predict", question).await.expect(200).json();
    assert_eq!(again, first, "the same seed gives the same text");

    let unknown = json!({"prompt": "x", "lenght": 3});
    let error = post(&native, "/model-server/predict", unknown).await.expect(422).json();
    names(&error["error"], &["lenght"]);
    native.http.post("/model-server/predict", "no JSON").await.expect(400);
    native.http.get("/model-server/predict").await.expect(405);
    native.http.get("/model-server/nothing").await.expect(404);
    let health = native.http.get("/model-server/health").await.expect(200).json();
    assert_eq!(health["status"], "ok");
    native.delete("model-server").await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn hello_autoscaler_counts_and_reports() {
    let native = Native::start().await;
    apply(&native, "hello-autoscaler").await;
    let path = "/hello-autoscaler/increment";
    let first = post(&native, path, json!({"amount": 5})).await.expect(200).json();
    let second = post(&native, path, json!({"amount": 2})).await.expect(200).json();
    let before = number(&first, "/value");
    assert_eq!(number(&second, "/value"), before + 2);
    post(&native, path, json!({"amount": "five"})).await.expect(400);
    let value = native.http.get("/hello-autoscaler/value").await.expect(200).json();
    assert_eq!(value, second);
    let replicas = native.replicas("hello-autoscaler").await;
    assert_eq!(replicas[0]["max_perf"], 0.5, "what it claims to manage");
    native
        .wait_view("hello-autoscaler", "a reported load", |all, _| {
            all.iter().any(|one| one["load"].as_f64() > Some(0.0))
        })
        .await;
}

/// Ends what a server left behind, should a test fail.
struct End {
    tag: String,
    server: i32,
}

impl End {
    fn of(native: &Native) -> Self {
        Self { tag: native.tag().to_owned(), server: native.server_pid() }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        native::workers(&self.tag, self.server).into_iter().for_each(Process::kill9);
    }
}

/// A worker that the test started itself, and ends.
struct ByHand(Child);

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn hello_autoscaler_joins_by_hand() {
    let native = Native::start().await;
    let join = native.deploy_external("w", json!({})).await;
    let mut command = Command::new(native::python());
    command.arg(folder("hello-autoscaler").join("server.py"));
    command.args(["--join", &join.report_addr, "--token", &join.token, "--port", "0"]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut worker = ByHand(command.spawn().expect("start the worker"));
    let process = Process::of(i32::try_from(worker.0.id()).expect("a small number"));
    let process = process.expect("it runs");
    let replica = native.wait_ready("w", 1).await.remove(0);
    assert_eq!(replica["kind"], "external");
    let reply = post(&native, "/w/increment", json!({"amount": 3})).await.expect(200).json();
    assert_eq!(reply, json!({"value": 3}));
    process.signal(Signal::TERM);
    native.wait_view("w", "no replica", |all, _| all.is_empty()).await;
    let status = worker.0.wait().expect("it is our child");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn hello_autoscaler_is_made_by_its_fleet_hook() {
    let native = Native::start().await;
    let _end = End::of(&native);
    let cli = native.cli().inside(&folder("hello-autoscaler"));
    cli.ok(&["apply", "-f", "external.toml"]).await;
    let path = "/hello-external/increment";
    let reply = post(&native, path, json!({"amount": 2})).await.expect(200).json();
    assert_eq!(reply, json!({"value": 2}));
    let replicas = native.replicas("hello-external").await;
    assert!(replicas.iter().any(|one| one["max_perf"] == 0.5), "{replicas:?}");
    assert!(!native.workers().is_empty());
    native.delete("hello-external").await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn torch_server_tells_the_spirals_apart() {
    let native = Native::start_with(&["--devices", "1"]).await;
    if !has_torch() {
        return refuses_without_torch(&native, "torch-server").await;
    }
    apply(&native, "torch-server").await;
    let points = json!({"points": [[1, 0], [-1, 0]]});
    let reply = post(&native, "/torch-server/infer", points).await.expect(200).json();
    assert_eq!(reply["spirals"], json!([1, 0]));
    native.http.get("/torch-server/health").await.expect(200);
}

#[tokio::test]
async fn torch_gang_adds_up() {
    let native = Native::start().await;
    if !has_torch() {
        return refuses_without_torch(&native, "torch-gang").await;
    }
    apply(&native, "torch-gang").await;
    let values = json!({"values": [1, 2.5, -3]});
    let sum = post(&native, "/torch-gang/allreduce", values).await.expect(200).json();
    assert_eq!(sum["sum"], json!([3.0, 7.5, -9.0]));
    assert_eq!(sum["world_size"], 2);
}

/// Starts a replica of an example where there is no PyTorch: it fails and says what to install.
async fn refuses_without_torch(native: &Native, name: &str) {
    let manifest = std::fs::read_to_string(folder(name).join("samovar.toml")).expect("it is there");
    let eager = manifest.replace("replicas = \"0..", "initial_replicas = 1\nreplicas = \"0..");
    assert_ne!(eager, manifest, "the manifest was changed");
    let copy = native.folder().join("samovar.toml");
    let here = format!("cwd = {:?}", folder(name));
    std::fs::write(&copy, eager.replace("cwd = \".\"", &here)).expect("write the manifest");
    let path = copy.to_str().expect("the path is text");
    let complaint = native.cli().run(&["apply", "-f", path]).await;
    assert_ne!(complaint.code, Some(0), "{complaint:?}");
    assert!(complaint.stderr.contains("needs PyTorch (pip install torch)"), "{complaint:?}");
    native.wait_no_workers().await;
}
