//! The main job as a user would do it: deploy a handler, send it a picture, let a burst scale it up
//! and down, and swap its policy in the middle of the burst.

mod burst;
mod chart;
mod picture;
mod server;

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::{
    burst::{Burst, Tally},
    chart::{Chart, Sample},
    server::Server,
};
use crate::{
    guests::{self, Wanted},
    http::Http,
    ui::{self, Live, step},
    workspace::Workspace,
};

const HANDLER: &str = "thumbnail";
/// A policy written by a user, not built in.
const POLICY: &str = "queue-depth";
const POLICY_CONFIG: [&str; 2] = ["--set", "waiting_per_replica=4"];

const CLIENTS: usize = 24;
const BURST: Duration = Duration::from_secs(14);
const SWAP_AFTER: Duration = Duration::from_secs(6);
/// Time for the replicas to fall to zero after the burst.
const FALL_MAX: Duration = Duration::from_secs(45);
/// Time to look at after that, so that the picture shows the fall.
const AFTERMATH: Duration = Duration::from_secs(2);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// What the demonstration saw.
struct Story {
    tally: Tally,
    chart: Chart,
    swap_took: Duration,
    fell_to_zero: bool,
}

pub fn run(workspace: &Workspace) -> Result<()> {
    guests::build(workspace, Wanted::Rust)?;
    step("build samovar", || workspace.build_hosts())?;
    let folder = workspace.target.join("demo");
    fs::create_dir_all(&folder).context("make target/demo")?;
    let mut server = step("start samovar", || Server::start(workspace, &folder))?;
    let story = play(workspace, &server, &folder);
    let stopped = step("stop samovar with SIGTERM", || server.stop());
    let story = story.inspect_err(|_| server.print_log())?;
    stopped?;
    summary(&story, &folder)
}

fn play(workspace: &Workspace, server: &Server, folder: &Path) -> Result<Story> {
    let file = |name| guests::path(workspace, name).display().to_string();
    step("deploy the thumbnail handler", || {
        let scaling = ["--replicas", "0..8", "--idle-ttl", "4s", "--scaledown-ttl", "1s"];
        let policy = ["--policy", "lightning", "--set", "max_batch_size=2", "--interval", "500ms"];
        let pace = ["--set", "scale_out_interval=0.4", "--set", "scale_in_interval=1"];
        let deploy = ["deploy", &file(HANDLER), "--name", HANDLER];
        server.cli(&[&deploy[..], &scaling, &policy, &pace].concat())
    })?;
    let png = picture::png();
    step("send one picture", || send_one(server, &png, folder))?;
    step("push a policy of our own", || {
        server.cli(&["policy", "push", &file(POLICY), "--name", POLICY])
    })?;
    let name = format!("burst of {CLIENTS} clients, policy swapped meanwhile");
    let story = step(&name, || burst(server, &png))?;
    println!("{}", story.chart.draw());
    step("the last decisions", || server.cli_end(&["decisions", HANDLER], 12))?;
    Ok(story)
}

fn send_one(server: &Server, png: &[u8], folder: &Path) -> Result<()> {
    let (width, height) = picture::size(png)?;
    let reply = Http::new(&server.data_plane).send("POST", "/thumbnail", png)?;
    let text = || String::from_utf8_lossy(&reply.body).into_owned();
    ensure!(reply.status == 200, "POST /thumbnail: {} {}", reply.status, text());
    let (small_width, small_height) = picture::size(&reply.body).context("read the thumbnail")?;
    ensure!(small_width < width && small_height < height, "the thumbnail is not smaller");
    let to = folder.join("thumbnail.png");
    fs::write(&to, &reply.body).with_context(|| format!("write {}", to.display()))?;
    println!("    {width}x{height}, {} KiB in", png.len() / 1024);
    println!("    {small_width}x{small_height}, {} KiB out", reply.body.len() / 1024);
    Ok(())
}

/// Sends the burst, swaps the policy in its middle, and watches until the replicas are gone.
fn burst(server: &Server, png: &[u8]) -> Result<Story> {
    let mut watch = Watch::new(&server.admin);
    thread::scope(|scope| {
        let burst = Burst::start(scope, CLIENTS, &server.data_plane, "/thumbnail", png);
        watch.watch(SWAP_AFTER, &burst, |_| false)?;
        let swap = scope.spawn(|| {
            let started = ui::now();
            let swap = ["policy", "swap", HANDLER, POLICY];
            server.cli_quietly(&[&swap[..], &POLICY_CONFIG].concat())?;
            anyhow::Ok(started.elapsed())
        });
        watch.chart.mark_swap();
        watch.watch(BURST - SWAP_AFTER, &burst, |_| false)?;
        burst.stop();
        let fell_to_zero = watch.watch(FALL_MAX, &burst, |sample| sample.replicas() == 0)?;
        watch.watch(AFTERMATH, &burst, |_| false)?;
        watch.live.clear();
        let swapped = swap.join().expect("the swap does not panic");
        let swap_took = swapped.context("swap the policy")?;
        Ok(Story { tally: burst.tally(), chart: watch.chart, swap_took, fell_to_zero })
    })
}

/// Asks the admin API again and again, as `samovar status --watch` does.
struct Watch {
    admin: Http,
    live: Live,
    chart: Chart,
}

impl Watch {
    fn new(admin: &str) -> Self {
        Self { admin: Http::new(admin), live: Live::new(), chart: Chart::new(ui::now()) }
    }

    /// Watches for `duration` or until `is_enough`; the answer is whether it was.
    fn watch(
        &mut self,
        duration: Duration,
        burst: &Burst,
        is_enough: impl Fn(&Sample) -> bool,
    ) -> Result<bool> {
        let end = ui::now() + duration;
        while ui::now() < end {
            let status = self.admin.json(&format!("/v1/deployments/{HANDLER}"))?;
            let sample = Sample::read(&status, self.chart.now())
                .with_context(|| format!("the status has another shape than expected: {status}"))?;
            let tally = burst.tally();
            let policy = status["policy"]["name"].as_str().unwrap_or("?");
            self.live.show(&format!(
                "{:5.1} s  replicas {}  queued {:2}  policy {policy}  answered {}  failed {}",
                sample.at.as_secs_f64(),
                sample.bar(),
                sample.queued,
                tally.answered,
                tally.failed
            ));
            let is_over = is_enough(&sample);
            self.chart.add(sample);
            if is_over {
                return Ok(true);
            }
            ui::pause(SAMPLE_INTERVAL);
        }
        Ok(false)
    }
}

fn summary(story: &Story, folder: &Path) -> Result<()> {
    let Story { tally, chart, swap_took, fell_to_zero } = story;
    println!("what happened");
    println!("    requests answered   {}", tally.answered);
    println!("    requests failed     {}", tally.failed);
    println!("    slowest answer      {:.0} ms", tally.slowest.as_secs_f64() * 1000.0);
    println!("    replicas            0 -> {} -> {}", chart.peak(), chart.last());
    println!(
        "    policy swap         {:.0} ms, while requests ran",
        swap_took.as_secs_f64() * 1000.0
    );
    println!("    thumbnail           {}", folder.join("thumbnail.png").display());
    if let Some(failure) = &tally.first_failure {
        bail!("{} requests failed, the first one: {failure}", tally.failed);
    }
    ensure!(tally.answered > 0, "the burst got no answers");
    ensure!(chart.peak() > 1, "the burst did not scale the handler up");
    ensure!(*fell_to_zero, "the replicas did not fall to zero within {} s", FALL_MAX.as_secs());
    Ok(())
}

/// A number in the status of a deployment.
fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}
