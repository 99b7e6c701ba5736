//! Native processes that do not start: each refusal says what is wrong, and nothing is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use samovar_tests::native::{command_line, python};
use samovar_tests::status::{list, number, text};
use samovar_tests::{Native, eventually, tiny_handler};
use serde_json::{Value, json};

use crate::support::names;

/// Deploys a process that must not start, checks that what is said has all of `words`, that the
/// same is told when it is started by a request, and that nothing is left.
async fn does_not_start(native: &Native, spec: Value, words: &[&str]) {
    let refused = native.put("bad", &native.spec(spec.clone())).await;
    names(&refused.refused(422, "start-failed")["message"], words);
    native.admin.get("/v1/deployments/bad").await.refused(404, "not-found");
    native.wait_no_workers().await;
    let mut lazy = native.spec(spec);
    lazy["replicas"] = json!("0..1");
    native.put("lazy", &lazy).await.expect(201);
    let reply = native.http.get("/lazy").await;
    names(&reply.host_error(503, "start-failed")["message"], words);
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    let status = native.status("lazy").await;
    names(&status["last_start_error"], words);
    assert!(number(&status, "/totals/replicas_failed") >= 1, "{status}");
    assert_eq!(number(&status, "/totals/replicas_started"), 0);
    native.wait_failure("lazy", words).await;
    let shown = native.cli().ok(&["status", "lazy"]).await;
    for word in words {
        assert!(shown.contains(word), "no {word:?} in {shown}");
    }
    native.wait_log("lazy", "system", words[0]).await;
    native.delete("lazy").await;
    native.wait_no_workers().await;
}

fn behaving(behaviour: &str) -> Value {
    json!({"env": {"BEHAVE": behaviour}})
}

#[tokio::test]
async fn process_that_exits_at_once_is_quoted() {
    let native = Native::start().await;
    let words = ["exited with code 1", "cannot load the model: weights.bin is missing"];
    does_not_start(&native, behaving("exit-at-once"), &words).await;
}

#[tokio::test]
async fn process_that_exits_without_an_error_did_not_start_either() {
    let native = Native::start().await;
    does_not_start(&native, behaving("exit-zero"), &["exited with code 0"]).await;
}

#[tokio::test]
async fn process_that_never_gets_ready_is_given_up() {
    let native = Native::start().await;
    let spec = json!({"env": {"BEHAVE": "never-ready"}, "limits": {"start_timeout": "700ms"}});
    does_not_start(&native, spec, &["not ready after", "nothing listens on 127.0.0.1:"]).await;
}

#[tokio::test]
async fn process_that_listens_elsewhere_is_told_where() {
    let native = Native::start().await;
    let spec = json!({"env": {"BEHAVE": "other-port"}, "limits": {"start_timeout": "2s"}});
    let words = ["nothing listens on 127.0.0.1:", "but it listens on 127.0.0.1:"];
    does_not_start(&native, spec, &words).await;
}

#[tokio::test]
async fn process_that_speaks_no_http_is_quoted() {
    let native = Native::start().await;
    let words = ["speaks no HTTP", "220 mail.example ESMTP"];
    does_not_start(&native, behaving("no-http"), &words).await;
}

#[tokio::test]
async fn process_whose_health_path_is_wrong_is_told_so() {
    let native = Native::start().await;
    let spec = json!({"process": {"health": "/healthy"}, "limits": {"start_timeout": "2s"}});
    does_not_start(&native, spec, &["not ready after", "GET /healthy answers 404"]).await;
}

#[tokio::test]
async fn process_that_leaves_daemons_when_it_fails_leaves_nothing() {
    let native = Native::start().await;
    for clean in ["", "clean"] {
        let daemon = if clean.is_empty() { "" } else { "env -i PATH=\"$PATH\" " };
        let script = format!(
            "{daemon}setsid sleep 1000 >/dev/null 2>&1 & echo $! >>\"$FOLDER/daemons\"; sleep 0.1; \
             exit 3"
        );
        let process = json!({"command": "sh", "args": ["-c", script]});
        does_not_start(&native, json!({"process": process}), &["exited with code 3"]).await;
    }
    let daemons = fs::read_to_string(native.folder().join("daemons")).expect("they were started");
    let daemons: Vec<i32> = daemons.lines().map(|pid| pid.parse().expect("a number")).collect();
    assert!(daemons.len() >= 4, "{daemons:?}");
    for pid in daemons {
        eventually(&format!("daemon {pid} ends"), async || {
            (!command_line(pid).starts_with("sleep 1000")).then_some(())
        })
        .await;
    }
}

