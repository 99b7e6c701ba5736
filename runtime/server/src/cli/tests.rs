//! The command line as a whole, and what the commands print.

mod manual;
mod native;

use clap::CommandFactory as _;
use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::api;
use crate::config::ConfigError;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn deployment() -> api::Deployment {
    serde_json::from_value(json!({
        "name": "thumbnail", "revision": 3, "component": DIGEST, "route": "/thumbnail",
        "world": "wasi:http/service@0.3",
        "spec": {
            "replicas": {"min": 0, "max": 8}, "concurrency": 16, "idle_ttl": "5m",
            "scaledown_ttl": "30s", "scaling": {"interval": "1s"}, "added-later": true,
        },
        "replicas": {"starting": 1, "ready": 2, "draining": 0},
        "target": 3, "queued": 4, "ongoing": 32,
        "policy": {
            "name": "lightning", "digest": DIGEST, "config": {"max_batch_size": 2},
            "state": "live", "last_error": null,
        },
        "last_start_error": null,
        "totals": {
            "arrived": 100, "completed": 60, "failed": 1, "rejected": 2, "timed_out": 1,
            "replicas_started": 5, "replicas_failed": 0,
        },
    }))
    .unwrap()
}

fn printed(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn check_failure(error: anyhow::Error, expected: Expect) {
    let mut out = Vec::new();
    failure::print(&error, &mut out).unwrap();
    expected.assert_eq(&String::from_utf8(out).unwrap());
}

#[test]
fn tree_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does() {
    let command = Cli::command();
    for command in command.get_subcommands() {
        assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        for option in command.get_arguments().filter(|option| !option.is_positional()) {
            assert!(option.get_help().is_some(), "{} of {}", option.get_id(), command.get_name());
        }
    }
}

#[test]
fn documented_command_lines_parse() {
    for line in [
        "up --listen 127.0.0.1:0 --admin 127.0.0.1:0 --data d --config c --admin-token-file f",
        "up --drain-timeout 30s --max-component-size 64MiB --compile-timeout 120s",
        "up --compile-memory 2GiB --slots 1000 --log-format json",
        "deploy f.wasm --name n --replicas 0..8 --initial-replicas 1 --concurrency 2",
        "deploy f.wasm --name n --idle-ttl 5m --scaledown-ttl 30s --max-requests 0 --max-age off",
        "deploy f.wasm --name n --queue-max 10 --queue-timeout 1s --policy p --set a=1 --set b=x",
        "deploy f.wasm --name n --interval 1s --memory 128MiB --request-timeout 30s",
        "deploy f.wasm --name n --cpu-time 10s --env K=V --env L=W --route /r --output json",
        "list --admin-url http://127.0.0.1:1 --admin-token-file f --output json",
        "deploy f.wasm --name n --max-batch-size 4 --timeout-batching 5ms --reuse on --ready any",
        "deploy f.wasm --name n --endpoint /p --input-schema i --output-schema o --ready 2",
        "deploy f.wasm --name n --calls a,b --outbound https://*.a.b --outbound *://localhost:*",
        "deploy f.wasm --name n --cold-start-proxy m --value K=V --secret A=env:B --secret C=file:d",
        "status n --watch",
        "replicas list n",
        "replicas show n 7",
        "replicas add n --count 2",
        "replicas remove n 2/7",
        "replicas restart n 7 --output json",
        "scale n 3",
        "pause n --replicas 0",
        "resume n",
        "decide n",
        "ready n",
        "ready n --wait",
        "ready n --wait 30s",
        "delete n",
        "policy push f.wasm --name n",
        "policy swap d p --set k=v",
        "policy list",
        "decisions n --limit 12",
        "invoke n",
        "invoke n /path -X PUT -H a:b -H c:d -d @file",
        "invoke n --reuse off --env K=V --limit memory=1GiB --limit cpu_time=5s",
        "load n --rate 50",
        "load n path?x=1 --arrivals poisson:50/s --for 5m --plot a.svg --plot b.png --csv c",
        "load n -X PUT -H a:b -d @file --trace t.csv --also a,b --record r.csv --interval 5s",
        "load n --profile t.csv --connections 10 --timeout 5s --seed 3 --title T --width 600",
        "load n --users 10@10s,50@5m --think exp:1s --ramp 10s --duration 20m",
        "load http://127.0.0.1:1/x --concurrency 8 --output json",
        "logs n -f",
        "apply -f samovar.toml",
        "new handler d",
        "new policy d",
        "build",
        "build d",
        "completion bash",
    ] {
        let arguments = ["samovar"].into_iter().chain(line.split(' '));
        if let Err(error) = Cli::try_parse_from(arguments) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn wrong_values_are_refused_with_a_reason() {
    let error = |line: &str| {
        let arguments = ["samovar"].into_iter().chain(line.split(' '));
        let error = Cli::try_parse_from(arguments).unwrap_err().to_string();
        error.lines().next().unwrap_or_default().to_owned()
    };
    expect!["error: invalid value 'N' for '--name <NAME>': `N` is not a deployment name: use 1 to 63 characters of a-z, 0-9 and `-`, with a letter or digit at both ends"].assert_eq(&error("deploy f --name N"));
    expect!["error: invalid value '5' for '--idle-ttl <TIME>': `5` is not a duration (time unit needed, for example 5sec or 5ms); write it like `250ms`, `30s` or `5m`, or `off`"].assert_eq(&error("deploy f --name n --idle-ttl 5"));
    expect!["error: invalid value 'big' for '--memory <SIZE>': `big` is not a size; write it like `64KiB`, `100MiB` or `1GiB`"].assert_eq(&error("deploy f --name n --memory big"));
    expect!["error: invalid value 'a..b' for '--replicas <A..B>': `a..b` is not a number of replicas; write a range like `0..8` or a number like `3`"].assert_eq(&error("deploy f --name n --replicas a..b"));
    expect!["error: invalid value 'x' for '--set <KEY=VALUE>': write it like KEY=VALUE"]
        .assert_eq(&error("deploy f --name n --set x"));
    expect![
        "error: invalid value 'localhost' for '--listen <ADDR>': invalid socket address syntax"
    ]
    .assert_eq(&error("up --listen localhost"));
    expect!["error: invalid value 'x=y' for '--secret <NAME=SOURCE>': write it like NAME=env:VARIABLE or NAME=file:PATH"].assert_eq(&error("deploy f --name n --secret x=y"));
    expect!["error: invalid value 'seven' for '<ID>': replicas are named by a number, as in `samovar replicas list`"].assert_eq(&error("replicas show n seven"));
    expect!["error: invalid value 'https://a.b' for '<NAME|URL>': write a URL that begins with http://; for https use a tunnel"].assert_eq(&error("load https://a.b --rate 1"));
    expect!["error: the argument '--rate <N>' cannot be used with '--users <COUNTS>'"]
        .assert_eq(&error("load n --rate 1 --users 2"));
    expect!["error: the following required arguments were not provided:"]
        .assert_eq(&error("load n"));
    expect!["error: invalid value 'x' for '--header <NAME: VALUE>': write it like `name: value`"]
        .assert_eq(&error("invoke n -H x"));
}

#[test]
fn lists_are_tables() {
    let mut failing = deployment();
    failing.policy.state = api::PolicyState::Failing;
    failing.name = "a-longer-name".parse().unwrap();
    let list = [deployment(), failing];
    expect![[r#"
        NAME           ROUTE       READY  TARGET  BOUNDS  QUEUED  ONGOING  POLICY               COMPONENT
        thumbnail      /thumbnail  2      3       0..8    4       32       lightning            sha256:e3b0c44298fc
        a-longer-name  /thumbnail  2      3       0..8    4       32       lightning (failing)  sha256:e3b0c44298fc
    "#]].assert_eq(&printed(|out| list::write_list(out, &list)));
    expect![[r#"
        no deployments; `samovar deploy FILE --name NAME` makes one
    "#]]
    .assert_eq(&printed(|out| list::write_list(out, &[])));
}

#[test]
fn status_names_what_fails() {
    let mut failing = deployment();
    failing.policy.state = api::PolicyState::Failing;
    failing.policy.last_error = Some("out of fuel".to_owned());
    failing.last_start_error = Some("out of memory".to_owned());
    failing.warnings = vec!["starvation".to_owned()];
    expect![[r#"
        thumbnail, revision 3
          url           http://127.0.0.1:8080/thumbnail
          component     sha256:e3b0c44298fc, wasi:http/service@0.3
          replicas      2 ready, 1 starting, 0 draining; target 3, bounds 0..8
          requests      32 ongoing, 4 queued; 16 at a time per replica
          since start   100 arrived, 60 completed, 1 failed, 2 rejected, 1 timed out
          starts        5 replicas, 0 failed
          idle          all replicas go after 5m, one after 30s
          policy        lightning every 1s, {"max_batch_size":2}
          policy fails  out of fuel
          start failed  out of memory
          warning       starvation
    "#]]
    .assert_eq(&printed(|out| {
        status::write_status(out, &failing, "http://127.0.0.1:8080/thumbnail")
    }));
}

#[test]
fn decisions_are_a_table() {
    let list: api::DecisionList = serde_json::from_value(json!({"decisions": [
        {
            "at_ms": 3_723_004, "policy": "lightning", "digest": DIGEST, "wish": 9.5,
            "proposed": 10, "target": 8, "limited_by": "max", "reason": "36 requests\n\u{1b}[2J",
            "error": null, "took_us": 85, "ready": 2, "starting": 1, "queued": 4, "ongoing": 32,
        },
        {
            "at_ms": 3_724_004, "policy": "mine", "digest": DIGEST, "wish": "hold",
            "proposed": null, "target": 8, "limited_by": null, "reason": "",
            "error": "out of fuel", "took_us": 12_000, "ready": 3, "starting": 0, "queued": 0,
            "ongoing": 0,
        },
    ]}))
    .unwrap();
    expect![[r#"
        TIME          POLICY     READY  STARTING  QUEUED  ONGOING  WISH  TARGET  LIMIT  TOOK     REASON
        01:02:03.004  lightning  2      1         4       32       9.5   8       max    85 us    36 requests  [2J
        01:02:04.004  mine       3      0         0       0        hold  8       -      12.0 ms  failed: out of fuel
    "#]].assert_eq(&printed(|out| decisions::write_decisions(out, &list.decisions)));
}

#[test]
fn policies_are_a_table() {
    let policies: api::PolicyList = serde_json::from_value(json!({"policies": [
        {
            "name": "lightning", "digest": DIGEST, "builtin": true, "used_by": ["a", "b"],
            "description": {
                "name": "lightning", "version": "0.1.0", "config_schema": {},
                "needs_replicas": false,
            },
        },
        {
            "name": "mine", "digest": DIGEST, "builtin": false, "used_by": [],
            "description": {
                "name": "x", "version": "", "config_schema": {}, "needs_replicas": false,
            },
        },
    ]}))
    .unwrap();
    expect![[r#"
        NAME       VERSION  ORIGIN    USED BY  COMPONENT
        lightning  0.1.0    built in  a, b     sha256:e3b0c44298fc
        mine                pushed    -        sha256:e3b0c44298fc
    "#]]
    .assert_eq(&printed(|out| policy::write_policies(out, &policies.policies)));
}

#[test]
fn log_lines_cannot_drive_the_terminal() {
    let line: api::LogLine = serde_json::from_value(json!({
        "at_ms": 3_723_004, "deployment": "thumbnail", "replica": 7, "stream": "stderr",
        "line": "a\tb\u{1b}[2Jc",
    }))
    .unwrap();
    expect!["1970-01-01T01:02:03.004Z   #7 stderr | a	b�[2Jc"].assert_eq(&logs::text(&line));
}

#[test]
fn failures_print_the_chain_once_and_a_hint() {
    let admin = "0.0.0.0:9090".parse().unwrap();
    let error = anyhow::Error::new(ConfigError::PublicAdminWithoutToken { admin });
    assert_eq!(failure::exit_code(&error), ExitCode::from(64));
    check_failure(
        error.context("start"),
        expect![[r#"
        error: start: the admin API at 0.0.0.0:9090 can be reached from other machines, but there is no token
        hint: give it one with --admin-token-file FILE or the variable SAMOVAR_ADMIN_TOKEN, or use an address of this machine only, like 127.0.0.1:9090
    "#]],
    );

    let error = failure::hinted("x is a folder", "build it");
    assert_eq!(failure::exit_code(&error), ExitCode::from(1));
    check_failure(
        error,
        expect![[r#"
        error: x is a folder
        hint: build it
    "#]],
    );

    let pipe = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("print");
    assert!(failure::is_broken_pipe(&pipe));
}

#[test]
fn files_that_are_no_components_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str| {
        let error = artifact::check(&dir.path().join(name)).unwrap_err();
        let mut out = Vec::new();
        failure::print(&error, &mut out).unwrap();
        String::from_utf8(out).unwrap().replace(&dir.path().display().to_string(), "DIR")
    };
    std::fs::write(dir.path().join("hello.wat"), "(component)").unwrap();
    std::fs::write(dir.path().join("empty.wasm"), "").unwrap();
    expect![[r#"
        error: DIR/ is a folder, not a component
        hint: compile it with `samovar build DIR/`, which prints the component's path
    "#]]
    .assert_eq(&check(""));
    expect![[r#"
        error: DIR/hello.wat is WebAssembly in text form
        hint: make it binary with `wasm-tools parse DIR/hello.wat -o component.wasm`
    "#]]
    .assert_eq(&check("hello.wat"));
    expect![[r#"
        error: DIR/empty.wasm is empty
    "#]]
    .assert_eq(&check("empty.wasm"));
    expect![[r#"
        error: read DIR/missing.wasm: No such file or directory (os error 2)
    "#]]
    .assert_eq(&check("missing.wasm"));
}
