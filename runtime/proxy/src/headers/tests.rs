use super::*;

fn parse(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap();
        let name: HeaderName = name.trim().parse().unwrap();
        headers.append(name, value.trim().parse().unwrap());
    }
    headers
}

fn show(headers: &HeaderMap) -> String {
    let lines = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.join("\n")
}

#[track_caller]
fn check_request(before: &str, after: &str) {
    let mut headers = parse(before);
    clean_request(&mut headers);
    assert_eq!(show(&headers), after);
    clean_request(&mut headers);
    assert_eq!(show(&headers), after, "a second time");
}

#[track_caller]
fn check_response(status: u16, before: &str, after: &str) {
    let mut headers = parse(before);
    clean_response(StatusCode::from_u16(status).unwrap(), &mut headers);
    assert_eq!(show(&headers), after);
}

#[test]
fn end_to_end_headers_stay() {
    check_request("host: a\nx-a: 1\nx-a: 2\ntrailer: x-t", "host: a\ntrailer: x-t\nx-a: 1\nx-a: 2");
}

#[test]
fn hop_by_hop_headers_go() {
    check_request(
        "host: a\nConnection: keep-alive\nKeep-Alive: timeout=5\nProxy-Connection: keep-alive\n\
         Proxy-Authorization: b\nTE: gzip\nUpgrade: websocket\nHTTP2-Settings: AAA",
        "host: a",
    );
}

#[test]
fn headers_that_connection_names_go() {
    check_request(
        "connection: X-One, x-two\nconnection: x-three\nx-one: 1\nx-two: 2\nx-four: 4",
        "x-four: 4",
    );
    check_request("connection: , ,@\u{e9}, close, x-one\nhost: a\nx-one: 1", "host: a");
}

#[test]
fn connection_cannot_take_framing_away() {
    let kept = "content-length: 5\nhost: a\ntrailer: b";
    check_request(&format!("connection: host, content-length, trailer\n{kept}"), kept);
}

#[test]
fn of_te_only_trailers_stays() {
    let kept = "connection: te\nte: trailers";
    check_request("te: trailers", kept);
    check_request("te: gzip;q=0.5, Trailers", kept);
    check_request("te: gzip\nte: trailers;q=1\nconnection: TE, close", kept);
    check_request("te: deflate", "");
    check_request("te: my-trailers", "");
}

#[test]
fn expect_goes() {
    check_request("expect: 100-continue\ncontent-length: 3", "content-length: 3");
}

#[test]
fn transfer_encoding_overrides_the_length() {
    check_request("transfer-encoding: chunked\ncontent-length: 3\nhost: a", "host: a");
    check_response(200, "transfer-encoding: chunked\ncontent-length: 3\nx: y", "x: y");
}

#[test]
fn answers_are_cleaned_too() {
    check_response(
        200,
        "connection: close, x-secret\nx-secret: 1\nkeep-alive: max=1\nproxy-authenticate: Basic\n\
         content-length: 2\nserver: s",
        "content-length: 2\nserver: s",
    );
}

#[test]
fn only_an_answer_without_content_loses_its_length() {
    check_response(204, "content-length: 2", "");
    check_response(304, "content-length: 2", "content-length: 2");
}

#[test]
fn trailers_cannot_be_headers_of_the_message() {
    let mut trailers = parse("content-length: 3\ntransfer-encoding: chunked\nhost: a\nx-sum: 1");
    clean_trailers(&mut trailers);
    assert_eq!(show(&trailers), "x-sum: 1");
}

#[track_caller]
fn check_frame(method: Method, before: &str, bytes: Option<u64>, after: &str) {
    let mut headers = parse(before);
    frame_request(&mut headers, &method, bytes);
    assert_eq!(show(&headers), after);
}

#[test]
fn the_length_of_a_request_is_that_of_its_body() {
    check_frame(Method::POST, "content-length: 5", Some(5), "content-length: 5");
    check_frame(Method::POST, "content-length: 5", Some(0), "content-length: 0");
    check_frame(Method::POST, "content-length: x", Some(7), "content-length: 7");
    check_frame(Method::POST, "content-length: 5\ncontent-length: 5", Some(5), "content-length: 5");
    check_frame(Method::POST, "content-length: 5", None, "content-length: 5");
    check_frame(Method::GET, "", Some(0), "");
}

#[test]
fn a_body_of_unknown_length_is_chunked_whatever_the_method() {
    check_frame(Method::GET, "", None, "transfer-encoding: chunked");
    check_frame(Method::HEAD, "", None, "transfer-encoding: chunked");
    check_frame(Method::POST, "", None, ""); // hyper does it.
}

#[test]
fn framing_of_answers_is_judged() {
    assert_eq!(framing(&parse("content-length: 1")), Framing::Clear);
    assert_eq!(framing(&parse("")), Framing::Clear);
    assert_eq!(framing(&parse("transfer-encoding: Chunked")), Framing::Clear);
    let both = "transfer-encoding: chunked\ncontent-length: 1";
    assert_eq!(framing(&parse(both)), Framing::Doubtful);
    assert_eq!(framing(&parse("transfer-encoding: gzip, chunked")), Framing::Unknown);
    assert_eq!(framing(&parse("transfer-encoding: gzip")), Framing::Unknown);
    let twice = "transfer-encoding: chunked\ntransfer-encoding: chunked";
    assert_eq!(framing(&parse(twice)), Framing::Unknown);
}
