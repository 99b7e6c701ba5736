//! Starting and stopping: flags, ports, folders, signals.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use samovar_tests::components::padded;
use samovar_tests::load::at_once;
use samovar_tests::status::number;
use samovar_tests::{Cli, Options, Samovar, tiny_handler};
use serde_json::json;

use crate::support::{BEHAVE, fixed};

/// Exit status of a command that failed.
const FAILED: i32 = 1;
/// Exit status of a command line that cannot be.
const BAD_USAGE: i32 = 2;
/// Exit status for a configuration that cannot be.
const BAD_CONFIGURATION: i32 = 64;

fn args(args: &[&str]) -> Options {
    Options { args: args.iter().map(ToString::to_string).collect(), ..Options::default() }
}

#[tokio::test]
async fn port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind port 0");
    let address = taken.local_addr().expect("it is bound").to_string();
    let port = address.rsplit(':').next().expect("there is a port");
    let data_plane = Options { listen: Some(address.clone()), ..Options::default() };
    let admin = Options { admin: Some(address.clone()), ..Options::default() };
    for options in [data_plane, admin] {
        let complaint = Samovar::refuses(options, FAILED).await;
        assert!(complaint.contains(port) && complaint.contains("in use"), "{complaint}");
    }
}

#[tokio::test]
async fn second_server_on_one_data_folder_is_refused() {
    let samovar = Samovar::start().await;
    samovar.deploy_wasm("tiny", tiny_handler(204), json!({})).await;
    let same = Options { data: Some(samovar.data()), ..Options::default() };
    let complaint = Samovar::refuses(same, FAILED).await;
    let folder = samovar.data();
    assert!(complaint.contains(folder.to_str().expect("text")), "{complaint}");
    assert!(complaint.contains("in use"), "{complaint}");
    samovar.http.get("/tiny").await.expect(204);
    samovar.deploy_wasm("more", tiny_handler(201), json!({})).await;
}

#[tokio::test]
async fn data_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("a-file");
    fs::write(&file, "not a folder").expect("write a file");
    for data in [file.clone(), file.join("below")] {
        let complaint =
            Samovar::refuses(Options { data: Some(data), ..Options::default() }, FAILED).await;
        assert!(complaint.contains("a-file"), "{complaint}");
    }
    assert_eq!(fs::read(&file).expect("it is still there"), b"not a folder");
}

#[tokio::test]
async fn metadata_of_nonsense_is_refused_and_left_alone() {
    let mut samovar = Samovar::start().await;
    samovar.deploy_wasm("tiny", tiny_handler(204), json!({})).await;
    samovar.kill9();
    let data = samovar.data();
    let metadata: Vec<_> = samovar_tests::files::below(&data)
        .into_iter()
        .filter(|path| !path.starts_with(data.join("artifacts")))
        .filter(|path| !path.starts_with(data.join("code")))
        .filter(|path| *path != data.join("keyvalue.redb"))
        .filter(|path| fs::metadata(path).is_ok_and(|file| file.len() > 100))
        .collect();
    assert!(!metadata.is_empty(), "no metadata in {}", data.display());
    for file in &metadata {
        fs::write(file, "nonsense ".repeat(1000)).expect("write a file");
    }
    let complaint =
        Samovar::refuses(Options { data: Some(data), ..Options::default() }, FAILED).await;
    let name = metadata[0].file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(complaint.contains(name), "{complaint}");
    let left = fs::read(&metadata[0]).expect("it is still there");
    assert!(left.starts_with(b"nonsense"), "the evidence is gone");
}

#[tokio::test]
async fn key_values_of_nonsense_are_left_alone_and_all_else_goes_on() {
    let mut samovar = Samovar::start().await;
    samovar.deploy_wasm("tiny", tiny_handler(204), json!({})).await;
    samovar.kill9();
    let file = samovar.data().join("keyvalue.redb");
    fs::write(&file, "nonsense ".repeat(1000)).expect("write a file");
    samovar.start_again().await;
    samovar.http.get("/tiny").await.expect(204);
    let left = fs::read(&file).expect("it is still there");
    assert!(left.starts_with(b"nonsense"), "the evidence is gone");
}

#[tokio::test]
async fn wrong_flags_are_a_usage_error() {
    for wrong in [&["--slots", "many"][..], &["--max-component-size", "huge"], &["--no-such"]] {
        let complaint = Samovar::refuses(args(wrong), BAD_USAGE).await;
        assert!(complaint.contains(wrong[0]), "{complaint}");
    }
}

