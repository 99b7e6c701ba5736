//! Schemas of what goes in and comes out: who is refused, and what he is told.

use http::Method;
use samovar_tests::status::{list, number, text};
use samovar_tests::{Native, Reply, Samovar};
use serde_json::{Value, json};

use crate::batching::{BATCH, FOR_EVER, batches_of, post_all, statuses};
use crate::support::{fixed, names, with};

/// Answers with the request's body, as a handler of WASI 0.2 and of 0.3.
pub const ECHOES: [&str; 2] = ["echo-sync", "echo"];

/// A picture to make smaller.
pub fn picture() -> Value {
    json!({
        "type": "object",
        "required": ["url"],
        "properties": {
            "url": {"type": "string", "minLength": 1},
            "sizes": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3},
            "a/b~c": {"enum": ["x", "y"]}
        },
        "additionalProperties": false
    })
}

/// Puts a deployment of `echo-sync` and returns the answer.
async fn put(samovar: &Samovar, spec: Value) -> Reply {
    let digest = samovar.upload(samovar_tests::component(ECHOES[0])).await;
    samovar.put_spec("s", &digest, spec).await
}

/// A server with a deployment `s` that echoes.
async fn echo(spec: Value) -> Samovar {
    let samovar = Samovar::start().await;
    samovar.deploy("s", ECHOES[0], with(fixed(1), spec)).await;
    samovar
}

/// The pointers of an answer's faults, sorted; every one has a reason.
#[track_caller]
fn pointers(error: &Value) -> Vec<String> {
    let faults = list(error, "/faults").iter();
    let mut pointers: Vec<_> = faults
        .map(|fault| {
            assert!(!text(fault, "/reason").is_empty(), "{fault}");
            text(fault, "/pointer").to_owned()
        })
        .collect();
    pointers.sort();
    pointers
}

