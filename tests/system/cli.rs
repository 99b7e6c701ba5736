//! The command line client against a running server.

use std::fs;
use std::path::Path;

use samovar_tests::components::core_module;
use samovar_tests::status::{list, number, text};
use samovar_tests::{Cli, Samovar, eventually, paths, tiny_handler};
use serde_json::json;

/// Exit status of a command that failed.
const FAILED: i32 = 1;
/// Exit status of a command line that cannot be.
const BAD_USAGE: i32 = 2;
/// Exit status for a manifest that cannot be.
const BAD_CONFIGURATION: i32 = 64;

fn guest(name: &str) -> String {
    paths::component(name).to_str().expect("the path is text").to_owned()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.join(name), content).expect("write a file");
}

#[tokio::test]
async fn deploy_list_status_invoke_and_delete_work_together() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    let hello = guest("hello");
    cli.ok(&["deploy", &hello, "--name", "hello", "--replicas", "1..3"]).await;
    let listed = cli.ok(&["list"]).await;
    assert!(listed.contains("hello") && listed.contains("/hello"), "{listed}");
    assert!(cli.ok(&["status", "hello"]).await.contains("lightning"));
    assert_eq!(cli.ok(&["invoke", "hello"]).await, "Hello from Samovar!\n");
    cli.ok(&["delete", "hello"]).await;
    let complaint = cli.fails(FAILED, &["invoke", "hello"]).await;
    assert!(complaint.contains("hello"), "{complaint}");
    samovar.http.get("/hello").await.host_error(404, "no-deployment");
}

#[tokio::test]
async fn output_json_is_the_apis_json() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    let deployed = cli.json(&["deploy", &guest("hello"), "--name", "hello"]).await;
    assert_eq!(deployed["name"], "hello");
    let all = cli.json(&["list"]).await;
    assert_eq!(list(&all, "/deployments").len(), 1);
    assert_eq!(cli.json(&["status", "hello"]).await["spec"], deployed["spec"]);
    let policies = cli.json(&["policy", "list"]).await;
    assert!(list(&policies, "/policies").iter().any(|policy| policy["name"] == "lightning"));
    cli.json(&["decisions", "hello"]).await["decisions"].as_array().expect("a list");
    let by_env = cli.env("SAMOVAR_OUTPUT", "json").ok(&["list"]).await;
    serde_json::from_str::<serde_json::Value>(&by_env).expect("the environment asks for JSON");
}

#[tokio::test]
async fn deploy_flags_become_the_spec() {
    let samovar = Samovar::start().await;
    let hello = guest("hello-async");
    let flags = "--name full --replicas 1..5 --initial-replicas 2 --concurrency 4 --idle-ttl 7m \
        --scaledown-ttl 40s --max-requests 900 --max-age 2h --queue-max 17 --queue-timeout 9s \
        --policy lightning --set max_batch_size=3 --interval 2s --memory 64MiB \
        --request-timeout 11s --cpu-time 3s --env TEA=assam --env CUP=glass --route /tea/room";
    let args: Vec<&str> =
        ["deploy", hello.as_str()].into_iter().chain(flags.split_whitespace()).collect();
    let spec = samovar.cli().json(&args).await["spec"].clone();
    for (path, expected) in [
        ("/replicas/min", json!(1)),
        ("/replicas/max", json!(5)),
        ("/initial_replicas", json!(2)),
        ("/concurrency", json!(4)),
        ("/idle_ttl", json!("7m")),
        ("/scaledown_ttl", json!("40s")),
        ("/max_requests", json!(900)),
        ("/max_age", json!("2h")),
        ("/queue", json!({"max": 17, "timeout": "9s"})),
        ("/scaling/policy", json!("lightning")),
        ("/scaling/config", json!({"max_batch_size": 3})),
        ("/scaling/interval", json!("2s")),
        ("/limits/memory", json!("64MiB")),
        ("/limits/request_timeout", json!("11s")),
        ("/limits/cpu_time", json!("3s")),
        ("/env", json!({"TEA": "assam", "CUP": "glass"})),
        ("/route", json!("/tea/room")),
    ] {
        assert_eq!(spec.pointer(path), Some(&expected), "{path} in {spec}");
    }
    samovar.http.get("/tea/room").await.expect(200);
}

