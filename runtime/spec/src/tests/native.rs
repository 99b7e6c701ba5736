//! Specs of processes, gangs and workers.

use super::super::*;
use expect_test::{Expect, expect};

fn parse(json: &str) -> Result<DeploymentSpec, SpecError> {
    let name: DeploymentName = "model".parse().unwrap();
    RawSpec::from_json(json.as_bytes())?.validate(&name, World::HttpProxy02)
}

pub(super) fn check(json: &str, keys: &[&str], expected: Expect) {
    let spec = parse(json).unwrap();
    let full = serde_json::to_value(&spec).unwrap();
    let again: DeploymentSpec = serde_json::from_value(full.clone()).unwrap();
    assert_eq!(again, spec, "the full form reads back");
    let part: serde_json::Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), full[*key].clone())).collect();
    expected.assert_eq(&serde_json::to_string_pretty(&part).unwrap());
}

pub(super) fn check_errors(inputs: &[&str], expected: Expect) {
    let mut report = String::new();
    for input in inputs {
        let error = parse(&format!("{{{input}}}")).expect_err(input);
        report.push_str(&format!("{input}\n  {error}\n"));
        if let Some(hint) = error.hint {
            report.push_str(&format!("  hint: {hint}\n"));
        }
    }
    expected.assert_eq(&report);
}

