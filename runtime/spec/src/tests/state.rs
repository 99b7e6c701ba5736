//! Stores, configuration, environment and secrets; and what is not for all sorts of replicas.

use std::path::Path;

use super::*;

#[test]
fn stores_and_secrets_are_kept() {
    native::check(
        &with(
            r#""keyvalue": {"quota": "1GiB", "max_value": "64MiB", "ttl": "1h"},
               "config": {"model": "small"}, "env": {"A": "1"},
               "secrets": {"API_KEY": {"env": "UPSTREAM_KEY"}, "TOKEN": {"file": "/run/token"}}"#,
        ),
        &["keyvalue", "config", "env", "secrets"],
        expect![[r#"
            {
              "config": {
                "model": "small"
              },
              "env": {
                "A": "1"
              },
              "keyvalue": {
                "max_value": "64MiB",
                "quota": "1GiB",
                "ttl": "1h"
              },
              "secrets": {
                "API_KEY": {
                  "env": "UPSTREAM_KEY"
                },
                "TOKEN": {
                  "file": "/run/token"
                }
              }
            }"#]],
    );
}

#[test]
fn a_small_quota_bounds_values() {
    let spec = parse(&with(r#""keyvalue": {"quota": "1KiB"}"#), World::HttpService03).unwrap();
    assert_eq!(spec.keyvalue, KeyValueSpec { quota: 1024, value_max: 1024, ttl: Ttl::Off });
    let spec = parse(&with(r#""keyvalue": {"quota": 0}"#), World::HttpService03).unwrap();
    assert_eq!(spec.keyvalue.value_max, 0, "a store that takes nothing");
}

#[test]
fn stores_variables_and_secrets_that_cannot_be_are_named() {
    check_errors(
        &[
            r#""keyvalue": {"quota": "2TiB"}"#,
            r#""keyvalue": {"max_value": "65MiB"}"#,
            r#""keyvalue": {"quota": "1MiB", "max_value": "2MiB"}"#,
            r#""keyvalue": {"ttl": "0s"}"#,
            r#""keyvalue": {"ttl": 60}"#,
            r#""keyvalue": {"size": 1}"#,
            r#""keyvalue": true"#,
            r#""config": {"": "x"}"#,
            r#""config": {"a": 1}"#,
            r#""secrets": {"A": "x"}"#,
            r#""secrets": {"A": {}}"#,
            r#""secrets": {"A": {"env": "X", "file": "/x"}}"#,
            r#""secrets": {"A": {"value": "x"}}"#,
            r#""secrets": {"A": {"env": ""}}"#,
            r#""secrets": {"A": {"env": "A=B"}}"#,
            r#""secrets": {"A": {"file": "x"}}"#,
            r#""secrets": {"A=B": {"env": "X"}}"#,
            r#""secrets": {"A": {"env": "X"}}, "env": {"A": "1"}"#,
        ],
        expect![[r#"
            "keyvalue": {"quota": "2TiB"}
              spec.keyvalue.quota: `2TiB` is not allowed, use 0B to 1TiB
            "keyvalue": {"max_value": "65MiB"}
              spec.keyvalue.max_value: `65MiB` is not allowed, use 0B to 64MiB
            "keyvalue": {"quota": "1MiB", "max_value": "2MiB"}
              spec.keyvalue.max_value: `2MiB` is more than the whole quota, 1MiB
            "keyvalue": {"ttl": "0s"}
              spec.keyvalue.ttl: `0s` is not allowed, use 1ms to 30d, or `off`
            "keyvalue": {"ttl": 60}
              spec.keyvalue.ttl: invalid type: integer `60`, expected a duration such as "5m", or "off"
            "keyvalue": {"size": 1}
              spec.keyvalue.size: there is no such key, use one of `quota`, `max_value`, `ttl`
            "keyvalue": true
              spec.keyvalue: invalid type: boolean `true`, expected an object
            "config": {"": "x"}
              spec.config: has a value without a name
            "config": {"a": 1}
              spec.config.a: invalid type: integer `1`, expected a string
            "secrets": {"A": "x"}
              spec.secrets.A: invalid type: string, expected an object
            "secrets": {"A": {}}
              spec.secrets.A: needs either an `env` or a `file`
            "secrets": {"A": {"env": "X", "file": "/x"}}
              spec.secrets.A: needs either an `env` or a `file`
            "secrets": {"A": {"value": "x"}}
              spec.secrets.A.value: there is no such key, use one of `env`, `file`
            "secrets": {"A": {"env": ""}}
              spec.secrets.A.env: "" cannot be the name of a variable: it is empty or has `=`
            "secrets": {"A": {"env": "A=B"}}
              spec.secrets.A.env: "A=B" cannot be the name of a variable: it is empty or has `=`
            "secrets": {"A": {"file": "x"}}
              spec.secrets.A.file: `x` is not an absolute path
              hint: only `samovar apply` and `samovar deploy` know where you are
            "secrets": {"A=B": {"env": "X"}}
              spec.secrets: "A=B" cannot be the name of a variable: it is empty or has `=`
            "secrets": {"A": {"env": "X"}}, "env": {"A": "1"}
              spec.secrets.A: is in `env` too: a variable has one value
        "#]],
    );
}

#[test]
fn tables_that_are_too_large_are_refused() {
    let long = "x".repeat(64 * 1024);
    for (settings, expected) in [
        (
            format!(r#""config": {{"a": "{long}"}}"#),
            expect!["spec.config: is 65537 bytes in all, at most 65536 are allowed"],
        ),
        (
            format!(r#""env": {{"a": "{long}"}}"#),
            expect!["spec.env: is 65537 bytes in all, at most 65536 are allowed"],
        ),
        (
            format!(r#""secrets": {{"{long}a": {{"env": "X"}}}}"#),
            expect!["spec.secrets: has 65537 bytes of names, at most 65536 are allowed"],
        ),
    ] {
        let error = parse(&with(&settings), World::HttpService03).unwrap_err();
        expected.assert_eq(&error.to_string());
    }
}

#[test]
fn what_only_components_have_is_refused_for_others() {
    let process = |rest: &str| format!(r#""process": {{"command": "x"}}, {rest}"#);
    let worker = |rest: &str| format!(r#""worker": {{}}, {rest}"#);
    let inputs = [
        process(r#""reuse": "off""#),
        process(r#""calls": {}"#),
        process(r#""outbound": {}"#),
        process(r#""keyvalue": {}"#),
        process(r#""config": {"a": "b"}"#),
        worker(r#""reuse": "off""#),
        worker(r#""calls": {"allow": []}"#),
        worker(r#""secrets": {"A": {"env": "X"}}"#),
    ];
    native::check_errors(
        &inputs.each_ref().map(String::as_str),
        expect![[r#"
        "process": {"command": "x"}, "reuse": "off"
          spec.reuse: is for components only
          hint: `max_requests` = 1 replaces a process after each request
        "process": {"command": "x"}, "calls": {}
          spec.calls: is for components only
          hint: a process may call what its machine can, the data plane included
        "process": {"command": "x"}, "outbound": {}
          spec.outbound: is for components only
          hint: a process may call what its machine can, the data plane included
        "process": {"command": "x"}, "keyvalue": {}
          spec.keyvalue: is for components only
          hint: a process brings its own store
        "process": {"command": "x"}, "config": {"a": "b"}
          spec.config: is for components only
          hint: use `env`
        "worker": {}, "reuse": "off"
          spec.reuse: is for components only
          hint: `max_requests` = 1 replaces a process after each request
        "worker": {}, "calls": {"allow": []}
          spec.calls: is for components only
          hint: a process may call what its machine can, the data plane included
        "worker": {}, "secrets": {"A": {"env": "X"}}
          spec.secrets: is for components and processes: workers that join have their own
    "#]],
    );
    let fine = r#"{"process": {"command": "x"}, "reuse": "on", "config": {},
                   "secrets": {"A": {"env": "X"}}}"#;
    native::check(
        fine,
        &["reuse", "calls", "keyvalue", "config", "secrets"],
        expect![[r#"
        {
          "calls": null,
          "config": null,
          "keyvalue": null,
          "reuse": null,
          "secrets": {
            "A": {
              "env": "X"
            }
          }
        }"#]],
    );
}

#[test]
fn paths_start_where_the_spec_was_written() {
    let mut raw: RawSpec = read_toml(
        "outbound.ca_files = [\"ca.pem\", \"/etc/ca.pem\"]\nsecrets.A.file = \"token\"\n\
         secrets.B.env = \"B\"",
        "spec",
    )
    .unwrap();
    raw.anchor(Path::new("/base"));
    let ca_files = raw.outbound.unwrap().ca_files;
    assert_eq!(ca_files, [Path::new("/base/ca.pem"), Path::new("/etc/ca.pem")]);
    assert_eq!(raw.secrets["A"].file.as_deref(), Some(Path::new("/base/token")));
    assert_eq!(raw.secrets["B"], RawSecret { env: Some("B".to_owned()), file: None });
}

#[test]
fn specs_stored_before_these_keys_still_load() {
    let stored = format!(
        r#"{{"component": "{DIGEST}", "priority": 0, "route": "/thumbnail",
        "replicas": {{"min": 0, "max": 4}}, "initial_replicas": 0, "concurrency": 16,
        "idle_ttl": "5m", "scaledown_ttl": "30s", "max_requests": 0, "max_age": "off",
        "queue": {{"max": 1000, "timeout": "30s"}}, "drain_timeout": "30s",
        "scaling": {{"policy": "lightning", "config": {{}}, "interval": "1s"}},
        "limits": {{"memory": "128MiB", "request_timeout": "30s", "stall_timeout": "30s",
        "cpu_time": "10s", "start_timeout": "10s", "request_headers": "64KiB",
        "request_body": "100MiB", "response_headers": "64KiB", "response_body": "1GiB"}},
        "env": {{}}}}"#
    );
    let loaded: DeploymentSpec = serde_json::from_str(&stored).unwrap();
    assert_eq!(loaded, parse(&with(""), World::HttpService03).unwrap());
    let stored = r#"{"process": {"command": "x"}, "route": "/x", "concurrency": 16}"#;
    let loaded: DeploymentSpec = serde_json::from_str(stored).unwrap();
    assert_eq!((loaded.batching, loaded.docs, loaded.concurrency), (None, None, 16));
}

#[test]
fn the_api_document_has_every_key() {
    use utoipa::PartialSchema;
    let schema = serde_json::to_value(RawSpec::schema()).unwrap();
    let spec = parse(&with(r#""input_schema": true"#), World::HttpService03).unwrap();
    let written = serde_json::to_value(&spec).unwrap();
    let optional =
        ["batching", "cold_start_proxy", "outbound", "secrets", "config", "endpoint"].into_iter();
    for key in written.as_object().unwrap().keys().map(String::as_str).chain(optional) {
        let property = &schema["properties"][key];
        assert!(property.is_object(), "{key} is not in the document");
    }
}
