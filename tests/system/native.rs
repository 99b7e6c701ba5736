//! Native process replicas: what they are told, and that requests reach them as they are.

use std::fs;

use http::Method;
use samovar_tests::load::at_once;
use samovar_tests::native::{direct, processes, python, server};
use samovar_tests::raw::Raw;
use samovar_tests::status::{list, number, text};
use samovar_tests::{Http, Native, Options, eventually};
use serde_json::{Value, json};

use crate::support::{BEHAVE, fixed};

/// What the replica that answers has in its environment.
async fn env(native: &Native, name: &str) -> Value {
    native.http.get(&format!("/{name}/env")).await.expect(200).json()
}

#[tokio::test]
async fn process_serves_over_a_port() {
    let native = Native::start().await;
    let status = native.deploy("m", json!({})).await;
    assert_eq!((&status["kind"], &status["replicas"]["ready"]), (&json!("process"), &json!(1)));
    assert_eq!((&status["component"], &status["world"]), (&Value::Null, &Value::Null));
    assert_eq!(native.http.get("/m").await.expect(200).json(), json!({"hello": "native"}));
    let replicas = native.wait_ready("m", 1).await;
    let [replica] = &replicas[..] else { panic!("one replica: {replicas:?}") };
    let env = env(&native, "m").await;
    let address = format!("{}:{}", text(&env, "/HOST"), text(&env, "/PORT"));
    assert_eq!(text(replica, "/address"), address);
    assert!(env["SOCKET"].is_null(), "{env}");
    let pid = native.http.get("/m/pid").await.expect(200).json()["pid"].clone();
    assert_eq!(replica["pids"], json!([pid]));
    assert_eq!((&replica["kind"], &replica["state"]), (&json!("process"), &json!("ready")));
    assert_eq!(replica["revision"], 1);
}

