//! Addresses that handlers must not reach, however they are written.

use samovar_tests::Samovar;
use samovar_tests::sites::Site;
use serde_json::{Value, json};

use crate::outbound::{CALLERS, deploy, fetch, here};

/// Rules that allow every host, at these addresses.
fn at(addresses: Value) -> Value {
    json!({"allow": ["*://*:*"], "addresses": addresses, "connect_timeout": "1s"})
}

/// Ways to write the address of this machine that are URLs like any other.
const PLAIN: [&str; 8] = [
    "127.0.0.1",
    "127.0.0.1.",
    "localhost",
    "LocalHost",
    "localhost.",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
];

/// Ways that only some programs understand, and others take for a name.
const ODD: [&str; 8] = [
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "0127.0.0.1",
    "%31%32%37.0.0.1",
];

/// Whether a request was refused for where it goes.
fn is_denied(said: &str) -> bool {
    let codes = ["DestinationIpProhibited", "HttpRequestDenied", "HttpRequestUriInvalid"];
    codes.iter().any(|code| said == format!("error {code}"))
}

#[tokio::test]
async fn this_machine_is_not_reached_however_it_is_written() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    for guest in CALLERS {
        // None allowed, and others allowed.
        for addresses in [json!([]), json!(["private", "link-local", "metadata", "10.0.0.0/8"])] {
            deploy(&samovar, guest, at(addresses)).await;
            for host in PLAIN {
                let said = fetch(&samovar, &site.at(host, "/head"), "").await;
                assert_eq!(said, "error DestinationIpProhibited", "{host}");
            }
            for host in ODD {
                let said = fetch(&samovar, &site.at(host, "/head"), "").await;
                assert!(is_denied(&said), "{host}: {said}");
            }
        }
    }
    assert_eq!(site.accepted(), 0, "nobody came");
}

#[tokio::test]
async fn allowed_addresses_are_reached_in_every_plain_form() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    for guest in CALLERS {
        for addresses in
            [json!(["loopback"]), json!(["127.0.0.1/32", "::1/128"]), json!(["127.0.0.0/8"])]
        {
            deploy(&samovar, guest, at(addresses.clone())).await;
            for host in PLAIN {
                let said = fetch(&samovar, &site.at(host, "/bytes/3"), "").await;
                assert_eq!(said, "status 200, 3 bytes", "{host} with {addresses}");
            }
        }
        // An address that could be read in two ways is refused even where both were allowed.
        deploy(&samovar, guest, here()).await;
        for host in ODD {
            let said = fetch(&samovar, &site.at(host, "/head"), "").await;
            assert!(said.starts_with("error "), "{host}: {said}");
        }
    }
}

#[tokio::test]
async fn addresses_of_networks_and_clouds_are_not_reached() {
    let samovar = Samovar::start().await;
    for guest in CALLERS {
        deploy(&samovar, guest, at(json!(["loopback"]))).await;
        for host in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "[fd00::1]",
            "169.254.1.1",
            "[fe80::1]",
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[fd00:ec2::254]",
            "100.64.0.1",
            "0.0.0.0",
            "[::]",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.2.1",
        ] {
            let said = fetch(&samovar, &format!("http://{host}/latest/meta-data/"), "").await;
            assert_eq!(said, "error DestinationIpProhibited", "{host}");
        }
        // Those of clouds are not part of the networks they lie in.
        deploy(&samovar, guest, at(json!(["link-local", "private", "169.254.0.0/16"]))).await;
        for host in ["169.254.169.254", "[fd00:ec2::254]"] {
            let said = fetch(&samovar, &format!("http://{host}/"), "").await;
            assert_eq!(said, "error DestinationIpProhibited", "{host}");
        }
    }
}

#[tokio::test]
async fn what_stands_before_the_host_is_not_taken_for_it() {
    let samovar = Samovar::start().await;
    let site = Site::http().await;
    let port = site.port();
    for guest in CALLERS {
        let allow = ["http://example.com", "http://example.com:*"];
        deploy(&samovar, guest, json!({"allow": allow, "addresses": ["loopback"]})).await;
        for url in [
            format!("http://example.com@127.0.0.1:{port}/"),
            format!("http://example.com:80@127.0.0.1:{port}/"),
            format!("http://example.com%40127.0.0.1:{port}/"),
            format!("http://127.0.0.1:{port}#@example.com/"),
            format!("http://127.0.0.1:{port}\\@example.com/"),
            format!("http://127.0.0.1:{port}?@example.com/"),
            format!("http://example.com.127.0.0.1:{port}/"),
            format!("http://[::1%25example.com]:{port}/"),
            format!("http://127.0.0.1:{port}:80/"),
        ] {
            let said = fetch(&samovar, &url, "").await;
            assert!(is_denied(&said), "{url}: {said}");
        }
    }
    assert_eq!(site.accepted(), 0);
}
