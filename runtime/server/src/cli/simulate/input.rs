//! What is simulated: a scenario file, or one deployment from options.

use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use samovar_sim::Scenario;
use samovar_sim::arrivals::Workload;
use samovar_sim::distribution::Distribution;
use samovar_sim::scenario::{self, DeploymentSpec, Load as SpecLoad, Replicas, Users};
use samovar_sim::trace::Trace;

/// Virtual time, if neither an option nor a trace says.
const DURATION: Duration = Duration::from_secs(600);

/// Options that say what is simulated.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is simulated")]
pub struct Input {
    /// TOML or JSON file with deployments, machines and faults
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// Recorded requests, as `samovar record` writes them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["arrivals", "users"])]
    trace: Option<PathBuf>,

    /// Requests that come whatever becomes of those before
    #[arg(long, value_name = "WORKLOAD", conflicts_with_all = ["scenario", "users"])]
    arrivals: Option<Workload>,

    /// Users who each wait for an answer before they send the next request
    #[arg(long, value_name = "COUNT", conflicts_with = "scenario")]
    users: Option<u32>,

    /// Pause of a user between an answer and the next request
    #[arg(long, value_name = "TIMES", default_value = "0s", requires = "users")]
    think: Distribution,

    /// How long requests come; the length of the trace, or 10m
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    #[command(flatten)]
    deployment: Deployment,
}

/// Options of the one deployment, without a scenario file.
#[derive(Debug, Args)]
struct Deployment {
    /// Name of the deployment; also which rows of a trace are its own
    #[arg(long, value_name = "NAME", default_value = "app", conflicts_with = "scenario")]
    name: String,

    /// Bounds of the number of replicas, MIN..MAX
    #[arg(long, value_name = "MIN..MAX", default_value = "0..10", conflicts_with = "scenario")]
    replicas: Bounds,

    /// Requests one replica serves at a time
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "scenario")]
    concurrency: u32,

    /// How long a replica works on a request, where a trace does not say
    #[arg(long, value_name = "TIMES", default_value = "100ms", conflicts_with = "scenario")]
    service: Distribution,

    /// How long a replica takes to start
    #[arg(long, value_name = "TIMES", default_value = "1ms", conflicts_with = "scenario")]
    start_up: Distribution,

    /// An unused pool is emptied after this long; `off` for never
    #[arg(long, value_name = "TIME", default_value = "5m", conflicts_with = "scenario")]
    idle_ttl: Ttl,

    /// A replica must have been idle for this long to be removed
    #[arg(long, value_name = "TIME", default_value = "30s", conflicts_with = "scenario")]
    #[arg(value_parser = humantime::parse_duration)]
    scaledown_ttl: Duration,

    /// Requests that may wait
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "scenario")]
    queue_max: u32,

    /// How long one may wait
    #[arg(long, value_name = "TIME", default_value = "30s", conflicts_with = "scenario")]
    #[arg(value_parser = humantime::parse_duration)]
    queue_timeout: Duration,

    /// Time between two decisions
    #[arg(long, value_name = "TIME", default_value = "1s", conflicts_with = "scenario")]
    #[arg(value_parser = humantime::parse_duration)]
    interval: Duration,
}

/// Requests that do not stand in the scenario.
pub struct Load {
    /// A recorded trace.
    pub trace: Option<Trace>,
}

/// `MIN..MAX`, or one number for both.
#[derive(Clone, Copy, Debug)]
struct Bounds(Replicas);

impl FromStr for Bounds {
    type Err = String;

    fn from_str(text: &str) -> Result<Bounds, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<u32>();
        match (number(min), number(max)) {
            (Ok(min), Ok(max)) if min <= max && max > 0 => Ok(Bounds(Replicas { min, max })),
            _ => Err("write MIN..MAX with whole numbers, MAX at least 1 and at least MIN".into()),
        }
    }
}

/// A time, or `off`.
#[derive(Clone, Copy, Debug)]
struct Ttl(Option<Duration>);

