//! `samovar load`: requests for a deployment or any URL, when they are due, and what became of
//! them. The live side of `samovar simulate`.

mod drive;
mod options;
mod result;
mod sender;
mod tally;
#[cfg(test)]
mod tests;
mod watch;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http::Uri;
use indicatif::{ProgressBar, ProgressStyle};
use samovar_sim::{outcome, report, trace};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::Connection;
use super::request::{RequestOptions, url};
use super::simulate::{check_plots, create, draw};
use super::{failure, human};
use crate::client::Client;
use crate::spec::DeploymentName;
use drive::{Run, drive};
use options::{Options, Source};
use result::Report;
use sender::Sender;
use tally::{Tally, Tape};
use watch::Watched;

/// A generator that is later than this is itself what is measured.
const LATE_MS: f64 = 5.0;
/// The longest wait for the admin API at the end of an interval.
const SAMPLE_MAX: Duration = Duration::from_secs(2);
/// Longer time-outs are cut to this.
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);

const EXAMPLES: &str = "\
Examples:
  samovar load hello --rate 50
  samovar load hello '/greet?name=Ada' --arrivals poisson:200/s --for 5m --plot live.svg
  samovar load thumbnail -d @cat.png --trace busy.csv --plot live.svg --csv live.csv
  samovar load driver --users 10@10s,50@5m,100@10m --for 20m --also heavy,light --plot live.png
  samovar load http://127.0.0.1:3000/ --concurrency 32 --for 10s --output json

With --rate, --arrivals and --trace each request is due at its time, whatever became of those
before, and its latency counts from then, also while it waits for a connection: a server that
stalls cannot hide it. With --users (or --concurrency) each user waits for an answer before the
next request, so that a slow server gets fewer; after a failure a user pauses for a second.

Failed are requests without an answer, with a status of 500 or more, or with an error of the server
itself; rejected are those that got no replica. The latency is that of the others.

Beside a simulation: --plot draws the same panels as `samovar simulate`, with the replicas sampled
from the admin API, and the same --arrivals and --seed make the same requests in both if the
simulation is told the deployment's --name. --record writes the arrivals as a trace for --trace.
Arrivals: steady:50/s, poisson:50/s, steps:10/s@60s,100/s@30s, ramp:0/s..200/s@10m,
  bursts:base=5/s,burst=200/s,every=60s,for=5s, diurnal:mean=50/s,peak=200/s, heavy:50/s,alpha=1.5";

/// Send requests to a deployment or a URL, and say what became of them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Load {
    /// Name of a deployment, or a URL that begins with http://
    #[arg(value_name = "NAME|URL")]
    target: Target,

    /// Path below the route of the deployment, with query
    #[arg(default_value = "")]
    path: String,

    #[command(flatten)]
    load: Options,

    /// Requests that may be under way at a time, with --rate, --arrivals and --trace
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=50_000))]
    connections: u32,

    /// A request fails that has no answer this long after it was due
    #[arg(long, value_name = "TIME", default_value = "1m")]
    #[arg(value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    request: RequestOptions,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is kept of it")]
struct Files {
    /// Draw arrivals, replicas and latency, .svg or .png; repeat it for both
    #[arg(long, value_name = "FILE")]
    plot: Vec<PathBuf>,

    /// Further deployments whose replicas are watched, like those that it calls
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    also: Vec<DeploymentName>,

    /// Time between two points of the plot
    #[arg(long, value_name = "TIME", default_value = "1s")]
    #[arg(value_parser = humantime::parse_duration)]
    interval: Duration,

    /// Pixels of a .png's width
    #[arg(long, value_name = "PIXELS", default_value_t = report::WIDTH)]
    width: u32,

    /// Title of the picture
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Write a row per deployment and interval as CSV, with the columns of `samovar simulate`
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Write the arrivals as a trace
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Who is asked.
#[derive(Clone, Debug)]
enum Target {
    Deployment(DeploymentName),
    Url(Uri),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        if !text.contains("://") {
            return text.parse().map(Target::Deployment).map_err(|error| format!("{error}"));
        }
        let url: Uri = text.parse().map_err(|error| format!("it is not a URL: {error}"))?;
        match (url.scheme_str(), url.authority()) {
            (Some("http"), Some(_)) => Ok(Target::Url(url)),
            _ => Err("write a URL that begins with http://; for https use a tunnel".to_owned()),
        }
    }
}

