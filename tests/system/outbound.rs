//! Requests of handlers to elsewhere: what the rules allow, and what becomes of the rest.

use http::Method;
use samovar_tests::sites::Site;
use samovar_tests::{Http, Samovar, eventually};
use serde_json::{Value, json};

use crate::calls::{CALLER, CALLER_ASYNC, both, caller, quoted};
use crate::serving::comes_back_piece_by_piece;
use crate::support::{names, with};

/// Both generations of handlers.
pub const CALLERS: [&str; 2] = [CALLER, CALLER_ASYNC];

/// A caller `a` that may reach what `outbound` says.
pub async fn deploy(samovar: &Samovar, guest: &str, outbound: Value) -> Value {
    samovar.deploy("a", guest, caller("a", 1, json!({"outbound": outbound}))).await
}

/// Rules that allow everything on this machine.
pub fn here() -> Value {
    json!({"allow": ["*://*:*"], "addresses": ["loopback"]})
}

/// How a request of `a` to this URL went, as `status 200, 12 bytes` or `error NAME`. `more` is put
/// into the query.
pub async fn fetch(samovar: &Samovar, url: &str, more: &str) -> String {
    let path = format!("/a/url?u={}{more}", quoted(url));
    samovar.http.get(&path).await.expect(200).text().trim_end().to_owned()
}

/// Waits for a line with all of `words` in the log of `a`, as the client shows it.
pub async fn logged(samovar: &Samovar, words: &[&str]) -> String {
    let cli = samovar.cli();
    eventually(&format!("a line with {words:?}"), async || {
        let log = cli.ok(&["logs", "a"]).await;
        let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn without_rules_nothing_is_reached() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    for guest in CALLERS {
        samovar.deploy("a", guest, caller("a", 1, json!({}))).await;
        assert_eq!(fetch(&samovar, &site.url("/head"), "").await, "error HttpRequestDenied");
        logged(&samovar, &["127.0.0.1", "denied", "`outbound`"]).await;
        deploy(&samovar, guest, json!({"allow": [], "addresses": ["loopback"]})).await;
        assert_eq!(fetch(&samovar, &site.url("/head"), "").await, "error HttpRequestDenied");
    }
    assert_eq!(site.accepted(), 0);
}

#[tokio::test]
async fn rules_decide_by_scheme_host_and_port() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    let port = site.port();
    let url = site.url("/bytes/5");
    let named = site.at("localhost", "/bytes/5");
    let reached = "status 200, 5 bytes";
    let denied = "error HttpRequestDenied";
    for guest in CALLERS {
        for (rule, url, expected) in [
            (format!("http://127.0.0.1:{port}"), &url, reached),
            (format!("*://127.0.0.1:{port}"), &url, reached),
            (format!("127.0.0.1:{port}"), &url, reached),
            ("http://127.0.0.1:*".to_owned(), &url, reached),
            ("*://*:*".to_owned(), &url, reached),
            (format!("http://localhost:{port}"), &named, reached),
            (format!("http://LOCALHOST.:{port}"), &named, reached),
            (format!("https://127.0.0.1:{port}"), &url, denied),
            (format!("http://127.0.0.1:{}", port ^ 1), &url, denied),
            ("http://127.0.0.1".to_owned(), &url, denied),
            ("http://*".to_owned(), &url, denied),
            (format!("http://127.0.0.2:{port}"), &url, denied),
            // Who may reach a name may not reach its address, and the other way round.
            (format!("http://localhost:{port}"), &url, denied),
            (format!("http://127.0.0.1:{port}"), &named, denied),
            // Below a name is not the name itself, and a name is compared to its end.
            (format!("http://*.localhost:{port}"), &named, denied),
            (format!("http://localhost.example:{port}"), &named, denied),
            (format!("http://host:{port}"), &named, denied),
        ] {
            let rules = json!({"allow": [rule], "addresses": ["loopback"]});
            deploy(&samovar, guest, rules).await;
            assert_eq!(fetch(&samovar, url, "").await, expected, "{rule} for {url}");
        }
    }
}

#[tokio::test]
async fn names_below_a_wildcard_are_allowed() {
    let samovar = Samovar::start().await;
    let rules = json!({"allow": ["http://*.invalid:*"], "addresses": ["loopback"]});
    for guest in CALLERS {
        deploy(&samovar, guest, rules.clone()).await;
        // Nobody has such a name, so that the rule allowed it is all that can be seen.
        for host in ["a.invalid", "a.b.invalid", "A.INVALID"] {
            let said = fetch(&samovar, &format!("http://{host}/"), "").await;
            assert!(is_unknown(&said), "{host}: {said}");
        }
        for host in ["invalid", "a.invalid.example", "ainvalid"] {
            let said = fetch(&samovar, &format!("http://{host}/"), "").await;
            assert_eq!(said, "error HttpRequestDenied", "{host}");
        }
    }
}

/// What is said of a name that nobody has, on machines with and without a name server.
fn is_unknown(said: &str) -> bool {
    ["DestinationNotFound", "DnsError", "DnsTimeout"].iter().any(|code| said.contains(code))
}

#[tokio::test]
async fn hosts_that_are_not_there_are_told() {
    let samovar = Samovar::start().await;
    let closed = {
        let site = Site::http().await;
        site.url("/") // Nobody listens there any more when it is dropped.
    };
    eventually("the port is closed", async || {
        let address = closed.trim_start_matches("http://").trim_end_matches('/');
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    for guest in CALLERS {
        deploy(&samovar, guest, here()).await;
        let said = fetch(&samovar, "http://nobody.invalid/", "").await;
        assert!(is_unknown(&said), "{said}");
        assert_eq!(fetch(&samovar, &closed, "").await, "error ConnectionRefused");
    }
}

#[tokio::test]
async fn denials_say_why_in_the_log() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    deploy(&samovar, CALLER, json!({"allow": ["https://example.com"]})).await;
    let url = site.url("/head?token=hunter2");
    assert_eq!(fetch(&samovar, &url, "").await, "error HttpRequestDenied");
    let line = logged(&samovar, &["127.0.0.1", "not allowed"]).await;
    assert!(!line.contains("hunter2"), "what is in a query may be secret: {line}");
    deploy(&samovar, CALLER, json!({"allow": ["*://*:*"]})).await;
    assert_eq!(
        fetch(&samovar, &site.at("localhost", "/"), "").await,
        "error DestinationIpProhibited"
    );
    logged(&samovar, &["localhost", "127.0.0.1 (loopback)"]).await;
    assert_eq!(site.accepted(), 0);
}

#[tokio::test]
async fn the_request_arrives_as_it_was_made() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for guest in CALLERS {
        deploy(&samovar, guest, here()).await;
        let url = quoted(&site.url("/head?x=%2Fa%20b&y="));
        let path = format!("/a/proxy?u={url}&headers=x-tea,x-forwarded-for,host");
        let request = samovar.http.request(Method::DELETE, &path);
        let request = request.header("x-tea", "assam").header("traceparent", trace);
        let text = samovar.http.send(request, "").await.expect(200).text();
        let mut lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.remove(0), "h1 DELETE /head?x=%2Fa%20b&y=");
        for line in [
            format!("host: 127.0.0.1:{}", site.port()),
            "x-tea: assam".to_owned(),
            format!("traceparent: {trace}"),
        ] {
            assert_eq!(lines.iter().filter(|found| **found == line).count(), 1, "{line}: {text}");
        }
        // Whose request it is inside is nobody's business outside.
        assert!(!text.contains("samovar"), "{text}");
    }
}

