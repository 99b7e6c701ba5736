//! The replay on a live server.

use std::{
    net::SocketAddr,
    sync::Arc,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use samovar_tests::{Http, Samovar, component, status};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::plan::{self, HANDLERS, Handler, INTERVAL, LEAD, Subject};
use crate::{loadgen::Connection, numbers::median};

const CALIBRATIONS: usize = 7;
/// A connection that was not used for this long is not used again: the server may be closing it.
const KEPT_IDLE: Duration = Duration::from_secs(10);

/// What one deployment did.
#[derive(Default)]
pub struct Played {
    /// In the middle between two ticks, from the first tick on.
    pub samples: Vec<Sample>,
    /// From sending a request to its answer, sorted.
    pub latencies_us: Vec<u32>,
    /// When requests were sent, from the start of the requests on, in order.
    pub sent: Vec<Duration>,
    /// How much later than planned that was, sorted.
    pub late_us: Vec<u32>,
    pub failed: Vec<String>,
    pub ticks: Ticks,
}

/// When a deployment ticked, by its decision log.
#[derive(Default)]
pub struct Ticks {
    /// Between the first tick and the beat of the others, which is the server's choice.
    pub phase: Duration,
    /// How far ticks were from that beat, sorted.
    pub off_us: Vec<u32>,
}

/// Replicas at one moment, those that drain not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub replicas: u64,
    pub target: u64,
}

/// How long a handler takes.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From sending a request to its answer, on a ready replica.
    pub service: Duration,
    /// How much longer it takes at zero replicas.
    pub start_up: Duration,
}

/// Measures how long the handlers take when nothing else runs.
pub async fn timings(samovar: &Samovar) -> Result<Vec<(Handler, Timing)>> {
    let mut timings = Vec::new();
    for handler in HANDLERS {
        timings.push((handler, timing(samovar, handler).await?));
    }
    Ok(timings)
}

async fn timing(samovar: &Samovar, handler: Handler) -> Result<Timing> {
    let name = "calibration";
    let spec = json!({
        "replicas": "0..1", "idle_ttl": "1s", "scaledown_ttl": "1s", "concurrency": 1,
        "scaling": {"policy": "flyte", "interval": "100ms"},
    });
    samovar.deploy(name, handler.guest, spec).await;
    let address = samovar.http.address();
    let request = plan::request(address, name);
    let mut connection = Connection::new(address);
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..CALIBRATIONS {
        samovar.wait_status(name, "no replicas", |seen| status::all_replicas(seen) == 0).await;
        cold.push(f64::from(one(&mut connection, &request).await?));
        warm.push(f64::from(one(&mut connection, &request).await?));
    }
    samovar.admin.delete(&format!("/v1/deployments/{name}")).await;
    let gone = async || {
        let reply = samovar.admin.get(&format!("/v1/deployments/{name}")).await;
        (reply.status == 404).then_some(())
    };
    samovar_tests::eventually("the deployment is gone", gone).await;
    let (cold, warm) = (median(cold), median(warm));
    let micros = |micros: f64| Duration::from_micros(micros.max(0.0) as u64);
    Ok(Timing { service: micros(warm), start_up: micros(cold - warm) })
}

async fn one(connection: &mut Connection, request: &[u8]) -> Result<u32> {
    let started = Instant::now();
    let (status, _) = connection.send(request).await?;
    ensure!(status == 200, "the handler answered {status}");
    Ok(micros(started.elapsed()))
}

/// Replays the requests to all deployments at once.
pub async fn play(
    samovar: &Samovar,
    subjects: &[Subject],
    times: &[Duration],
    total: Duration,
) -> Result<Vec<Played>> {
    let mut digests = Vec::new();
    for handler in HANDLERS {
        digests.push((handler, samovar.upload(component(handler.guest)).await));
    }
    let mut players = JoinSet::new();
    let mut zeros_ms = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let uploaded = digests.iter().find(|(handler, _)| *handler == subject.handler);
        let (_, digest) = uploaded.context("every handler was uploaded")?;
        let name = subject.name();
        let reply = samovar.put_spec(&name, digest, subject.spec()).await;
        ensure!(reply.status == 201, "PUT {name}: {} {}", reply.status, reply.text());
        let (zero, zero_ms) = first_tick(samovar, &name).await?;
        zeros_ms.push(zero_ms);
        let (address, admin) = (samovar.http.address(), samovar.admin.clone());
        let times = times.to_vec();
        players.spawn(async move {
            let sampled = tokio::spawn(sample(admin, name.clone(), zero, total));
            let sent = send(address, name, times, zero + LEAD).await;
            (index, sent, sampled.await)
        });
    }
    let mut all: Vec<Option<Played>> = subjects.iter().map(|_| None).collect();
    while let Some(played) = players.join_next().await {
        let (index, sent, samples) = played.context("a player panicked")?;
        let ticks = ticks(samovar, &subjects[index].name(), zeros_ms[index]).await?;
        let samples = samples.context("a sampler panicked")?;
        all[index] = Some(Played { samples, ticks, ..sent });
    }
    all.into_iter().map(|played| played.context("every player ended")).collect()
}