impl Load {
    /// Sends the requests, then writes what came of them.
    pub fn run(self: Box<Load>) -> anyhow::Result<()> {
        // More than one thread: the generator should not be what is measured.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.context("start the async runtime")?.block_on(self.send())
    }

    async fn send(self: Box<Load>) -> anyhow::Result<()> {
        check_plots(&self.files.plot)?;
        if self.files.interval < Duration::from_millis(100) {
            bail!("--interval must be at least 100ms");
        }
        let admin = self.connection.client()?;
        let (sender, first) = self.aim(&admin).await?;
        let mut watched = vec![first];
        for name in &self.files.also {
            watched.push(Watched::deployment(&admin, name).await?);
        }
        let plan = self.load.plan(&watched[0].name)?;
        let tape = self.files.record.as_deref().map(|file| -> anyhow::Result<Tape> {
            let file: Box<dyn Write + Send> = Box::new(create(file)?);
            Ok(trace::TraceWriter::new(file)?)
        });
        let tally = Tally::new(watched[0].name.clone(), tape.transpose()?);
        let run = Arc::new(Run {
            sender,
            tally,
            start: Instant::now(),
            duration: plan.duration,
            timeout: self.timeout.min(TIMEOUT_MAX),
            connections: self.connections as usize,
            seed: self.load.seed,
            stop: AtomicBool::new(false),
        });
        let sending = self.watch(&admin, &run, plan.source, &mut watched).await;
        self.finish(&run, watched, sending, &plan.title)
    }

    /// The request, and who gets it.
    async fn aim(&self, admin: &Client) -> anyhow::Result<(Sender, Watched)> {
        let (url, first) = match &self.target {
            Target::Deployment(name) => {
                let deployment = admin.deployment(name).await?.value;
                let data_plane = admin.info().await?.value.data_plane;
                let url = url(&data_plane, &deployment.route, &self.path);
                (url, Watched::deployment(admin, name).await?)
            }
            Target::Url(_) if !self.path.is_empty() => {
                bail!("a URL has its path already; leave out `{}`", self.path)
            }
            Target::Url(url) => {
                let host = url.authority().map(ToString::to_string).unwrap_or_default();
                (url.to_string(), Watched::other(host))
            }
        };
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
        let base = format!("http://{}", uri.authority().context("the URL has no host")?);
        let sender = Sender {
            client: Client::data_plane(&base)?,
            method: self.request.method(),
            uri,
            headers: self.request.headers(),
            body: self.request.bytes()?,
        };
        Ok((sender, first))
    }

    /// Lets the requests be sent, and looks at the server after each interval. How long requests
    /// were sent.
    async fn watch(
        &self,
        admin: &Client,
        run: &Arc<Run>,
        source: Source,
        watched: &mut [Watched],
    ) -> Duration {
        let mut driving = JoinSet::new();
        driving.spawn(drive(Arc::clone(run), source));
        let bar = bar(run.duration);
        let interval = self.files.interval;
        let mut ticks = tokio::time::interval_at(run.start + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut has_warned = false;
        let mut goes_on = true;
        let mut sending = run.duration;
        while goes_on {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = driving.join_next() => goes_on = false,
                _ = tokio::signal::ctrl_c() => {
                    goes_on = false;
                    sending = run.start.elapsed().min(run.duration);
                }
            }
            if !goes_on {
                run.stop();
                driving.abort_all();
            }
            let (counts, open) = run.tally.turn();
            let at = run.start.elapsed();
            if let Err(reason) = sample(admin, watched).await
                && !std::mem::replace(&mut has_warned, true)
            {
                bar.suspend(|| failure::warn(&format!("replicas are not known: {reason:#}")));
            }
            for (index, watched) in watched.iter_mut().enumerate() {
                // A short rest would look like a lull.
                if goes_on || watched.since_last(at) >= interval / 2 || watched.is_new() {
                    watched.push(at, (index == 0).then_some((&counts, open)));
                }
            }
            bar.set_position(at.min(run.duration).as_millis() as u64);
            bar.set_message(message(&counts, open, interval, watched[0].replicas()));
        }
        bar.finish_and_clear();
        sending
    }