#[tokio::test]
async fn process_serves_over_a_unix_socket() {
    let native = Native::start().await;
    native.deploy("m", json!({"process": {"listen": "socket"}, "replicas": 2})).await;
    let env = env(&native, "m").await;
    assert!(env["PORT"].is_null(), "{env}");
    let replicas = native.replicas("m").await;
    let socket = format!("unix:{}", text(&env, "/SOCKET"));
    assert!(replicas.iter().any(|replica| text(replica, "/address") == socket), "{replicas:?}");
    for body in ["", "some", "more"] {
        assert_eq!(native.http.post("/m/echo", body).await.expect(200).text(), body);
    }
    let folder = std::path::Path::new(text(&env, "/SOCKET")).parent().expect("a folder").to_owned();
    assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 2);
    native.delete("m").await;
    native.wait_no_workers().await;
    eventually("the sockets are removed", async || {
        let left = fs::read_dir(&folder).map_or(0, Iterator::count);
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn environment_is_handed_in() {
    let token = ("SAMOVAR_ADMIN_TOKEN".to_owned(), "a-token-of-the-server".to_owned());
    let seen_by_all = ("SEEN_BY_ALL".to_owned(), "yes".to_owned());
    let options = Options { env: vec![token, seen_by_all], ..Options::default() };
    let mut native = Native::start_options(options).await;
    native.admin = native.admin.with_token("a-token-of-the-server");
    native.deploy("m", json!({"env": {"GREETING": "Grüße = \"1\"", "HOST": "0.0.0.0"}})).await;
    let env = env(&native, "m").await;
    assert_eq!(text(&env, "/GREETING"), "Grüße = \"1\"");
    assert_eq!(text(&env, "/SEEN_BY_ALL"), "yes");
    assert_eq!(text(&env, "/HOST"), "0.0.0.0", "what the spec says wins");
    assert_eq!(text(&env, "/CUDA_VISIBLE_DEVICES"), "", "it leased none");
    assert_eq!(text(&env, "/CUDA_DEVICE_ORDER"), "PCI_BUS_ID");
    let mut ours: Vec<&String> = env.as_object().expect("an object").keys().collect();
    ours.retain(|name| name.starts_with("SAMOVAR_"));
    assert_eq!(ours, ["SAMOVAR_DEPLOYMENT", "SAMOVAR_REPLICA"], "and none of the server's");
    assert_eq!(text(&env, "/SAMOVAR_DEPLOYMENT"), "m");
}

#[tokio::test]
async fn arguments_and_folder_are_handed_in() {
    let native = Native::start().await;
    let folder = native.folder().join("models");
    fs::create_dir(&folder).expect("make a folder");
    let args = json!(["-S", server(), "--port={port}", "{port}-{port}", "{other}", "a b", ""]);
    native.deploy("m", json!({"process": {"args": args, "cwd": folder}})).await;
    let seen = native.http.get("/m/pid").await.expect(200).json();
    let port = env(&native, "m").await["PORT"].as_str().expect("text").to_owned();
    let expected =
        json!([format!("--port={port}"), format!("{port}-{port}"), "{other}", "a b", ""]);
    assert_eq!(seen["args"], expected);
    let folder = folder.canonicalize().expect("it is there");
    assert_eq!(text(&seen, "/cwd"), folder.to_str().expect("text"));
}

#[tokio::test]
async fn methods_paths_and_statuses_pass_through() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let http = &native.http;
    let echoed = http.send(http.request(Method::PUT, "/m/echo"), "put").await.expect(200);
    assert_eq!(echoed.text(), "put");
    let typed = http.request(Method::POST, "/m/echo").header("content-type", "image/png");
    assert_eq!(http.send(typed, "x").await.expect(200).header("content-type"), Some("image/png"));
    assert_eq!(http.delete("/m/status?code=410").await.expect(410).json()["status"], "410");
    for code in [201, 302, 404, 418, 500, 503] {
        let reply = http.get(&format!("/m/status?code={code}")).await.expect(code);
        assert_eq!(reply.header("samovar-error"), None);
    }
    let head = http.send(http.request(Method::HEAD, "/m/pid"), "").await.expect(200);
    assert!(head.body.is_empty() && head.header("content-length").is_some(), "{head:?}");
    http.get("/m/pid").await.expect(200);
    let seen = http.get("/m/head?a=b%20c&d=%2F").await.expect(200).json();
    assert_eq!(text(&seen, "/path"), "/head?a=b%20c&d=%2F", "without the route");
    let http2 = Http::http2(http.address());
    assert_eq!(http2.post("/m/echo", "over HTTP/2").await.expect(200).text(), "over HTTP/2");
}

#[tokio::test]
async fn headers_pass_but_for_those_of_one_hop() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let http = &native.http;
    let request = http
        .request(Method::GET, "/m/head")
        .header("connection", "x-next-hop, keep-alive")
        .header("x-next-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic eA==")
        .header("authorization", "Bearer mine")
        .header("x-mine", "1");
    let seen = http.send(request, "").await.expect(200).json()["headers"].clone();
    assert_eq!((text(&seen, "/x-mine"), text(&seen, "/authorization")), ("1", "Bearer mine"));
    for name in ["x-next-hop", "keep-alive", "proxy-authorization"] {
        assert!(seen[name].is_null(), "{name}: {seen}");
    }
    let reply = http.get("/m/hop").await.expect(200);
    assert_eq!(reply.header("x-kept"), Some("yes"));
    for name in ["x-next-hop", "keep-alive", "connection"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test]
async fn replica_is_told_who_asks() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let http = &native.http;
    let told = async |request: http::request::Builder| {
        let seen = http.send(request, "").await.expect(200).json();
        text(&seen, "/headers/x-forwarded-for").to_owned()
    };
    let plain = || http.request(Method::GET, "/m/head");
    assert_eq!(told(plain()).await, "127.0.0.1");
    assert_eq!(told(plain().header("x-forwarded-for", "10.1.1.1")).await, "10.1.1.1, 127.0.0.1");
    let twice = plain().header("x-forwarded-for", "10.1.1.1").header("x-forwarded-for", "10.2.2.2");
    assert_eq!(told(twice).await, "10.1.1.1, 10.2.2.2, 127.0.0.1");
    // A client cannot have it taken away as a header of its own hop.
    assert_eq!(told(plain().header("connection", "x-forwarded-for")).await, "127.0.0.1");
}

#[tokio::test]
async fn requests_share_connections() {
    let native = Native::start().await;
    native.deploy("m", json!({"process": {"health_interval": "1h"}})).await;
    let pid = processes(&native.wait_ready("m", 1).await[0])[0].pid;
    let ports = async || {
        let seen = native.http.get("/m/peer").await.expect(200).json();
        number(&seen, "/port")
    };
    let first = ports().await;
    for _ in 0..20 {
        assert_eq!(ports().await, first, "the connection to process {pid} is kept");
    }
}

