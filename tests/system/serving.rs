//! Requests that work: every kind of handler, routes, bodies, protocols.

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Channel};
use samovar_tests::http::{Http, next_chunk};
use samovar_tests::raw::Raw;
use samovar_tests::{Samovar, tiny_handler};
use serde_json::json;

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed};

#[tokio::test]
async fn hello_of_both_generations_answers() {
    let samovar = Samovar::start().await;
    for guest in ["hello", "hello-async"] {
        samovar.deploy(guest, guest, json!({})).await;
        let reply = samovar.http.get(&format!("/{guest}")).await.expect(200);
        assert_eq!(reply.text(), "Hello from Samovar!\n", "{guest}");
        assert_eq!(reply.header("content-type"), Some("text/plain"), "{guest}");
        assert_eq!(reply.header("samovar-error"), None, "{guest}");
    }
}

#[tokio::test]
async fn javascript_handler_answers() {
    let samovar = Samovar::start().await;
    samovar.deploy("js", "hello-js", json!({})).await;
    let reply = samovar.http.get("/js").await.expect(200);
    assert!(reply.text().to_lowercase().contains("hello"), "{}", reply.text());
}

#[tokio::test]
async fn python_handler_answers() {
    let samovar = Samovar::start().await;
    samovar.deploy("python", "hello-python", json!({})).await;
    let reply = samovar.http.get("/python").await.expect(200);
    assert!(reply.text().to_lowercase().contains("hello"), "{}", reply.text());
}

#[tokio::test]
async fn replica_keeps_its_state() {
    let samovar = Samovar::start().await;
    samovar.deploy("counter", "counter", fixed(1)).await;
    for expected in ["1", "2", "3"] {
        let reply = samovar.http.get("/counter").await.expect(200);
        assert_eq!(reply.text().trim(), expected);
    }
}

#[tokio::test]
async fn thumbnail_shrinks_a_png() {
    let samovar = Samovar::start().await;
    samovar.deploy("thumbnail", "thumbnail", json!({})).await;
    let original = picture(640, 480);
    let reply = samovar.http.post("/thumbnail", original.clone()).await.expect(200);
    assert_eq!(reply.header("content-type"), Some("image/png"));
    let (width, height) = png_size(&reply.body);
    assert!((1..640).contains(&width) && (1..480).contains(&height), "{width} x {height}");
    assert_eq!(width * 480, height * 640, "the picture is distorted: {width} x {height}");
    assert!(reply.body.len() < original.len());

    let refused = samovar.http.post("/thumbnail", "not a picture").await;
    assert_eq!(refused.status, 415, "{}", refused.text());
    samovar.http.post("/thumbnail", original).await.expect(200);
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("the header is well-formed");
    let mut random = fastrand::Rng::with_seed(3);
    let pixels: Vec<u8> =
        std::iter::repeat_with(|| random.u8(..)).take((width * height * 3) as usize).collect();
    writer.write_image_data(&pixels).expect("as many bytes as pixels");
    writer.finish().expect("the image is complete");
    file
}

fn png_size(file: &Bytes) -> (u32, u32) {
    let decoder = png::Decoder::new(std::io::Cursor::new(file.clone()));
    let mut reader = decoder.read_info().expect("the answer is a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
    let info = reader.next_frame(&mut pixels).expect("the PNG is whole");
    (info.width, info.height)
}

async fn echoes_piece_by_piece(guest: &str, http: fn(std::net::SocketAddr) -> Http) {
    let samovar = Samovar::start().await;
    samovar.deploy("echo", guest, json!({})).await;
    comes_back_piece_by_piece(&http(samovar.http.address()), "/echo").await;
}

/// Sends a body in pieces; every piece must come back before the next is sent.
pub async fn comes_back_piece_by_piece(http: &Http, path: &str) {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let request = http.request(Method::POST, path).body(body.boxed_unsync());
    let http = http.clone();
    let asked = tokio::spawn(async move { http.open(request.expect("a valid request")).await });
    sender.send_data(Bytes::from_static(b"piece 0")).await.expect("the server reads");
    let answer = asked.await.expect("no panic").expect("the head comes before the body's end");
    assert_eq!(answer.status(), 200);
    let mut answer = answer.into_body();
    for number in 0..5 {
        let expected = format!("piece {number}");
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let piece = next_chunk(&mut answer).await.expect("the echo goes on");
            seen.extend_from_slice(&piece.expect("the echo is not over"));
        }
        assert_eq!(seen, expected.as_bytes());
        if number < 4 {
            let next = format!("piece {}", number + 1);
            sender.send_data(Bytes::from(next)).await.expect("the server reads");
        }
    }
    drop(sender);
    assert_eq!(next_chunk(&mut answer).await, Ok(None));
}

#[tokio::test]
async fn echo_streams_both_ways() {
    echoes_piece_by_piece("echo", Http::new).await;
}

#[tokio::test]
async fn echo_of_wasi_02_streams_both_ways() {
    echoes_piece_by_piece("echo-sync", Http::new).await;
}

#[tokio::test]
async fn echo_streams_both_ways_over_http2() {
    echoes_piece_by_piece("echo", Http::http2).await;
}

