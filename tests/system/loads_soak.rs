//! Nine tenths of full load for long: every request is answered rightly, and neither memory nor
//! descriptors grow.
//!
//! `SAMOVAR_SOAK_SECONDS` says how long, 15 by default.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use samovar_tests::crowd::number;
use samovar_tests::http::full;
use samovar_tests::usage::{MIB, Usage, cpu_seconds};
use samovar_tests::{Http, Samovar, within};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{fixed, with};

/// Connections, each with one request at a time.
const CLIENTS: usize = 16;
/// How long full load is measured.
const MEASURED: Duration = Duration::from_secs(2);
/// Of full load.
const PART: f64 = 0.9;
/// How often memory and descriptors are read.
const SAMPLES: u32 = 40;
/// Memory may grow so much beside a twentieth.
const SPARE_BYTES: u64 = 8 * MIB;
const ECHO_BYTES: usize = 64 << 10;
const HELLO: &[u8] = b"Hello from Samovar!\n";

/// One client's connection and what it asks for in turn.
struct Client {
    http: Http,
    next: usize,
    large: Bytes,
}

impl Client {
    /// Does the next request, which must be answered rightly.
    async fn ask(&mut self) {
        let (path, body, expected) = match self.next % 6 {
            0 | 3 => ("/hello", Bytes::new(), Bytes::from_static(HELLO)),
            1 | 4 => ("/hello-async", Bytes::new(), Bytes::from_static(HELLO)),
            2 => ("/batch", Bytes::from_static(b"steam"), Bytes::from_static(b"steam")),
            _ if self.next % 12 == 5 => ("/echo", self.large.clone(), self.large.clone()),
            _ => ("/echo-sync", self.large.clone(), self.large.clone()),
        };
        self.next += 1;
        let method = if body.is_empty() { Method::GET } else { Method::POST };
        let request = self.http.request(method, path).body(full(body));
        let reply = self.http.try_send(request.expect("a valid request")).await;
        let reply = reply.unwrap_or_else(|error| panic!("{path}: {error}")).expect(200);
        assert!(reply.body == expected, "{path}: {} other bytes", reply.body.len());
    }
}

fn clients(samovar: &Samovar) -> impl Iterator<Item = Client> {
    let mut random = fastrand::Rng::with_seed(6);
    let large: Bytes = std::iter::repeat_with(|| random.u8(..)).take(ECHO_BYTES).collect();
    let address = samovar.http.address();
    (0..CLIENTS).map(move |next| Client { http: Http::new(address), next, large: large.clone() })
}

/// Requests a second when every client sends the next as soon as it can.
async fn full_load(samovar: &Samovar) -> f64 {
    let answered = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + MEASURED;
    let mut sending = JoinSet::new();
    for mut client in clients(samovar) {
        let answered = answered.clone();
        sending.spawn(async move {
            while Instant::now() < until {
                client.ask().await;
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    within("end full load", sending.join_all()).await;
    answered.load(Ordering::Relaxed) as f64 / MEASURED.as_secs_f64()
}

/// Starts clients that send `per_second` requests together until `until`. Who is late sends the
/// rest at once.
fn start(
    samovar: &Samovar,
    per_second: f64,
    until: Instant,
    answered: &Arc<AtomicU64>,
) -> JoinSet<()> {
    let period = Duration::from_secs_f64(CLIENTS as f64 / per_second);
    let began = Instant::now();
    let mut sending = JoinSet::new();
    for (index, mut client) in clients(samovar).enumerate() {
        let answered = answered.clone();
        sending.spawn(async move {
            let mut due = began + period.mul_f64(index as f64 / CLIENTS as f64);
            while due < until {
                sleep_until(due).await;
                client.ask().await;
                answered.fetch_add(1, Ordering::Relaxed);
                due += period;
            }
        });
    }
    sending
}

/// The middle one.
fn median(mut of: Vec<u64>) -> u64 {
    of.sort_unstable();
    of[of.len() / 2]
}

#[tokio::test]
async fn neither_memory_nor_descriptors_grow_under_load() {
    let duration = Duration::from_secs(number("SAMOVAR_SOAK_SECONDS", 15) as u64);
    let samovar = Samovar::start().await;
    for (name, guest) in [
        ("hello", "hello"),
        ("hello-async", "hello-async"),
        ("echo", "echo"),
        ("echo-sync", "echo-sync"),
    ] {
        samovar.deploy(name, guest, fixed(2)).await;
    }
    let batching = json!({"batching": {"max_batch_size": 4, "timeout_batching": "1ms"}});
    samovar.deploy("batch", "fixture-batch-behave", with(fixed(2), batching)).await;
    let pid = samovar.pid().as_raw_nonzero().get();
    let per_second = full_load(&samovar).await * PART;
    println!("full load: {:.0} requests a second", per_second / PART);

    let answered = Arc::new(AtomicU64::new(0));
    let (began, cpu) = (Instant::now(), cpu_seconds(pid));
    let mut sending = start(&samovar, per_second, began + duration, &answered);
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        sleep(duration / SAMPLES).await; // Not to wait for anything: the samples are apart in time.
        if let Some(Err(error)) = sending.try_join_next() {
            std::panic::resume_unwind(error.into_panic());
        }
        samples.push(Usage::of(pid));
    }
    let (elapsed, cpu) = (began.elapsed(), cpu_seconds(pid) - cpu);
    let served = answered.load(Ordering::Relaxed);
    within("answer the last", sending.join_all()).await;
    let (first, second) = samples.split_at(samples.len() / 2);
    // The first fifth of all is for warming up.
    let warm = &first[first.len() * 2 / 5..];
    let memory = |of: &[Usage]| median(of.iter().map(|usage| usage.resident_bytes).collect());
    let descriptors = |of: &[Usage]| of.iter().map(|usage| usage.descriptors).max();
    println!(
        "{served} requests in {elapsed:.1?}, {:.0} a second of {per_second:.0} wanted, {cpu:.1} s \
         of CPU; at first {}, warm {} MiB, second half {} MiB, last {}",
        served as f64 / elapsed.as_secs_f64(),
        samples[0],
        memory(warm) / MIB,
        memory(second) / MIB,
        samples[samples.len() - 1],
    );
    let most = memory(warm) + memory(warm) / 20 + SPARE_BYTES;
    assert!(memory(second) <= most, "memory grows: {samples:?}");
    assert!(descriptors(second) <= descriptors(warm), "descriptors grow: {samples:?}");
    for name in ["hello", "hello-async", "echo", "echo-sync", "batch"] {
        let status = samovar.wait_status(name, "nothing ongoing", |now| now["ongoing"] == 0).await;
        assert_eq!(status["totals"]["failed"], 0, "{status}");
        assert_eq!(status["totals"]["rejected"], 0, "{status}");
    }
    samovar.stop().await;
}
