//! What may be reached, and what may not: by the URL, and by what its host resolves to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use http::{Method, Request, StatusCode};
use samovar_outbound::{
    AddressPolicy, AllowList, Bound, CallOptions, Client, Error, Host, HostFault, Kind, Settings,
    UrlFault,
};
use support::site::Site;
use support::{
    HANG, SHORT, client, empty, explain, get, refused, send, settings, soon, text, with_names,
};

fn allowing(rules: &[&str]) -> Settings {
    Settings { allow: AllowList::parse(rules).unwrap(), ..settings() }
}

fn policy(kinds: &[&str]) -> AddressPolicy {
    AddressPolicy::parse(kinds).unwrap()
}

/// The error for a URL of this site under another host.
async fn at(client: &Client, site: &Site, host: &str) -> Error {
    refused(client, get(site.at(host, "/"))).await
}

#[tokio::test]
async fn what_a_rule_allows_is_reached() {
    let site = Site::http().await;
    let rule = format!("http://*.example:{}", site.port());
    let client = client(allowing(&[&rule]));
    let said = text(&client, site.url("/echo?a=b")).await;
    let host = format!("host: site.example:{}", site.port());
    assert_eq!(said, format!("GET /echo?a=b h1\n{host}\n"));
}

#[tokio::test]
async fn what_no_rule_allows_is_not_connected_to() {
    let site = Site::http().await;
    for (rules, said) in [
        (vec![], "the allow-list for outbound requests is empty"),
        (vec!["https://*:*"], "the only rule of the allow-list does not match"),
        (
            vec!["site.example", "http://other.example:*"],
            "none of the 2 rules of the allow-list matches",
        ),
    ] {
        let error = refused(&client(allowing(&rules)), get(site.url("/"))).await;
        assert!(matches!(error, Error::NotAllowed { .. }), "{error:?}");
        let target = format!("http://site.example:{}", site.port());
        assert_eq!(error.to_string(), format!("{target} is not allowed: {said}"));
    }
    assert_eq!(site.accepted(), 0);
}

#[tokio::test]
async fn addresses_in_urls_are_checked_too() {
    let site = Site::http().await;
    let strict = client(Settings { addresses: policy(&[]), ..settings() });
    for (host, kind) in [
        ("127.0.0.1", Kind::Loopback),
        ("127.9.9.9", Kind::Loopback),
        ("[::1]", Kind::Loopback),
        ("[::ffff:127.0.0.1]", Kind::Loopback),
        ("[::ffff:7f00:1]", Kind::Loopback),
        ("[::127.0.0.1]", Kind::Loopback),
        ("[64:ff9b::127.0.0.1]", Kind::Loopback),
        ("[2002:7f00:1::]", Kind::Loopback),
        ("0.0.0.0", Kind::Unspecified),
        ("[::]", Kind::Unspecified),
        ("10.0.0.1", Kind::Private),
        ("169.254.169.254", Kind::Metadata),
        ("[::ffff:169.254.169.254]", Kind::Metadata),
        ("[fd00:ec2::254]", Kind::Metadata),
        ("255.255.255.255", Kind::Broadcast),
    ] {
        let error = at(&strict, &site, host).await;
        let Error::Address { denied, .. } = error else { panic!("{host}: {error:?}") };
        assert_eq!(denied[0].kind, kind, "{host}");
    }
    assert_eq!(site.accepted(), 0);
    let allowed = client(settings());
    assert!(text(&allowed, site.at("127.0.0.1", "/")).await.starts_with("GET / h1\n"));
}

#[tokio::test]
async fn addresses_in_disguise_are_refused_even_if_they_are_allowed() {
    let site = Site::http().await;
    let client = client(settings());
    for host in ["2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001", "127.1", "127.0.0.01"] {
        let error = at(&client, &site, host).await;
        let Error::Url { fault: UrlFault::Host(fault), .. } = error else { panic!("{error:?}") };
        assert!(matches!(fault, HostFault::Disguised { .. }), "{fault:?}");
    }
    assert_eq!(site.accepted(), 0);
}