/// Puts a spec that must be refused before anything is started.
async fn refuse(native: &Native, spec: Value, field: &str, words: &[&str]) {
    let refused = native.put("bad", &spec).await;
    let error = refused.refused(422, "invalid-field");
    let told = format!("{} {} {}", error["field"], error["message"], error["hint"]);
    assert!(text(&error, "/field").contains(field), "{field}: {error}");
    names(&json!(told), words);
    native.admin.get("/v1/deployments/bad").await.refused(404, "not-found");
}

#[tokio::test]
async fn command_that_cannot_be_started_is_refused_before_a_start() {
    let native = Native::start().await;
    let folder = native.folder();
    let file = folder.join("not-executable");
    fs::write(&file, "#!/bin/sh\n").expect("write a file");
    let interpreter = folder.join("bad-interpreter");
    fs::write(&interpreter, "#!/no/such/interpreter\n").expect("write a file");
    fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o755)).expect("make it so");
    let spec = |process: Value| json!({"process": process, "replicas": "0..1"});
    let cases = [
        (json!({"command": "no-such-command-at-all"}), vec!["no-such-command-at-all", "PATH"]),
        (json!({"command": "/no/such/file"}), vec!["/no/such/file", "does not exist"]),
        (json!({"command": file}), vec!["not-executable", "cannot be executed"]),
        (json!({"command": folder}), vec!["cannot be executed"]),
        (json!({"command": python(), "cwd": "/no/such/folder"}), vec!["/no/such/folder"]),
        (json!({"command": python(), "cwd": file}), vec!["not-executable"]),
    ];
    for (process, words) in cases {
        refuse(&native, spec(process), "process", &words).await;
    }
    // That can only be known by trying.
    let spec = json!({"process": {"command": interpreter}, "replicas": 1});
    let refused = native.put("bad", &spec).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    names(&refused.json()["error"]["message"], &["bad-interpreter"]);
    assert!(native.workers().is_empty());
}

#[tokio::test]
async fn command_that_vanishes_later_fails_with_its_name() {
    let native = Native::start().await;
    let script = native.folder().join("start.sh");
    fs::write(&script, "#!/bin/sh\nexit 1\n").expect("write a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make it so");
    let spec = native.spec(json!({"process": {"command": script, "args": []}, "replicas": "0..1"}));
    native.put("m", &spec).await.expect(201);
    fs::remove_file(&script).expect("it is there");
    let reply = native.http.get("/m").await;
    names(&reply.host_error(503, "start-failed")["message"], &["start.sh", "does not exist"]);
}

#[tokio::test]
async fn spec_of_a_process_is_checked() {
    let native = Native::start_with(&["--devices", "2"]).await;
    let component = native.upload(tiny_handler(200)).await;
    let process = |more: Value| {
        let spec = native.spec(json!({"process": more, "replicas": "0..1"}));
        (spec, "process")
    };
    let whole =
        |more: Value, field: &'static str| (native.spec(json!({"replicas": "0..1"})), more, field);
    let bad_processes = [
        (json!({"gpus": 1.5}), "1.5"),
        (json!({"gpus": -1}), "-1"),
        (json!({"gpus": 3}), "3"),
        (json!({"gpus": 0.0001}), "gpus"),
        (json!({"gpus": 1e30}), "gpus"),
        (json!({"memory": "1 elephant"}), "elephant"),
        (json!({"memory": "-1MiB"}), "memory"),
        (json!({"memory": "0MiB"}), "memory"),
        (json!({"command": ""}), "command"),
        (json!({"command": "a\u{0}b"}), "NUL"),
        (json!({"args": ["a\u{0}b"]}), "NUL"),
        (json!({"health": "health"}), "health"),
        (json!({"health": "/a b"}), "health"),
        (json!({"health_failures": 0}), "health_failures"),
        (json!({"health_interval": "0s"}), "health_interval"),
        (json!({"grace": "-1s"}), "grace"),
        (json!({"cwd": "relative/folder"}), "relative/folder"),
    ];
    for (members, word) in bad_processes {
        let (spec, field) = process(members);
        refuse(&native, spec, field, &[word]).await;
    }
    let gang = |members: Value| {
        let mut distribute = json!({"type": "pytorch", "workers": 2});
        for (key, value) in members.as_object().expect("an object") {
            distribute[key] = value.clone();
        }
        json!({"distribute": distribute})
    };
    let bad_specs = [
        (json!({"component": component}), "process", "component"),
        (json!({"limits": {"memory": "1GiB"}}), "limits.memory", "process.memory"),
        (json!({"limits": {"cpu_time": "1s"}}), "limits.cpu_time", "cpu_time"),
        (gang(json!({"type": "mpi"})), "distribute.type", "mpi"),
        (gang(json!({"workers": null})), "distribute.workers", "missing"),
        (gang(json!({"workers": 0})), "distribute.workers", "0"),
        (gang(json!({"procs": 0})), "distribute.procs", "0"),
        (gang(json!({"workers": 1000, "procs": 1000})), "distribute", "1000"),
        (gang(json!({"quorum_workers": 3})), "distribute.quorum_workers", "3"),
        (gang(json!({"quorum_workers": 0})), "distribute.quorum_workers", "0"),
        (json!({"fleet": {"command": ["x"]}}), "fleet", "worker"),
        (json!({"env": {"A=B": "c"}}), "env", "A=B"),
        (json!({"env": {"A": "a\u{0}b"}}), "env", "A"),
    ];
    for (members, field, word) in bad_specs {
        let (mut spec, members, field) = whole(members, field);
        for (key, value) in members.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        refuse(&native, spec, field, &[word]).await;
    }
    let alone = json!({"distribute": {"workers": 2}, "replicas": 1});
    refuse(&native, alone, "distribute", &["process"]).await;
    assert!(list(&native.admin.get("/v1/deployments").await.json(), "/deployments").is_empty());
}