#[tokio::test]
async fn invoke_sends_method_headers_and_body() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    cli.ok(&["deploy", &guest("echo"), "--name", "echo"]).await;
    cli.ok(&["deploy", &guest("fixture-behave"), "--name", "behave"]).await;
    assert_eq!(cli.ok(&["invoke", "echo", "-X", "POST", "-d", "strong tea"]).await, "strong tea");
    write(samovar.folder(), "tea.txt", "from a file");
    assert_eq!(cli.ok(&["invoke", "echo", "-d", "@tea.txt"]).await, "from a file");
    let headers = cli.ok(&["invoke", "behave", "-H", "x-tea: assam", "/headers"]).await;
    assert!(headers.contains("x-tea: assam"), "{headers}");
    let complaint = cli.fails(FAILED, &["invoke", "behave", "/trap"]).await;
    assert!(complaint.contains("guest-trap"), "{complaint}");
}

#[tokio::test]
async fn logs_show_deployment_and_replica() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    cli.ok(&["deploy", &guest("fixture-behave"), "--name", "chatty"]).await;
    cli.ok(&["invoke", "chatty", "/print?text=steam"]).await;
    eventually("the line is in the log", async || {
        let log = cli.ok(&["logs", "chatty"]).await;
        let line = log.lines().find(|line| line.contains("stdout: steam"))?;
        assert!(line.contains('#'), "no replica: {line}");
        Some(())
    })
    .await;
    let log = cli.ok(&["logs", "chatty", "--output", "json"]).await;
    let line = log.lines().find(|line| line.contains("stdout: steam")).expect("it is there");
    let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
    assert_eq!(line["deployment"], "chatty");
    number(&line, "/replica");
}

#[tokio::test]
async fn policies_are_pushed_swapped_and_explained() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    cli.ok(&["deploy", &guest("hello"), "--name", "hello", "--interval", "50ms"]).await;
    cli.ok(&["policy", "push", &guest("queue-depth"), "--name", "mine"]).await;
    assert!(cli.ok(&["policy", "list"]).await.contains("mine"));
    let swap = ["policy", "swap", "hello", "mine", "--set", "waiting_per_replica=2"];
    let swapped = cli.json(&swap).await;
    assert_eq!(swapped["policy"]["name"], "mine");
    assert_eq!(swapped["policy"]["config"], json!({"waiting_per_replica": 2}));
    eventually("the new policy decides", async || {
        cli.ok(&["decisions", "hello"]).await.contains("mine").then_some(())
    })
    .await;
    let complaint = cli.fails(FAILED, &["policy", "swap", "hello", "mine", "--set", "x=1"]).await;
    assert!(complaint.contains("policy-create-failed"), "{complaint}");
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    write(samovar.folder(), "core.wasm", core_module());
    let complaint = cli.fails(FAILED, &["deploy", "core.wasm", "--name", "core"]).await;
    assert!(complaint.contains("hint") && complaint.contains("component"), "{complaint}");
    let complaint = cli.fails(FAILED, &["deploy", "nowhere.wasm", "--name", "x"]).await;
    assert!(complaint.contains("nowhere.wasm"), "{complaint}");
    let complaint = cli.fails(FAILED, &["status", "nobody"]).await;
    assert!(complaint.contains("nobody"), "{complaint}");
    let replicas = ["deploy", &guest("hello"), "--name", "x", "--replicas", "5..2"];
    let complaint = cli.fails(FAILED, &replicas).await;
    assert!(complaint.contains("replicas"), "{complaint}");
    cli.fails(BAD_USAGE, &["deploy"]).await;
    cli.fails(BAD_USAGE, &["brew"]).await;
}

#[tokio::test]
async fn missing_server_is_named() {
    let folder = tempfile::tempdir().expect("make a folder");
    let cli = Cli::new(folder.path(), "http://127.0.0.1:1");
    let complaint = cli.fails(FAILED, &["list"]).await;
    assert!(complaint.contains("127.0.0.1:1") && complaint.contains("samovar up"), "{complaint}");
}

