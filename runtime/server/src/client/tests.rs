//! The client against a server that answers with fixed bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use expect_test::expect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// Answers one connection with `response` once the request contains `until`, and returns the
/// request.
async fn serve(until: &'static str, response: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !String::from_utf8_lossy(&request).contains(until) {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "request is incomplete");
        }
        stream.write_all(response.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request).into_owned()
    });
    (url, seen)
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

const INFO: &str = r#"{"version":"0.1.0","data_plane":"http://127.0.0.1:8080","uptime_ms":5}"#;

#[tokio::test]
async fn answers_are_typed_and_kept_as_sent() {
    let (url, seen) = serve("\r\n\r\n", answer("200 OK", INFO)).await;
    let client = Client::admin(&url, Some(Secret::new("secret"))).unwrap();
    let reply = client.info().await.unwrap();
    assert_eq!(reply.json, INFO);
    assert_eq!(reply.value.uptime_ms, 5);
    assert!(seen.await.unwrap().contains("authorization: Bearer secret"));
}

#[tokio::test]
async fn uploads_stream_the_file_and_report_progress() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [vec![b'x'; 200_000], b"THE END".to_vec()].concat()).unwrap();
    let component = r#"{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "kind":"handler","world":"wasi:http/proxy@0.2","size_bytes":200007,"imports":[],"exports":[]}"#;
    let (url, seen) = serve("THE END", answer("201 Created", component)).await;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let client = Client::admin(&url, None).unwrap();
    let reply = client
        .upload_component(file.path(), move |count| {
            counter.fetch_add(count, Ordering::Relaxed);
        })
        .await
        .unwrap();
    assert_eq!(reply.value.size_bytes, 200_007);
    assert_eq!(sent.load(Ordering::Relaxed), 200_007);
    assert!(seen.await.unwrap().contains("content-length: 200007"));
}

#[tokio::test]
async fn api_errors_keep_code_and_hint() {
    let body =
        r#"{"error":{"code":"not-found","message":"there is no deployment `x`","hint":"h"}}"#;
    let (url, _seen) = serve("\r\n\r\n", answer("404 Not Found", body)).await;
    let error = Client::admin(&url, None).unwrap().info().await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(error.hint().as_deref(), Some("h"));
    expect!["there is no deployment `x` (not-found)"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn other_servers_are_noticed() {
    let (url, _seen) = serve("\r\n\r\n", answer("200 OK", "<html>")).await;
    let error = Client::admin(&url, None).unwrap().info().await.unwrap_err();
    let text = error.to_string().replace(&url, "URL");
    expect!["URL answered with status 200 OK and not as a samovar admin API does: <html>"]
        .assert_eq(&text);
}

#[tokio::test]
async fn nobody_there_is_a_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::admin(&url, None).unwrap().info().await.unwrap_err();
    expect!["cannot reach the admin API at URL: connection refused"]
        .assert_eq(&error.to_string().replace(&url, "URL"));
}

#[tokio::test]
async fn log_lines_arrive_one_by_one() {
    let (url, _seen) = serve("\r\n\r\n", answer("200 OK", "{\"a\":1}\n\n{\"b\":2}")).await;
    let client = Client::admin(&url, None).unwrap();
    let mut lines = client.logs(&"x".parse().unwrap(), true, 10).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), "{\"a\":1}");
    assert_eq!(lines.next().await.unwrap().unwrap(), "{\"b\":2}");
    assert_eq!(lines.next().await.unwrap(), None);
}

#[test]
fn wrong_urls_are_explained() {
    let error = |url: &str| Client::admin(url, None).err().unwrap().to_string();
    expect!["`127.0.0.1:9090` is not a URL of an admin API: it does not begin with http://"]
        .assert_eq(&error("127.0.0.1:9090"));
    expect!["`https://example.org` is not a URL of an admin API: https is not supported, use a tunnel or a proxy on this machine"].assert_eq(&error("https://example.org"));
    expect!["`http://exa mple` is not a URL of an admin API: it does not parse"]
        .assert_eq(&error("http://exa mple"));
}
