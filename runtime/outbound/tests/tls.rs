//! TLS: whom to trust, and what is said about it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use http_body_util::BodyExt;
use samovar_outbound::{Bound, Client, Error, Settings};
use support::peer::Blank;
use support::site::{Authority, Site};
use support::{
    SHORT, client, explain, full, get, post, read, refused, send, settings, soon, start, text,
};

fn trusting(authorities: &[&Authority]) -> Client {
    let ca_files = authorities.iter().map(|authority| authority.pem()).collect();
    client(Settings { ca_files, ..settings() })
}

#[tokio::test]
async fn private_authorities_are_trusted() {
    let (ours, other) = (Authority::new(), Authority::new());
    let site = Site::https(&ours, "site.example", &["http/1.1"]).await;
    let client = trusting(&[&other, &ours]);
    let said = text(&client, site.url("/a?b")).await;
    assert_eq!(said, format!("GET /a?b h1\nhost: site.example:{}\n", site.port()));
}

#[tokio::test]
async fn one_file_may_have_several_authorities() {
    let (ours, other) = (Authority::new(), Authority::new());
    let site = Site::https(&ours, "site.example", &[]).await;
    let both = [other.pem(), ours.pem()].concat();
    let client = client(Settings { ca_files: vec![both], ..settings() });
    assert!(text(&client, site.url("/")).await.starts_with("GET / h1\n"));
}

#[tokio::test]
async fn http2_is_spoken_where_both_can() {
    let authority = Authority::new();
    let site = Site::https(&authority, "site.example", &["h2", "http/1.1"]).await;
    let client = trusting(&[&authority]);
    let response = send(&client, post(site.url("/a"), full("body"))).await.unwrap();
    let said = read(response).await.unwrap();
    let url = site.url("/a");
    assert_eq!(said, format!("POST {url} h2\ncontent-length: 4\nbody"));
}

#[tokio::test]
async fn addresses_have_certificates_too() {
    let authority = Authority::new();
    let site = Site::https(&authority, "127.0.0.1", &["h2"]).await;
    let client = trusting(&[&authority]);
    assert!(text(&client, site.at("127.0.0.1", "/")).await.contains(" h2\n"));
}

#[tokio::test]
async fn a_stranger_is_not_trusted() {
    let (authority, other) = (Authority::new(), Authority::new());
    let site = Site::https(&authority, "site.example", &["h2"]).await;
    let error = refused(&trusting(&[&other]), get(site.url("/"))).await;
    assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
    let said =
        format!("https://site.example:{} has a certificate that is not trusted", site.port());
    assert!(explain(&error).starts_with(&said), "{}", explain(&error));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new();
    let site = Site::https(&authority, "other.example", &["h2"]).await;
    let error = refused(&trusting(&[&authority]), get(site.url("/"))).await;
    assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
}

#[tokio::test]
async fn a_site_without_tls() {
    let authority = Authority::new();
    let site = Site::http().await;
    let url = site.url("/").replace("http:", "https:");
    let error = refused(&trusting(&[&authority]), get(url)).await;
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_site_that_does_not_set_up_tls() {
    let authority = Authority::new();
    let site = Blank::new().await;
    let settings =
        Settings { ca_files: vec![authority.pem()], connect_timeout: SHORT, ..settings() };
    let client = client(settings);
    let sent = start(&client, get(site.url("/").replace("http:", "https:")));
    let mut peer = site.accept().await;
    let error = soon(sent).await.unwrap().unwrap_err();
    let Error::ConnectTimeout { bound, .. } = error else { panic!("{error:?}") };
    assert_eq!(bound, Bound::Limit(SHORT));
    peer.sees_the_end().await;
    assert_eq!(client.counts().busy, 0);
}

#[tokio::test]
async fn trailers_come_through() {
    let authority = Authority::new();
    let sites = [Site::https(&authority, "site.example", &["h2"]).await, Site::http().await];
    for site in sites {
        let mut request = get(site.url("/trailers"));
        request.headers_mut().insert("te", "trailers".parse().unwrap());
        let response = send(&trusting(&[&authority]), request).await.unwrap();
        let body = soon(response.into_body().collect()).await.unwrap();
        let trailers = body.trailers().unwrap();
        assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"1".parse().unwrap()));
        assert_eq!(body.to_bytes(), "some");
    }
}

#[test]
fn files_of_authorities_are_read_at_once() {
    let authority = Authority::new();
    for (pem, reason) in [
        ("", "there is no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", ""),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", ""),
    ] {
        let ca_files = vec![authority.pem(), pem.as_bytes().to_vec()];
        let error = Client::new(Settings { ca_files, ..settings() }).unwrap_err().to_string();
        let start = format!("file 2 of the certificate authorities cannot be used: {reason}");
        assert!(error.starts_with(&start), "{error}");
    }
}
