//! Specs of processes, gangs and workers.

use super::super::*;
use expect_test::{Expect, expect};

fn parse(json: &str) -> Result<DeploymentSpec, SpecError> {
    let name: DeploymentName = "model".parse().unwrap();
    RawSpec::from_json(json.as_bytes())?.validate(&name, World::HttpProxy02)
}

fn check(json: &str, keys: &[&str], expected: Expect) {
    let spec = parse(json).unwrap();
    let full = serde_json::to_value(&spec).unwrap();
    let again: DeploymentSpec = serde_json::from_value(full.clone()).unwrap();
    assert_eq!(again, spec, "the full form reads back");
    let part: serde_json::Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), full[*key].clone())).collect();
    expected.assert_eq(&serde_json::to_string_pretty(&part).unwrap());
}

fn check_errors(inputs: &[&str], expected: Expect) {
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
        expect![[r""]],
    );
}

#[test]
fn a_gang_gets_its_defaults() {
    check(
        r#"{"process": {"command": "x", "gpus": 0.5}, "distribute": {"workers": 4}}"#,
        &["process", "distribute"],
        expect![[r""]],
    );
}

#[test]
fn workers_and_their_fleet_get_their_defaults() {
    check(
        r#"{"worker": {}, "fleet": {"command": ["rent", "--spot"]}}"#,
        &["worker", "fleet"],
        expect![[r""]],
    );
    check(
        r#"{"worker": {"workload": {"header": "X-Work", "pointer": "/n", "default": 2.5}},
            "fleet": {"url": "https://example.org/rent", "token_env": "RENT", "dry_run": true}}"#,
        &["worker", "fleet"],
        expect![[r""]],
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
        expect![[r""]],
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
        format!(r#"{}, "limits": {{"memory": "1GiB"}}"#, process(r#""args": []"#)),
        format!(r#"{}, "limits": {{"cpu_time": "1s"}}"#, process(r#""args": []"#)),
        format!(r#"{}, "priority": 1001"#, process(r#""args": []"#)),
    ];
    check_errors(&inputs.each_ref().map(String::as_str), expect![[r""]]);
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
    check_errors(&inputs.each_ref().map(String::as_str), expect![[r""]]);
}

#[test]
fn a_spec_is_anchored_where_it_was_written() {
    let mut raw = RawSpec::from_json(br#"{"process": {"command": "x", "cwd": "a"}}"#).unwrap();
    raw.anchor(std::path::Path::new("/base"));
    assert_eq!(raw.process.unwrap().cwd.unwrap(), std::path::Path::new("/base/a"));
}
