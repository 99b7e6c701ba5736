//! Connections: used again, limited, given up when they are of no use.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::BodyExt;
use samovar_outbound::{Bound, CallOptions, Client, Counts, Error, Settings, SettingsError};
use std::time::Duration;
use support::peer::Blank;
use support::site::{Authority, Site};
use support::{
    SHORT, channel, client, full, get, post, read, send, settings, soon, start, text, until,
};

fn counts(client: &Client) -> (usize, usize) {
    let Counts { busy, idle } = client.counts();
    (busy, idle)
}

async fn rests(client: &Client, idle: usize) {
    until(|| counts(client) == (0, idle)).await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let site = Site::http().await;
    let client = client(settings());
    for path in ["/echo", "/bytes/0", "/bytes/100000", "/pieces/1000", "/redirect/a"] {
        for _ in 0..5 {
            text(&client, site.url(path)).await;
            rests(&client, 1).await;
        }
    }
    for _ in 0..5 {
        let response = send(&client, post(site.url("/echo"), full("body"))).await.unwrap();
        assert!(read(response).await.unwrap().ends_with("\nbody"));
        rests(&client, 1).await;
    }
    assert_eq!(site.accepted(), 1);
}

#[tokio::test]
async fn requests_at_once_have_connections_of_their_own() {
    let site = Site::http().await;
    let client = client(settings());
    for _ in 0..3 {
        join_all((0..8).map(|_| text(&client, site.url("/echo")))).await;
        rests(&client, 8).await;
    }
    assert_eq!(site.accepted(), 8);
}

