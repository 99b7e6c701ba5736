//! Thousands of deployments on one server: making them, and calling each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use samovar_tests::{Http, Reply, Samovar, status};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// Requests under way at once.
const CLIENTS: usize = 16;
/// By then every replica that may go has gone.
const EMPTY_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// The name of one of them, and its route below `/`.
pub fn name(index: usize) -> String {
    format!("d{index:05}")
}

/// Puts `count` deployments; `spec` says what each of them is.
///
/// # Errors
///
/// When one is refused.
pub async fn make(
    admin: &Http,
    count: usize,
    spec: impl Fn(usize) -> Value + Send + Sync + 'static,
) -> Result<()> {
    let admin = admin.clone();
    each("made", count, 201, move |index| {
        let (admin, spec) = (admin.clone(), spec(index));
        async move { admin.put_json(&format!("/v1/deployments/{}", name(index)), &spec).await }
    })
    .await
}

/// Sends each of the first `count` deployments a request, with `path` below its route.
///
/// # Errors
///
/// When one is not answered with status 200.
pub async fn call(http: &Http, count: usize, path: &'static str) -> Result<()> {
    let http = http.clone();
    each("called", count, 200, move |index| {
        let http = http.clone();
        async move { http.get(&format!("/{}{path}", name(index))).await }
    })
    .await
}

/// Waits until no more than `replicas` run on the whole server.
///
/// # Errors
///
/// When that takes too long.
pub async fn until_replicas(samovar: &Samovar, replicas: u64) -> Result<()> {
    let give_up = Instant::now() + EMPTY_MAX;
    loop {
        // Not from `/metrics`: that answer is long, and would be found in the server's memory.
        let machine = samovar.admin.get("/v1/machine").await.expect(200).json();
        let taken = status::number(&machine, "/slots") - status::number(&machine, "/slots_free");
        if taken <= replicas {
            return Ok(());
        }
        ensure!(Instant::now() < give_up, "{taken} replicas run after {EMPTY_MAX:?}");
        sleep(POLL).await;
    }
}

/// Does `job` for every number below `count`, several at a time. Each must end with `status`.
async fn each<J>(
    what: &str,
    count: usize,
    status: u16,
    job: impl Fn(usize) -> J + Send + Sync + 'static,
) -> Result<()>
where
    J: Future<Output = Reply> + Send + 'static,
{
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}, {eta} left");
    let bar = ProgressBar::new(count as u64).with_message(what.to_owned());
    bar.set_style(style.context("the template")?);
    let (job, next) = (Arc::new(job), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS.min(count) {
        let (bar, job, next) = (bar.clone(), Arc::clone(&job), Arc::clone(&next));
        clients.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(());
                }
                let reply = job(index).await;
                let (name, seen, text) = (name(index), reply.status, reply.text());
                ensure!(seen == status, "{name}: {seen} {text}");
                bar.inc(1);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.context("a client panicked")??;
    }
    bar.finish_and_clear();
    Ok(())
}
