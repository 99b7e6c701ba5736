//! Loads against a server of the test's own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use samovar_sim::trace::TraceWriter;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::drive::{Run, drive};
use super::options::{Options, Plan};
use super::sender::Sender;
use super::tally::{Tally, Tape};
use crate::client::Client;

/// How a server answers.
#[derive(Clone, Copy)]
enum Answers {
    Status(u16),
    /// Nobody is served before so much time has passed since the first request came.
    Stalled(Duration),
}

async fn server(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let first = Arc::new(std::sync::OnceLock::new());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let first = Arc::clone(&first);
            let service = service_fn(move |_| {
                let first = *first.get_or_init(Instant::now);
                async move {
                    let status = match answers {
                        Answers::Status(status) => status,
                        Answers::Stalled(time) => {
                            tokio::time::sleep_until(first + time).await;
                            200
                        }
                    };
                    let answer = Response::builder().status(status).body(Full::<Bytes>::default());
                    answer.map_err(std::io::Error::other)
                }
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                // The client may be gone first.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    url
}

/// The plan of some options.
fn plan(line: &str) -> Plan {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }
    let words = ["load"].into_iter().chain(line.split(' '));
    let line = <Line as clap::Parser>::try_parse_from(words).unwrap();
    line.options.plan("app").unwrap()
}

fn run(url: &str, duration: Duration, connections: usize, tape: Option<Tape>) -> Arc<Run> {
    let sender = Sender {
        client: Client::data_plane(url).unwrap(),
        method: Method::GET,
        uri: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    Arc::new(Run {
        sender,
        tally: Tally::new("app".into(), tape),
        start: Instant::now(),
        duration,
        timeout: Duration::from_secs(60),
        connections,
        seed: 1,
        stop: AtomicBool::new(false),
    })
}

/// Sends what `line` says and answers with the run.
async fn sent(url: &str, line: &str, connections: usize, tape: Option<Tape>) -> Arc<Run> {
    let plan = plan(line);
    let run = run(url, plan.duration, connections, tape);
    drive(Arc::clone(&run), plan.source).await;
    run
}

#[tokio::test]
async fn every_request_of_a_rate_is_sent_once_and_recorded() {
    let url = server(Answers::Status(200)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let tape = TraceWriter::new(Box::new(file.reopen().unwrap()) as Box<_>).unwrap();
    let run = sent(&url, "--rate 200 --for 200ms", 8, Some(tape)).await;
    run.tally.finish_tape().unwrap();
    run.tally.look(|totals| {
        assert_eq!((totals.counts.arrived, totals.counts.answered), (40, 40));
        assert_eq!(totals.statuses["200"], 40);
    });
    let recorded = samovar_sim::trace::Trace::read(file.reopen().unwrap()).unwrap();
    assert_eq!((recorded.requests(), recorded.end()), (40, Duration::from_micros(197_500)));
    // What was recorded can be sent again.
    let again = sent(&url, &format!("--trace {}", file.path().display()), 8, None).await;
    again.tally.look(|totals| assert_eq!(totals.counts.answered, 40));
}

#[tokio::test]
async fn latency_counts_from_when_a_request_was_due() {
    // All are due within the first half of the stall, and go over one connection. Counted from
    // when they were sent, only the first one would be slow.
    let url = server(Answers::Stalled(Duration::from_millis(400))).await;
    let run = sent(&url, "--rate 100 --for 200ms", 1, None).await;
    run.tally.look(|totals| {
        assert_eq!((totals.counts.answered, totals.waited > 0), (20, true));
        let least_ms = totals.counts.latency.quantile_ms(0.0).unwrap();
        assert!(least_ms > 199.0, "{least_ms}");
    });
}

#[tokio::test]
async fn users_wait_for_their_answers() {
    let url = server(Answers::Stalled(Duration::from_millis(1500))).await;
    let run = sent(&url, "--users 3 --for 1s", 1, None).await;
    // However long a user waits, there is no second request before the first answer.
    run.tally.look(|totals| assert_eq!(totals.counts.answered, 3));
}

#[tokio::test]
async fn failures_are_counted_by_their_reason() {
    let url = server(Answers::Status(503)).await;
    let run = sent(&url, "--rate 100 --for 100ms", 8, None).await;
    run.tally.look(|totals| {
        assert_eq!((totals.counts.failed, totals.statuses["503"]), (10, 10));
        assert_eq!(totals.counts.latency.quantile_ms(0.5), None);
    });
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let run = sent(&url, "--rate 100 --for 100ms", 8, None).await;
    run.tally.look(|totals| assert_eq!(totals.errors["connection refused"], 10));
}

#[tokio::test]
async fn a_run_that_is_stopped_sends_no_more() {
    let url = server(Answers::Status(200)).await;
    let plan = plan("--rate 100 --for 1h");
    let run = run(&url, plan.duration, 8, None);
    let driving = tokio::spawn(drive(Arc::clone(&run), plan.source));
    while run.tally.look(|totals| totals.counts.answered) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run.stop();
    driving.await.unwrap();
    run.tally.look(|totals| assert_eq!(totals.counts.open(), 0));
}