#[tokio::test]
async fn bodies_that_fit_reach_handlers_and_processes_as_they_are() {
    let native = Native::start().await;
    let wasm: &Samovar = &native;
    let spec = json!({"input_schema": picture(), "output_schema": picture()});
    for echo in ECHOES {
        wasm.deploy(echo, echo, with(fixed(1), spec.clone())).await;
    }
    native.deploy("native", with(spec, json!({"route": "/native"}))).await;
    let body = " {\"url\": \"\\u0061\",\n  \"sizes\": [1.0, 2e1]} ";
    for path in ["/echo", "/echo-sync", "/native/echo"] {
        let reply = native.http.post(path, body).await.expect(200);
        assert_eq!(reply.text(), body, "{path}");
    }
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_with_place_and_reason() {
    let native = Native::start().await;
    let wasm: &Samovar = &native;
    let spec = json!({"input_schema": picture()});
    for echo in ECHOES {
        wasm.deploy(echo, echo, with(fixed(1), spec.clone())).await;
    }
    native.deploy("native", spec).await;
    let cases: [(Value, &[&str]); 7] = [
        (json!({}), &[""]),
        (json!([]), &[""]),
        (json!({"url": ""}), &["/url"]),
        (json!({"url": 7, "sizes": [1, 0, "x"]}), &["/sizes/1", "/sizes/2", "/url"]),
        (json!({"url": "u", "sizes": [1, 2, 3, 4]}), &["/sizes"]),
        (json!({"url": "u", "a/b~c": "z"}), &["/a~1b~0c"]),
        (json!({"url": "u", "more": 1}), &["/more"]),
    ];
    for path in ["/echo", "/echo-sync", "/native/echo"] {
        for (body, wanted) in &cases {
            let error = native.http.post(path, body.to_string()).await;
            let error = error.host_error(422, "input-schema");
            assert_eq!(pointers(&error), *wanted, "{path} {body}: {error}");
        }
    }
    for name in ["echo", "echo-sync", "native"] {
        let status = native.status(name).await;
        assert_eq!(number(&status, "/totals/arrived"), 0, "no replica was troubled: {status}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let samovar = echo(json!({"input_schema": picture()})).await;
    for body in
        ["", " ", "hello", "{\"url\": \"u\"", "{\"url\": \"u\"} x", "{'url': 'u'}", "\u{feff}{}"]
    {
        let error = samovar.http.post("/s", body).await.host_error(422, "input-schema");
        assert_eq!(pointers(&error), [""], "{body:?}: {error}");
    }
    let body = &b"{\"url\": \"\xff\"}"[..];
    samovar.http.post("/s", body).await.host_error(422, "input-schema");
    samovar.http.get("/s").await.host_error(422, "input-schema");
    // What reads deep, or long, is no danger either.
    let tower = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    samovar.http.post("/s", tower).await.host_error(422, "input-schema");
    let wide = format!("{{\"url\": \"u\", \"sizes\": [{}0]}}", "0,".repeat(500_000));
    let error = samovar.http.post("/s", wide).await.host_error(422, "input-schema");
    assert!(list(&error, "/faults").len() <= 10, "only the first ones are told");
    let reply = samovar.http.post("/s", "{\"url\": \"u\"}").await.expect(200);
    assert_eq!(reply.json(), json!({"url": "u"}));
}

#[tokio::test]
async fn values_of_bodies_are_told_shortened() {
    let samovar = echo(json!({"input_schema": {"properties": {"a": {"enum": ["x"]}}}})).await;
    let body = json!({"a": "secret ".repeat(100_000)}).to_string();
    let reply = samovar.http.post("/s", body).await;
    reply.host_error(422, "input-schema");
    assert!(reply.body.len() < 1000, "{}", reply.text());
}

#[tokio::test]
async fn large_bodies_are_refused_before_they_are_checked() {
    let spec = json!({"input_schema": picture(), "limits": {"request_body": "1MiB"}});
    let samovar = echo(spec).await;
    let large = json!({"url": "x".repeat(1 << 20)}).to_string();
    samovar.http.post("/s", large).await.host_error(413, "request-body-too-large");
    let fits = json!({"url": "x".repeat(1 << 19)}).to_string();
    assert_eq!(samovar.http.post("/s", fits.clone()).await.expect(200).text(), fits);
}

#[tokio::test]
async fn bodies_too_large_to_check_are_refused() {
    let samovar = echo(json!({"input_schema": true})).await;
    let large = format!("\"{}\"", "x".repeat(33 << 20));
    let reply = samovar.http.post("/s", large).await;
    assert!(matches!(reply.status, 413 | 422), "{} {}", reply.status, reply.text());
    assert!(reply.header("samovar-error").is_some());
    samovar.http.post("/s", "1").await.expect(200);
}

#[tokio::test]
async fn answers_that_do_not_fit_are_not_sent() {
    let native = Native::start().await;
    let wasm: &Samovar = &native;
    let spec = json!({"output_schema": picture()});
    for echo in ECHOES {
        wasm.deploy(echo, echo, with(fixed(1), spec.clone())).await;
    }
    native.deploy("native", spec).await;
    for path in ["/echo", "/echo-sync", "/native/echo"] {
        let body = json!({"url": "u", "sizes": [1, -1]}).to_string();
        let error = native.http.post(path, body).await.host_error(502, "output-schema");
        assert_eq!(pointers(&error), ["/sizes/1"], "{path}");
        let error = native.http.post(path, "hello").await.host_error(502, "output-schema");
        assert_eq!(pointers(&error), [""], "{path}");
        native.http.post(path, "").await.host_error(502, "output-schema");
        native.http.post(path, "{\"url\": \"u\"}").await.expect(200);
    }
    // Errors of the handler are its own.
    native.http.post("/native/status?code=404", "").await.expect(404);
    // HEAD has no body to check.
    let head = native.http.request(Method::HEAD, "/native/ok");
    native.http.send(head, "").await.expect(200);
}

#[tokio::test]
async fn answers_too_large_to_check_are_not_sent() {
    let limits = json!({"response_body": "1KiB"});
    let samovar = echo(json!({"output_schema": true, "limits": limits})).await;
    let reply = samovar.http.post("/s", format!("\"{}\"", "x".repeat(2000))).await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(reply.header("samovar-error").is_some());
    samovar.http.post("/s", "1").await.expect(200);
}

#[tokio::test]
async fn schemas_that_are_none_are_refused_at_deploy() {
    let samovar = Samovar::start().await;
    let huge: Value = (0..20_000).map(|number| json!({"const": number})).collect();
    let mut deep = json!(true);
    for _ in 0..100 {
        deep = json!({"items": deep});
    }
    let cases = [
        ("no object", json!(7)),
        ("unknown type", json!({"type": "strin"})),
        ("wrong keyword", json!({"minLength": "3"})),
        ("wrong pattern", json!({"pattern": "(("})),
        ("remote", json!({"$ref": "https://example.com/schema.json"})),
        ("a file", json!({"$ref": "file:///etc/passwd"})),
        ("dangling", json!({"$ref": "#/$defs/none"})),
        ("a loop", json!({"$ref": "#"})),
        (
            "a longer loop",
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            "$ref": "#/$defs/a"}),
        ),
        ("a loop of branches", json!({"anyOf": [{"type": "string"}, {"$ref": "#"}]})),
        ("huge", json!({"anyOf": huge})),
        ("deep", deep),
        ("wide text", json!({"description": "x".repeat(300_000)})),
    ];
    for (what, schema) in cases {
        for field in ["input_schema", "output_schema"] {
            let reply = put(&samovar, json!({field: schema})).await;
            let error = reply.refused(422, "invalid-field");
            assert_eq!(error["field"], format!("spec.{field}"), "{what}: {error}");
            assert!(text(&error, "/message").len() < 2000, "{what}");
        }
    }
    samovar.admin.get("/v1/deployments/s").await.refused(404, "not-found");
}

#[tokio::test]
async fn refused_schema_leaves_the_deployment_as_it_was() {
    let samovar = echo(json!({"input_schema": picture()})).await;
    let before = samovar.status("s").await["revision"].clone();
    put(&samovar, json!({"input_schema": {"$ref": "#"}})).await.refused(422, "invalid-field");
    assert_eq!(samovar.status("s").await["revision"], before);
    samovar.http.post("/s", "{}").await.host_error(422, "input-schema");
}

#[tokio::test]
async fn recursive_schemas_check_trees() {
    let tree = json!({
        "$defs": {"node": {
            "type": "object",
            "required": ["value"],
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}
            }
        }},
        "$ref": "#/$defs/node"
    });
    let samovar = echo(json!({"input_schema": tree})).await;
    let mut good = json!({"value": 0});
    for depth in 1..40 {
        good = json!({"value": depth, "children": [{"value": 1}, good]});
    }
    assert_eq!(samovar.http.post("/s", good.to_string()).await.expect(200).json(), good);
    let bad = json!({"value": 1, "children": [{"value": 2}, {"value": 3, "children": [{}, 4]}]});
    let error = samovar.http.post("/s", bad.to_string()).await.host_error(422, "input-schema");
    assert_eq!(pointers(&error), ["/children/1/children/0", "/children/1/children/1"]);
}