impl FromStr for Ttl {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Ttl, humantime::DurationError> {
        match text {
            "off" => Ok(Ttl(None)),
            text => humantime::parse_duration(text).map(|time| Ttl(Some(time))),
        }
    }
}

impl Input {
    /// The scenario and what else arrives in it.
    ///
    /// # Errors
    ///
    /// What cannot be read or makes no sense, with file and line.
    pub fn read(&self) -> anyhow::Result<(Scenario, Load)> {
        let trace = self.read_trace()?;
        let mut scenario = match &self.scenario {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.with_context(|| format!("read {}", file.display()))?;
                let is_json = file.extension().is_some_and(|extension| extension == "json");
                let read = if is_json { Scenario::from_json } else { Scenario::from_toml };
                read(&text).with_context(|| format!("read {}", file.display()))?
            }
            None => self.one_deployment(trace.as_ref())?,
        };
        if let Some(duration) = self.duration {
            scenario.duration = duration;
        }
        if let Some(trace) = &trace {
            check_names(trace, &scenario)?;
        }
        Ok((scenario, Load { trace }))
    }

    /// What to call a picture of it.
    pub fn title(&self, scenario: &Scenario) -> String {
        let files = [&self.scenario, &self.trace];
        let file = files.into_iter().flatten().next().and_then(|file| file.file_stem());
        let load = match (&self.arrivals, self.users) {
            (Some(arrivals), _) => arrivals.to_string(),
            (None, Some(users)) => format!("{users} users"),
            (None, None) => file.unwrap_or_default().to_string_lossy().into_owned(),
        };
        format!("{load}, {}", humantime::format_duration(scenario.duration))
    }

    fn read_trace(&self) -> anyhow::Result<Option<Trace>> {
        let Some(file) = &self.trace else { return Ok(None) };
        let opened = File::open(file).with_context(|| format!("read {}", file.display()))?;
        let trace = Trace::read(std::io::BufReader::new(opened));
        Ok(Some(trace.with_context(|| format!("read {}", file.display()))?))
    }

    fn one_deployment(&self, trace: Option<&Trace>) -> anyhow::Result<Scenario> {
        let options = &self.deployment;
        let load = match (&self.arrivals, self.users) {
            (Some(arrivals), _) => Some(SpecLoad::Open(arrivals.clone())),
            (None, Some(count)) => Some(SpecLoad::Users(Users {
                count,
                think: self.think.clone(),
                ramp: Duration::ZERO,
                after_failure: Duration::from_secs(1),
            })),
            (None, None) if trace.is_some() => None,
            (None, None) => {
                bail!("say what arrives: --trace, --arrivals, --users or --scenario")
            }
        };
        let mut name = options.name.clone();
        // A trace of one deployment is meant, whatever it was called.
        if let Some(trace) = trace
            && let [only] = trace.deployments().collect::<Vec<_>>()[..]
            && name == "app"
        {
            only.clone_into(&mut name);
        }
        let spec = DeploymentSpec {
            replicas: options.replicas.0,
            concurrency: options.concurrency,
            service: options.service.clone(),
            start_up: options.start_up.clone(),
            idle_ttl: options.idle_ttl.0,
            scaledown_ttl: options.scaledown_ttl,
            queue: scenario::QueueSpec { max: options.queue_max, timeout: options.queue_timeout },
            scaling: scenario::ScalingSpec { interval: options.interval, ..Default::default() },
            load,
            ..DeploymentSpec::named(&name)
        };
        let duration = trace.map_or(DURATION, |trace| whole_seconds(trace.end()));
        Ok(Scenario::of(duration, 1, vec![spec]))
    }
}

/// Rounded up, so that the last request is in it.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + 1)
}

/// Every deployment of a trace must be simulated, or requests would be missing without a word.
fn check_names(trace: &Trace, scenario: &Scenario) -> anyhow::Result<()> {
    let has = |name: &str| scenario.deployments.iter().any(|deployment| deployment.name == name);
    let missing: Vec<_> = trace.deployments().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "the trace has requests of {}, which is not simulated; choose one with --name, or write a \
         --scenario with all of them",
        missing.join(", ")
    )
}
