//! Components made to exhaust the compiler: refused in bounded time and memory, and nobody waits.

use samovar_tests::components::{huge_function, many_functions};
use samovar_tests::{Load, Samovar, tiny_handler};
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
    let error = is_defused(huge_function(100_000), "1s", "2GiB").await;
    names(&error["message"], &["1s"]);
}

#[tokio::test]
async fn huge_function_is_stopped_by_memory() {
    let error = is_defused(huge_function(100_000), "50s", "512MiB").await;
    names(&error["message"], &["512"]);
}

#[tokio::test]
async fn very_many_functions_are_stopped() {
    is_defused(many_functions(300_000), "1s", "512MiB").await;
}

#[tokio::test]
async fn server_compiles_again_after_a_bomb() {
    let samovar = Samovar::start_with(&["--compile-timeout", "1s"], &[]).await;
    let reply = samovar.admin.post("/v1/components", huge_function(100_000)).await;
    reply.refused(422, "compile-limit");
    let digest = samovar.upload(tiny_handler(204)).await;
    samovar.put_spec("after", &digest, json!({})).await.expect(201);
    samovar.http.get("/after").await.expect(204);
}