#[tokio::test]
async fn booleans_are_schemas() {
    let samovar = echo(json!({"input_schema": true})).await;
    samovar.http.post("/s", "[1, null]").await.expect(200);
    samovar.http.post("/s", "no json").await.host_error(422, "input-schema");
    samovar.deploy("s", ECHOES[0], with(fixed(1), json!({"input_schema": false}))).await;
    samovar.http.post("/s", "[1, null]").await.host_error(422, "input-schema");
}

#[tokio::test]
async fn schemas_outlive_a_restart_and_change_with_a_redeploy() {
    let mut samovar = echo(json!({"input_schema": {"type": "integer"}})).await;
    samovar.restart().await;
    samovar.http.post("/s", "\"x\"").await.host_error(422, "input-schema");
    samovar.http.post("/s", "1").await.expect(200);
    samovar
        .deploy("s", ECHOES[0], with(fixed(1), json!({"input_schema": {"type": "string"}})))
        .await;
    samovar.http.post("/s", "\"x\"").await.expect(200);
    samovar.http.post("/s", "1").await.host_error(422, "input-schema");
    samovar.deploy("s", ECHOES[0], fixed(1)).await;
    samovar.http.post("/s", "no json").await.expect(200);
}

#[tokio::test]
async fn items_of_a_batch_are_checked_one_by_one() {
    let samovar = Samovar::start().await;
    let short = json!({"type": "string", "maxLength": 8});
    let spec = json!({"input_schema": short, "output_schema": {"type": "string", "minLength": 3}});
    samovar.deploy("b", BATCH, with(batches_of(3, FOR_EVER, json!({})), spec)).await;
    // What does not fit never joins a batch, so three that fit are needed to fill it.
    samovar.http.post("/b", "\"far too long\"").await.host_error(422, "input-schema");
    let replies = post_all(&samovar.http, "/b", &["\"abc\"", "\"a\"", "\"abcd\""]).await;
    assert_eq!(statuses(&replies), [200, 502, 200]);
    let error = replies[1].host_error(502, "output-schema");
    names(&error["message"], &["does not fit"]);
    assert_eq!(replies[0].header("x-batch").map(|batch| &batch[1..]), Some("/3"));
}

#[tokio::test]
async fn items_of_a_batch_of_a_process_are_checked_one_by_one() {
    let native = Native::start().await;
    let batching = json!({"max_batch_size": 3, "timeout_batching": FOR_EVER, "path": "/batch"});
    let input = json!({"type": ["integer", "object"]});
    let output = json!({"properties": {"item": {"type": "integer"}}});
    let spec = json!({"batching": batching, "queue": {"timeout": "10m"}, "input_schema": input,
        "output_schema": output});
    native.deploy("m", spec).await;
    native.http.post("/m", "\"text\"").await.host_error(422, "input-schema");
    native.http.post("/m", "text").await.host_error(422, "input-schema");
    let replies = post_all(&native.http, "/m", &["1", "{}", "3"]).await;
    assert_eq!(statuses(&replies), [200, 502, 200]);
    assert_eq!(pointers(&replies[1].host_error(502, "output-schema")), ["/item"]);
    assert_eq!(replies[2].json()["size"], 3);
}
