//! The load generator against the bare hyper server: both must be right before a ratio means much.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::TcpListener, path::Path, time::Duration};

use bytes::Bytes;
use samovar_benches::{baselines::Baseline, loadgen::Load, paced, process::cpu_time};
use samovar_tests::Http;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn hyper() -> Baseline {
    Baseline::hyper_at(Path::new(env!("CARGO_BIN_EXE_bare-hyper"))).unwrap()
}

#[tokio::test]
async fn all_requests_are_answered_and_cost_something() {
    let server = hyper();
    let before = cpu_time(server.pid()).unwrap();
    let load = Load::get(server.address, "/", 8).start();
    tokio::time::timeout(Duration::from_secs(60), async {
        while load.answered() < 20_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let report = load.finish().await;
    assert_eq!((report.failed, report.first_failure), (0, None));
    assert_eq!(report.latencies_us.len() as u64, report.answered);
    assert!(report.latencies_us.is_sorted());
    assert!(cpu_time(server.pid()).unwrap() > before);
}

#[tokio::test]
async fn crowd_sends_one_request_each() {
    let server = hyper();
    let report = Load::get(server.address, "/", 100).once().await;
    assert_eq!((report.answered, report.failed), (100, 0));
}

#[tokio::test]
async fn refused_connections_are_failures() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = Load::get(nobody, "/", 3).once().await;
    assert_eq!((report.answered, report.failed), (0, 3));
    assert!(report.first_failure.is_some());
}

#[tokio::test]
async fn answers_of_another_length_are_failures() {
    let server = hyper();
    let load = Load::get(server.address, "/", 3);
    for (expected, answered, failed) in [(20, 3, 0), (21, 0, 3)] {
        let load = Load { expects_bytes: Some(expected), ..load.clone() };
        let report = load.once().await;
        assert_eq!((report.answered, report.failed), (answered, failed), "{report:?}");
    }
}

#[tokio::test]
async fn proxies_pass_everything_on() {
    let server = hyper();
    let programs = [env!("CARGO_BIN_EXE_minimal-proxy"), env!("CARGO_BIN_EXE_pooled-proxy")];
    for program in programs {
        let proxy = Baseline::proxy_at(Path::new(program), server.address).unwrap();
        let client = Http::new(proxy.address);
        assert_eq!(client.get("/").await.expect(200).text(), "Hello from Samovar!\n");
        let sent: Vec<u8> = (0..64 << 10).map(|at| (at % 251) as u8).collect();
        assert_eq!(client.post("/", sent.clone()).await.expect(200).body, sent);
        let body = Bytes::from(sent);
        let report = Load { body, ..Load::get(proxy.address, "/", 20) }.once().await;
        assert_eq!((report.answered, report.failed, report.first_failure), (20, 0, None));
    }
}

#[tokio::test]
async fn pace_says_how_many_requests_are_sent() {
    let server = hyper();
    let load = Load::get(server.address, "/", 7);
    let report = paced::run(load, 2000.0, Duration::from_millis(250)).await;
    assert_eq!((report.answered, report.failed, report.first_failure), (500, 0, None));
    assert!(report.latencies_us.is_sorted());
}

/// A server that takes its time makes later requests wait: that must be seen in all of them.
#[tokio::test]
async fn requests_that_wait_for_their_turn_are_late() {
    const PAUSE: Duration = Duration::from_millis(5);
    const REQUESTS: u64 = 50;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 1024];
        while stream.read(&mut bytes).await.unwrap() > 0 {
            tokio::time::sleep(PAUSE).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    let duration = Duration::from_millis(REQUESTS);
    let report = paced::run(Load::get(address, "/", 1), 1000.0, duration).await;
    server.await.unwrap();
    assert_eq!((report.answered, report.failed), (REQUESTS, 0));
    // The last one was due after all others, and each of them took a pause at least.
    let waited = PAUSE * REQUESTS as u32 - duration;
    assert!(u128::from(*report.latencies_us.last().unwrap()) >= waited.as_micros());
}
