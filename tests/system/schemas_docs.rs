//! The endpoint of a deployment, its OpenAPI document, and the page to try it.

use http::Method;
use samovar_tests::status::text;
use samovar_tests::{Native, Reply, Samovar};
use serde_json::{Value, json};

use crate::schemas::{ECHOES, picture};
use crate::support::{BEHAVE, fixed, with};

/// A server with a deployment `s` that echoes.
async fn echo(spec: Value) -> Samovar {
    let samovar = Samovar::start().await;
    samovar.deploy("s", ECHOES[0], with(fixed(1), spec)).await;
    samovar
}

async fn ask(samovar: &Samovar, method: Method, path: &str) -> Reply {
    samovar.http.send(samovar.http.request(method, path), "").await
}

/// Fails unless a browser may run nothing of this answer but what the page brings along.
#[track_caller]
fn assert_locked(reply: &Reply) {
    let policy = reply.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn only_posts_to_the_endpoint_reach_the_replicas() {
    let native = Native::start().await;
    let wasm: &Samovar = &native;
    let spec = json!({"endpoint": "/api/predict"});
    wasm.deploy("echo", ECHOES[0], with(fixed(1), spec)).await;
    native.deploy("native", json!({"endpoint": "/echo"})).await;
    for (name, endpoint) in [("echo", "/api/predict"), ("native", "/echo")] {
        let path = |below: &str| format!("/{name}{below}");
        let reply = native.http.post(&path(endpoint), "hello").await.expect(200);
        assert_eq!(reply.text(), "hello");
        native.http.post(&path(&format!("{endpoint}?query=1")), "hello").await.expect(200);
        native.http.post(&path(&format!("{endpoint}/")), "hello").await.expect(200);
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let request = native.http.request(method.clone(), &path(endpoint));
            let reply = native.http.send(request, "").await;
            reply.host_error(405, "method");
            assert_eq!(reply.header("allow"), Some("POST"), "{method}");
        }
        let head = native.http.request(Method::HEAD, &path(endpoint));
        let reply = native.http.send(head, "").await.expect(405);
        assert_eq!(reply.header("allow"), Some("POST"));
        let elsewhere =
            ["", "/", "/other", "/api", &format!("{endpoint}x"), &format!("{endpoint}/x")];
        for below in elsewhere {
            native.http.post(&path(below), "hello").await.host_error(404, "not-endpoint");
            native.http.get(&path(below)).await.host_error(404, "not-endpoint");
        }
    }
    let status = native.status("native").await;
    assert_eq!(status["totals"]["arrived"], 3, "{status}");
}

#[tokio::test]
async fn endpoint_is_below_the_route() {
    let samovar = echo(json!({"route": "/v1/models/s", "endpoint": "/predict"})).await;
    samovar.http.post("/v1/models/s/predict", "hello").await.expect(200);
    samovar.http.post("/predict", "hello").await.host_error(404, "no-deployment");
    samovar.http.post("/v1/models/s/v1/models/s/predict", "").await.host_error(404, "not-endpoint");
}

#[tokio::test]
async fn endpoint_has_its_bounds() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(samovar_tests::component(ECHOES[0])).await;
    for endpoint in ["predict", "", "/a?b", "/a#b", "/a b", "/../x"] {
        let reply = samovar.put_spec("s", &digest, json!({"endpoint": endpoint})).await;
        let error = reply.refused(422, "invalid-field");
        assert_eq!(error["field"], "spec.endpoint", "{endpoint:?}: {error}");
    }
    for docs in ["docs", "/", "/a?b"] {
        let reply = samovar.put_spec("s", &digest, json!({"docs": docs})).await;
        let error = reply.refused(422, "invalid-field");
        assert_eq!(error["field"], "spec.docs", "{docs:?}: {error}");
    }
}

