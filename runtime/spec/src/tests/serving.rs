//! Batches, reuse, readiness, endpoints, schemas and their page.

use super::*;

#[test]
fn batches_of_a_component_get_their_defaults() {
    native::check(
        &with(r#""batching": {}"#),
        &["batching", "concurrency"],
        expect![[r#"
        {
          "batching": {
            "max_batch_size": 8,
            "retry_alone": true,
            "since": "oldest",
            "timeout_batching": "10ms"
          },
          "concurrency": 1
        }"#]],
    );
    native::check(
        &with(
            r#""batching": {"max_batch_size": 64, "timeout_batching": "1s",
               "since": "previous-send", "retry_alone": false}"#,
        ),
        &["batching"],
        expect![[r#"
            {
              "batching": {
                "max_batch_size": 64,
                "retry_alone": false,
                "since": "previous-send",
                "timeout_batching": "1s"
              }
            }"#]],
    );
}

#[test]
fn batches_of_a_process_go_to_the_endpoint() {
    native::check(
        r#"{"process": {"command": "x"}, "batching": {}, "endpoint": "/api/predict"}"#,
        &["batching", "concurrency", "endpoint", "docs"],
        expect![[r#"
            {
              "batching": {
                "max_batch_size": 8,
                "path": "/api/predict",
                "retry_alone": true,
                "shape": "array",
                "since": "oldest",
                "timeout_batching": "10ms"
              },
              "concurrency": 1,
              "docs": "/docs",
              "endpoint": "/api/predict"
            }"#]],
    );
    native::check(
        r#"{"worker": {}, "batching": {"shape": "lightning", "path": "/v1/batch?raw=1"}}"#,
        &["batching"],
        expect![[r#"
            {
              "batching": {
                "max_batch_size": 8,
                "path": "/v1/batch?raw=1",
                "retry_alone": true,
                "shape": "lightning",
                "since": "oldest",
                "timeout_batching": "10ms"
              }
            }"#]],
    );
    let spec = parse(r#"{"process": {"command": "x"}, "batching": {}}"#, World::HttpService03);
    assert_eq!(spec.unwrap().batching.unwrap().path.as_deref(), Some("/"));
}

#[test]
fn a_process_may_take_several_batches_at_a_time() {
    let json = r#"{"process": {"command": "x"}, "batching": {}, "concurrency": 4}"#;
    assert_eq!(parse(json, World::HttpService03).unwrap().concurrency, 4);
}

#[test]
fn batches_that_cannot_be_are_named() {
    check_errors(
        &[
            r#""batching": {"max_batch_size": 0}"#,
            r#""batching": {"max_batch_size": 1025}"#,
            r#""batching": {"max_batch_size": "8"}"#,
            r#""batching": {"max_batch_size": 16}, "queue": {"max": 8}"#,
            r#""batching": {"timeout_batching": "61s"}"#,
            r#""batching": {"timeout_batching": 1}"#,
            r#""batching": {"since": "newest"}"#,
            r#""batching": {"shape": "array"}"#,
            r#""batching": {"path": "/predict"}"#,
            r#""batching": {"retry_alone": "no"}"#,
            r#""batching": {"size": 8}"#,
            r#""batching": 8"#,
            r#""batching": {}, "concurrency": 2"#,
        ],
        expect![[r#"
            "batching": {"max_batch_size": 0}
              spec.batching.max_batch_size: `0` is not allowed, use 1 to 1024
            "batching": {"max_batch_size": 1025}
              spec.batching.max_batch_size: `1025` is not allowed, use 1 to 1024
            "batching": {"max_batch_size": "8"}
              spec.batching.max_batch_size: invalid type: string "8", expected a whole number of 0 or more
            "batching": {"max_batch_size": 16}, "queue": {"max": 8}
              spec.batching.max_batch_size: `16` is more than may wait, so no batch would be full: `queue.max` is 8
            "batching": {"timeout_batching": "61s"}
              spec.batching.timeout_batching: `1m 1s` is not allowed, use 0s to 1m
            "batching": {"timeout_batching": 1}
              spec.batching.timeout_batching: invalid type: integer `1`, expected a duration such as "30s" or "5m"
            "batching": {"since": "newest"}
              spec.batching.since: unknown variant `newest`, expected `oldest` or `previous-send`
            "batching": {"shape": "array"}
              spec.batching.shape: is for processes and workers only
              hint: a component is called with whole requests, its export `handle-batch`
            "batching": {"path": "/predict"}
              spec.batching.path: is for processes and workers only
              hint: a component is called with whole requests, its export `handle-batch`
            "batching": {"retry_alone": "no"}
              spec.batching.retry_alone: invalid type: string "no", expected a boolean
            "batching": {"size": 8}
              spec.batching.size: there is no such key, use one of `max_batch_size`, `timeout_batching`, `since`, `shape`, `path`, `retry_alone`
              hint: did you mean `since`?
            "batching": 8
              spec.batching: invalid type: integer `8`, expected an object
            "batching": {}, "concurrency": 2
              spec.concurrency: `2` is not possible with `batching`: an instance handles one batch at a time
              hint: leave it out or use 1 and raise `replicas`, or `batching.max_batch_size`
        "#]],
    );
    native::check_errors(
        &[
            r#""process": {"command": "x"}, "batching": {"shape": "list"}"#,
            r#""process": {"command": "x"}, "batching": {"path": "predict"}"#,
            r#""process": {"command": "x"}, "batching": {"path": "/a b"}"#,
            r#""worker": {"envelope": true}, "batching": {}"#,
        ],
        expect![[r#"
            "process": {"command": "x"}, "batching": {"shape": "list"}
              spec.batching.shape: unknown variant `list`, expected `array` or `lightning`
            "process": {"command": "x"}, "batching": {"path": "predict"}
              spec.batching.path: `predict` is not a path; write one like `/predict`
            "process": {"command": "x"}, "batching": {"path": "/a b"}
              spec.batching.path: `/a b` is not a path; write one like `/predict`
            "worker": {"envelope": true}, "batching": {}
              spec.batching: cannot stand beside `worker.envelope`, which holds one request
        "#]],
    );
}

#[test]
fn several_batches_at_a_time_in_one_instance_are_an_unsupported_concurrency() {
    let error = parse(&with(r#""batching": {}, "concurrency": 2"#), World::HttpService03);
    assert_eq!(error.unwrap_err().kind, SpecErrorKind::ConcurrencyUnsupported);
}

#[test]
fn instances_that_serve_once_take_one_request() {
    native::check(
        &with(r#""reuse": "off""#),
        &["reuse", "concurrency", "max_requests"],
        expect![[r#"
            {
              "concurrency": 1,
              "max_requests": 0,
              "reuse": "off"
            }"#]],
    );
    let spec = parse(&with(r#""reuse": "off""#), World::HttpService03).unwrap();
    assert_eq!(spec.concurrency, 1, "the default of a 0.3 handler is another one");
    let limits = samovar_core::limits::PoolLimits::from(&spec);
    assert_eq!(limits.max_requests, Some(1), "the pool replaces an instance that has served");
}

#[test]
fn reuse_off_beside_what_needs_reuse_is_named() {
    check_errors(
        &[
            r#""reuse": "off", "concurrency": 2"#,
            r#""reuse": "off", "max_requests": 1"#,
            r#""reuse": "off", "batching": {}"#,
            r#""reuse": "never""#,
            r#""reuse": false"#,
        ],
        expect![[r#"
            "reuse": "off", "concurrency": 2
              spec.concurrency: `2` is not possible with `reuse` off: an instance serves once
            "reuse": "off", "max_requests": 1
              spec.reuse: cannot be `off` with `max_requests`: an instance serves once
            "reuse": "off", "batching": {}
              spec.reuse: cannot be `off` with `batching`: one instance serves a whole batch
            "reuse": "never"
              spec.reuse: unknown variant `never`, expected `on` or `off`
            "reuse": false
              spec.reuse: invalid type: boolean `false`, expected a string
        "#]],
    );
}

#[test]
fn rules_for_ready_are_kept() {
    for (written, expected) in [
        (r#""serving""#, ReadyRule::Serving),
        (r#""any""#, ReadyRule::Any),
        (r#""min""#, ReadyRule::Min),
        (r#""target""#, ReadyRule::Target),
        ("4", ReadyRule::Count(4)),
    ] {
        let spec = parse(&with(&format!(r#""ready": {written}"#)), World::HttpService03).unwrap();
        assert_eq!(spec.ready, expected);
        let json = serde_json::to_value(&spec).unwrap();
        assert_eq!(json["ready"].to_string(), written);
        assert_eq!(serde_json::from_value::<DeploymentSpec>(json).unwrap(), spec);
    }
    check_errors(
        &[
            r#""ready": "all""#,
            r#""ready": 0"#,
            r#""ready": 5"#,
            r#""ready": -1"#,
            r#""ready": 5000000000"#,
            r#""ready": true"#,
            r#""external_scaler": "yes""#,
        ],
        expect![[r#"
            "ready": "all"
              spec.ready: `all` is no rule; use `serving`, `any`, `min`, `target`, or a number of replicas
            "ready": 0
              spec.ready: `0` is not allowed, use 1 to 4
            "ready": 5
              spec.ready: `5` is not allowed, use 1 to 4
            "ready": -1
              spec.ready: invalid value: integer `-1`, expected `serving`, `any`, `min`, `target`, or a number of replicas
            "ready": 5000000000
              spec.ready: invalid type: integer `5000000000`, expected `serving`, `any`, `min`, `target`, or a number of replicas
            "ready": true
              spec.ready: invalid type: boolean `true`, expected `serving`, `any`, `min`, `target`, or a number of replicas
            "external_scaler": "yes"
              spec.external_scaler: invalid type: string "yes", expected a boolean
        "#]],
    );
}

#[test]
fn what_clients_send_brings_a_page_to_try_it() {
    let docs = |settings: &str| parse(&with(settings), World::HttpService03).unwrap().docs;
    assert_eq!(docs(""), None);
    assert_eq!(docs(r#""endpoint": "/""#).as_deref(), Some("/docs"));
    assert_eq!(docs(r#""input_schema": true"#).as_deref(), Some("/docs"));
    assert_eq!(docs(r#""output_schema": {}"#).as_deref(), Some("/docs"));
    assert_eq!(docs(r#""output_schema": {}, "docs": "off""#), None);
    assert_eq!(docs(r#""docs": "/try/it""#).as_deref(), Some("/try/it"));
    native::check(
        &with(
            r#""endpoint": "/api/predict", "input_schema": {"type": "object"},
               "output_schema": false, "external_scaler": true"#,
        ),
        &["endpoint", "input_schema", "output_schema", "docs", "external_scaler"],
        expect![[r#"
            {
              "docs": "/docs",
              "endpoint": "/api/predict",
              "external_scaler": true,
              "input_schema": {
                "type": "object"
              },
              "output_schema": false
            }"#]],
    );
}

#[test]
fn endpoints_schemas_and_pages_that_cannot_be_are_named() {
    check_errors(
        &[
            r#""endpoint": "predict""#,
            r#""endpoint": "/predict/""#,
            r#""endpoint": """#,
            r#""docs": "/""#,
            r#""docs": "on""#,
            r#""docs": true"#,
            r#""input_schema": "object""#,
            r#""input_schema": []"#,
            r#""output_schema": 1"#,
            r#""input_schema": {"type": "text"}"#,
            r#""input_schema": {"$ref": "https://example.com/s.json"}"#,
            r##""output_schema": {"$ref": "#"}"##,
            r#""output_schema": {"pattern": "("}"#,
        ],
        expect![[r##"
            "endpoint": "predict"
              spec.endpoint: `predict` is not a path: use `/`, or segments of letters, digits and `-._~` like `/api/predict`, without a `/` at the end, at most 1024 bytes
            "endpoint": "/predict/"
              spec.endpoint: `/predict/` is not a path: use `/`, or segments of letters, digits and `-._~` like `/api/predict`, without a `/` at the end, at most 1024 bytes
            "endpoint": ""
              spec.endpoint: `` is not a path: use `/`, or segments of letters, digits and `-._~` like `/api/predict`, without a `/` at the end, at most 1024 bytes
            "docs": "/"
              spec.docs: cannot be `/`, which is the deployment's own; write one like `/docs`
            "docs": "on"
              spec.docs: `on` is not a path: use `/`, or segments of letters, digits and `-._~` like `/docs`, without a `/` at the end, at most 1024 bytes
              hint: `off` switches the page off
            "docs": true
              spec.docs: invalid type: boolean `true`, expected a string
            "input_schema": "object"
              spec.input_schema: a schema is an object or a boolean, this is a string
            "input_schema": []
              spec.input_schema: a schema is an object or a boolean, this is an array
            "output_schema": 1
              spec.output_schema: a schema is an object or a boolean, this is a number
            "input_schema": {"type": "text"}
              spec.input_schema: /type: "text" is not a type
            "input_schema": {"$ref": "https://example.com/s.json"}
              spec.input_schema: /$ref: `https://example.com/s.json` is outside of this schema; only references inside the document are possible
            "output_schema": {"$ref": "#"}
              spec.output_schema: schemas refer to each other in a loop that checks nothing: # → #
            "output_schema": {"pattern": "("}
              spec.output_schema: /pattern: `(` is not a regular expression that can be used here; look-around and back-references cannot be matched in bounded time
        "##]],
    );
}

#[test]
fn schemas_that_are_too_large_or_deep_are_refused() {
    let long = format!(r#""input_schema": {{"title": "{}"}}"#, "x".repeat(256 * 1024));
    let error = parse(&with(&long), World::HttpService03).unwrap_err();
    expect!["spec.input_schema: the schema has 262156 bytes, the limit is 262144"]
        .assert_eq(&error.to_string());
    let deep = |levels: usize| {
        let schema = r#"{"not": "#.repeat(levels) + "true" + &"}".repeat(levels);
        parse(&with(&format!(r#""input_schema": {schema}"#)), World::HttpService03)
    };
    deep(64).unwrap();
    expect!["spec.input_schema: the schema is nested deeper than 64 levels"]
        .assert_eq(&deep(65).unwrap_err().to_string());
    let error = deep(1000).unwrap_err();
    expect!["not JSON: recursion limit exceeded at line 1 column 1114"]
        .assert_eq(&error.to_string());
}
