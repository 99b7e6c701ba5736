//! Damaged files and a full disk: clear errors, nothing corrupt served, serving goes on.

use samovar_tests::components::padded;
use samovar_tests::files::{below, flip_a_byte};
use samovar_tests::status::{list, number};
use samovar_tests::{Samovar, component, eventually, tiny_handler};
use serde_json::json;

use crate::support::names;

const GREETING: &str = "Hello from Samovar!\n";

/// A stopped server with two deployments, `hello` and, put in after the files were noted, `other`.
struct Stopped {
    samovar: Samovar,
    artifacts: Vec<std::path::PathBuf>,
    code: Vec<std::path::PathBuf>,
}

async fn stopped() -> Stopped {
    let mut samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", json!({})).await;
    assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
    let artifacts = below(&samovar.data().join("artifacts"));
    let code = with_extension(below(&samovar.data().join("code")), "cwasm");
    samovar.deploy_wasm("other", tiny_handler(204), json!({})).await;
    samovar.kill9();
    Stopped { samovar, artifacts, code }
}

fn with_extension(files: Vec<std::path::PathBuf>, wanted: &str) -> Vec<std::path::PathBuf> {
    files.into_iter().filter(|file| file.extension().is_some_and(|ext| ext == wanted)).collect()
}

#[tokio::test]
async fn corrupt_code_is_compiled_again() {
    let Stopped { mut samovar, code, .. } = stopped().await;
    flip_a_byte(&code);
    samovar.start_again().await;
    for _ in 0..2 {
        assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
    }
    let compiled = samovar.metric("samovar_compilations_total", &[]).await;
    assert!(compiled.is_some_and(|count| count >= 1.0), "{compiled:?}");
    // It is sound on disk again.
    samovar.restart().await;
    assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
    assert_eq!(samovar.metric("samovar_compilations_total", &[]).await, Some(0.0));
}

#[tokio::test]
async fn missing_code_is_compiled_again() {
    let Stopped { mut samovar, code, .. } = stopped().await;
    assert!(!code.is_empty());
    for file in code {
        std::fs::remove_file(file).expect("remove a file");
    }
    samovar.start_again().await;
    assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
}

#[tokio::test]
async fn truncated_code_is_compiled_again() {
    let Stopped { mut samovar, code, .. } = stopped().await;
    assert!(!code.is_empty());
    for file in code {
        let half = std::fs::metadata(&file).expect("it is there").len() / 2;
        let file = std::fs::File::options().write(true).open(file).expect("open a file");
        file.set_len(half).expect("truncate a file");
    }
    samovar.start_again().await;
    assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
}

#[tokio::test]
async fn corrupt_artifact_is_never_served() {
    let Stopped { mut samovar, artifacts, code } = stopped().await;
    flip_a_byte(&artifacts);
    flip_a_byte(&code);
    samovar.start_again().await;
    samovar.http.get("/hello").await.host_error(503, "start-failed");
    let status = samovar.status("hello").await;
    names(&status["last_start_error"], &["sha256:"]);
    // Others are not touched by it, and nothing is lost from the list.
    samovar.http.get("/other").await.expect(204);
    let all = samovar.admin.get("/v1/deployments").await.expect(200).json();
    assert_eq!(list(&all, "/deployments").len(), 2);
}

#[tokio::test]
async fn uploading_a_corrupt_artifact_again_heals_it() {
    let Stopped { mut samovar, artifacts, code } = stopped().await;
    flip_a_byte(&artifacts);
    flip_a_byte(&code);
    samovar.start_again().await;
    samovar.http.get("/hello").await.host_error(503, "start-failed");
    samovar.deploy("hello", "hello", json!({})).await;
    // The pool may wait a little before it tries to start a replica again.
    eventually("the deployment serves again", async || {
        let reply = samovar.http.get("/hello").await;
        (reply.status == 200).then(|| assert_eq!(reply.text(), GREETING))
    })
    .await;
}

#[tokio::test]
async fn corrupt_artifact_with_sound_code_serves_what_was_uploaded_or_nothing() {
    let Stopped { mut samovar, artifacts, .. } = stopped().await;
    flip_a_byte(&artifacts);
    samovar.start_again().await;
    let reply = samovar.http.get("/hello").await;
    if reply.status == 200 {
        assert_eq!(reply.text(), GREETING);
    } else {
        reply.host_error(503, "start-failed");
    }
    samovar.http.get("/other").await.expect(204);
}

#[tokio::test]
async fn full_disk_fails_writes_and_serving_goes_on() {
    let mut samovar = Samovar::start().await;
    let digest = samovar.upload(component("hello")).await;
    samovar.put_spec("hello", &digest, json!({})).await.expect(201);
    let large = padded(&tiny_handler(204), 100_000);

    samovar.limit_file_size(Some(4096));
    samovar.admin.post("/v1/components", large.clone()).await.refused(507, "storage-full");
    // This one would fit, but its compiled code does not.
    samovar.admin.post("/v1/components", tiny_handler(205)).await.refused(507, "storage-full");
    samovar.put_spec("second", &digest, json!({})).await.refused(507, "storage-full");
    samovar
        .put_spec("hello", &digest, json!({"env": {"A": "1"}}))
        .await
        .refused(507, "storage-full");
    let policy = samovar.admin.put("/v1/policies/mine", component("queue-depth")).await;
    policy.refused(507, "storage-full");
    samovar.admin.delete("/v1/deployments/hello").await.refused(507, "storage-full");
    assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
    assert_eq!(samovar.status("hello").await["revision"], 1);
    samovar.admin.get("/v1/deployments/second").await.refused(404, "not-found");
    samovar.admin.get("/healthz").await.expect(200);

    // Space again: no restart needed, and nothing half-written is in the way.
    samovar.limit_file_size(None);
    let second = samovar.upload(large).await;
    samovar.put_spec("second", &second, json!({})).await.expect(201);
    samovar.http.get("/second").await.expect(204);
    let artifacts = below(&samovar.data().join("artifacts"));
    let listed = samovar.admin.get("/v1/components").await.expect(200).json();
    assert_eq!(artifacts.len(), list(&listed, "/components").len(), "{artifacts:?}");

    samovar.restart().await;
    assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
    samovar.http.get("/second").await.expect(204);
    assert_eq!(number(&samovar.status("hello").await, "/revision"), 1);
}

#[tokio::test]
async fn full_disk_does_not_stop_the_first_request() {
    let mut samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", json!({})).await;
    samovar.restart().await;
    samovar.limit_file_size(Some(4096));
    assert_eq!(samovar.http.get("/hello").await.expect(200).text(), GREETING);
}
