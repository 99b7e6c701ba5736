//! Native processes from the command line: `deploy -- COMMAND`, manifests, and what is shown.

use std::fs;

use samovar_tests::Native;
use samovar_tests::native::{python, server};
use samovar_tests::status::text;

/// Exit status of a command that failed.
const FAILED: i32 = 1;
/// Exit status of a command line that cannot be.
const BAD_USAGE: i32 = 2;
/// Exit status for a manifest that cannot be.
const BAD_CONFIGURATION: i32 = 64;

#[tokio::test]
async fn command_is_deployed_in_the_folder_of_its_user() {
    let native = Native::start_with(&["--devices", "2"]).await;
    let folder = native.folder().join("here");
    fs::create_dir_all(folder.join("below")).expect("make folders");
    let cli = native.cli().inside(&folder);
    let server = server();
    let options = ["deploy", "--name", "m", "--replicas", "1", "--gpus", "0.5"];
    let more = ["--health", "/health", "--start-timeout", "1m", "--memory", "1GiB"];
    let command = ["--env", "A=b", "--", "python3", &server, "--flag", "-x"];
    let printed = cli.ok(&[&options[..], &more, &command].concat()).await;
    assert!(printed.contains("deployed m") && printed.contains("python3"), "{printed}");
    let seen = native.http.get("/m/pid").await.expect(200).json();
    let here = folder.canonicalize().expect("it is there");
    assert_eq!(text(&seen, "/cwd"), here.to_str().expect("text"));
    assert_eq!(seen["args"], serde_json::json!(["--flag", "-x"]));
    let spec = native.status("m").await["spec"].clone();
    assert_eq!((&spec["process"]["gpus"], &spec["env"]["A"]), (&0.5.into(), &"b".into()));
    assert_eq!(text(&spec, "/process/memory"), "1GiB");
    assert_eq!(cli.ok(&["invoke", "m"]).await, "{\"hello\": \"native\"}");
    let below = ["deploy", "--name", "m", "--cwd", "below", "--", "python3", &server];
    cli.ok(&below).await;
    let seen = native.http.get("/m/pid").await.expect(200).json();
    assert_eq!(text(&seen, "/cwd"), here.join("below").to_str().expect("text"));
    cli.ok(&["delete", "m"]).await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn deploy_takes_a_file_or_a_command() {
    let native = Native::start().await;
    let cli = native.cli();
    cli.fails(BAD_USAGE, &["deploy", "--name", "m"]).await;
    cli.fails(BAD_USAGE, &["deploy", "x.wasm", "--name", "m", "--", "python3"]).await;
    cli.fails(BAD_USAGE, &["deploy", "x.wasm", "--name", "m", "--gpus", "1"]).await;
    let complaint =
        cli.fails(FAILED, &["deploy", "--name", "m", "--", "no-such-command-at-all"]).await;
    assert!(complaint.contains("no-such-command-at-all"), "{complaint}");
    assert!(native.workers().is_empty());
}

/// A manifest of one process whose script is in a folder beside it.
fn manifest(number: u32) -> String {
    format!(
        r#"
        [deployments.m]
        replicas = 1
        idle_ttl = "off"
        env = {{ NUMBER = "{number}" }}

        [deployments.m.process]
        command = "{}"
        args = ["-S", "./start.py"]
        cwd = "service"
        health = "/health"
        "#,
        python()
    )
}

#[tokio::test]
async fn manifest_runs_a_process_in_a_folder_beside_it() {
    let native = Native::start().await;
    let project = native.folder().join("project");
    fs::create_dir_all(project.join("service")).expect("make folders");
    fs::copy(server(), project.join("service/start.py")).expect("copy the server");
    let file = project.join("samovar.toml");
    fs::write(&file, manifest(1)).expect("write the manifest");
    // From elsewhere: what counts is where the manifest is.
    let file = file.to_str().expect("the path is text");
    let applied = native.cli().ok(&["apply", "-f", file]).await;
    assert!(applied.contains('m'), "{applied}");
    let seen = native.http.get("/m/pid").await.expect(200).json();
    let service = project.join("service").canonicalize().expect("it is there");
    assert_eq!(text(&seen, "/cwd"), service.to_str().expect("text"));
    native.cli().ok(&["apply", "-f", file]).await;
    assert_eq!(native.status("m").await["revision"], 1, "nothing changed");
    fs::write(file, manifest(2)).expect("write the manifest");
    native.cli().ok(&["apply", "-f", file]).await;
    assert_eq!(native.status("m").await["revision"], 2);
    let env = native.http.get("/m/env").await.expect(200).json();
    assert_eq!(text(&env, "/NUMBER"), "2");
}

#[tokio::test]
async fn manifest_with_mistakes_is_refused_with_their_place() {
    let native = Native::start().await;
    let file = native.folder().join("samovar.toml");
    let cases = [
        ("process = { args = [\"x\"] }", "process.command"),
        ("process = { command = \"x\", gpus = 1.5 }", "process.gpus"),
        ("process = { command = \"x\", listen = \"pipe\" }", "listen"),
        ("process = { command = \"x\", helth = \"/\" }", "helth"),
        ("process = { command = \"x\" }\ndistribute = { type = \"mpi\", workers = 2 }", "mpi"),
    ];
    for (lines, place) in cases {
        fs::write(&file, format!("[deployments.m]\n{lines}\n")).expect("write the manifest");
        let path = file.to_str().expect("the path is text");
        let complaint = native.cli().fails(BAD_CONFIGURATION, &["apply", "-f", path]).await;
        assert!(complaint.contains(place), "{lines}: {complaint}");
    }
    assert!(native.workers().is_empty());
}