#[tokio::test]
async fn concurrency_and_queue_are_as_for_components() {
    let native = Native::start().await;
    let spec = json!({"concurrency": 2, "queue": {"max": 1, "timeout": "10m"}});
    native.deploy("m", spec).await;
    let running = at_once(&native.http, "/m/wait?gate=a", 2);
    native.wait_status("m", "two ongoing", |status| number(status, "/ongoing") == 2).await;
    let waiting = at_once(&native.http, "/m/wait?gate=a", 1);
    let status =
        native.wait_status("m", "one queued", |status| number(status, "/queued") == 1).await;
    assert_eq!(number(&status, "/ongoing"), 2);
    native.http.get("/m").await.host_error(503, "queue-full");
    let replicas = native.replicas("m").await;
    assert_eq!(number(&replicas[0], "/ongoing"), 2);
    direct(&replicas[0]).get("/open?gate=a").await.expect(200);
    for reply in [running.answers().await, waiting.answers().await].concat() {
        reply.expect(200);
    }
    let status =
        native.wait_status("m", "nothing ongoing", |status| number(status, "/ongoing") == 0).await;
    let totals = |name: &str| number(&status, &format!("/totals/{name}"));
    assert_eq!((totals("completed"), totals("rejected"), totals("failed")), (3, 1, 0));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let native = Native::start().await;
    native.deploy("m", json!({"replicas": 2})).await;
    let mut raw = Raw::connect(native.http.address()).await;
    let request = |body: &str| {
        format!("POST /m/echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let bodies = ["one", "two", "three", "four"];
    raw.write(&bodies.map(request).concat()).await;
    for body in bodies {
        assert_eq!(raw.read_answer().await.1, body);
    }
}

#[tokio::test]
async fn output_is_kept_with_its_replica_and_stream() {
    let native = Native::start().await;
    native.deploy("m", json!({})).await;
    let id = native.replicas("m").await[0]["id"].clone();
    native.http.get("/m/say?line=to%20stdout").await.expect(200);
    native.http.get("/m/say?line=to%20stderr&stream=stderr").await.expect(200);
    for stream in ["stdout", "stderr"] {
        let line = native.wait_log("m", stream, &format!("to {stream}")).await;
        assert_eq!((&line["replica"], &line["deployment"]), (&id, &json!("m")), "{line}");
    }
    native.wait_log("m", "stdout", "listening").await;
    assert!(native.cli().ok(&["logs", "m"]).await.contains("to stderr"));
}

#[tokio::test]
async fn memory_and_time_of_each_replica_are_measured() {
    let native = Native::start().await;
    native.deploy("m", json!({"replicas": 2, "concurrency": 1})).await;
    let before = native
        .wait_view("m", "memory of both", |replicas, _| {
            replicas.iter().all(|replica| replica["memory_bytes"].as_u64() > Some(1 << 20))
        })
        .await;
    direct(&before[0]).get("/eat?mib=100").await.expect(200);
    let after = native
        .wait_view("m", "100 MiB more", |replicas, _| {
            let more = number(&before[0], "/memory_bytes") + (90 << 20);
            replicas[0]["memory_bytes"].as_u64() > Some(more)
        })
        .await;
    assert!(number(&after[1], "/memory_bytes") < 90 << 20, "the other one ate nothing");
    assert!(number(&after[0], "/cpu_ms") > 0, "Python does not start for nothing");
}

#[tokio::test]
async fn component_and_process_live_side_by_side() {
    let native = Native::start_with(&["--slots", "5", "--devices", "2"]).await;
    let wasm: &samovar_tests::Samovar = &native;
    wasm.deploy("guest", BEHAVE, fixed(2)).await;
    native.deploy("model", json!({"replicas": 2, "process": {"gpus": 0.5}})).await;
    native.http.get("/guest/ok").await.expect(200);
    native.http.get("/model").await.expect(200);
    let machine = native.machine().await;
    assert_eq!((number(&machine, "/slots"), number(&machine, "/slots_free")), (5, 1));
    let devices = list(&machine, "/devices");
    assert_eq!((devices.len(), devices[0]["leased"].as_f64()), (2, Some(1.0)), "{machine}");
    let kinds = native.replicas("guest").await.iter().map(|r| r["kind"].clone()).collect();
    assert_eq!(Value::Array(kinds), json!(["wasm", "wasm"]));
    let cli = native.cli();
    let listed = cli.ok(&["list"]).await;
    assert!(listed.contains("guest") && listed.contains("model"), "{listed}");
    let seen = cli.ok(&["machine"]).await;
    assert!(seen.contains("4 of 5 in use") && seen.contains("model"), "{seen}");
    let metrics = native.metric("samovar_pool_replicas", &["state=\"ready\""]).await;
    assert_eq!(metrics, Some(4.0));
    assert_eq!(native.metric("samovar_devices_leased", &[]).await, Some(1.0));
}

#[tokio::test]
async fn status_shows_each_process() {
    let native = Native::start_with(&["--devices", "gpu-a,gpu-b"]).await;
    native.deploy("m", json!({"process": {"gpus": 0.25}, "replicas": 2})).await;
    let replicas = native.wait_ready("m", 2).await;
    let shown = native.cli().ok(&["status", "m"]).await;
    for replica in &replicas {
        let pid = number(&list(replica, "/pids")[0], "").to_string();
        let line = shown.lines().find(|line| line.split_whitespace().any(|word| word == pid));
        let line = line.unwrap_or_else(|| panic!("no line of process {pid}: {shown}"));
        for part in ["process", "ready", "gpu-a (25 %)", text(replica, "/address")] {
            assert!(line.contains(part), "no {part:?} in {line:?}");
        }
    }
    assert!(shown.contains(python()), "the command is shown: {shown}");
    let json = native.cli().json(&["status", "m"]).await;
    assert_eq!(json["kind"], "process");
}
