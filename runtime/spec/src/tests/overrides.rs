//! Settings of one call. The numbers are those of Flyte's cases for `override`, as executed against
//! `flyte` 2.12.1.

use super::*;

fn apply(spec: &str, overrides: &str) -> Result<DeploymentSpec, SpecError> {
    let spec = parse(spec, World::HttpService03).unwrap();
    Overrides::from_json(overrides.as_bytes())?.apply(&spec)
}

/// Checks one error per pair of a deployment's settings and the overrides of a call.
fn check_refusals(inputs: &[(&str, &str)], expected: Expect) {
    let mut report = String::new();
    for (settings, overrides) in inputs {
        let error = apply(&with(settings), overrides).expect_err(overrides);
        report.push_str(&format!("[{settings}] {overrides}\n  {error}\n"));
        if let Some(hint) = error.hint {
            report.push_str(&format!("  hint: {hint}\n"));
        }
    }
    expected.assert_eq(&report);
}

#[test]
fn a_call_with_reuse_off_gets_what_it_asks_for() {
    // F32: resources, with `reusable` off in the same call.
    let spec = apply(
        &with(r#""max_requests": 9, "env": {"A": "1", "B": "2"}, "limits": {"cpu_time": "3s"}"#),
        r#"{"reuse": "off", "env": {"B": "3", "C": "4"}, "limits": {"memory": "1GiB",
            "request_timeout": "1m", "stall_timeout": "2m", "start_timeout": "4s",
            "response_headers": "1KiB", "response_body": 5}}"#,
    )
    .unwrap();
    assert_eq!((spec.reuse, spec.concurrency, spec.max_requests), (Reuse::Off, 1, 0));
    let env: Vec<(&str, &str)> = spec.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(env, [("A", "1"), ("B", "3"), ("C", "4")]);
    let limits = spec.limits;
    assert_eq!(limits.memory, 1 << 30);
    assert_eq!(limits.request_timeout, Duration::from_secs(60));
    assert_eq!(limits.stall_timeout, Duration::from_secs(120));
    assert_eq!(limits.start_timeout, Duration::from_secs(4));
    assert_eq!((limits.response_headers, limits.response_body), (1024, 5));
    assert_eq!(limits.cpu_time, Duration::from_secs(3), "as deployed");
}

