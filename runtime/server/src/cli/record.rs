//! `samovar record`: the requests of live deployments, as a trace to simulate.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use samovar_core::time::Timestamp;
use samovar_sim::arrivals::Arrival;
use samovar_sim::trace::TraceWriter;
use tokio::sync::mpsc;

use super::connection::Connection;
use super::failure;
use crate::api::RequestEvent;
use crate::client::{Client, ClientError};
use crate::spec::DeploymentName;

/// How long to wait for the ends of requests that arrived in time.
const GRACE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  samovar record thumbnail --for 5m --to busy.csv
  samovar record driver heavy light --for 1h --to evening.csv
  samovar simulate --trace busy.csv --policy ray-serve --policy mine --replicas 0..20

Ctrl-C ends the recording early. The file has a row per request: when it arrived, for which
deployment, and how long a replica worked on it.";

/// Record the requests of deployments, to simulate with
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Record {
    /// Names of the deployments
    #[arg(required = true)]
    deployments: Vec<DeploymentName>,

    /// How long, like 30s or 5m
    #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    time: Duration,

    /// File to write
    #[arg(long, value_name = "FILE", default_value = "trace.csv")]
    to: PathBuf,

    #[command(flatten)]
    connection: Connection,
}

/// A request as far as it is known.
struct Seen {
    deployment: usize,
    at_us: u64,
    service_us: Option<u64>,
}

/// What was recorded.
#[derive(Default)]
struct Tape {
    requests: Vec<Seen>,
    /// Where the requests stand that have not ended, by deployment and id.
    open: HashMap<(usize, u64), usize>,
    lost: u64,
}

type Told = (usize, Result<RequestEvent, ClientError>);

impl Record {
    /// Records, then writes the file.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.connection.client()?;
        let (tell, mut told) = mpsc::channel(1024);
        let mut start_us = u64::MAX;
        for (index, name) in self.deployments.iter().enumerate() {
            start_us = start_us.min(listen(&client, index, name, tell.clone()).await?);
        }
        drop(tell);
        check(&self.to)?;
        let end_us = start_us.saturating_add(self.time.as_micros() as u64);
        let tape = self.tape(&mut told, end_us).await?;
        let written = self.write(tape, start_us, end_us)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "wrote {written} requests to {}", self.to.display())?;
        Ok(())
    }

    async fn tape(&self, told: &mut mpsc::Receiver<Told>, end_us: u64) -> anyhow::Result<Tape> {
        let bar = bar(self.time);
        let mut tape = Tape::default();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        let started = tokio::time::Instant::now();
        loop {
            tokio::select! {
                event = told.recv() => match event {
                    Some((index, event)) => tape.note(index, event?),
                    None => {
                        failure::warn("the deployments are gone: the recording ends here");
                        break;
                    }
                },
                _ = ticks.tick() => {
                    let passed = started.elapsed();
                    bar.set_position(passed.min(self.time).as_millis() as u64);
                    bar.set_message(format!("{} requests", tape.requests.len()));
                    let is_over = passed >= self.time;
                    let is_complete = tape.is_complete(end_us) || passed >= self.time + GRACE;
                    if is_over && is_complete {
                        break;
                    }
                }
                ended = tokio::signal::ctrl_c() => {
                    ended.context("wait for Ctrl-C")?;
                    break;
                }
            }
        }
        bar.finish_and_clear();
        if tape.lost > 0 {
            let lost = tape.lost;
            failure::warn(&format!("{lost} events came too fast and are missing in the trace"));
        }
        Ok(tape)
    }

    fn write(&self, mut tape: Tape, start_us: u64, end_us: u64) -> anyhow::Result<usize> {
        tape.requests.retain(|seen| (start_us..end_us).contains(&seen.at_us));
        // Threads tell of their requests in another order than they arrived in.
        tape.requests.sort_by_key(|seen| (seen.at_us, seen.deployment));
        let write = || -> std::io::Result<()> {
            let file = std::io::BufWriter::new(std::fs::File::create(&self.to)?);
            let mut trace = TraceWriter::new(file)?;
            for seen in &tape.requests {
                let at = Timestamp::from_nanos((seen.at_us - start_us) * 1000);
                let service_nanos = seen.service_us.map(|micros| micros * 1000);
                let name = self.deployments[seen.deployment].as_str();
                trace.record(name, &Arrival { at, service_nanos })?;
            }
            trace.finish()?.into_inner()?.sync_all()
        };
        write().with_context(|| format!("write {}", self.to.display()))?;
        Ok(tape.requests.len())
    }
}

impl Tape {
    fn note(&mut self, deployment: usize, event: RequestEvent) {
        match event {
            RequestEvent::Start { .. } => {}
            RequestEvent::Arrived { id, at_us } => {
                self.open.insert((deployment, id), self.requests.len());
                self.requests.push(Seen { deployment, at_us, service_us: None });
            }
            RequestEvent::Ended { id, service_us } => {
                if let Some(index) = self.open.remove(&(deployment, id)) {
                    self.requests[index].service_us = service_us;
                }
            }
            RequestEvent::Lost { events } => self.lost += events,
        }
    }

    /// Whether all requests that arrived in time have ended.
    fn is_complete(&self, end_us: u64) -> bool {
        self.open.values().all(|index| self.requests[*index].at_us >= end_us)
    }
}

/// Starts to listen. Answers with the time on the server's clock from which on it hears all.
async fn listen(
    client: &Client,
    index: usize,
    name: &DeploymentName,
    tell: mpsc::Sender<Told>,
) -> anyhow::Result<u64> {
    let mut lines = client.requests(name).await?;
    let first = lines.next().await?.context("the server tells of no requests")?;
    let start_us = match serde_json::from_slice(&first).context("read the first line")? {
        RequestEvent::Start { at_us } => at_us,
        other => bail!("the server began with {other:?}"),
    };
    tokio::spawn(async move {
        loop {
            let event = match lines.next().await {
                Ok(Some(line)) => match serde_json::from_slice(&line) {
                    Ok(event) => Ok(event),
                    Err(_) => continue, // A newer server may tell more.
                },
                Ok(None) => return,
                Err(error) => Err(error),
            };
            if tell.send((index, event)).await.is_err() {
                return;
            }
        }
    });
    Ok(start_us)
}

/// Finds out before the recording whether its file can be written.
fn check(file: &Path) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
    opened.map(drop).with_context(|| format!("write {}", file.display()))
}

fn bar(time: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {elapsed} of {prefix}, {msg}");
    ProgressBar::new(time.as_millis() as u64)
        .with_style(style.expect("the template is right"))
        .with_prefix(humantime::format_duration(time).to_string())
}
