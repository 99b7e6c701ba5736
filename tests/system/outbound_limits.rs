//! Requests to elsewhere over TLS, and within limits of time and size.

use samovar_tests::load::at_once;
use samovar_tests::sites::{Authority, Site};
use samovar_tests::{Http, Samovar, eventually};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::calls::{caller, ongoing, quoted};
use crate::outbound::{CALLERS, deploy, fetch, here};
use crate::support::with;

/// What the site sees of a request that was passed on to it.
async fn seen(http: &Http, url: &str) -> String {
    http.get(&format!("/a/proxy?u={}", quoted(url))).await.expect(200).text()
}

/// Rules that allow this machine, with these files of authorities.
fn trusting(files: &[&std::path::Path]) -> Value {
    with(here(), json!({"ca_files": files}))
}

#[tokio::test]
async fn private_authorities_are_trusted_where_they_are_named() {
    let samovar = Samovar::start().await;
    let (ours, other) = (Authority::new(), Authority::new());
    let site = Site::https(&ours, "localhost", &["http/1.1"]).await;
    let ours = ours.file(samovar.folder(), "ours.pem");
    let other = other.file(samovar.folder(), "other.pem");
    let url = site.at("localhost", "/head");
    for guest in CALLERS {
        for files in [vec![&*ours], vec![&*other, &*ours]] {
            deploy(&samovar, guest, trusting(&files)).await;
            assert!(seen(&samovar.http, &url).await.starts_with("h1 GET /head\n"));
        }
        for files in [vec![], vec![&*other]] {
            deploy(&samovar, guest, trusting(&files)).await;
            assert_eq!(fetch(&samovar, &url, "").await, "error TlsCertificateError", "{files:?}");
        }
        // The certificate is for another name.
        deploy(&samovar, guest, trusting(&[&ours])).await;
        assert_eq!(fetch(&samovar, &site.url("/"), "").await, "error TlsCertificateError");
    }
}

#[tokio::test]
async fn http2_is_spoken_where_both_can_over_one_connection() {
    let samovar = Samovar::start().await;
    let authority = Authority::new();
    let file = authority.file(samovar.folder(), "ca.pem");
    for guest in CALLERS {
        let site = Site::https(&authority, "127.0.0.1", &["h2", "http/1.1"]).await;
        let spec = json!({"outbound": trusting(&[&file])});
        samovar.deploy("a", guest, caller("a", 4, spec)).await;
        let url = site.url("/head");
        assert!(seen(&samovar.http, &url).await.starts_with("h2 GET /head\n"));
        let path = format!("/a/proxy?u={}", quoted(&url));
        for reply in at_once(&samovar.http, &path, 20).answers().await {
            assert!(reply.expect(200).text().starts_with("h2 "));
        }
        assert_eq!(site.accepted(), 1, "{guest}");
    }
}

#[tokio::test]
async fn tls_is_not_left_out() {
    let samovar = Samovar::start().await;
    let authority = Authority::new();
    let secure = Site::https(&authority, "127.0.0.1", &[]).await;
    let plain = Site::http().await;
    for guest in CALLERS {
        deploy(&samovar, guest, here()).await;
        let url = plain.url("/").replace("http:", "https:");
        let said = fetch(&samovar, &url, "").await;
        assert!(said.starts_with("error Tls") || said.contains("Connection"), "{said}");
        let url = secure.url("/").replace("https:", "http:");
        let said = fetch(&samovar, &url, "").await;
        assert!(said.starts_with("error "), "{said}");
        // A rule for one of them is none for the other.
        let rule = format!("https://127.0.0.1:{}", plain.port());
        deploy(&samovar, guest, with(here(), json!({"allow": [rule]}))).await;
        assert_eq!(fetch(&samovar, &plain.url("/"), "").await, "error HttpRequestDenied");
    }
}

#[tokio::test]
async fn files_of_authorities_are_checked_at_deploy() {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(samovar_tests::component(CALLERS[0])).await;
    let file = samovar.folder().join("no.pem");
    for content in
        ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        std::fs::write(&file, content).expect("write a file of the test");
        let spec = caller("a", 1, json!({"outbound": trusting(&[&file])}));
        let error = samovar.put_spec("a", &digest, spec).await.refused(422, "invalid-field");
        assert_eq!(error["field"], "spec.outbound.ca_files", "{content}: {error}");
    }
}

