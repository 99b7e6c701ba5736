//! The header that says for which request a process acts: only what this server made is believed.

use http::Method;
use samovar_tests::raw::Raw;
use samovar_tests::status::text;
use samovar_tests::{Native, Reply, Samovar};
use serde_json::json;

use crate::calls::{CALLER, CALLER_ASYNC, caller, patient, quoted};
use crate::support::{names, with};

const HEADER: &str = "samovar-call";

/// A server with a handler `a` and a process `n`, one place each.
async fn start() -> Native {
    let native = Native::start().await;
    Samovar::deploy(&native, "a", CALLER, caller("a", 1, patient())).await;
    native.deploy("n", with(json!({"env": {"NAME": "n"}}), patient())).await;
    native
}

/// What a server sends to a process with a request that has ended since.
async fn genuine(native: &Native) -> String {
    let seen = native.http.get("/n/head").await.expect(200).json();
    text(&seen["headers"], "/samovar-call").to_owned()
}

async fn call(native: &Native, path: &str, value: &str) -> Reply {
    let request = native.http.request(Method::GET, path).header(HEADER, value);
    native.http.send(request, "").await
}

#[tokio::test]
async fn forged_ancestry_is_refused() {
    let native = start().await;
    let good = genuine(&native).await;
    let (id, signature) = good.split_once('.').expect("an id and a signature");
    let other_id = format!("{:016x}", u64::from_str_radix(id, 16).expect("digits") + 1);
    let zeros = "0".repeat(signature.len());
    let forged = [
        String::new(),
        "1".to_owned(),
        ".".to_owned(),
        "nonsense".to_owned(),
        format!("{other_id}.{signature}"),
        format!("{id}.{zeros}"),
        format!("{id}:{signature}"),
        format!("{good}0"),
        format!("0{good}"),
        format!("{good}.{signature}"),
        format!("{good},{good}"),
        good.chars().rev().collect(),
        good[..good.len() - 1].to_owned(),
        good[..id.len()].to_owned(),
        "a".repeat(10_000),
        format!("{id}.{}", "f".repeat(10_000)),
    ];
    for value in &forged {
        for path in ["/a/call", "/n/ok"] {
            let error = call(&native, path, value).await.host_error(400, "bad-ancestry");
            names(&error["message"], &[HEADER]);
        }
    }
    // As long as it is, it is not told back.
    let error = call(&native, "/a/call", &"a".repeat(10_000)).await.host_error(400, "bad-ancestry");
    names(&error["message"], &["10000 bytes"]);
    assert!(error.to_string().len() < 1000, "{error}");
    // Nobody was served, and nothing stays behind.
    native.http.get("/a/call").await.expect(200);
}

#[tokio::test]
async fn ancestry_that_is_no_text_or_there_twice_is_refused() {
    let native = start().await;
    let good = genuine(&native).await;
    for headers in [
        format!("{HEADER}: {good}\r\n{HEADER}: {good}\r\n"),
        format!("{HEADER}: {good}\r\nSamovar-Call: nonsense\r\n"),
        format!("{HEADER}: caf\u{e9}.{good}\r\n"),
    ] {
        let mut raw = Raw::connect(native.http.address()).await;
        raw.write(&format!("GET /a/call HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).await;
        let (head, body) = raw.read_answer().await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{headers}{head}");
        assert!(body.contains("bad-ancestry"), "{body}");
    }
}

#[tokio::test]
async fn ancestry_of_another_server_is_refused() {
    let (ours, other) = (start().await, start().await);
    let foreign = genuine(&other).await;
    let error = call(&ours, "/a/call", &foreign).await.host_error(400, "bad-ancestry");
    names(&error["message"], &["not signed by this server"]);
    call(&other, "/a/call", &foreign).await.expect(200);
}

#[tokio::test]
async fn ancestry_of_before_a_restart_is_refused() {
    let mut native = start().await;
    let good = genuine(&native).await;
    native.restart().await;
    let error = call(&native, "/a/call", &good).await.host_error(400, "bad-ancestry");
    names(&error["message"], &["restarted"]);
}

#[tokio::test]
async fn ancestry_of_a_request_that_has_ended_makes_no_circle() {
    let native = start().await;
    let old = genuine(&native).await;
    assert_eq!(call(&native, "/a/call", &old).await.expect(200).text(), "a\n");
    assert_eq!(call(&native, "/n/call", &old).await.expect(200).text(), "n\n");
    assert_ne!(genuine(&native).await, old, "each request has its own");
}

#[tokio::test]
async fn handlers_neither_see_the_header_nor_can_set_it() {
    let native = start().await;
    Samovar::deploy(&native, "b", CALLER_ASYNC, caller("b", 1, patient())).await;
    let plane = native.http.address();
    // A process sends it on to a handler, which does not get to see it.
    for name in ["a", "b"] {
        let path = format!("/n/call?to={name}&plane={plane}&show={HEADER}");
        let said = native.http.get(&path).await.expect(200).text();
        assert_eq!(said, format!("n>{name}{{{HEADER}=}}\n"));
        // What a process is told is always of the request it serves itself.
        let path = format!("/{name}/proxy?u={}&headers={HEADER}", quoted("http://n.internal/head"));
        let seen = native.http.get(&path).await.expect(200).json();
        let told = text(&seen["headers"], "/samovar-call");
        assert!(told.split_once('.').is_some_and(|(id, _)| id.len() == 16), "{told}");
    }
    let forged = call(&native, "/a/call?to=b&headers=samovar-call", "nonsense").await;
    forged.host_error(400, "bad-ancestry");
}