#[tokio::test]
async fn bodies_stream_to_elsewhere_and_back() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    let path = format!("/a/proxy?u={}", quoted(&site.url("/mirror")));
    let mut random = fastrand::Rng::with_seed(5);
    let body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(3_000_000).collect();
    for guest in CALLERS {
        deploy(&samovar, guest, here()).await;
        comes_back_piece_by_piece(&samovar.http, &path).await;
        let reply = samovar.http.post(&path, body.clone()).await.expect(200);
        assert!(reply.body == body, "{guest}: {} bytes came back", reply.body.len());
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let samovar = Samovar::start().await;
    for guest in CALLERS {
        let site = Site::http().await;
        // Two replicas share them.
        let spec = caller("a", 2, json!({"outbound": here()}));
        samovar.deploy("a", guest, spec).await;
        let url = site.url("/bytes/10");
        for _ in 0..5 {
            let said = fetch(&samovar, &url, "&times=4").await;
            assert_eq!(said.lines().collect::<Vec<_>>(), ["status 200, 10 bytes"; 4]);
        }
        assert_eq!(site.accepted(), 1, "{guest}");
    }
}

#[tokio::test]
async fn every_redirect_is_checked_again() {
    let samovar = Samovar::start().await;
    let (open, closed) = (Site::http().await, Site::http().await);
    for guest in CALLERS {
        let rule = format!("http://127.0.0.1:{}", open.port());
        deploy(&samovar, guest, json!({"allow": [rule], "addresses": ["loopback"]})).await;
        for (aim, expected) in [
            (closed.url("/bytes/1"), "error HttpRequestDenied"),
            (open.at("localhost", "/bytes/1"), "error HttpRequestDenied"),
            (open.url("/bytes/1"), "status 200, 1 bytes"),
        ] {
            let first = open.url(&format!("/redirect/{aim}"));
            // The host follows no redirect by itself: the handler gets it, and asks anew.
            let said = fetch(&samovar, &first, "&head=location").await;
            assert_eq!(said, format!("status 302, 0 bytes, location: {aim}"));
            assert_eq!(fetch(&samovar, &aim, "").await, expected, "{aim}");
        }
    }
    assert_eq!(closed.accepted(), 0);
}