#[tokio::test]
async fn hosts_do_not_share_connections() {
    let site = Site::http().await;
    let client = client(settings());
    for host in ["site.example", "other.example", "SITE.example.", "other.example"] {
        let said = text(&client, site.at(host, "/")).await;
        let host = host.trim_end_matches('.').to_lowercase();
        assert!(said.contains(&format!("\nhost: {host}:{}\n", site.port())), "{said}");
        until(|| client.counts().busy == 0).await;
    }
    assert_eq!((site.accepted(), counts(&client)), (2, (0, 2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_are_never_more_connections_than_allowed() {
    let site = Site::http().await;
    let client = client(Settings { connections_max: 3, ..settings() });
    let hosts = ["site.example", "other.example", "127.0.0.1"];
    let requests = (0..90).map(|number| {
        let (client, url) = (client.clone(), site.at(hosts[number % 3], "/pieces/10"));
        tokio::spawn(async move {
            let response = send(&client, get(url)).await.unwrap();
            let Counts { busy, idle } = client.counts();
            assert!((1..=3).contains(&busy) && busy + idle <= 3, "{busy} + {idle}");
            assert_eq!(read(response).await.unwrap().len(), 100);
        })
    });
    for request in soon(join_all(requests)).await {
        request.unwrap();
    }
    until(|| client.counts().busy == 0).await;
    assert!((1..=3).contains(&client.counts().idle));
}

#[tokio::test]
async fn an_unused_connection_makes_way_for_another_host() {
    let site = Site::http().await;
    let client = client(Settings { connections_max: 1, ..settings() });
    for (number, host) in ["site.example", "other.example", "127.0.0.1"].iter().enumerate() {
        text(&client, site.at(host, "/")).await;
        rests(&client, 1).await;
        assert_eq!(site.accepted(), number + 1);
    }
}

#[tokio::test]
async fn without_a_free_connection_requests_wait_so_long() {
    let site = Site::http().await;
    let client = client(Settings { connections_max: 1, ..settings() });
    let taken = send(&client, get(site.url("/stall"))).await.unwrap();
    let hasty = CallOptions { connect: Some(SHORT), ..CallOptions::default() };
    let error = soon(client.send(get(site.url("/")), hasty)).await.unwrap_err();
    let Error::ConnectionLimit { max: 1, bound, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*bound, Bound::Limit(SHORT));
    let said = format!(
        "http://site.example:{}: none of the 1 connections of the deployment was free within 30ms",
        site.port()
    );
    assert_eq!(error.to_string(), said);
    drop(taken);
    text(&client, site.url("/")).await;
}

#[tokio::test]
async fn a_request_that_waits_gets_the_next_free_connection() {
    let site = Site::http().await;
    let client = client(Settings { connections_max: 1, ..settings() });
    let taken = send(&client, get(site.url("/stall"))).await.unwrap();
    let waiting = start(&client, get(site.url("/")));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(taken);
    read(soon(waiting).await.unwrap().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_not_kept_for_long() {
    let site = Site::http().await;
    let client = client(Settings { idle_timeout: SHORT, ..settings() });
    text(&client, site.url("/")).await;
    rests(&client, 0).await;
    text(&client, site.url("/")).await;
    rests(&client, 0).await;
    assert_eq!(site.accepted(), 2);
}

#[tokio::test]
async fn a_connection_that_the_site_closed_is_not_used() {
    let site = Blank::new().await;
    let client = client(settings());
    for _ in 0..3 {
        let sent = start(&client, get(site.url("/")));
        let mut peer = site.accept().await;
        peer.head().await;
        peer.answer("short").await;
        assert_eq!(read(soon(sent).await.unwrap().unwrap()).await.unwrap(), "short");
        rests(&client, 1).await;
        // The client sees it at some time after this.
        drop(peer);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_site_that_wants_to_close_is_let() {
    let site = Blank::new().await;
    let client = client(settings());
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    for _ in 0..2 {
        let response = site.answer_and_close(&client, get(site.url("/")), head.as_bytes()).await;
        let response = response.unwrap();
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(read(response).await.unwrap(), "ok");
        rests(&client, 0).await;
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let site = Blank::new().await;
    let client = client(settings());
    let sent = start(&client, get(site.url("/")));
    let mut peer = site.accept().await;
    peer.head().await;
    sent.abort();
    peer.sees_the_end().await;
    rests(&client, 0).await;
}

#[tokio::test]
async fn a_response_that_is_given_up_closes_its_connection() {
    let site = Blank::new().await;
    let client = client(settings());
    let sent = start(&client, get(site.url("/")));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome").await;
    let mut response = soon(sent).await.unwrap().unwrap();
    assert_eq!(soon(response.frame()).await.unwrap().unwrap().into_data().unwrap(), "some");
    drop(response);
    peer.sees_the_end().await;
    rests(&client, 0).await;
}

#[tokio::test]
async fn a_response_that_comes_early_leaves_the_request_going() {
    let site = Blank::new().await;
    let client = client(settings());
    let (mut body, request) = channel();
    let sent = start(&client, post(site.url("/"), request));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.answer("early").await;
    assert_eq!(read(soon(sent).await.unwrap().unwrap()).await.unwrap(), "early");
    assert_eq!(counts(&client), (1, 0));
    body.send_data(Bytes::from_static(b"late")).await.unwrap();
    drop(body);
    rests(&client, 1).await;
}

#[tokio::test]
async fn requests_share_a_connection_with_http2() {
    let authority = Authority::new();
    let site = Site::https(&authority, "site.example", &["h2", "http/1.1"]).await;
    let client = client(Settings { ca_files: vec![authority.pem()], ..settings() });
    assert!(text(&client, site.url("/echo")).await.contains(" h2\n"));
    rests(&client, 1).await;
    let stalled = send(&client, get(site.url("/stall"))).await.unwrap();
    join_all((0..20).map(|_| text(&client, site.url("/pieces/10")))).await;
    assert_eq!(counts(&client), (1, 0));
    drop(stalled);
    rests(&client, 1).await;
    assert_eq!(site.accepted(), 1);
}

#[tokio::test]
async fn requests_join_while_a_connection_is_in_use_and_no_other_is_allowed() {
    let authority = Authority::new();
    let site = Site::https(&authority, "site.example", &["h2"]).await;
    let limited = Settings { connections_max: 1, ca_files: vec![authority.pem()], ..settings() };
    let client = client(limited);
    // All of them ask before there is a connection, and most never end.
    let stalled = join_all((0..10).map(|_| send(&client, get(site.url("/stall"))))).await;
    assert!(stalled.iter().all(Result::is_ok));
    assert_eq!((site.accepted(), counts(&client)), (1, (1, 0)));
    drop(stalled);
    rests(&client, 1).await;
}

#[tokio::test]
async fn connections_with_http2_that_were_made_at_once_become_one() {
    let authority = Authority::new();
    let site = Site::https(&authority, "site.example", &["h2"]).await;
    let client = client(Settings { ca_files: vec![authority.pem()], ..settings() });
    join_all((0..6).map(|_| text(&client, site.url("/echo")))).await;
    until(|| counts(&client).0 == 0).await;
    let made = site.accepted();
    join_all((0..6).map(|_| text(&client, site.url("/echo")))).await;
    assert_eq!(site.accepted(), made);
}

#[tokio::test]
async fn a_connection_with_http2_that_is_gone_is_replaced() {
    let authority = Authority::new();
    let site = Site::https(&authority, "site.example", &["h2"]).await;
    let client = client(Settings { ca_files: vec![authority.pem()], ..settings() });
    let stalled = send(&client, get(site.url("/stall"))).await.unwrap();
    site.close_all();
    let error = read(stalled).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    text(&client, site.url("/echo")).await;
    rests(&client, 1).await;
    assert_eq!(site.accepted(), 2);
}

#[tokio::test]
async fn a_client_that_is_gone_keeps_no_connection() {
    let site = Blank::new().await;
    let client = client(settings());
    let sent = start(&client, get(site.url("/")));
    let mut peer = site.accept().await;
    peer.head().await;
    peer.answer("short").await;
    read(soon(sent).await.unwrap().unwrap()).await.unwrap();
    rests(&client, 1).await;
    drop(client);
    peer.sees_the_end().await;
}

#[test]
fn a_client_needs_connections() {
    let none = Settings { connections_max: 0, ..settings() };
    assert!(matches!(Client::new(none), Err(SettingsError::NoConnections)));
}
