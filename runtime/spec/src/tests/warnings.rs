//! What is allowed but probably not meant.

use super::*;

/// Checks the warnings for each line of `inputs`, specs of a deployment named `thumbnail`.
fn check_warnings(inputs: &[&str], expected: Expect) {
    let name: DeploymentName = "thumbnail".parse().unwrap();
    let mut report = String::new();
    for input in inputs {
        let json = if input.contains("process") { format!("{{{input}}}") } else { with(input) };
        let spec = parse(&json, World::HttpService03).unwrap();
        report.push_str(&format!("- {input}\n"));
        for warning in spec.warnings(&name) {
            report.push_str(&format!("    {warning}\n"));
        }
    }
    expected.assert_eq(&report);
}

#[test]
fn defaults_are_fine() {
    check_warnings(
        &[r#""env": {}"#, r#""process": {"command": "x"}"#],
        expect![[r#"
            - "env": {}
            - "process": {"command": "x"}
        "#]],
    );
}

#[test]
fn risky_but_allowed_specs_warn() {
    check_warnings(
        &[
            r#""replicas": 1, "concurrency": 1, "idle_ttl": "10ms", "scaledown_ttl": "0s", "limits": {"request_timeout": "1s"}"#,
        ],
        expect![[r#"
            - "replicas": 1, "concurrency": 1, "idle_ttl": "10ms", "scaledown_ttl": "0s", "limits": {"request_timeout": "1s"}
                this deployment serves one request at a time (replicas.max 1, concurrency 1): a handler that calls itself, even through others, finds its own request in the only place and is answered with 508
                idle_ttl is 10ms: the pool is shut down between requests, so most of them wait for a start
                scaledown_ttl is 0s: replicas are removed as soon as they are idle and started again for the next burst
                limits.cpu_time is 10s, but a request whose response does not begin within 1s is ended by limits.request_timeout first
        "#]],
    );
}

#[test]
fn a_pool_that_can_starve_itself_warns() {
    check_warnings(
        &[
            r#""replicas": 1, "concurrency": 1"#,
            r#""replicas": 1, "concurrency": 2"#,
            r#""replicas": 1, "concurrency": 1, "calls": {"allow": []}"#,
            r#""replicas": 1, "concurrency": 1, "calls": {"allow": ["light"]}"#,
            r#""replicas": 1, "batching": {}"#,
            r#""replicas": "0..2", "concurrency": 3, "calls": {"allow": ["thumbnail"]}"#,
            r#""replicas": "0..2", "concurrency": 3, "calls": {"allow": ["light"]}"#,
            r#""process": {"command": "x"}, "replicas": 1, "concurrency": 1"#,
        ],
        expect![[r#"
            - "replicas": 1, "concurrency": 1
                this deployment serves one request at a time (replicas.max 1, concurrency 1): a handler that calls itself, even through others, finds its own request in the only place and is answered with 508
            - "replicas": 1, "concurrency": 2
            - "replicas": 1, "concurrency": 1, "calls": {"allow": []}
            - "replicas": 1, "concurrency": 1, "calls": {"allow": ["light"]}
                this deployment serves one request at a time (replicas.max 1, concurrency 1): a handler that calls itself, even through others, finds its own request in the only place and is answered with 508
            - "replicas": 1, "batching": {}
                this deployment serves one batch at a time (replicas.max 1, concurrency 1): a handler that calls itself, even through others, finds its own request in the only place and is answered with 508
            - "replicas": "0..2", "concurrency": 3, "calls": {"allow": ["thumbnail"]}
                calls.allow names this deployment itself: 6 requests that call it at the same time hold all its places (replicas.max 2, concurrency 3) and wait for one another
            - "replicas": "0..2", "concurrency": 3, "calls": {"allow": ["light"]}
            - "process": {"command": "x"}, "replicas": 1, "concurrency": 1
        "#]],
    );
}

#[test]
fn times_below_flytes_minimum_warn_once() {
    check_warnings(
        &[
            r#""idle_ttl": "999ms""#,
            r#""idle_ttl": "1s""#,
            r#""idle_ttl": 29"#,
            r#""idle_ttl": 30"#,
            r#""scaledown_ttl": "999ms""#,
            r#""scaledown_ttl": 29"#,
            r#""scaledown_ttl": 30"#,
        ],
        expect![[r#"
            - "idle_ttl": "999ms"
                idle_ttl is 999ms: the pool is shut down between requests, so most of them wait for a start
            - "idle_ttl": "1s"
                idle_ttl is 1s, less than the 30s that Flyte demands: the pool is shut down in every short pause, and the first request after it waits for a start
            - "idle_ttl": 29
                idle_ttl is 29s, less than the 30s that Flyte demands: the pool is shut down in every short pause, and the first request after it waits for a start
            - "idle_ttl": 30
            - "scaledown_ttl": "999ms"
                scaledown_ttl is 999ms: replicas are removed as soon as they are idle and started again for the next burst
            - "scaledown_ttl": 29
                scaledown_ttl is 29s, less than the 30s that Flyte demands: replicas that a short pause leaves idle may be removed and started again
            - "scaledown_ttl": 30
        "#]],
    );
}

#[test]
fn batches_that_leave_too_late_warn() {
    check_warnings(
        &[
            r#""batching": {"timeout_batching": "30s"}"#,
            r#""batching": {"timeout_batching": "31s"}"#,
            r#""batching": {"timeout_batching": "31s"}, "queue": {"timeout": "10s"}"#,
            r#""batching": {"timeout_batching": "31s"}, "queue": {"timeout": "1m"}"#,
        ],
        expect![[r#"
            - "batching": {"timeout_batching": "30s"}
            - "batching": {"timeout_batching": "31s"}
                batching.timeout_batching is 31s, more than limits.request_timeout, 30s: requests may be given up before their batch leaves
            - "batching": {"timeout_batching": "31s"}, "queue": {"timeout": "10s"}
                batching.timeout_batching is 31s, more than queue.timeout, 10s: requests may be given up before their batch leaves
            - "batching": {"timeout_batching": "31s"}, "queue": {"timeout": "1m"}
                batching.timeout_batching is 31s, more than limits.request_timeout, 30s: requests may be given up before their batch leaves
        "#]],
    );
}

#[test]
fn proxies_without_effect_and_held_responses_warn() {
    check_warnings(
        &[
            r#""replicas": "1..2", "idle_ttl": "off", "cold_start_proxy": {"deployment": "a"}"#,
            r#""replicas": "1..2", "cold_start_proxy": {"deployment": "a"}"#,
            r#""replicas": "1..2", "idle_ttl": "off", "cold_start_proxy": {"deployment": "a", "above": 2}"#,
            r#""output_schema": {}"#,
            r#""output_schema": {}, "limits": {"response_body": "32MiB"}"#,
        ],
        expect![[r#"
            - "replicas": "1..2", "idle_ttl": "off", "cold_start_proxy": {"deployment": "a"}
                cold_start_proxy has hardly an effect: 1 replicas always stay (replicas.min, idle_ttl off), and there is no `above`
            - "replicas": "1..2", "cold_start_proxy": {"deployment": "a"}
            - "replicas": "1..2", "idle_ttl": "off", "cold_start_proxy": {"deployment": "a", "above": 2}
            - "output_schema": {}
                output_schema: a response is held in memory until it is complete and checked, streams too, and refused above 32MiB, although limits.response_body is 1GiB
            - "output_schema": {}, "limits": {"response_body": "32MiB"}
        "#]],
    );
}

#[test]
fn wide_outbound_rules_warn() {
    check_warnings(
        &[
            r#""outbound": {"allow": ["*"]}"#,
            r#""outbound": {"allow": ["https://*:8443", "a.example"]}"#,
            r#""outbound": {"allow": ["*.example.com:*"]}"#,
            r#""outbound": {"addresses": ["private", "link-local", "169.254.0.0/16"]}"#,
            r#""outbound": {"addresses": ["metadata"]}"#,
            r#""outbound": {"addresses": ["169.254.169.254"]}"#,
        ],
        expect![[r#"
            - "outbound": {"allow": ["*"]}
                outbound.allow has `*`: the handler may call every host there is
            - "outbound": {"allow": ["https://*:8443", "a.example"]}
                outbound.allow has `https://*:8443`: the handler may call every host there is
            - "outbound": {"allow": ["*.example.com:*"]}
            - "outbound": {"addresses": ["private", "link-local", "169.254.0.0/16"]}
            - "outbound": {"addresses": ["metadata"]}
                outbound.addresses allows metadata services: the handler can read what the cloud tells this machine, its credentials included
            - "outbound": {"addresses": ["169.254.169.254"]}
                outbound.addresses allows metadata services: the handler can read what the cloud tells this machine, its credentials included
        "#]],
    );
}
