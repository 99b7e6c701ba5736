//! Specs in, full specs or error messages out.

mod native;
mod overrides;
mod reach;
mod reuse_policy;
mod serving;
mod state;
mod warnings;

use expect_test::{Expect, expect};

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(json: &str, world: World) -> Result<DeploymentSpec, SpecError> {
    let name: DeploymentName = "thumbnail".parse().unwrap();
    RawSpec::from_json(json.as_bytes())?.validate(&name, world)
}

/// The spec `{"component": .., <settings>}`.
fn with(settings: &str) -> String {
    let comma = if settings.is_empty() { "" } else { "," };
    format!(r#"{{"component": "{DIGEST}"{comma} {settings}}}"#)
}

fn check(settings: &str, expected: Expect) {
    let spec = parse(&with(settings), World::HttpService03).unwrap();
    let json = serde_json::to_string_pretty(&spec).unwrap();
    let again: DeploymentSpec = serde_json::from_str(&json).unwrap();
    assert_eq!(again, spec, "the full form reads back");
    expected.assert_eq(&json);
}

/// Checks one error per line of `inputs`.
fn check_errors(inputs: &[&str], expected: Expect) {
    let mut report = String::new();
    for input in inputs {
        let error = parse(&with(input), World::HttpService03).expect_err(input);
        report.push_str(&format!("{input}\n  {error}\n"));
        if let Some(hint) = error.hint {
            report.push_str(&format!("  hint: {hint}\n"));
        }
    }
    expected.assert_eq(&report);
}

#[test]
fn empty_spec_gets_all_defaults() {
    check(
        "",
        expect![[r#"
            {
              "component": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
              "priority": 0,
              "route": "/thumbnail",
              "replicas": {
                "min": 0,
                "max": 4
              },
              "initial_replicas": 0,
              "concurrency": 16,
              "idle_ttl": "5m",
              "scaledown_ttl": "30s",
              "max_requests": 0,
              "max_age": "off",
              "reuse": "on",
              "queue": {
                "max": 1000,
                "timeout": "30s"
              },
              "drain_timeout": "30s",
              "scaling": {
                "policy": "lightning",
                "config": {},
                "interval": "1s"
              },
              "external_scaler": false,
              "ready": "serving",
              "docs": "off",
              "limits": {
                "memory": "128MiB",
                "request_timeout": "30s",
                "stall_timeout": "30s",
                "cpu_time": "10s",
                "start_timeout": "10s",
                "request_headers": "64KiB",
                "request_body": "100MiB",
                "response_headers": "64KiB",
                "response_body": "1GiB"
              },
              "calls": {
                "allow": [
                  "*"
                ]
              },
              "keyvalue": {
                "quota": "64MiB",
                "max_value": "1MiB",
                "ttl": "off"
              },
              "env": {}
            }"#]],
    );
}

#[test]
fn every_setting_is_kept() {
    check(
        r#""route": "/v2/images", "replicas": "2..8", "initial_replicas": 4, "concurrency": 3,
           "idle_ttl": "off", "scaledown_ttl": "0s", "max_requests": 1000, "max_age": "12h",
           "queue": {"max": 5, "timeout": "250ms"}, "drain_timeout": "1m 30s",
           "scaling": {"policy": "mine", "config": {"target": 2.5}, "interval": "100ms"},
           "limits": {"memory": "1GiB", "request_timeout": "1m", "stall_timeout": "2m",
             "cpu_time": "1s", "start_timeout": "2s", "request_headers": "16KiB",
             "request_body": 1000, "response_headers": "8KiB", "response_body": "1500B"},
           "env": {"LANG": "C"}"#,
        expect![[r#"
            {
              "component": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
              "priority": 0,
              "route": "/v2/images",
              "replicas": {
                "min": 2,
                "max": 8
              },
              "initial_replicas": 4,
              "concurrency": 3,
              "idle_ttl": "off",
              "scaledown_ttl": "0s",
              "max_requests": 1000,
              "max_age": "12h",
              "reuse": "on",
              "queue": {
                "max": 5,
                "timeout": "250ms"
              },
              "drain_timeout": "1m 30s",
              "scaling": {
                "policy": "mine",
                "config": {
                  "target": 2.5
                },
                "interval": "100ms"
              },
              "external_scaler": false,
              "ready": "serving",
              "docs": "off",
              "limits": {
                "memory": "1GiB",
                "request_timeout": "1m",
                "stall_timeout": "2m",
                "cpu_time": "1s",
                "start_timeout": "2s",
                "request_headers": "16KiB",
                "request_body": "1000B",
                "response_headers": "8KiB",
                "response_body": "1500B"
              },
              "calls": {
                "allow": [
                  "*"
                ]
              },
              "keyvalue": {
                "quota": "64MiB",
                "max_value": "1MiB",
                "ttl": "off"
              },
              "env": {
                "LANG": "C"
              }
            }"#]],
    );
}

#[test]
fn replicas_have_three_spellings() {
    for (written, expected) in [
        (r#""0..8""#, Replicas { min: 0, max: 8 }),
        (r#""3""#, Replicas { min: 3, max: 3 }),
        ("3", Replicas { min: 3, max: 3 }),
        (r#"{"min": 1, "max": 2}"#, Replicas { min: 1, max: 2 }),
    ] {
        let spec = parse(&with(&format!(r#""replicas": {written}"#)), World::HttpService03);
        assert_eq!(spec.unwrap().replicas, expected);
    }
}

#[test]
fn default_concurrency_depends_on_the_handler() {
    let concurrency = |world| parse(&with(""), world).unwrap().concurrency;
    assert_eq!(concurrency(World::HttpService03), 16);
    assert_eq!(concurrency(World::HttpProxy02), 1);
}

#[test]
fn more_than_one_request_at_a_time_needs_a_03_handler() {
    let error = parse(&with(r#""concurrency": 2"#), World::HttpProxy02).unwrap_err();
    assert_eq!(error.kind, SpecErrorKind::ConcurrencyUnsupported);
    expect!["spec.concurrency: `2` is not possible with wasi:http/proxy@0.2, which serves one request at a time"].assert_eq(&error.to_string());
    parse(&with(r#""concurrency": 1"#), World::HttpProxy02).unwrap();
}

#[test]
fn unknown_keys_are_named_with_the_allowed_ones() {
    check_errors(
        &[
            r#""replica": 3"#,
            r#""queue": {"mx": 1}"#,
            r#""limits": {"colour": "red"}"#,
            r#""scaling": {"polices": "x"}"#,
            r#""replicas": {"min": 0, "max": 1, "mid": 1}"#,
        ],
        expect![[r#"
            "replica": 3
              spec.replica: there is no such key, use one of `component`, `process`, `distribute`, `worker`, `fleet`, `priority`, `route`, `replicas`, `initial_replicas`, `concurrency`, `idle_ttl`, `scaledown_ttl`, `max_requests`, `max_age`, `reuse`, `queue`, `batching`, `cold_start_proxy`, `drain_timeout`, `scaling`, `external_scaler`, `ready`, `endpoint`, `input_schema`, `output_schema`, `docs`, `limits`, `calls`, `outbound`, `keyvalue`, `config`, `env`, `secrets`
              hint: did you mean `replicas`?
            "queue": {"mx": 1}
              spec.queue.mx: there is no such key, use one of `max`, `timeout`
              hint: did you mean `max`?
            "limits": {"colour": "red"}
              spec.limits.colour: there is no such key, use one of `memory`, `request_timeout`, `stall_timeout`, `cpu_time`, `start_timeout`, `request_headers`, `request_body`, `response_headers`, `response_body`
            "scaling": {"polices": "x"}
              spec.scaling.polices: there is no such key, use one of `policy`, `config`, `interval`
              hint: did you mean `policy`?
            "replicas": {"min": 0, "max": 1, "mid": 1}
              spec.replicas.mid: there is no such key, use one of `min`, `max`
              hint: did you mean `min`?
        "#]],
    );
}

#[test]
fn wrong_types_are_named() {
    check_errors(
        &[
            r#""replicas": true"#,
            r#""replicas": "many""#,
            r#""replicas": "1..x""#,
            r#""replicas": -1"#,
            r#""replicas": {"min": 1}"#,
            r#""concurrency": -1"#,
            r#""concurrency": 1.5"#,
            r#""concurrency": "2""#,
            r#""queue": {"timeout": 30}"#,
            r#""queue": {"timeout": "30"}"#,
            r#""queue": 7"#,
            r#""queue": [5, "1s"]"#,
            r#""limits": {"memory": "big"}"#,
            r#""limits": {"memory": -5}"#,
            r#""idle_ttl": "never""#,
            r#""env": {"A": 1}"#,
            r#""scaling": {"config": []}"#,
            r#""route": null, "max_age": 5"#,
        ],
        expect![[r#"
            "replicas": true
              spec.replicas: invalid type: boolean `true`, expected a range such as "0..8" or [0, 8], a number, or an object with `min` and `max`
            "replicas": "many"
              spec.replicas: `many` is not a number of replicas; write a range like `0..8` or a number like `3`
            "replicas": "1..x"
              spec.replicas: `1..x` is not a number of replicas; write a range like `0..8` or a number like `3`
            "replicas": -1
              spec.replicas: invalid value: integer `-1`, expected a range such as "0..8" or [0, 8], a number, or an object with `min` and `max`
            "replicas": {"min": 1}
              spec.replicas: missing field `max`
            "concurrency": -1
              spec.concurrency: invalid value: integer `-1`, expected a whole number of 0 or more
            "concurrency": 1.5
              spec.concurrency: invalid type: floating point `1.5`, expected a whole number of 0 or more
            "concurrency": "2"
              spec.concurrency: invalid type: string "2", expected a whole number of 0 or more
            "queue": {"timeout": 30}
              spec.queue.timeout: invalid type: integer `30`, expected a duration such as "30s" or "5m"
            "queue": {"timeout": "30"}
              spec.queue.timeout: `30` is not a duration (time unit needed, for example 30sec or 30ms); write it like `250ms`, `30s` or `5m`
            "queue": 7
              spec.queue: invalid type: integer `7`, expected an object
            "queue": [5, "1s"]
              spec.queue: invalid type: sequence, expected an object
            "limits": {"memory": "big"}
              spec.limits.memory: `big` is not a size; write it like `64KiB`, `100MiB` or `1GiB`
            "limits": {"memory": -5}
              spec.limits.memory: invalid value: integer `-5`, expected a size such as "64MiB", or a number of bytes
            "idle_ttl": "never"
              spec.idle_ttl: `never` is not a duration (expected number at 0); write it like `250ms`, `30s` or `5m`, or `off`
            "env": {"A": 1}
              spec.env.A: invalid type: integer `1`, expected a string
            "scaling": {"config": []}
              spec.scaling.config: invalid type: sequence, expected a map
            "route": null, "max_age": 5
              spec.max_age: invalid type: integer `5`, expected a duration such as "5m", or "off"
        "#]],
    );
}

#[test]
fn pools_out_of_range_are_named() {
    check_errors(
        &[
            r#""replicas": "4..2""#,
            r#""replicas": 0"#,
            r#""replicas": "0..100001""#,
            r#""replicas": "0..99999999999""#,
            r#""initial_replicas": 9, "replicas": "1..8""#,
            r#""initial_replicas": 0, "replicas": "1..8""#,
            r#""concurrency": 0"#,
            r#""concurrency": 10001"#,
            r#""queue": {"max": 0}"#,
            r#""queue": {"max": 1000001}"#,
            r#""queue": {"timeout": "0s"}"#,
            r#""queue": {"timeout": "31days"}"#,
            r#""idle_ttl": "31days""#,
            r#""max_age": "0s""#,
            r#""drain_timeout": "2days""#,
            r#""scaling": {"interval": "1ms"}"#,
            r#""scaling": {"policy": "Über"}"#,
        ],
        expect![[r#"
            "replicas": "4..2"
              spec.replicas: the minimum, 4, is above the maximum, 2
            "replicas": 0
              spec.replicas.max: `0` is not allowed, use 1 to 100000
            "replicas": "0..100001"
              spec.replicas.max: `100001` is not allowed, use 1 to 100000
            "replicas": "0..99999999999"
              spec.replicas.max: `99999999999` is not allowed, use 1 to 100000
            "initial_replicas": 9, "replicas": "1..8"
              spec.initial_replicas: `9` is not allowed, use 1 to 8
            "initial_replicas": 0, "replicas": "1..8"
              spec.initial_replicas: `0` is not allowed, use 1 to 8
            "concurrency": 0
              spec.concurrency: `0` is not allowed, use 1 to 10000
            "concurrency": 10001
              spec.concurrency: `10001` is not allowed, use 1 to 10000
            "queue": {"max": 0}
              spec.queue.max: `0` is not allowed, use 1 to 1000000
            "queue": {"max": 1000001}
              spec.queue.max: `1000001` is not allowed, use 1 to 1000000
            "queue": {"timeout": "0s"}
              spec.queue.timeout: `0s` is not allowed, use 1ms to 30d
            "queue": {"timeout": "31days"}
              spec.queue.timeout: `31d` is not allowed, use 1ms to 30d
            "idle_ttl": "31days"
              spec.idle_ttl: `31d` is not allowed, use 0s to 30d, or `off`
            "max_age": "0s"
              spec.max_age: `0s` is not allowed, use 1s to 30d, or `off`
            "drain_timeout": "2days"
              spec.drain_timeout: `2d` is not allowed, use 0s to 1d
            "scaling": {"interval": "1ms"}
              spec.scaling.interval: `1ms` is not allowed, use 10ms to 1h
            "scaling": {"policy": "Über"}
              spec.scaling.policy: `Über` is not a policy name: use 1 to 63 characters of a-z, 0-9 and `-`, with a letter or digit at both ends
        "#]],
    );
}

#[test]
fn limits_and_routes_that_are_not_allowed_are_named() {
    check_errors(
        &[
            r#""limits": {"memory": "5GiB"}"#,
            r#""limits": {"memory": "1KiB"}"#,
            r#""limits": {"request_headers": 0}"#,
            r#""limits": {"cpu_time": "0s"}"#,
            r#""route": "images""#,
            r#""route": "/images/""#,
            r#""route": "/a//b""#,
            r#""route": "/a/../b""#,
            r#""route": "/a?b""#,
            r#""env": {"A=B": "x"}"#,
            r#""env": {"": "x"}"#,
        ],
        expect![[r#"
            "limits": {"memory": "5GiB"}
              spec.limits.memory: `5GiB` is not allowed, use 1MiB to 4GiB
            "limits": {"memory": "1KiB"}
              spec.limits.memory: `1KiB` is not allowed, use 1MiB to 4GiB
            "limits": {"request_headers": 0}
              spec.limits.request_headers: `0B` is not allowed, use 1KiB to 1MiB
            "limits": {"cpu_time": "0s"}
              spec.limits.cpu_time: `0s` is not allowed, use 1ms to 30d
            "route": "images"
              spec.route: `images` is not a route: use `/`, or segments of letters, digits and `-._~` like `/images/thumbnail`, without a `/` at the end, at most 1024 bytes
            "route": "/images/"
              spec.route: `/images/` is not a route: use `/`, or segments of letters, digits and `-._~` like `/images/thumbnail`, without a `/` at the end, at most 1024 bytes
            "route": "/a//b"
              spec.route: `/a//b` is not a route: use `/`, or segments of letters, digits and `-._~` like `/images/thumbnail`, without a `/` at the end, at most 1024 bytes
            "route": "/a/../b"
              spec.route: `/a/../b` is not a route: use `/`, or segments of letters, digits and `-._~` like `/images/thumbnail`, without a `/` at the end, at most 1024 bytes
            "route": "/a?b"
              spec.route: `/a?b` is not a route: use `/`, or segments of letters, digits and `-._~` like `/images/thumbnail`, without a `/` at the end, at most 1024 bytes
            "env": {"A=B": "x"}
              spec.env: "A=B" cannot be the name of a variable: it is empty or has `=`
            "env": {"": "x"}
              spec.env: "" cannot be the name of a variable: it is empty or has `=`
        "#]],
    );
}

#[test]
fn missing_and_wrong_components_are_named() {
    let error = |json| parse(json, World::HttpService03).unwrap_err().to_string();
    expect!["spec.component: is missing"].assert_eq(&error("{}"));
    expect![
        "spec.component: `hello.wasm` is not a digest: write `sha256:` and 64 lower-case hex digits"
    ]
    .assert_eq(&error(r#"{"component": "hello.wasm"}"#));
}

#[test]
fn what_is_not_json_is_a_syntax_error() {
    for (input, expected) in [
        ("", expect!["not JSON: EOF while parsing a value at line 1 column 0"]),
        ("{", expect!["not JSON: EOF while parsing an object at line 1 column 1"]),
        ("{} {}", expect!["not JSON: trailing characters at line 1 column 4"]),
        ("\u{0}", expect!["not JSON: expected value at line 1 column 1"]),
    ] {
        let error = RawSpec::from_json(input.as_bytes()).unwrap_err();
        assert_eq!(error.kind, SpecErrorKind::Syntax);
        expected.assert_eq(&error.to_string());
    }
    let error = RawSpec::from_json(b"[]").unwrap_err();
    expect!["spec: invalid type: sequence, expected an object"].assert_eq(&error.to_string());
}

#[test]
fn toml_errors_name_the_same_paths() {
    let error = |text: &str| read_toml::<RawSpec>(text, "deployments.x").unwrap_err().to_string();
    expect!["deployments.x.queue.mx: there is no such key, use one of `max`, `timeout`"]
        .assert_eq(&error("[queue]\nmx = 1\n"));
    expect![[r#"deployments.x.queue.timeout: invalid type: integer `30`, expected a duration such as "30s" or "5m""#]].assert_eq(&error("queue.timeout = 30\n"));
    expect!["deployments.x.replicas: missing field `max`"]
        .assert_eq(&error("replicas = {min = 0}\n"));
    expect![[r#"
        not TOML: TOML parse error at line 1, column 12
          |
        1 | replicas = 
          |            ^
        string values must be quoted, expected literal string"#]]
    .assert_eq(&error("replicas = \n"));
}