#[tokio::test]
async fn names_of_deployments_never_leave_the_host() {
    let samovar = Samovar::start().await;
    both(&samovar, 1).await;
    for guest in CALLERS {
        deploy(&samovar, guest, here()).await;
        assert_eq!(fetch(&samovar, "http://old.internal/", "").await, "status 200, 4 bytes");
        assert!(fetch(&samovar, "http://no.internal/", "").await.starts_with("status 404, "));
        let spec = json!({"outbound": here(), "calls": {"allow": []}});
        samovar.deploy("a", guest, caller("a", 1, spec)).await;
        assert_eq!(fetch(&samovar, "http://old.internal/", "").await, "error HttpRequestDenied");
    }
}

#[tokio::test]
async fn loops_over_the_network_are_requests_from_outside() {
    let samovar = Samovar::start().await;
    let plane: &Http = &samovar.http;
    for guest in CALLERS {
        // It may call its own data plane like anybody else, and nobody can tell.
        samovar.deploy("a", guest, caller("a", 2, json!({"outbound": here()}))).await;
        let said = fetch(&samovar, &plane.url("/a/call"), "").await;
        assert_eq!(said, "status 200, 2 bytes");
    }
}

#[tokio::test]
async fn what_cannot_be_a_rule_is_refused_at_deploy() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(samovar_tests::component(CALLER)).await;
    let good = here();
    for (outbound, field, word) in [
        (json!({"allow": ["ftp://example.com"]}), "spec.outbound.allow", "ftp"),
        (json!({"allow": ["http://example.com/path"]}), "spec.outbound.allow", "/path"),
        (json!({"allow": ["http://me@example.com"]}), "spec.outbound.allow", "@"),
        (json!({"allow": ["http://exa*mple.com"]}), "spec.outbound.allow", "*"),
        (json!({"allow": ["http://example.com:0"]}), "spec.outbound.allow", "port"),
        (json!({"allow": ["http://127.0.0.256"]}), "spec.outbound.allow", "127.0.0.256"),
        (json!({"addresses": ["everything"]}), "spec.outbound.addresses", "everything"),
        (json!({"addresses": ["10.0.0.1/8"]}), "spec.outbound.addresses", "10.0.0.1/8"),
        (json!({"ca_files": ["/no/such/file.pem"]}), "spec.outbound.ca_files", "/no/such/file.pem"),
        (json!({"max_connections": 0}), "spec.outbound.max_connections", "0"),
        (json!({"connect_timeout": "0s"}), "spec.outbound.connect_timeout", "0s"),
    ] {
        let spec = caller("a", 1, json!({"outbound": with(good.clone(), outbound.clone())}));
        let error = samovar.put_spec("a", &digest, spec).await.refused(422, "invalid-field");
        let seen = error["field"].as_str().unwrap_or_default();
        assert!(seen.starts_with(field), "{outbound}: {error}");
        names(&error["message"], &[word]);
    }
    samovar.admin.get("/v1/deployments/a").await.expect(404);
}

#[tokio::test]
async fn wide_rules_are_warned_of() {
    let samovar = Samovar::start().await;
    for (outbound, words) in [
        (here(), Some("every host")),
        (json!({"allow": ["http://a.example"], "addresses": ["metadata"]}), Some("credentials")),
        (json!({"allow": ["http://a.example"], "addresses": ["private"]}), None),
    ] {
        let status = deploy(&samovar, CALLER, outbound.clone()).await;
        let warnings = status["warnings"].to_string();
        match words {
            Some(words) => assert!(warnings.contains(words), "{outbound}: {warnings}"),
            None => assert!(!warnings.contains("outbound"), "{outbound}: {warnings}"),
        }
    }
}
