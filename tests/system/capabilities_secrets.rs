//! Secrets: they reach the handler or process they are meant for, and nobody else.

use std::fs;
use std::path::Path;

use samovar_tests::native::processes;
use samovar_tests::{Native, Options, Samovar, eventually, files};
use serde_json::{Value, json};

use crate::calls::quoted;
use crate::capabilities::{CAPABLE, deploy, put, said};
use crate::support::{fixed, names, with};

/// What must not be seen.
const KEY: &str = "sk-4f9a1c77b2e05d63";
const TOKEN: &str = "tok-90ddc1e8/+=";

/// A server that has the key in its environment.
async fn start() -> Native {
    let env = vec![("UPSTREAM_KEY".to_owned(), KEY.to_owned())];
    Native::start_options(Options { env, ..Options::default() }).await
}

/// A spec with both secrets. The token is in a file.
fn secrets(folder: &Path) -> Value {
    let file = folder.join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("write a file of the test");
    json!({"secrets": {"API_KEY": {"env": "UPSTREAM_KEY"}, "TOKEN": {"file": file}}})
}

/// Fails if a secret is in `text`.
#[track_caller]
fn is_clean(what: &str, text: &str) {
    for secret in [KEY, TOKEN] {
        assert!(!text.contains(secret), "{what} tells a secret: {text}");
    }
}

