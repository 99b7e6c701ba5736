//! The admin API itself: who may use it, what it says about the server, and unknown names.

use std::fs;

use http::Method;
use samovar_tests::status::{list, number, text};
use samovar_tests::{Options, Samovar, tiny_handler};
use serde_json::json;

use crate::support::names;

const TOKEN: &str = "correct-horse-battery-staple";
/// Exit status for a configuration that cannot be.
const BAD_CONFIGURATION: i32 = 64;

fn public(env: &[(&str, &str)], args: &[&str]) -> Options {
    Options {
        admin: Some("0.0.0.0:0".into()),
        env: env.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        args: args.iter().map(ToString::to_string).collect(),
        ..Options::default()
    }
}

#[tokio::test]
async fn public_admin_address_needs_a_token() {
    let complaint = Samovar::refuses(public(&[], &[]), BAD_CONFIGURATION).await;
    assert!(complaint.contains("--admin-token-file"), "{complaint}");
    assert!(complaint.contains("SAMOVAR_ADMIN_TOKEN"), "{complaint}");
    Samovar::refuses(public(&[("SAMOVAR_ADMIN_TOKEN", "")], &[]), BAD_CONFIGURATION).await;
}

#[tokio::test]
async fn token_file_must_be_readable_and_not_empty() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("token");
    let path = file.to_str().expect("the path is text");
    let missing = public(&[], &["--admin-token-file", path]);
    let complaint = Samovar::refuses(missing.clone(), BAD_CONFIGURATION).await;
    assert!(complaint.contains(path), "{complaint}");
    fs::write(&file, "\n").expect("write the file");
    Samovar::refuses(missing, BAD_CONFIGURATION).await;
}

async fn token_is_required(samovar: &Samovar) {
    let wrong = samovar.admin.with_token("wrong");
    let nearly = samovar.admin.with_token(&TOKEN[..TOKEN.len() - 1]);
    let right = samovar.admin.with_token(TOKEN);
    for path in ["/v1/deployments", "/v1/components", "/v1/policies", "/v1/info"] {
        for stranger in [&samovar.admin, &wrong, &nearly] {
            stranger.get(path).await.refused(401, "unauthorized");
        }
    }
    samovar.admin.post("/v1/components", tiny_handler(200)).await.refused(401, "unauthorized");
    samovar.admin.delete("/v1/deployments/x").await.refused(401, "unauthorized");
    right.get("/v1/deployments").await.expect(200);
    right.post("/v1/components", tiny_handler(200)).await.expect(201);
    for open in ["/healthz", "/readyz"] {
        samovar.admin.get(open).await.expect(200);
    }
    assert!(!samovar.stderr().contains(TOKEN), "the token is in the log");
}

#[tokio::test]
async fn token_from_the_environment_is_required_on_a_public_address() {
    let options = public(&[("SAMOVAR_ADMIN_TOKEN", TOKEN)], &[]);
    token_is_required(&Samovar::start_options(options).await).await;
}

#[tokio::test]
async fn token_from_a_file_is_required_on_loopback_too() {
    let folder = tempfile::tempdir().expect("make a folder");
    let file = folder.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).expect("write the file");
    let path = file.to_str().expect("the path is text");
    token_is_required(&Samovar::start_with(&["--admin-token-file", path], &[]).await).await;
}