    fn finish(
        &self,
        run: &Run,
        watched: Vec<Watched>,
        sending: Duration,
        load: &str,
    ) -> anyhow::Result<()> {
        run.tally.finish_tape().context("write the recorded arrivals")?;
        let whole = run.start.elapsed();
        let least: Vec<Option<u32>> =
            watched.iter().map(|watched| watched.range().map(|(least, _)| least)).collect();
        let (mut sums, live) = run.tally.look(|totals| {
            let sums = Report::new(run.sender.uri.to_string(), totals, (sending, whole));
            let finish = |(index, watched): (usize, Watched)| {
                watched.finish((index == 0).then_some(&totals.counts))
            };
            (sums, watched.into_iter().enumerate().map(finish).collect::<Vec<_>>())
        });
        for (deployment, least) in live.iter().zip(least) {
            if let Some(least) = least {
                sums.add(deployment, least);
            }
        }
        let label = match live[0].policy.as_str() {
            "-" => "live".to_owned(),
            policy => format!("{policy}, live"),
        };
        let (seed, interval) = (self.load.seed, self.files.interval);
        let end = live[0].rows.last().map_or(sending, |row| row.at.max(sending));
        let live = [outcome::Run { label, seed, duration: end, interval, deployments: live }];
        let spent = human::seconds(sending.as_millis() as u64);
        self.files.write(&live, &format!("{load}, live, {spent}"))?;
        self.print(&sums)
    }

    fn print(&self, sums: &Report) -> anyhow::Result<()> {
        let json = serde_json::to_vec(sums).context("write the report")?;
        self.connection.print(&json, |out| sums.write(out))?;
        if let Some(late) = sums.late_p99_ms.filter(|late| *late > LATE_MS) {
            failure::warn(&format!(
                "1 % of the requests were sent {late:.0} ms late or more, because this machine had \
                 no time for it; their latency counts that too"
            ));
        }
        let reason = sums.errors.keys().next().or(sums.statuses.keys().next());
        match reason {
            Some(reason) if sums.answered == 0 => bail!("no request was answered: {reason}"),
            _ => Ok(()),
        }
    }
}

impl Files {
    /// Draws and writes what was asked for.
    fn write(&self, live: &[outcome::Run], title: &str) -> anyhow::Result<()> {
        if !self.plot.is_empty() {
            let svg = report::svg(self.title.as_deref().unwrap_or(title), live)?;
            for file in &self.plot {
                draw(file, &svg, self.width)?;
            }
        }
        if let Some(file) = &self.csv {
            let mut out: BufWriter<File> = create(file)?;
            report::csv(live, &mut out)?;
            out.flush()?;
        }
        Ok(())
    }
}

async fn sample(admin: &Client, watched: &mut [Watched]) -> anyhow::Result<()> {
    let sampled = async {
        for watched in watched {
            watched.sample(admin).await?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SAMPLE_MAX, sampled).await.context("the admin API is too slow")?
}

/// What the progress bar says of the last interval.
fn message(counts: &tally::Counts, open: u64, interval: Duration, replicas: Option<u32>) -> String {
    let rate = counts.arrived as f64 / interval.as_secs_f64();
    let mut text = format!("{rate:.0}/s, {open} under way");
    if let Some(latency) = counts.latency.quantiles() {
        let p99 = human::micros((latency.p99_ms * 1e3) as u64);
        text += &format!(", p99 {p99}");
    }
    let bad = counts.failed + counts.rejected;
    if bad > 0 {
        text += &format!(", {bad} failed");
    }
    if let Some(replicas) = replicas {
        text += &format!(", {replicas} replicas");
    }
    text
}

fn bar(time: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {elapsed} of {prefix}, {msg}");
    ProgressBar::new(time.as_millis() as u64)
        .with_style(style.expect("the template is right"))
        .with_prefix(humantime::format_duration(time).to_string())
}