#[tokio::test]
async fn admin_url_flag_wins_over_the_environment() {
    let samovar = Samovar::start().await;
    let cli = Cli::new(samovar.folder(), "http://127.0.0.1:1");
    cli.ok(&["list", "--admin-url", &samovar.admin.url("")]).await;
}

#[tokio::test]
async fn client_sends_its_token() {
    let samovar = Samovar::start_with(&[], &[("SAMOVAR_ADMIN_TOKEN", "secret-tea")]).await;
    let complaint = samovar.cli().fails(FAILED, &["list"]).await;
    assert!(complaint.contains("SAMOVAR_ADMIN_TOKEN"), "{complaint}");
    samovar.cli().env("SAMOVAR_ADMIN_TOKEN", "secret-tea").ok(&["list"]).await;
    write(samovar.folder(), "token", "secret-tea\n");
    samovar.cli().ok(&["list", "--admin-token-file", "token"]).await;
}

#[tokio::test]
async fn apply_makes_what_the_manifest_says() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    let project = samovar.folder().join("project");
    fs::create_dir(&project).expect("make a folder");
    write(&project, "tiny.wasm", tiny_handler(204));
    fs::copy(guest("queue-depth"), project.join("mine.wasm")).expect("copy a file");
    let manifest = r#"
        [policies.mine]
        file = "mine.wasm"

        [deployments.tea]
        component = "tiny.wasm"
        replicas = "1..3"
        idle_ttl = "10m"

        [deployments.tea.scaling]
        policy = "mine"
        config = { waiting_per_replica = 2 }

        [deployments.coffee]
        component = "tiny.wasm"
        route = "/bean"
    "#;
    write(&project, "samovar.toml", manifest);
    // Paths are relative to the manifest, not to the current folder.
    cli.ok(&["apply", "-f", "project/samovar.toml"]).await;
    samovar.http.get("/tea").await.expect(204);
    samovar.http.get("/bean").await.expect(204);
    let tea = samovar.status("tea").await;
    assert_eq!(text(&tea, "/policy/name"), "mine");
    assert_eq!(tea["spec"]["idle_ttl"], "10m");
    assert_eq!(number(&tea, "/spec/replicas/max"), 3);
    // Applying again changes nothing.
    cli.ok(&["apply", "-f", "project/samovar.toml"]).await;
    assert_eq!(samovar.status("tea").await["revision"], 1);
}

#[tokio::test]
async fn wrong_manifest_is_refused_before_anything_is_done() {
    let samovar = Samovar::start().await;
    let cli = samovar.cli();
    write(samovar.folder(), "tiny.wasm", tiny_handler(204));
    let good = "[deployments.good]\ncomponent = \"tiny.wasm\"\n";
    let absent = "[deployments.bad]\ncomponent = \"absent.wasm\"\n";
    for (wrong, word) in [
        (absent, "absent.wasm"),
        ("[deployments.bad]\ncomponent = \"tiny.wasm\"\nreplcas = 1\n", "replcas"),
        ("[deployments.bad]\ncomponent = \"tiny.wasm\"\nconcurrency = 0\n", "concurrency"),
        ("[deployment.bad]\ncomponent = \"tiny.wasm\"\n", "deployment"),
        ("[deployments.good]\ncomponent = \"tiny.wasm\"\n", "good"),
        ("[deployments.bad\n", "samovar.toml"),
    ] {
        write(samovar.folder(), "samovar.toml", format!("{good}{wrong}"));
        let code = if wrong == absent { FAILED } else { BAD_CONFIGURATION };
        let complaint = cli.fails(code, &["apply", "-f", "samovar.toml"]).await;
        assert!(complaint.contains(word), "{complaint}");
        let all = samovar.admin.get("/v1/deployments").await.expect(200).json();
        assert_eq!(list(&all, "/deployments").len(), 0, "{wrong}");
    }
}

#[tokio::test]
async fn completion_is_a_script_for_each_shell() {
    let folder = tempfile::tempdir().expect("make a folder");
    let cli = Cli::new(folder.path(), "http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.ok(&["completion", shell]).await;
        assert!(script.contains("samovar") && script.contains("deploy"), "{shell}: {script}");
    }
    cli.fails(BAD_USAGE, &["completion", "abacus"]).await;
}