#[tokio::test]
async fn large_bodies_come_back_whole() {
    let samovar = Samovar::start().await;
    let mut random = fastrand::Rng::with_seed(4);
    let body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(8_000_000).collect();
    for guest in ["echo", "echo-sync"] {
        samovar.deploy(guest, guest, json!({})).await;
        let reply = samovar.http.post(&format!("/{guest}"), body.clone()).await.expect(200);
        assert!(reply.body == body, "{guest}: {} bytes came back", reply.body.len());
    }
}

#[tokio::test]
async fn request_headers_reach_the_handler() {
    let samovar = Samovar::start().await;
    for guest in [BEHAVE, BEHAVE_ASYNC] {
        samovar.deploy("headers", guest, json!({})).await;
        let request = samovar.http.request(Method::GET, "/headers/headers");
        let request = request.header("x-tea", "darjeeling").header("x-tea", "assam");
        let reply = samovar.http.send(request, "").await.expect(200);
        for line in ["x-tea: darjeeling\n", "x-tea: assam\n"] {
            assert!(reply.text().contains(line), "{guest}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn environment_of_the_spec_reaches_the_handler_and_the_hosts_does_not() {
    let samovar = Samovar::start_with(&[], &[("HOST_SECRET", "kept")]).await;
    for guest in [BEHAVE, BEHAVE_ASYNC] {
        let spec = json!({"env": {"TEA": "darjeeling", "SUGAR": "no"}});
        samovar.deploy("env", guest, spec).await;
        let seen = samovar.http.get("/env/env").await.expect(200).text();
        let mut variables: Vec<_> = seen.lines().filter(|line| line.contains('=')).collect();
        variables.sort_unstable();
        assert_eq!(variables, ["SUGAR=no", "TEA=darjeeling"], "{guest}");
    }
}

#[tokio::test]
async fn longest_route_wins_on_segment_boundaries() {
    let samovar = Samovar::start().await;
    samovar.deploy_wasm("outer", tiny_handler(201), json!({"route": "/api"})).await;
    samovar.deploy_wasm("inner", tiny_handler(202), json!({"route": "/api/v2"})).await;
    for (path, status) in [
        ("/api", 201),
        ("/api/", 201),
        ("/api?v2", 201),
        ("/api/v1", 201),
        ("/api/v2", 202),
        ("/api/v2?x=/", 202),
        ("/api/v2/deep/er", 202),
        ("/api/v20", 201),
    ] {
        assert_eq!(samovar.http.get(path).await.status, status, "{path}");
    }
    for path in ["/", "/apis", "/outer", "/v2", "/%61pi2"] {
        samovar.http.get(path).await.host_error(404, "no-deployment");
    }
}

#[tokio::test]
async fn route_is_taken_off_and_the_query_stays() {
    let samovar = Samovar::start().await;
    samovar.deploy("plain", BEHAVE, json!({})).await;
    samovar.deploy("routed", BEHAVE, json!({"route": "/deep/er"})).await;
    for prefix in ["/plain", "/deep/er"] {
        samovar.http.get(&format!("{prefix}/ok")).await.expect(200);
        let long = samovar.http.get(&format!("{prefix}/big-body?bytes=12345")).await.expect(200);
        assert_eq!(long.body.len(), 12_345);
        assert!(samovar.http.get(&format!("{prefix}/no-such-path")).await.status == 404);
    }
}

#[tokio::test]
async fn root_route_takes_the_rest_with_its_whole_path() {
    let samovar = Samovar::start().await;
    samovar.deploy("root", BEHAVE, json!({"route": "/"})).await;
    samovar.deploy_wasm("other", tiny_handler(201), json!({})).await;
    let long = samovar.http.get("/big-body?bytes=12345").await.expect(200);
    assert_eq!(long.body.len(), 12_345);
    assert_eq!(samovar.http.get("/no/such/path").await.status, 404);
    samovar.http.get("/other/path").await.expect(201);
}

#[tokio::test]
async fn http1_connection_is_kept_open() {
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello-async", json!({})).await;
    let mut raw = Raw::connect(samovar.http.address()).await;
    for _ in 0..3 {
        raw.write("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let (head, body) = raw.read_answer().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, "Hello from Samovar!\n");
    }
    raw.write("GET /nobody HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(raw.read_answer().await.0.starts_with("HTTP/1.1 404 "));
    raw.write("GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(raw.read_to_end().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn http2_without_negotiation_is_served() {
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", json!({})).await;
    let http = Http::http2(samovar.http.address());
    let requests: Vec<_> = (0..32)
        .map(|_| {
            let http = http.clone();
            tokio::spawn(async move { http.get("/hello").await })
        })
        .collect();
    for request in requests {
        let reply = request.await.expect("no panic").expect(200);
        assert_eq!(reply.text(), "Hello from Samovar!\n");
    }
}

#[tokio::test]
async fn nonsense_on_the_wire_does_no_harm() {
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", json!({})).await;
    for nonsense in ["\x16\x03\x01 TLS?", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\0\0\0\0"] {
        let mut raw = Raw::connect(samovar.http.address()).await;
        raw.write(nonsense).await;
        raw.finish_writing().await;
        let answer = raw.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    samovar.http.get("/hello").await.expect(200);
}

#[tokio::test]
async fn head_request_has_no_body() {
    let samovar = Samovar::start().await;
    samovar.deploy("hello", "hello", json!({})).await;
    let request = samovar.http.request(Method::HEAD, "/hello");
    let reply = samovar.http.send(request, "").await.expect(200);
    assert!(reply.body.is_empty());
}
