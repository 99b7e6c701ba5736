//! `samovar simulate`: policies under virtual time.

mod input;
pub(super) mod policies;

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use samovar_sim::outcome::Run;
use samovar_sim::rng;
use samovar_sim::trace::Spread;
use samovar_sim::{Finished, Progress, Scenario, Simulation, report};

use input::{Input, Load};
use policies::{Choice, Policies};

const EXAMPLES: &str = "\
Examples:
  samovar simulate --arrivals poisson:50/s --service 200ms --replicas 0..40 --for 10m \\
      --policy ray-serve:target_ongoing_requests=1 --policy kubetorch --plot compare.svg
  samovar simulate --trace busy.csv --policy lightning --policy mine.wasm --csv rows.csv
  samovar simulate --users 100 --service 200ms --replicas 1..200 --policy ray-serve
  samovar simulate --scenario composition.toml --plot composition.png

The pool, the arithmetic of targets and the policies are those of the server; requests, replicas and
the clock are simulated. The same seed gives the same numbers, to the last bit.

Arrivals: steady:50/s, poisson:50/s, steps:10/s@60s,100/s@30s, ramp:0/s..200/s@10m,
  bursts:base=5/s,burst=200/s,every=60s,for=5s, diurnal:mean=50/s,peak=200/s, heavy:50/s,alpha=1.5
Times: 200ms, exp:200ms, uniform:100ms..300ms, lognormal:200ms,p99=2s, pareto:100ms,alpha=1.5";

/// Run policies under virtual time: recorded or made-up requests, side by side
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Simulate {
    /// Policy: a built-in one or a .wasm file, with settings: `ray-serve:upscale_delay_s=3,...` or
    /// `ray-serve:{json}`; repeat it to compare several
    #[arg(long = "policy", value_name = "POLICY")]
    policies: Vec<Choice>,

    #[command(flatten)]
    input: Input,

    /// Decides every random draw
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Draw all policies in one picture, .svg or .png; repeat it for both
    #[arg(long, value_name = "FILE")]
    plot: Vec<PathBuf>,

    /// Pixels of a .png's width
    #[arg(long, value_name = "PIXELS", default_value_t = report::WIDTH)]
    width: u32,

    /// Title of the picture
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// Write everything as JSON; `-` is stdout, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a row per policy, deployment and interval as CSV; `-` is stdout, in place of the table
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl Simulate {
    /// Runs the simulations one after the other and writes the reports.
    pub fn run(self) -> anyhow::Result<()> {
        check_plots(&self.plot)?;
        let (mut scenario, load) = self.input.read()?;
        if let Some(seed) = self.seed {
            scenario.seed = seed;
        }
        let runs = self.runs(&scenario, &load)?;
        let digest = runs.iter().map(|done| format!("{:016x}", done.digest)).collect::<Vec<_>>();
        let runs: Vec<Run> = runs.into_iter().map(|done| done.run).collect();
        self.report(&scenario, &runs, &digest)
    }

    fn runs(&self, scenario: &Scenario, load: &Load) -> anyhow::Result<Vec<Finished>> {
        let mut policies = Policies::new()?;
        if self.policies.is_empty() {
            // As the scenario says.
            return Ok(vec![simulate(scenario.clone(), load, "scenario", &mut policies)?]);
        }
        let mut runs = Vec::new();
        for choice in &self.policies {
            let mut scenario = scenario.clone();
            for deployment in &mut scenario.deployments {
                deployment.scaling.policy = choice.policy.clone();
                deployment.scaling.config = choice.config.clone();
            }
            runs.push(simulate(scenario, load, &choice.text, &mut policies)?);
        }
        Ok(runs)
    }

    fn report(&self, scenario: &Scenario, runs: &[Run], digests: &[String]) -> anyhow::Result<()> {
        // Pictures first: whoever reads the table may stop reading.
        if !self.plot.is_empty() {
            let title = self.title.clone().unwrap_or_else(|| self.input.title(scenario));
            let svg = report::svg(&title, runs)?;
            for file in &self.plot {
                draw(file, &svg, self.width)?;
            }
        }
        let is_stdout = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        let mut out = std::io::stdout().lock();
        match &self.json {
            Some(_) if is_stdout(&self.json) => report::json(runs, &mut out)?,
            Some(file) => report::json(runs, create(file)?)?,
            None => {}
        }
        match &self.csv {
            Some(_) if is_stdout(&self.csv) => report::csv(runs, &mut out)?,
            Some(file) => report::csv(runs, create(file)?)?,
            None => {}
        }
        if !is_stdout(&self.json) && !is_stdout(&self.csv) {
            let concurrency: BTreeMap<String, u32> = scenario
                .deployments
                .iter()
                .map(|deployment| (deployment.name.clone(), deployment.concurrency))
                .collect();
            write!(out, "{}", report::table(runs, &concurrency))?;
            writeln!(out, "seed {}, digest {}", scenario.seed, digests.join(" "))?;
        }
        out.flush()?;
        Ok(())
    }
}

fn simulate(
    scenario: Scenario,
    load: &Load,
    label: &str,
    policies: &mut Policies,
) -> anyhow::Result<Finished> {
    let seed = scenario.seed;
    let names: Vec<String> = scenario.deployments.iter().map(|d| d.name.clone()).collect();
    let total = scenario.duration;
    let mut simulation = Simulation::new(scenario, &mut |spec| policies.scaler(spec))?;
    if let Some(trace) = &load.trace {
        for name in &names {
            let rng = rng::stream(seed, name, "trace");
            if let Some(arrivals) = trace.arrivals(name, Spread::Poisson, rng) {
                simulation.feed(name, Box::new(arrivals))?;
            }
        }
    }
    let bar = bar(label, total);
    let done = simulation.run(label, &mut |progress: Progress| {
        bar.set_position(progress.virtual_now.min(total).as_millis() as u64);
        bar.set_message(format!("{} requests", progress.requests));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    Ok(done)
}

/// Finds out before a long run whether its pictures can be drawn.
pub(super) fn check_plots(files: &[PathBuf]) -> anyhow::Result<()> {
    files.iter().try_for_each(|file| kind(file).map(drop))
}

/// Writes a picture in the format its name asks for.
pub(super) fn draw(file: &Path, svg: &str, width: u32) -> anyhow::Result<()> {
    let bytes = match kind(file)? {
        Picture::Svg => svg.as_bytes().to_vec(),
        Picture::Png => report::png(svg, width)?,
    };
    std::fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
}

/// A format of pictures.
pub(super) enum Picture {
    Svg,
    Png,
}

/// The format a file's name asks for.
pub(super) fn kind(file: &Path) -> anyhow::Result<Picture> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => Ok(Picture::Svg),
        Some("png") => Ok(Picture::Png),
        _ => bail!("{}: pictures are .svg or .png", file.display()),
    }
}

/// Begins a file.
pub(super) fn create(file: &Path) -> anyhow::Result<std::io::BufWriter<std::fs::File>> {
    let created = std::fs::File::create(file);
    Ok(std::io::BufWriter::new(created.with_context(|| format!("write {}", file.display()))?))
}

/// Shown once a run takes a while.
fn bar(label: &str, total: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {percent} %, {msg}, {eta} left");
    ProgressBar::new(total.as_millis() as u64)
        .with_style(style.expect("the template is right"))
        .with_prefix(label.to_owned())
}
