//! Uploads: what is accepted, and what is refused with a reason and leaves nothing behind.

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Channel};
use samovar_tests::components::{core_module, padded, unknown_import, wrong_world};
use samovar_tests::raw::Raw;
use samovar_tests::{Samovar, component, eventually, files, status, tiny_handler, unique};
use serde_json::{Value, json};

use crate::support::{names, stored};

/// Uploads `wasm`, which must be refused, and returns the error.
async fn refused(wasm: Vec<u8>, http_status: u16, code: &str) -> Value {
    let samovar = Samovar::start().await;
    let before = stored(&samovar).await;
    let error = samovar.admin.post("/v1/components", wasm).await.refused(http_status, code);
    assert_eq!(stored(&samovar).await, before);
    error
}

#[tokio::test]
async fn component_is_described_and_kept() {
    let samovar = Samovar::start().await;
    let wasm = tiny_handler(200);
    let first = samovar.admin.post("/v1/components", wasm.clone()).await.expect(201).json();
    let digest = status::text(&first, "/digest");
    assert!(digest.starts_with("sha256:") && digest.len() == "sha256:".len() + 64, "{digest}");
    assert_eq!(first["kind"], "handler");
    assert_eq!(first["world"], "wasi:http/proxy@0.2");
    assert_eq!(status::number(&first, "/size_bytes"), wasm.len() as u64);
    assert_eq!(first["imports"], json!(["wasi:http/types@0.2.0"]));
    assert_eq!(first["exports"], json!(["wasi:http/incoming-handler@0.2.0"]));

    let again = samovar.admin.post("/v1/components", wasm).await.expect(200).json();
    assert_eq!(again["digest"], digest);
    let path = format!("/v1/components/{digest}");
    assert_eq!(samovar.admin.get(&path).await.expect(200).json()["digest"], digest);
    let list = samovar.admin.get("/v1/components").await.expect(200).json();
    assert_eq!(status::list(&list, "/components").len(), 1);
}

#[tokio::test]
async fn worlds_are_recognised() {
    let samovar = Samovar::start().await;
    for (guest, kind, world) in [
        ("hello", "handler", "wasi:http/proxy@0.2"),
        ("hello-async", "handler", "wasi:http/service@0.3"),
        ("lightning", "policy", "samovar:policy/policy@0.1"),
    ] {
        let reply = samovar.admin.post("/v1/components", component(guest)).await;
        assert!(matches!(reply.status, 200 | 201), "{guest}: {}", reply.text());
        assert_eq!(reply.json()["kind"], kind, "{guest}");
        assert_eq!(reply.json()["world"], world, "{guest}");
    }
}

#[tokio::test]
async fn unused_component_can_be_deleted_and_a_used_one_cannot() {
    let samovar = Samovar::start().await;
    samovar.deploy_wasm("other", tiny_handler(201), json!({})).await;
    let before = stored(&samovar).await;
    let digest = samovar.upload(tiny_handler(200)).await;
    samovar.put_spec("user", &digest, json!({})).await.expect(201);
    let path = format!("/v1/components/{digest}");
    let error = samovar.admin.delete(&path).await.refused(409, "component-in-use");
    names(&error["message"], &["user"]);
    samovar.http.get("/user").await.expect(200);

    samovar.admin.delete("/v1/deployments/user").await.expect(204);
    samovar.admin.delete(&path).await.expect(204);
    samovar.admin.get(&path).await.refused(404, "not-found");
    assert_eq!(stored(&samovar).await, before);
}

#[tokio::test]
async fn text_is_not_wasm() {
    refused(b"<html>certainly not wasm</html>".to_vec(), 422, "not-wasm").await;
}

#[tokio::test]
async fn empty_body_is_not_wasm() {
    refused(Vec::new(), 422, "not-wasm").await;
}

#[tokio::test]
async fn core_module_is_refused_with_the_way_to_a_component() {
    let error = refused(core_module(), 422, "core-module").await;
    names(&error["hint"], &["component"]);
}

#[tokio::test]
async fn wrong_world_names_the_missing_export() {
    let error = refused(wrong_world(), 422, "wrong-world").await;
    names(&error["message"], &["wasi:http/incoming-handler"]);
}

#[tokio::test]
async fn truncated_component_is_refused() {
    let mut wasm = tiny_handler(200);
    wasm.truncate(wasm.len() / 2);
    refused(wasm, 422, "truncated-component").await;
}

#[tokio::test]
async fn damaged_component_is_refused() {
    let mut wasm = tiny_handler(200);
    let half = wasm.len() / 2;
    wasm[half..half + 32].fill(0xff);
    refused(wasm, 422, "invalid-component").await;
}