#[tokio::test]
async fn values_of_a_wrong_kind_are_refused() {
    let native = Native::start_with(&["--devices", "2"]).await;
    // JSON has no NaN; who sends it all the same gets an answer.
    for gpus in ["NaN", "\"NaN\"", "\"1\"", "[1]", "1e999", "null1"] {
        let spec = format!(r#"{{"process": {{"command": "python3", "gpus": {gpus}}}}}"#);
        let refused = native.admin.put("/v1/deployments/bad", spec).await;
        assert!(matches!(refused.status, 400 | 422), "{gpus}: {}", refused.text());
        assert!(refused.json()["error"]["message"].is_string(), "{gpus}");
    }
    let unknown = native.put("bad", &native.spec(json!({"process": {"helth": "/"}}))).await;
    names(&unknown.refused(422, "unknown-field")["message"], &["helth"]);
    // By position, a list could be taken for an object.
    for spec in [
        json!({"process": ["python3"]}),
        json!({"process": {"command": "python3"}, "distribute": ["spmd", 2]}),
        json!({"process": {"command": "python3"}, "worker": ["vast"]}),
        json!({"worker": {"workload": ["x-work"]}}),
        json!({"worker": {}, "fleet": [["true"]]}),
    ] {
        let refused = native.put("bad", &spec).await;
        assert!(matches!(refused.status, 400 | 422), "{spec}: {}", refused.text());
    }
    native.admin.get("/v1/deployments/bad").await.refused(404, "not-found");
}

#[tokio::test]
async fn gang_that_needs_more_than_the_machine_has_is_refused() {
    let native = Native::start_with(&["--devices", "2"]).await;
    let gang = |workers: u32, quorum: u32| {
        let distribute = json!({"workers": workers, "quorum_workers": quorum});
        native.spec(json!({"process": {"gpus": 1}, "distribute": distribute}))
    };
    refuse(&native, gang(3, 3), "process.gpus", &["3", "2"]).await;
    refuse(&native, gang(8, 3), "process.gpus", &["3", "2"]).await;
    native.put("good", &gang(2, 2)).await.expect(201);
}

#[tokio::test]
async fn machine_without_devices_refuses_who_needs_one() {
    let native = Native::start_with(&["--devices", "none"]).await;
    let spec = native.spec(json!({"process": {"gpus": 0.5}, "replicas": "0..1"}));
    refuse(&native, spec, "process.gpus", &["0.5"]).await;
    native.deploy("m", json!({})).await;
    assert!(list(&native.machine().await, "/devices").is_empty());
}

#[tokio::test]
async fn server_that_may_run_no_processes_refuses_them() {
    let native = Native::start_with(&["--processes", "false"]).await;
    let spec = native.spec(json!({}));
    refuse(&native, spec, "process", &["runs no processes", "--processes false"]).await;
    assert!(native.workers().is_empty());
}