/// When a deployment ticked first, on this process's clock and on the wall's. The simulation begins
/// with a tick.
async fn first_tick(samovar: &Samovar, name: &str) -> Result<(Instant, u64)> {
    let decided = async || samovar.decisions(name).await.into_iter().next();
    let first = samovar_tests::eventually("a first decision", decided).await;
    let at_ms = status::number(&first, "/at_ms");
    let ago = unix_now().duration_since(UNIX_EPOCH + Duration::from_millis(at_ms));
    let ago = ago.unwrap_or_default();
    ensure!(ago < LEAD / 2, "the first decision of {name} was seen {ago:?} late");
    Ok((Instant::now() - ago, at_ms))
}

async fn ticks(samovar: &Samovar, name: &str, zero_ms: u64) -> Result<Ticks> {
    let log = samovar.decisions(name).await;
    let interval = INTERVAL.as_millis() as i64;
    let past_beat = |decision: &Value| {
        let since = status::number(decision, "/at_ms").saturating_sub(zero_ms) as i64;
        ((since + interval / 2) % interval - interval / 2) as f64
    };
    // The first tick comes when the deployment is made, off the beat.
    let past: Vec<f64> = log.iter().skip(1).map(past_beat).collect();
    ensure!(!past.is_empty(), "{name} decided once");
    let phase_ms = median(past.iter().copied());
    let off = past.iter().map(|past| ((past - phase_ms).abs() * 1000.0) as u32);
    let mut off_us: Vec<u32> = off.collect();
    off_us.sort_unstable();
    Ok(Ticks { phase: Duration::from_secs_f64(phase_ms.max(0.0) / 1000.0), off_us })
}

async fn sample(admin: Http, name: String, zero: Instant, total: Duration) -> Vec<Sample> {
    let mut samples = Vec::new();
    for tick in 0..plan::ticks(LEAD + total) {
        sleep_until(zero + INTERVAL * tick + INTERVAL / 2).await;
        let seen = admin.get(&format!("/v1/deployments/{name}")).await.expect(200).json();
        let starting = status::number(&seen, "/replicas/starting");
        let target = status::number(&seen, "/target");
        samples.push(Sample { replicas: starting + status::ready(&seen), target });
    }
    samples
}

/// Sends requests at their times whatever becomes of those before, on as many connections as that
/// takes.
async fn send(address: SocketAddr, name: String, times: Vec<Duration>, start: Instant) -> Played {
    let request: Arc<[u8]> = plan::request(address, &name).into();
    let idle = Arc::new(Mutex::new(Vec::<(Instant, Connection)>::new()));
    let mut under_way = JoinSet::new();
    for at in times {
        sleep_until(start + at).await;
        let (idle, request) = (Arc::clone(&idle), Arc::clone(&request));
        under_way.spawn(async move {
            let sent = start.elapsed();
            let taken = idle.lock().expect("nobody panics with it").pop();
            let fresh = taken.filter(|(since, _)| since.elapsed() < KEPT_IDLE);
            let mut connection =
                fresh.map_or_else(|| Connection::new(address), |(_, connection)| connection);
            let answer = one(&mut connection, &request).await;
            idle.lock().expect("nobody panics with it").push((Instant::now(), connection));
            (at, sent, answer)
        });
    }
    let mut played = Played::default();
    while let Some(ended) = under_way.join_next().await {
        let (at, sent, answer) = ended.expect("a request does not panic");
        played.sent.push(sent);
        played.late_us.push(micros(sent.saturating_sub(at)));
        match answer {
            Ok(latency) => played.latencies_us.push(latency),
            Err(error) => played.failed.push(format!("{error:#}")),
        }
    }
    played.sent.sort_unstable();
    played.latencies_us.sort_unstable();
    played.late_us.sort_unstable();
    played
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[allow(clippy::disallowed_methods, reason = "the decision log has wall clock times")]
fn unix_now() -> SystemTime {
    SystemTime::now()
}