#[tokio::test]
async fn unknown_import_is_named() {
    let error = refused(unknown_import(), 422, "unknown-import").await;
    names(&error["message"], &["acme:vault/secrets"]);
}

#[tokio::test]
async fn component_over_the_limit_is_refused() {
    let samovar = Samovar::start_with(&["--max-component-size", "64KiB"], &[]).await;
    let before = stored(&samovar).await;
    let wasm = padded(&tiny_handler(200), 100_000);
    let error =
        samovar.admin.post("/v1/components", wasm).await.refused(413, "component-too-large");
    names(&error["message"], &["65536"]);
    assert_eq!(stored(&samovar).await, before);
    samovar.upload(tiny_handler(200)).await;
}

#[tokio::test]
async fn component_of_unknown_length_over_the_limit_is_refused() {
    let samovar = Samovar::start_with(&["--max-component-size", "64KiB"], &[]).await;
    let before = stored(&samovar).await;
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let feed = tokio::spawn(async move {
        for piece in padded(&tiny_handler(200), 10_000_000).chunks(16 * 1024) {
            if sender.send_data(Bytes::copy_from_slice(piece)).await.is_err() {
                return; // The server has stopped listening, as it should.
            }
        }
    });
    let request = samovar.admin.request(Method::POST, "/v1/components").body(body.boxed_unsync());
    let answer = samovar.admin.try_send(request.expect("a valid request")).await;
    // The server may hang up while we still send; then there is nothing to read but nothing kept.
    if let Ok(reply) = answer {
        reply.refused(413, "component-too-large");
    }
    feed.await.expect("feeding ends");
    assert_eq!(stored(&samovar).await, before);
    samovar.upload(tiny_handler(200)).await;
}

#[tokio::test]
async fn broken_off_upload_leaves_nothing() {
    let samovar = Samovar::start().await;
    let before = stored(&samovar).await;
    let mut raw = Raw::connect(samovar.admin.address()).await;
    let wasm = padded(&tiny_handler(200), 100_000);
    let head = format!(
        "POST /v1/components HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        wasm.len()
    );
    raw.write(&head).await;
    raw.write("\0asm and then the client goes away").await;
    raw.finish_writing().await;
    raw.read_to_end().await;
    eventually("the partial file is gone", async || {
        (stored(&samovar).await == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn policy_is_not_a_handler() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(component("lightning")).await;
    samovar.put_spec("wrong", &digest, json!({})).await.refused(422, "not-a-handler");
    samovar.admin.get("/v1/deployments/wrong").await.refused(404, "not-found");
}

#[tokio::test]
async fn handler_is_not_a_policy() {
    let samovar = Samovar::start().await;
    let before = stored(&samovar).await;
    let reply = samovar.admin.put("/v1/policies/wrong", tiny_handler(200)).await;
    let error = reply.refused(422, "not-a-policy");
    names(&error["hint"], &["samovar:policy/scaling"]);
    samovar.admin.get("/v1/policies/wrong").await.refused(404, "not-found");
    assert_eq!(stored(&samovar).await, before);
}

#[tokio::test]
async fn bad_policy_uploads_are_refused_like_bad_handlers() {
    let samovar = Samovar::start().await;
    let before = stored(&samovar).await;
    for (wasm, code) in [
        (b"no wasm at all".to_vec(), "not-wasm"),
        (core_module(), "core-module"),
        // It is a handler, which is found out before its imports are looked at.
        (unknown_import(), "not-a-policy"),
        (wrong_world(), "wrong-world"),
    ] {
        samovar.admin.put("/v1/policies/bad", wasm).await.refused(422, code);
    }
    assert_eq!(stored(&samovar).await, before);
}

#[tokio::test]
async fn same_upload_many_times_at_once_is_stored_once() {
    let samovar = Samovar::start().await;
    let wasm = unique(&tiny_handler(200), 1);
    let uploads: Vec<_> = (0..16)
        .map(|_| {
            let (admin, wasm) = (samovar.admin.clone(), wasm.clone());
            tokio::spawn(async move { admin.post("/v1/components", wasm).await })
        })
        .collect();
    for upload in uploads {
        let reply = upload.await.expect("an upload does not panic");
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    }
    let list = samovar.admin.get("/v1/components").await.expect(200).json();
    assert_eq!(status::list(&list, "/components").len(), 1);
    let artifacts = files::below(&samovar.data().join("artifacts"));
    assert_eq!(artifacts.len(), 1, "{artifacts:?}");
}