#[tokio::test]
async fn unknown_key_in_the_server_config_is_named() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = write(folder.path(), "server.toml", "max_componet_size = \"1MiB\"\n");
    let complaint = Samovar::refuses(args(&["--config", &file]), BAD_CONFIGURATION).await;
    for word in ["max_componet_size", "max_component_size", "server.toml"] {
        assert!(complaint.contains(word), "{complaint}");
    }
}

#[tokio::test]
async fn flags_win_over_environment_over_file() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = write(folder.path(), "server.toml", "max_component_size = \"4KiB\"\n");
    let uploads = async |args: &[&str], env: &[(&str, &str)], status: u16| {
        let samovar = Samovar::start_with(args, env).await;
        let wasm = padded(&tiny_handler(200), 10_000);
        samovar.admin.post("/v1/components", wasm).await.expect(status);
    };
    let roomy = [("SAMOVAR_MAX_COMPONENT_SIZE", "1MiB")];
    let config = ["--config", file.as_str()];
    uploads(&config, &[], 413).await;
    uploads(&config, &roomy, 201).await;
    uploads(&[&config[..], &["--max-component-size", "4KiB"]].concat(), &roomy, 413).await;
}

#[tokio::test]
async fn ongoing_requests_finish_before_the_server_stops() {
    let samovar = Samovar::start().await;
    samovar.deploy("slow", BEHAVE, fixed(1)).await;
    let ongoing = at_once(&samovar.http, "/slow/sleep?ms=1000", 1);
    samovar.wait_status("slow", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    samovar.terminate();
    assert_eq!(ongoing.answers().await[0].status, 200);
    let mut samovar = samovar;
    samovar.ended(0).await;
}

#[tokio::test]
async fn stopping_waits_no_longer_than_the_drain_timeout() {
    let samovar = Samovar::start_with(&["--drain-timeout", "300ms"], &[]).await;
    samovar.deploy("slow", BEHAVE, fixed(1)).await;
    let _ongoing = at_once(&samovar.http, "/slow/sleep?ms=600000", 1);
    samovar.wait_status("slow", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    samovar.stop().await;
}

#[tokio::test]
async fn second_signal_stops_at_once() {
    let mut samovar = Samovar::start_with(&["--drain-timeout", "1h"], &[]).await;
    samovar.deploy("slow", BEHAVE, fixed(1)).await;
    let _ongoing = at_once(&samovar.http, "/slow/sleep?ms=600000", 1);
    samovar.wait_status("slow", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    samovar.terminate();
    // The first signal has been taken when new connections are refused or answered with 503.
    samovar_tests::eventually("the server is stopping", async || {
        let fresh = samovar_tests::Http::new(samovar.http.address());
        let answer = fresh.try_get("/slow/ok").await;
        answer.map_or(true, |reply| reply.status == 503).then_some(())
    })
    .await;
    samovar.terminate();
    samovar.ended_somehow().await;
}

#[tokio::test]
async fn stopped_server_starts_again_where_it_was() {
    let folder = tempfile::tempdir().expect("make a folder");
    let at = |name: &str| Options { data: Some(folder.path().join(name)), ..Options::default() };
    let first = Samovar::start_options(at("before")).await;
    first.deploy_wasm("tiny", tiny_handler(204), json!({})).await;
    first.stop().await;
    // Nothing in it depends on where it is.
    fs::rename(folder.path().join("before"), folder.path().join("after")).expect("move it");
    for _ in 0..2 {
        let again = Samovar::start_options(at("after")).await;
        again.http.get("/tiny").await.expect(204);
        again.stop().await;
    }
}

#[tokio::test]
async fn help_teaches_and_version_answers() {
    let folder = tempfile::tempdir().expect("make a folder");
    let cli = Cli::new(folder.path(), "http://127.0.0.1:1");
    let help = cli.ok(&["--help"]).await;
    for command in ["up", "deploy", "list", "status", "delete", "policy", "invoke", "logs"] {
        assert!(help.contains(command), "--help does not mention {command}");
    }
    assert!(cli.ok(&["up", "--help"]).await.contains("SAMOVAR_LISTEN"));
    assert!(cli.ok(&["--version"]).await.starts_with("samovar "));
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("write a file");
    path.to_str().expect("the path is text").to_owned()
}