/// All that the admin API and the client tell, and all that is on disk, is clean.
async fn nothing_is_told(native: &Native, name: &str) {
    for path in [
        "/v1/deployments".to_owned(),
        format!("/v1/deployments/{name}"),
        format!("/v1/deployments/{name}/replicas"),
        format!("/v1/deployments/{name}/decisions"),
        format!("/v1/deployments/{name}/logs?limit=2000"),
        "/v1/machine".to_owned(),
        "/metrics".to_owned(),
        "/openapi.json".to_owned(),
    ] {
        is_clean(&path, &native.admin.get(&path).await.text());
    }
    let cli = native.cli();
    for command in
        [vec!["status", name], vec!["list"], vec!["logs", name], vec!["replicas", "list", name]]
    {
        let output = cli.run(&command).await;
        is_clean(&command.join(" "), &format!("{}{}", output.stdout, output.stderr));
        let json = cli.run(&[&command[..], &["--output", "json"]].concat()).await;
        is_clean(&command.join(" "), &format!("{}{}", json.stdout, json.stderr));
    }
    is_clean("the server's log", &native.stderr());
    for file in files::below(&native.data()) {
        let bytes = fs::read(&file).unwrap_or_default(); // It may be gone again.
        is_clean(&file.display().to_string(), &String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn handlers_see_their_secrets_and_nobody_else_does() {
    let native = start().await;
    let spec = with(secrets(native.folder()), json!({"env": {"OPEN": "yes"}}));
    let status = deploy(&native, spec).await;
    is_clean("the answer", &status.to_string());
    assert_eq!(status["spec"]["secrets"]["API_KEY"], json!({"env": "UPSTREAM_KEY"}));
    assert_eq!(said(&native, "/env?key=API_KEY").await, KEY);
    assert_eq!(said(&native, "/env?key=TOKEN").await, TOKEN, "without the line's end");
    assert_eq!(said(&native, "/env?key=OPEN").await, "yes");
    // The server's own variable is not the handler's.
    native.http.get("/c/env?key=UPSTREAM_KEY").await.expect(404);
    // The handler prints them.
    for secret in [KEY, TOKEN] {
        let path = format!("/log?level=info&text={}", quoted(&format!("before {secret} after")));
        said(&native, &path).await;
    }
    eventually("both lines are there", async || {
        let log = native.cli().ok(&["logs", "c"]).await;
        (log.matches("before [secret] after").count() == 2).then_some(())
    })
    .await;
    nothing_is_told(&native, "c").await;
    // Another deployment has none of them.
    Samovar::deploy(&native, "other", CAPABLE, fixed(1)).await;
    native.http.get("/other/env?key=API_KEY").await.expect(404);
}

#[tokio::test]
async fn processes_see_their_secrets_and_nobody_else_does() {
    let native = start().await;
    let spec = with(secrets(native.folder()), json!({"env": {"OPEN": "yes"}}));
    let status = native.deploy("n", spec).await;
    is_clean("the answer", &status.to_string());
    let env = native.http.get("/n/env").await.expect(200).json();
    assert_eq!(
        (&env["API_KEY"], &env["TOKEN"], &env["OPEN"]),
        (&json!(KEY), &json!(TOKEN), &json!("yes"))
    );
    for (secret, stream) in [(KEY, "stdout"), (TOKEN, "stderr")] {
        let line = quoted(&format!("before {secret} after"));
        native.http.get(&format!("/n/say?line={line}&stream={stream}")).await.expect(200);
        native.wait_log("n", stream, "before [secret] after").await;
    }
    nothing_is_told(&native, "n").await;
}

#[tokio::test]
async fn failures_that_quote_a_secret_hide_it() {
    let native = Native::start_options(Options {
        // What the process says when it ends is part of the failure's message.
        env: vec![("UPSTREAM_KEY".to_owned(), "weights.bin".to_owned())],
        ..Options::default()
    })
    .await;
    let secrets = json!({"secrets": {"API_KEY": {"env": "UPSTREAM_KEY"}}});
    let spec = native.spec(with(secrets, json!({"env": {"BEHAVE": "exit-at-once"}})));
    let reply = native.put("n", &spec).await;
    let error = reply.refused(422, "start-failed");
    names(&error["message"], &["cannot load the model", "[secret] is missing"]);
    assert!(!reply.text().contains("weights.bin"), "{}", reply.text());
    assert!(!native.stderr().contains("weights.bin"), "{}", native.stderr());
}

#[tokio::test]
async fn secrets_that_are_not_there_refuse_the_deployment() {
    let native = start().await;
    let folder = native.folder();
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).expect("write a file of the test");
        json!({"file": path})
    };
    for (from, words) in [
        (json!({"env": "NO_SUCH_VARIABLE"}), vec!["`API_KEY`", "`NO_SUCH_VARIABLE`"]),
        (json!({"file": "/no/such/secret"}), vec!["`API_KEY`", "/no/such/secret"]),
        (file("binary", b"\xff\xfe"), vec!["`API_KEY`", "UTF-8"]),
        (file("large", &vec![b'x'; 100_000]), vec!["`API_KEY`", "bytes"]),
        (json!({"file": folder}), vec!["`API_KEY`"]),
    ] {
        let spec = json!({"secrets": {"API_KEY": from}});
        let error = put(&native, spec.clone()).await.refused(422, "invalid-field");
        assert_eq!(error["field"], "spec.secrets.API_KEY", "{error}");
        names(&error["message"], &words);
        let error = native.put("n", &native.spec(spec)).await.refused(422, "invalid-field");
        assert_eq!(error["field"], "spec.secrets.API_KEY", "{error}");
    }
    for (from, field) in [
        (json!({"env": "A", "file": "/b"}), "secrets.API_KEY"),
        (json!({}), "secrets.API_KEY"),
        (json!("sk-itself"), "secrets.API_KEY"),
    ] {
        let reply = put(&native, json!({"secrets": {"API_KEY": from}})).await;
        assert!((400..500).contains(&reply.status), "{from}: {}", reply.text());
        assert!(reply.text().contains(field), "{from}: {}", reply.text());
        assert!(!reply.text().contains("sk-itself"), "a misplaced secret is not repeated");
    }
    native.admin.get("/v1/deployments/c").await.expect(404);
}

#[tokio::test]
async fn init_sees_the_secrets_of_its_deployment() {
    let env = vec![("UPSTREAM_KEY".to_owned(), "err".to_owned())];
    let samovar = Samovar::start_options(Options { env, ..Options::default() }).await;
    let secrets = json!({"secrets": {"INIT": {"env": "UPSTREAM_KEY"}}});
    // Whether its instance is one for trial or the first replica.
    for pool in [json!({"replicas": 1}), json!({"replicas": "0..1", "initial_replicas": 0})] {
        let error = put(&samovar, with(secrets.clone(), pool)).await.refused(422, "start-failed");
        names(&error["message"], &["asked to fail"]);
    }
}

#[tokio::test]
async fn deployment_whose_secret_is_gone_comes_back_with_it() {
    let options = |data: &Path, env: &[(&str, &str)]| Options {
        data: Some(data.to_owned()),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Options::default()
    };
    let folder = tempfile::tempdir().expect("make a folder for the test");
    let with_key = options(folder.path(), &[("UPSTREAM_KEY", KEY)]);
    let samovar = Samovar::start_options(with_key.clone()).await;
    deploy(&samovar, json!({"secrets": {"API_KEY": {"env": "UPSTREAM_KEY"}}})).await;
    said(&samovar, "/kv/set?key=tea&value=assam").await;
    samovar.deploy("other", CAPABLE, fixed(1)).await;
    samovar.stop().await;
    // It cannot serve without; the operator is told, and the others are not touched.
    let samovar = Samovar::start_options(options(folder.path(), &[])).await;
    assert_eq!(samovar.http.get("/other/ok").await.expect(200).text(), "ok\n");
    assert_ne!(samovar.http.get("/c/ok").await.status, 200);
    let told = samovar.stop().await;
    let line = told.lines().find(|line| line.contains("UPSTREAM_KEY")).expect("it is told");
    assert!(line.contains("ERROR") && line.contains("deployment=\"c\""), "{line}");
    // It is as it was, its values included.
    let samovar = Samovar::start_options(with_key).await;
    assert_eq!(said(&samovar, "/env?key=API_KEY").await, KEY);
    assert_eq!(said(&samovar, "/kv/get?key=tea").await, "assam");
}

/// The soft limit for core files of a process.
fn core_bytes(pid: i32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max core file size"));
    let words = line.expect("Linux has such a limit").split_whitespace();
    words.skip("Max core file size".split(' ').count()).collect::<Vec<_>>()[0].to_owned()
}

#[tokio::test]
async fn neither_server_nor_processes_leave_core_files() {
    let native = start().await;
    native.deploy("n", secrets(native.folder())).await;
    let replicas = native.wait_ready("n", 1).await;
    let mut pids = vec![native.server_pid()];
    pids.extend(processes(&replicas[0]).iter().map(|process| process.pid));
    assert!(pids.len() > 1, "{replicas:?}");
    for pid in pids {
        let bytes = core_bytes(pid);
        assert!(matches!(bytes.as_str(), "0" | "1"), "{pid} may write {bytes} bytes");
    }
}

#[tokio::test]
async fn secrets_of_older_revisions_stay_hidden() {
    let native = start().await;
    deploy(&native, secrets(native.folder())).await;
    deploy(&native, json!({"secrets": {}})).await;
    native.http.get("/c/env?key=API_KEY").await.expect(404);
    said(&native, &format!("/log?level=info&text={KEY}")).await;
    eventually("the line is there", async || {
        native.cli().ok(&["logs", "c"]).await.contains("INFO [secret]").then_some(())
    })
    .await;
    nothing_is_told(&native, "c").await;
}
