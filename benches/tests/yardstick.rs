//! The load generator against the bare hyper server: both must be right before a ratio means much.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::TcpListener, path::Path, time::Duration};

use samovar_benches::{baselines::Baseline, loadgen::Load, process::cpu_time};

fn hyper() -> Baseline {
    Baseline::hyper_at(Path::new(env!("CARGO_BIN_EXE_bare-hyper"))).unwrap()
}

#[tokio::test]
async fn all_requests_are_answered_and_cost_something() {
    let server = hyper();
    let before = cpu_time(server.pid()).unwrap();
    let load = Load { address: server.address, path: "/".into(), connections: 8 }.start();
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
    let report = Load { address: server.address, path: "/".into(), connections: 100 }.once().await;
    assert_eq!((report.answered, report.failed), (100, 0));
}

#[tokio::test]
async fn refused_connections_are_failures() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = Load { address: nobody, path: "/".into(), connections: 3 }.once().await;
    assert_eq!((report.answered, report.failed), (0, 3));
    assert!(report.first_failure.is_some());
}