#[tokio::test]
async fn page_and_document_are_served() {
    let spec = json!({"endpoint": "/predict", "input_schema": picture(), "output_schema": true});
    let samovar = echo(spec).await;
    for path in ["/s/docs", "/s/docs/"] {
        let page = samovar.http.get(path).await.expect(200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_locked(&page);
        let html = page.text();
        assert!(html.starts_with("<!doctype html>") && html.contains("<title>s</title>"), "{html}");
        assert!(!html.contains("src=\"") && !html.contains("http://"), "nothing from elsewhere");
    }
    let reply = samovar.http.get("/s/docs/openapi.json").await.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let document = reply.json();
    assert!(text(&document, "/openapi").starts_with("3.1"), "{document}");
    assert_eq!(document["info"]["title"], "s");
    let operation = &document["paths"]["/s/predict"]["post"];
    for status in ["200", "422", "502"] {
        assert!(operation["responses"][status].is_object(), "{operation}");
    }
    assert_eq!(document["components"]["schemas"]["Input"]["required"], json!(["url"]));
    // What the document says of the errors is so.
    let error = samovar.http.post("/s/predict", "{}").await.host_error(422, "input-schema");
    let fault = &error["faults"][0];
    for member in ["pointer", "reason", "schema_pointer"] {
        assert!(fault[member].is_string(), "no {member}: {error}");
    }
    let head = ask(&samovar, Method::HEAD, "/s/docs").await.expect(200);
    assert!(head.body.is_empty());
    ask(&samovar, Method::POST, "/s/docs").await.host_error(404, "not-endpoint");
    samovar.http.get("/s/docs/other").await.host_error(404, "not-endpoint");
    let arrived = samovar.status("s").await["totals"]["arrived"].clone();
    assert_eq!(arrived, 0, "no replica is asked for the page");
}

#[tokio::test]
async fn document_follows_the_route_and_the_revision() {
    let spec = |input| json!({"route": "/models/small", "input_schema": {"type": input}});
    let samovar = echo(spec("string")).await;
    let document =
        async || samovar.http.get("/models/small/docs/openapi.json").await.expect(200).json();
    let before = document().await;
    assert!(
        before["paths"]
            .as_object()
            .is_some_and(|paths| { paths.keys().all(|path| path.starts_with("/models/small")) })
    );
    samovar.deploy("s", ECHOES[0], with(fixed(1), spec("integer"))).await;
    let after = document().await;
    assert_eq!(before["components"]["schemas"]["Input"]["type"], "string");
    assert_eq!(after["components"]["schemas"]["Input"]["type"], "integer");
    assert_ne!(before["info"]["version"], after["info"]["version"]);
}

#[tokio::test]
async fn page_is_there_only_if_it_may_be() {
    let samovar = Samovar::start().await;
    let is_page = async |path: &str| {
        let reply = samovar.http.get(path).await;
        reply.header("content-security-policy").is_some()
    };
    samovar.deploy("s", BEHAVE, fixed(1)).await;
    assert!(!is_page("/s/docs").await, "it belongs to the handler");
    samovar.deploy("s", BEHAVE, with(fixed(1), json!({"docs": "/try/it"}))).await;
    assert!(is_page("/s/try/it").await && !is_page("/s/docs").await);
    samovar.http.get("/s/ok").await.expect(200);
    let spec = json!({"endpoint": "/ok", "docs": "off"});
    samovar.deploy("s", BEHAVE, with(fixed(1), spec)).await;
    samovar.http.get("/s/docs").await.host_error(404, "not-endpoint");
    // GET and POST of the same path.
    let spec = json!({"endpoint": "/ok", "docs": "/ok"});
    samovar.deploy("s", BEHAVE, with(fixed(1), spec)).await;
    assert!(is_page("/s/ok").await);
    samovar.http.post("/s/ok", "").await.expect(200);
}

#[tokio::test]
async fn page_shows_nothing_of_what_others_wrote_as_html() {
    const BAD: &str = "</script></title><script>alert(1)</script><img src=x onerror=alert(2)>";
    let input = json!({"title": BAD, "description": BAD, "properties": {BAD: {"enum": [BAD]}}});
    let samovar = echo(json!({"input_schema": input, "config": {"a": BAD}})).await;
    let page = samovar.http.get("/s/docs").await.expect(200);
    assert!(!page.text().contains("alert("), "the page has nothing of the schema");
    assert_locked(&page);
    let reply = samovar.http.get("/s/docs/openapi.json").await.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document = reply.json();
    assert_eq!(document["components"]["schemas"]["Input"]["title"], BAD);
    // Nor can a name or a route have anything to escape.
    let digest = samovar.upload(samovar_tests::component(ECHOES[0])).await;
    let reply = samovar.put_spec("%3Cb%3E", &digest, json!({})).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    let error = samovar.put_spec("s", &digest, json!({"route": "/<b>"})).await;
    assert_eq!(error.refused(422, "invalid-field")["field"], "spec.route");
    // What was sent is told as JSON too.
    let reply = samovar.http.post("/s", json!({BAD: BAD.to_lowercase()}).to_string() + "x").await;
    reply.host_error(422, "input-schema");
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn page_is_served_while_no_replica_is_ready() {
    let native = Native::start().await;
    let spec = json!({"replicas": "0..1", "env": {"BEHAVE": "never-ready"}, "docs": "/docs",
        "input_schema": true});
    native.deploy("m", spec).await;
    native.http.get("/m/docs").await.expect(200);
    native.http.get("/m/docs/openapi.json").await.expect(200);
    native.http.post("/m", "no json").await.host_error(422, "input-schema");
    let status = native.status("m").await;
    assert_eq!(status["replicas"]["starting"], 0, "nobody was woken up: {status}");
}