#[tokio::test]
async fn sites_that_do_not_answer_are_given_up() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    // Accepts connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let mute = format!("https://{}/", mute.local_addr().expect("it is bound"));
    let (silent, stall) = (site.url("/silent"), site.url("/stall"));
    let short = json!({"connect_timeout": "200ms", "first_byte_timeout": "200ms",
        "between_bytes_timeout": "200ms"});
    for guest in CALLERS {
        // The deployment's limits, and those a handler sets itself.
        for (limits, query) in [
            (short.clone(), ["", "", ""]),
            (json!({}), ["&connect=200", "&first=200", "&between=200"]),
            (short.clone(), ["&connect=3600000", "&first=3600000", "&between=3600000"]),
        ] {
            deploy(&samovar, guest, with(here(), limits)).await;
            let [connect, first, between] = query;
            assert_eq!(fetch(&samovar, &mute, connect).await, "error ConnectionTimeout");
            assert_eq!(fetch(&samovar, &silent, first).await, "error HttpResponseTimeout");
            let said = fetch(&samovar, &stall, between).await;
            assert!(said.starts_with("status 200, 4 bytes, broken "), "{said}");
        }
    }
}

#[tokio::test]
async fn bodies_above_the_limits_are_refused() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    let small = json!({"request_body": "10KiB", "response_body": "10KiB"});
    for guest in CALLERS {
        deploy(&samovar, guest, with(here(), small.clone())).await;
        let swallow = site.url("/swallow");
        assert_eq!(
            fetch(&samovar, &swallow, "&method=POST&send=10240").await,
            "status 200, 5 bytes"
        );
        let said = fetch(&samovar, &swallow, "&method=POST&send=200000").await;
        assert!(said.starts_with("error HttpRequestBodySize"), "{said}");
        assert_eq!(fetch(&samovar, &site.url("/bytes/10240"), "").await, "status 200, 10240 bytes");
        let said = fetch(&samovar, &site.url("/bytes/10241"), "").await;
        assert!(!said.contains(" 10241 bytes"), "{said}");
        assert!(said.contains("error ") || said.contains("broken "), "{said}");
        // It goes on after that.
        assert_eq!(fetch(&samovar, &site.url("/bytes/9"), "").await, "status 200, 9 bytes");
    }
}

#[tokio::test]
async fn connections_are_limited_per_deployment() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    for guest in CALLERS {
        let narrow = with(here(), json!({"max_connections": 1}));
        samovar.deploy("a", guest, caller("a", 2, json!({"outbound": narrow}))).await;
        let before = site.accepted();
        let path = format!("/a/url?u={}", quoted(&site.url("/silent")));
        let waiting = at_once(&samovar.http, &path, 1);
        ongoing(&samovar, "a", 1).await;
        eventually("it is connected", async || (site.accepted() > before).then_some(())).await;
        let said = fetch(&samovar, &site.url("/bytes/1"), "&connect=200").await;
        assert_eq!(said, "error ConnectionLimitReached");
        drop(waiting);
    }
}

#[tokio::test]
async fn handler_that_is_cut_off_closes_its_connections() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    for guest in CALLERS {
        let narrow = with(here(), json!({"max_connections": 1}));
        let spec = json!({"outbound": narrow, "limits": {"request_timeout": "300ms"}});
        samovar.deploy("a", guest, caller("a", 2, spec)).await;
        let path = format!("/a/url?u={}", quoted(&site.url("/silent")));
        samovar.http.get(&path).await.host_error(504, "request-timeout");
        // Its connection, the only one there may be, is free for others.
        let other = format!("/a/url?u={}&connect=100", quoted(&site.url("/bytes/1")));
        eventually("the connection is free", async || {
            let reply = samovar.http.get(&other).await;
            (reply.status == 200 && reply.text() == "status 200, 1 bytes\n").then_some(())
        })
        .await;
    }
}