#[test]
fn all_else_is_as_deployed() {
    let settings = r#""route": "/x", "batching": {}, "calls": {"allow": []}, "outbound": {},
        "secrets": {"S": {"env": "S"}}, "endpoint": "/p", "ready": "any", "queue": {"max": 9},
        "cold_start_proxy": {"deployment": "light"}, "config": {"a": "b"}"#;
    let deployed = parse(&with(settings), World::HttpService03).unwrap();
    let called = apply(&with(settings), r#"{"reuse": "off"}"#).unwrap();
    let expected =
        DeploymentSpec { reuse: Reuse::Off, concurrency: 1, batching: None, ..deployed.clone() };
    assert_eq!(called, expected);
    assert_eq!(apply(&with(settings), "{}").unwrap(), deployed);
    // F35: a policy that reuses, alone.
    assert_eq!(apply(&with(settings), r#"{"reuse": "on"}"#).unwrap(), deployed);
}

#[test]
fn a_deployment_without_reuse_needs_no_word_of_the_call() {
    let spec = apply(&with(r#""reuse": "off""#), r#"{"limits": {"cpu_time": "1s"}}"#).unwrap();
    assert_eq!(spec.limits.cpu_time, Duration::from_secs(1));
}

#[test]
fn what_cannot_be_changed_for_one_call_is_named() {
    check_refusals(
        &[
            ("", r#"{"limits": {"memory": "1GiB"}}"#),     // F31
            ("", r#"{"env": {"A": "1"}}"#),                // F33
            ("", r#"{"env": {"A": "1"}, "reuse": "on"}"#), // F33 and F35
            (r#""reuse": "off""#, r#"{"limits": {"memory": "1GiB"}, "reuse": "on"}"#), // F37
            (r#""reuse": "off""#, r#"{"reuse": "on"}"#),
            ("", r#"{"secrets": {}}"#), // refused there too
            (r#""secrets": {"S": {"env": "S"}}"#, r#"{"reuse": "off", "env": {"S": "mine"}}"#),
        ],
        expect![[r#"
            [] {"limits": {"memory": "1GiB"}}
              override.limits: cannot be changed for one call while instances are reused
              hint: add "reuse": "off", for an instance of its own
            [] {"env": {"A": "1"}}
              override.env: cannot be changed for one call while instances are reused
              hint: add "reuse": "off", for an instance of its own
            [] {"env": {"A": "1"}, "reuse": "on"}
              override.env: cannot be changed for one call while instances are reused
              hint: add "reuse": "off", for an instance of its own
            ["reuse": "off"] {"limits": {"memory": "1GiB"}, "reuse": "on"}
              override.reuse: cannot be `on`: instances of this deployment never serve twice
            ["reuse": "off"] {"reuse": "on"}
              override.reuse: cannot be `on`: instances of this deployment never serve twice
            [] {"secrets": {}}
              override.secrets: there is no such key, use one of `reuse`, `env`, `limits`
            ["secrets": {"S": {"env": "S"}}] {"reuse": "off", "env": {"S": "mine"}}
              override.env.S: is a secret of the deployment, which a call cannot change
        "#]],
    );
}

#[test]
fn values_are_checked_as_in_a_spec() {
    let long = format!(r#"{{"reuse": "off", "env": {{"A": "{}"}}}}"#, "x".repeat(64 * 1024));
    let error = apply(&with(""), &long).unwrap_err();
    expect!["override.env: is 65537 bytes in all, at most 65536 are allowed"]
        .assert_eq(&error.to_string());
    check_refusals(
        &[
            ("", r#"{"reuse": "off", "limits": {"memory": "5GiB"}}"#),
            ("", r#"{"reuse": "off", "limits": {"memory": "1KiB"}}"#),
            ("", r#"{"reuse": "off", "limits": {"cpu_time": "31d"}}"#),
            ("", r#"{"reuse": "off", "limits": {"request_timeout": 5}}"#),
            ("", r#"{"reuse": "off", "limits": {"response_body": "2TiB"}}"#),
            ("", r#"{"reuse": "off", "limits": {"request_body": "1MiB"}}"#),
            ("", r#"{"reuse": "off", "limits": ["1GiB"]}"#),
            ("", r#"{"reuse": "off", "env": {"A=B": "x"}}"#),
            ("", r#"{"reuse": "off", "env": {"A": 1}}"#),
            ("", r#"{"reuse": "of"}"#),
            ("", r#"{"concurrency": 2}"#),
            ("", "[]"),
            ("", "off"),
        ],
        expect![[r#"
            [] {"reuse": "off", "limits": {"memory": "5GiB"}}
              override.limits.memory: `5GiB` is not allowed, use 1MiB to 4GiB
            [] {"reuse": "off", "limits": {"memory": "1KiB"}}
              override.limits.memory: `1KiB` is not allowed, use 1MiB to 4GiB
            [] {"reuse": "off", "limits": {"cpu_time": "31d"}}
              override.limits.cpu_time: `31d` is not allowed, use 1ms to 30d
            [] {"reuse": "off", "limits": {"request_timeout": 5}}
              override.limits.request_timeout: invalid type: integer `5`, expected a duration such as "30s" or "5m"
            [] {"reuse": "off", "limits": {"response_body": "2TiB"}}
              override.limits.response_body: `2TiB` is not allowed, use 0B to 1TiB
            [] {"reuse": "off", "limits": {"request_body": "1MiB"}}
              override.limits.request_body: there is no such key, use one of `memory`, `request_timeout`, `stall_timeout`, `cpu_time`, `start_timeout`, `response_headers`, `response_body`
            [] {"reuse": "off", "limits": ["1GiB"]}
              override.limits: invalid type: sequence, expected an object
            [] {"reuse": "off", "env": {"A=B": "x"}}
              override.env: "A=B" cannot be the name of a variable: it is empty or has `=`
            [] {"reuse": "off", "env": {"A": 1}}
              override.env.A: invalid type: integer `1`, expected a string
            [] {"reuse": "of"}
              override.reuse: unknown variant `of`, expected `on` or `off`
            [] {"concurrency": 2}
              override.concurrency: there is no such key, use one of `reuse`, `env`, `limits`
            [] []
              override: invalid type: sequence, expected an object
            [] off
              not JSON: expected value at line 1 column 1
        "#]],
    );
}

#[test]
fn processes_are_not_started_for_one_call() {
    let process = r#"{"process": {"command": "x"}}"#;
    let error = apply(process, r#"{"reuse": "off"}"#).unwrap_err();
    expect!["override: is for components only: a process is not started for one call"]
        .assert_eq(&error.to_string());
    apply(process, "{}").unwrap();
}