#[test]
fn a_process_gets_its_defaults() {
    check(
        r#"{"process": {"command": "python3"}}"#,
        &["process", "concurrency", "limits", "component"],
        expect![[r#"
            {
              "component": null,
              "concurrency": 16,
              "limits": {
                "request_body": "100MiB",
                "request_headers": "64KiB",
                "request_timeout": "30s",
                "response_body": "1GiB",
                "response_headers": "64KiB",
                "stall_timeout": "30s",
                "start_timeout": "10m"
              },
              "process": {
                "args": [],
                "command": "python3",
                "grace": "10s",
                "health_failures": 3,
                "health_interval": "10s",
                "health_timeout": "5s",
                "listen": "port"
              }
            }"#]],
    );
}

#[test]
fn a_gang_gets_its_defaults() {
    check(
        r#"{"process": {"command": "x", "gpus": 0.5}, "distribute": {"workers": 4}}"#,
        &["process", "distribute"],
        expect![[r#"
            {
              "distribute": {
                "procs": 1,
                "quorum_timeout": "5m",
                "quorum_workers": 4,
                "type": "spmd",
                "workers": 4
              },
              "process": {
                "args": [],
                "command": "x",
                "gpus": 0.5,
                "grace": "10s",
                "health_failures": 3,
                "health_interval": "10s",
                "health_timeout": "5s",
                "listen": "port"
              }
            }"#]],
    );
}

#[test]
fn workers_and_their_fleet_get_their_defaults() {
    check(
        r#"{"worker": {}, "fleet": {"command": ["rent", "--spot"]}}"#,
        &["worker", "fleet"],
        expect![[r#"
            {
              "fleet": {
                "attempts": 5,
                "command": [
                  "rent",
                  "--spot"
                ],
                "dry_run": false,
                "timeout": "1m"
              },
              "worker": {
                "envelope": false,
                "protocol": "vast",
                "reports_ready": true,
                "timeout": "30s",
                "workload": {
                  "default": 1.0
                }
              }
            }"#]],
    );
    check(
        r#"{"worker": {"workload": {"header": "X-Work", "pointer": "/n", "default": 2.5}},
            "fleet": {"url": "https://example.org/rent", "token_env": "RENT", "dry_run": true}}"#,
        &["worker", "fleet"],
        expect![[r#"
            {
              "fleet": {
                "attempts": 5,
                "dry_run": true,
                "timeout": "1m",
                "token_env": "RENT",
                "url": "https://example.org/rent"
              },
              "worker": {
                "envelope": false,
                "protocol": "vast",
                "reports_ready": true,
                "timeout": "30s",
                "workload": {
                  "default": 2.5,
                  "header": "x-work",
                  "pointer": "/n"
                }
              }
            }"#]],
    );
}

#[test]
fn what_a_replica_is_must_be_clear() {
    check_errors(
        &[
            "",
            r#""component": "sha256:12", "process": {"command": "x"}"#,
            r#""process": {}"#,
            r#""process": {"command": ""}"#,
            r#""process": {"command": "x", "args": ["a\u0000b"]}"#,
            r#""process": {"command": "x", "argz": []}"#,
            r#""distribute": {"workers": 2}"#,
            r#""fleet": {"command": ["x"]}"#,
            r#""process": {"command": "x"}, "fleet": {"command": ["x"]}"#,
        ],
        expect![[r#"

              spec.component: is missing
              hint: upload the component first; the answer contains its digest (or write a `process` or a `worker` in its place)
            "component": "sha256:12", "process": {"command": "x"}
              spec.process: cannot stand beside `component`: a replica is the one or the other
            "process": {}
              spec.process.command: is missing
              hint: name a program like "python3"; its arguments go into `args`
            "process": {"command": ""}
              spec.process.command: is missing
              hint: name a program like "python3"; its arguments go into `args`
            "process": {"command": "x", "args": ["a\u0000b"]}
              spec.process.args: have a NUL character, which no argument can have
            "process": {"command": "x", "argz": []}
              spec.process.argz: there is no such key, use one of `command`, `args`, `cwd`, `listen`, `health`, `health_interval`, `health_timeout`, `health_failures`, `gpus`, `memory`, `grace`
              hint: did you mean `args`?
            "distribute": {"workers": 2}
              spec.distribute: is for a `process` only
            "fleet": {"command": ["x"]}
              spec.component: is missing
              hint: upload the component first; the answer contains its digest (or write a `process` or a `worker` in its place)
            "process": {"command": "x"}, "fleet": {"command": ["x"]}
              spec.fleet: is for external workers: `worker` without `process` and `component`
        "#]],
    );
}

#[test]
fn values_of_a_process_are_checked() {
    let process = |rest: &str| format!(r#""process": {{"command": "x", {rest}}}"#);
    let inputs = [
        process(r#""gpus": 1.5"#),
        process(r#""gpus": -1"#),
        process(r#""gpus": 1e300"#),
        process(r#""gpus": "one""#),
        process(r#""cwd": "here""#),
        process(r#""health": "health""#),
        process(r#""health": "/a b""#),
        process(r#""health_failures": 0"#),
        process(r#""health_interval": "0s""#),
        process(r#""memory": "1KiB""#),
        process(r#""grace": "2d""#),
        process(r#""listen": "pipe""#),
        process(r#""listen": true"#),
        format!(r#"{}, "limits": {{"memory": "1GiB"}}"#, process(r#""args": []"#)),
        format!(r#"{}, "limits": {{"cpu_time": "1s"}}"#, process(r#""args": []"#)),
        format!(r#"{}, "priority": 1001"#, process(r#""args": []"#)),
    ];
    check_errors(
        &inputs.each_ref().map(String::as_str),
        expect![[r#"
            "process": {"command": "x", "gpus": 1.5}
              spec.process.gpus: 1.5 is no number of devices: write a whole number from 1 to 4294967, or a fraction between 0.001 and 0.999
            "process": {"command": "x", "gpus": -1}
              spec.process.gpus: -1 is no number of devices: write a whole number from 1 to 4294967, or a fraction between 0.001 and 0.999
            "process": {"command": "x", "gpus": 1e300}
              spec.process.gpus: 1e300 is no number of devices: write a whole number from 1 to 4294967, or a fraction between 0.001 and 0.999
            "process": {"command": "x", "gpus": "one"}
              spec.process.gpus: invalid type: string "one", expected f64
            "process": {"command": "x", "cwd": "here"}
              spec.process.cwd: `here` is not an absolute path
              hint: only `samovar apply` and `samovar deploy` know where you are
            "process": {"command": "x", "health": "health"}
              spec.process.health: `health` is not a path; write one like `/health`
            "process": {"command": "x", "health": "/a b"}
              spec.process.health: `/a b` is not a path; write one like `/health`
            "process": {"command": "x", "health_failures": 0}
              spec.process.health_failures: `0` is not allowed, use 1 to 1000
            "process": {"command": "x", "health_interval": "0s"}
              spec.process.health_interval: `0s` is not allowed, use 1ms to 1d
            "process": {"command": "x", "memory": "1KiB"}
              spec.process.memory: `1KiB` is not allowed, use 1MiB to 1TiB
            "process": {"command": "x", "grace": "2d"}
              spec.process.grace: `2d` is not allowed, use 0s to 1d
            "process": {"command": "x", "listen": "pipe"}
              spec.process.listen: unknown variant `pipe`, expected `port` or `socket`
            "process": {"command": "x", "listen": true}
              spec.process.listen: invalid type: boolean `true`, expected a string
            "process": {"command": "x", "args": []}, "limits": {"memory": "1GiB"}
              spec.limits.memory: is for components only
              hint: use `process.memory`
            "process": {"command": "x", "args": []}, "limits": {"cpu_time": "1s"}
              spec.limits.cpu_time: is for components only
              hint: a process may use what the machine has
            "process": {"command": "x", "args": []}, "priority": 1001
              spec.priority: `1001` is not allowed, use -1000 to 1000
        "#]],
    );
}

#[test]
fn values_of_gangs_workers_and_fleets_are_checked() {
    let gang = |rest: &str| format!(r#""process": {{"command": "x"}}, "distribute": {{{rest}}}"#);
    let inputs = [
        gang(""),
        gang(r#""workers": 0"#),
        gang(r#""workers": "3""#),
        gang(r#""workers": 2, "type": "mpi""#),
        gang(r#""workers": 2, "quorum_workers": 3"#),
        gang(r#""workers": 1000, "procs": 2"#),
        r#""worker": {"protocol": "smoke"}"#.to_owned(),
        r#""worker": {"timeout": "1ms"}"#.to_owned(),
        r#""worker": {"workload": {"header": "a b"}}"#.to_owned(),
        r#""worker": {"workload": {"pointer": "n"}}"#.to_owned(),
        r#""worker": {"workload": {"default": -1}}"#.to_owned(),
        r#""worker": {}, "fleet": {}"#.to_owned(),
        r#""worker": {}, "fleet": {"command": []}"#.to_owned(),
        r#""worker": {}, "fleet": {"command": ["x"], "url": "http://a"}"#.to_owned(),
        r#""worker": {}, "fleet": {"url": "ftp://a"}"#.to_owned(),
        r#""worker": {}, "fleet": {"command": ["x"], "attempts": 0}"#.to_owned(),
    ];
    check_errors(
        &inputs.each_ref().map(String::as_str),
        expect![[r#"
        "process": {"command": "x"}, "distribute": {}
          spec.distribute.workers: is missing
        "process": {"command": "x"}, "distribute": {"workers": 0}
          spec.distribute.workers: `0` is not allowed, use 1 to 1024
        "process": {"command": "x"}, "distribute": {"workers": "3"}
          spec.distribute.workers: invalid type: string "3", expected a whole number of 0 or more
        "process": {"command": "x"}, "distribute": {"workers": 2, "type": "mpi"}
          spec.distribute.type: `mpi` is not a kind of gang; use pytorch, jax, tensorflow, ray or spmd
        "process": {"command": "x"}, "distribute": {"workers": 2, "quorum_workers": 3}
          spec.distribute.quorum_workers: `3` is not allowed, use 1 to 2
        "process": {"command": "x"}, "distribute": {"workers": 1000, "procs": 2}
          spec.distribute.procs: 1000 x 2 processes are more than 1024
        "worker": {"protocol": "smoke"}
          spec.worker.protocol: `smoke` is not a protocol of workers; there is `vast`
        "worker": {"timeout": "1ms"}
          spec.worker.timeout: `1ms` is not allowed, use 1s to 1d
        "worker": {"workload": {"header": "a b"}}
          spec.worker.workload.header: `a b` is not a header's name
        "worker": {"workload": {"pointer": "n"}}
          spec.worker.workload.pointer: `n` is not a JSON pointer; write one like `/max_tokens`
        "worker": {"workload": {"default": -1}}
          spec.worker.workload.default: `-1` is not allowed, use 0 to 9000000000000000
        "worker": {}, "fleet": {}
          spec.fleet: needs a `command` or a `url`
        "worker": {}, "fleet": {"command": []}
          spec.fleet.command: is empty
        "worker": {}, "fleet": {"command": ["x"], "url": "http://a"}
          spec.fleet: has a `command` and a `url`: use one
        "worker": {}, "fleet": {"url": "ftp://a"}
          spec.fleet.url: `ftp://a` is not an http or https URL
        "worker": {}, "fleet": {"command": ["x"], "attempts": 0}
          spec.fleet.attempts: `0` is not allowed, use 1 to 100
    "#]],
    );
}

#[test]
fn a_spec_is_anchored_where_it_was_written() {
    let mut raw = RawSpec::from_json(br#"{"process": {"command": "x", "cwd": "a"}}"#).unwrap();
    raw.anchor(std::path::Path::new("/base"));
    assert_eq!(raw.process.unwrap().cwd.unwrap(), std::path::Path::new("/base/a"));
}
