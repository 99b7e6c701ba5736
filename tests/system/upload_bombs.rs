//! Components made to exhaust the compiler: refused in bounded time and memory, and nobody waits.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Method;
use samovar_tests::components::{huge_function, many_functions};
use samovar_tests::http::full;
use samovar_tests::wait::eventually_within;
use samovar_tests::{Load, Samovar, eventually, tiny_handler};
use serde_json::{Value, json};

use crate::support::{names, stored};

/// Uploads `bomb` to a server whose compiler has little time and memory. It must be refused while
/// the admin API and a handler go on answering.
async fn is_defused(bomb: Vec<u8>, compile_timeout: &str, compile_memory: &str) -> Value {
    let args = ["--compile-timeout", compile_timeout, "--compile-memory", compile_memory];
    let samovar = Samovar::start_with(&args, &[]).await;
    let bystander = samovar.upload(tiny_handler(200)).await;
    samovar.put_spec("bystander", &bystander, json!({})).await.expect(201);

    let before = stored(&samovar).await;
    let serving = Load::start(&samovar.http, "/bystander", 1);
    let admin = Load::start(&samovar.admin, "/healthz", 1);
    let upload = {
        let api = samovar.admin.clone();
        tokio::spawn(async move { api.post("/v1/components", bomb).await })
    };
    // Both keep answering, several times, before the bomb is through.
    serving.serve_more(20).await;
    admin.serve_more(20).await;
    let reply = upload.await.expect("the upload does not panic");
    let error = reply.refused(422, "compile-limit");
    serving.stop_without_failure().await;
    admin.stop_without_failure().await;

    assert_eq!(stored(&samovar).await, before);
    error
}

#[tokio::test]
async fn huge_function_is_stopped_by_time() {
    let error = is_defused(huge_function(100_000), "5s", "2GiB").await;
    names(&error["message"], &["longer than 5"]);
}

#[tokio::test]
async fn huge_function_is_stopped_by_memory() {
    let error = is_defused(huge_function(100_000), "50s", "512MiB").await;
    names(&error["message"], &["512"]);
}

#[tokio::test]
async fn very_many_functions_are_stopped() {
    is_defused(many_functions(300_000), "5s", "512MiB").await;
}

#[tokio::test]
async fn server_compiles_again_after_a_bomb() {
    let samovar = Samovar::start_with(&["--compile-timeout", "5s"], &[]).await;
    let reply = samovar.admin.post("/v1/components", huge_function(100_000)).await;
    reply.refused(422, "compile-limit");
    let digest = samovar.upload(tiny_handler(204)).await;
    samovar.put_spec("after", &digest, json!({})).await.expect(201);
    samovar.http.get("/after").await.expect(204);
}

#[tokio::test]
async fn killed_server_leaves_no_compiler_behind() {
    let mut samovar = Samovar::start_with(&["--compile-timeout", "10m"], &[]).await;
    let data = samovar.data();
    let upload = {
        let api = samovar.admin.clone();
        let bomb = huge_function(100_000);
        let request = api.request(Method::POST, "/v1/components").body(full(bomb));
        tokio::spawn(async move { api.try_send(request.expect("a valid request")).await })
    };
    eventually("the compiler runs", async || processes_about(&data).get(1).copied()).await;
    samovar.kill9();
    // Left alone, the compiler would go on for a minute.
    let soon = Duration::from_secs(10);
    eventually_within(soon, "nothing runs any more", async || {
        processes_about(&data).is_empty().then_some(())
    })
    .await;
    assert!(upload.await.expect("no panic").is_err(), "a killed server answered");
}

/// The processes that were started with something below `folder`.
fn processes_about(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().expect("the path is text");
    let all = fs::read_dir("/proc").expect("this system has /proc").flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let about = |id: &u32| {
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(folder)
    };
    ids.filter(about).collect()
}