#[tokio::test]
async fn health_and_readiness_answer() {
    let samovar = Samovar::start().await;
    assert_eq!(samovar.admin.get("/healthz").await.expect(200).text().trim(), "ok");
    samovar.admin.get("/readyz").await.expect(200);
    let info = samovar.admin.get("/v1/info").await.expect(200).json();
    assert_eq!(text(&info, "/data_plane"), samovar.http.url(""));
    assert!(text(&info, "/version").contains('.'), "{info}");
    number(&info, "/uptime_ms");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let samovar = Samovar::start().await;
    samovar.deploy_wasm("tiny", tiny_handler(200), json!({})).await;
    samovar.http.get("/tiny").await.expect(200);
    let reply = samovar.admin.get("/metrics").await.expect(200);
    let kind = reply.header("content-type").expect("a content type").to_owned();
    assert!(kind.starts_with("text/plain") || kind.contains("openmetrics"), "{kind}");
    for line in reply.text().lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.rsplit_once(' ').expect("name and value");
        assert!(name.starts_with("samovar_") || name.starts_with("process_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(samovar.metric("samovar_compilations_total", &[]).await.is_some_and(|n| n >= 1.0));
}

#[tokio::test]
async fn openapi_document_names_every_route() {
    let samovar = Samovar::start().await;
    let document = samovar.admin.get("/openapi.json").await.expect(200).json();
    assert!(text(&document, "/openapi").starts_with('3'));
    for (path, methods) in [
        ("/v1/components", &["get", "post"][..]),
        ("/v1/components/{digest}", &["get", "delete"]),
        ("/v1/deployments", &["get"]),
        ("/v1/deployments/{name}", &["get", "put", "delete"]),
        ("/v1/deployments/{name}/policy", &["put"]),
        ("/v1/deployments/{name}/decisions", &["get"]),
        ("/v1/deployments/{name}/logs", &["get"]),
        ("/v1/deployments/{name}/replicas", &["get", "post", "put"]),
        ("/v1/deployments/{name}/replicas/{id}", &["get", "delete"]),
        ("/v1/deployments/{name}/replicas/{id}/restart", &["post"]),
        ("/v1/deployments/{name}/pause", &["post"]),
        ("/v1/deployments/{name}/resume", &["post"]),
        ("/v1/deployments/{name}/decide", &["post"]),
        ("/v1/deployments/{name}/ready", &["get"]),
        ("/v1/deployments/{name}/invoke/{path}", &["post"]),
        ("/api/v1/applications/{application}/deployments/{deployment}/scale", &["post"]),
        ("/v1/policies", &["get"]),
        ("/v1/policies/{name}", &["get", "put"]),
        ("/v1/info", &["get"]),
    ] {
        for method in methods {
            assert!(document["paths"][path][method].is_object(), "{method} {path} is missing");
        }
    }
}

#[tokio::test]
async fn unknown_names_are_not_found() {
    let samovar = Samovar::start().await;
    let digest = format!("/v1/components/sha256:{}", "0".repeat(64));
    for path in [
        "/v1/deployments/nobody",
        "/v1/deployments/nobody/decisions",
        "/v1/deployments/nobody/logs",
        "/v1/policies/nobody",
        "/v1/nothing",
        "/nothing",
        &digest,
    ] {
        samovar.admin.get(path).await.refused(404, "not-found");
    }
    let error = samovar.admin.delete("/v1/deployments/nobody").await.refused(404, "not-found");
    names(&error["message"], &["nobody"]);
    samovar.admin.delete(&digest).await.refused(404, "not-found");
}

#[tokio::test]
async fn wrong_method_is_refused() {
    let samovar = Samovar::start().await;
    let request = samovar.admin.request(Method::PATCH, "/v1/deployments");
    samovar.admin.send(request, "").await.expect(405);
}

#[tokio::test]
async fn putting_a_name_again_makes_a_new_revision_of_it() {
    let samovar = Samovar::start().await;
    samovar.deploy_wasm("same", tiny_handler(201), json!({})).await;
    let second = samovar.deploy_wasm("same", tiny_handler(202), json!({})).await;
    assert_eq!(second["revision"], 2);
    samovar.http.get("/same").await.expect(202);
    let all = samovar.admin.get("/v1/deployments").await.expect(200).json();
    assert_eq!(list(&all, "/deployments").len(), 1);
}

#[tokio::test]
async fn same_name_put_many_times_at_once_stays_one_deployment() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(tiny_handler(200)).await;
    let puts: Vec<_> = (0..16)
        .map(|number| {
            let admin = samovar.admin.clone();
            let spec = json!({"component": digest, "env": {"NUMBER": number.to_string()}});
            tokio::spawn(async move { admin.put_json("/v1/deployments/same", &spec).await })
        })
        .collect();
    let mut created = 0;
    for put in puts {
        let reply = put.await.expect("no panic");
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        created += u32::from(reply.status == 201);
    }
    assert_eq!(created, 1);
    assert_eq!(samovar.status("same").await["revision"], 16);
    samovar.http.get("/same").await.expect(200);
}

#[tokio::test]
async fn data_plane_does_not_serve_the_admin_api() {
    let samovar = Samovar::start().await;
    for path in ["/v1/deployments", "/metrics", "/healthz"] {
        samovar.http.get(path).await.host_error(404, "no-deployment");
    }
}