#[tokio::test]
async fn a_user_name_that_looks_like_a_host_is_refused() {
    let client = client(allowing(&["http://site.example:*"]));
    let error = refused(&client, get("http://site.example@evil.example/a?token=secret")).await;
    assert!(matches!(error, Error::Url { fault: UrlFault::User, .. }), "{error:?}");
    let said = "the URL `http://evil.example/a` cannot be used: it has a user name or `@` before \
                its host; use the header `authorization`";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn urls_of_other_kinds_are_refused() {
    let client = client(settings());
    let error = refused(&client, get("ftp://site.example/")).await;
    assert!(matches!(error, Error::Url { fault: UrlFault::Scheme, .. }), "{error:?}");
    let error = refused(&client, get("/path")).await;
    assert!(matches!(error, Error::Url { fault: UrlFault::Scheme, .. }), "{error:?}");
}

#[tokio::test]
async fn names_that_resolve_to_forbidden_addresses_are_not_connected_to() {
    let site = Site::http().await;
    let lines = [
        "local.example 127.0.0.1",
        "mapped.example ::ffff:127.0.0.1 ::1",
        "meta.example 169.254.169.254",
        "inside.example 10.1.2.3 192.168.1.1 fd00::1 100.64.0.1 224.0.0.1",
    ];
    let strict = with_names(Settings { addresses: policy(&[]), ..settings() }, &lines);
    let port = site.port();
    for (host, said) in [
        ("local.example", "127.0.0.1 (loopback)"),
        ("mapped.example", "::ffff:127.0.0.1 (loopback), ::1 (loopback)"),
        ("meta.example", "169.254.169.254 (metadata)"),
        (
            "inside.example",
            "10.1.2.3 (private), 192.168.1.1 (private), fd00::1 (private), 100.64.0.1 (shared) \
             and 1 more",
        ),
    ] {
        let error = at(&strict, &site, host).await;
        let expected = format!("http://{host}:{port} is not allowed: it is at {said}");
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(site.accepted(), 0);
}

#[tokio::test]
async fn only_the_addresses_that_are_allowed_are_connected_to() {
    let site = Site::http().await;
    let lines = ["mixed.example 10.1.2.3 169.254.169.254 127.0.0.1"];
    let client = with_names(settings(), &lines);
    assert!(text(&client, site.at("mixed.example", "/")).await.starts_with("GET / h1\n"));
}

#[tokio::test]
async fn the_next_address_is_tried_if_one_refuses() {
    let site = Site::http().await;
    // The site listens on one address of this machine only.
    let client = with_names(settings(), &["two.example 127.0.0.2 127.0.0.1"]);
    assert!(text(&client, site.at("two.example", "/")).await.starts_with("GET / h1\n"));
    let client = with_names(settings(), &["none.example 127.0.0.2 127.0.0.3"]);
    let error = at(&client, &site, "none.example").await;
    let Error::Connect { address, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(address.ip().to_string(), "127.0.0.3");
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_name_that_nobody_has() {
    let error = refused(&client(settings()), get("http://nobody.example/")).await;
    assert!(matches!(error, Error::Dns { .. }), "{error:?}");
    assert_eq!(explain(&error), "http://nobody.example: look up the name: nobody has this name");
    let error = refused(&with_names(settings(), &["no.example"]), get("http://no.example/")).await;
    assert_eq!(explain(&error), "http://no.example: look up the name: it has no address");
}

#[tokio::test]
async fn a_name_that_is_not_found_in_time() {
    let client = client(Settings { connect_timeout: SHORT, ..settings() });
    let error = refused(&client, get("http://slow.example/")).await;
    let Error::DnsTimeout { bound, .. } = error else { panic!("{error:?}") };
    assert_eq!(bound, Bound::Limit(SHORT));
    let options = CallOptions {
        connect: Some(HANG),
        deadline: Some(tokio::time::Instant::now() + SHORT),
        ..CallOptions::default()
    };
    let error = soon(client.send(get("http://slow.example/"), options)).await.unwrap_err();
    let said = "http://slow.example: the name was not looked up before the deadline of the request";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn redirects_are_for_the_handler() {
    let site = Site::http().await;
    let client = client(settings());
    let url = site.url("/redirect/169.254.169.254/latest/meta-data");
    let response = send(&client, get(url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    let next = response.headers()["location"].to_str().unwrap();
    assert_eq!(next, "http://169.254.169.254/latest/meta-data");
    // What the handler does about it is checked like anything else.
    let error = refused(&client, get(next)).await;
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
}

#[tokio::test]
async fn tunnels_are_refused() {
    let site = Site::http().await;
    let client = client(settings());
    let connect = Request::builder().method(Method::CONNECT).uri(site.url("/"));
    let error = refused(&client, connect.body(empty()).unwrap()).await;
    assert!(matches!(error, Error::Tunnel { .. }), "{error:?}");
    let upgrade = Request::get(site.url("/"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(empty())
        .unwrap();
    let error = refused(&client, upgrade).await;
    let said = format!(
        "http://site.example:{}: `Upgrade` is not offered to handlers, which have no tunnels",
        site.port()
    );
    assert_eq!(error.to_string(), said);
    assert_eq!(site.accepted(), 0);
}

#[tokio::test]
async fn the_systems_resolver_is_asked() {
    let site = Site::http().await;
    let client = Client::new(settings()).unwrap();
    assert!(text(&client, site.at("localhost", "/")).await.starts_with("GET / h1\n"));
    let strict = Client::new(Settings { addresses: policy(&[]), ..settings() }).unwrap();
    let error = at(&strict, &site, "localhost").await;
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
}

#[test]
fn one_host_is_one_host() {
    assert_eq!(Host::parse("LOCALHOST."), Host::parse("localhost"));
}
