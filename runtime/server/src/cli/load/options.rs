//! Which requests are sent, and when.

use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use samovar_sim::arrivals::{Arrivals, Workload};
use samovar_sim::crowd::Crowd;
use samovar_sim::distribution::Distribution;
use samovar_sim::rng;
use samovar_sim::scenario::{Load, Stage, Stages};
use samovar_sim::trace::{Spread, Trace};

/// The options of which one is needed.
const KINDS: [&str; 4] = ["rate", "arrivals", "trace", "users"];
/// How long requests are sent, if neither an option nor a trace says.
const DURATION: Duration = Duration::from_secs(60);
/// Longer runs are no tests.
const DURATION_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Each has a connection of its own; more than one machine has ports for.
const USERS_MAX: u32 = 50_000;
/// Pause of a user after a request that failed, as in a simulation: a server that is down should
/// not be asked as fast as it can refuse.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Options that say which requests are sent, and when.
#[derive(Debug, Args)]
#[command(next_help_heading = "When requests are sent")]
#[command(group = ArgGroup::new("load").required(true).args(KINDS))]
pub struct Options {
    /// Requests per second, evenly; short for `--arrivals steady:N/s`
    #[arg(long, value_name = "N")]
    rate: Option<Rate>,

    /// Requests that are due whatever becomes of those before, as in `samovar simulate`
    #[arg(long, value_name = "WORKLOAD")]
    arrivals: Option<Workload>,

    /// Requests as they were recorded by `samovar record` or --record
    #[arg(long, value_name = "FILE", visible_alias = "profile")]
    trace: Option<PathBuf>,

    /// Users who each wait for an answer before they send the next request: a number, or numbers
    /// with the times from which on, like 10@10s,50@5m
    #[arg(long, value_name = "COUNTS", visible_alias = "concurrency")]
    users: Option<Counts>,

    /// Pause of a user between an answer and the next request
    #[arg(long, value_name = "TIMES", default_value = "0s", requires = "users")]
    think: Distribution,

    /// Users come and go one after another, evenly over this time
    #[arg(long, value_name = "TIME", default_value = "0s", requires = "users")]
    #[arg(value_parser = humantime::parse_duration)]
    ramp: Duration,

    /// How long requests are sent; the length of the trace, or 1m
    #[arg(long = "for", value_name = "TIME", visible_alias = "duration")]
    #[arg(value_parser = humantime::parse_duration)]
    duration: Option<Duration>,

    /// Decides every random draw; with the same --seed and --name a simulation has the same
    /// arrivals
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// Requests per second.
#[derive(Clone, Debug)]
struct Rate(Workload);

/// Numbers of users, with the time from which on each holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts(Vec<(Duration, u32)>);

/// Where requests come from.
pub enum Source {
    /// From a list of times.
    Open(Box<dyn Arrivals + Send>),
    /// From users who wait for answers.
    Users(Crowd),
}

/// Which requests are sent, for how long.
pub struct Plan {
    pub source: Source,
    pub duration: Duration,
    /// What it is called in a picture.
    pub title: String,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let per_second = if text.contains('/') { text.to_owned() } else { format!("{text}/s") };
        let workload: Workload =
            format!("steady:{per_second}").parse().map_err(|error| format!("{error}"))?;
        Ok(Rate(workload))
    }
}

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Counts, String> {
        let how = "write a number of users like 10, or numbers with their times like 10@10s,50@5m";
        let mut counts: Vec<(Duration, u32)> = Vec::new();
        for part in text.split(',') {
            let (count, at) = match part.split_once('@') {
                Some((count, at)) => (count, humantime::parse_duration(at.trim())),
                None => (part, Ok(Duration::ZERO)),
            };
            let count: u32 = count.trim().parse().map_err(|_| how)?;
            let at = at.map_err(|_| how)?;
            if count > USERS_MAX {
                return Err(format!("{count} users are too many, {USERS_MAX} may be"));
            }
            if counts.last().is_some_and(|(before, _)| at <= *before) {
                return Err("the times of users must grow from one number to the next".to_owned());
            }
            counts.push((at, count));
        }
        match counts.iter().any(|(_, count)| *count > 0) {
            true => Ok(Counts(counts)),
            false => Err("there are no users at any time".to_owned()),
        }
    }
}

impl Options {
    /// What is asked for. `name` is the deployment's, which a trace may know.
    ///
    /// # Errors
    ///
    /// When the trace cannot be used, or times do not fit together.
    pub fn plan(&self, name: &str) -> anyhow::Result<Plan> {
        let rng = |purpose| rng::stream(self.seed, name, purpose);
        let open = |workload: &Workload| {
            (Source::Open(Box::new(workload.arrivals(rng("arrivals")))), workload.to_string())
        };
        let mut natural = DURATION;
        let (source, title) = match (&self.rate, &self.arrivals, &self.trace, &self.users) {
            (Some(Rate(workload)), ..) | (_, Some(workload), ..) => open(workload),
            (_, _, Some(file), _) => {
                let opened =
                    File::open(file).with_context(|| format!("read {}", file.display()))?;
                let trace = Trace::read(std::io::BufReader::new(opened));
                let trace = trace.with_context(|| format!("read {}", file.display()))?;
                // Rounded up, so that the last request is in it.
                natural = Duration::from_secs(trace.end().as_secs() + 1);
                let arrivals = arrivals(&trace, name, rng("trace"))?;
                let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                (Source::Open(arrivals), stem)
            }
            (.., Some(counts)) => (Source::Users(self.crowd(counts)?), counts.title()),
            (None, None, None, None) => bail!("say what is sent, with --rate or --users"),
        };
        let duration = self.duration.unwrap_or(natural);
        if duration.is_zero() || duration > DURATION_MAX {
            bail!("--for must be above 0 and at most 30d");
        }
        Ok(Plan { source, duration, title })
    }

    fn crowd(&self, Counts(counts): &Counts) -> anyhow::Result<Crowd> {
        if counts.windows(2).any(|pair| pair[0].0 + self.ramp.min(DURATION_MAX) > pair[1].0) {
            bail!("--ramp is longer than the time to the next number of users");
        }
        let step = |(at, count): &(Duration, u32)| Stage {
            at: *at,
            count: *count,
            ramp: self.ramp.min(DURATION_MAX),
        };
        let load = Load::Stages(Stages {
            think: self.think.clone(),
            after_failure: AFTER_FAILURE,
            steps: counts.iter().map(step).collect(),
        });
        Ok(Crowd::of(&load).expect("it has users"))
    }
}

impl Counts {
    fn title(&self) -> String {
        let counts: Vec<String> = self.0.iter().map(|(_, count)| count.to_string()).collect();
        format!("{} users", counts.join(", "))
    }
}

/// The requests of a trace for what is called `name`. If the trace has one deployment only, that
/// is meant, whatever it is called.
fn arrivals(trace: &Trace, name: &str, rng: rng::Rng) -> anyhow::Result<Box<dyn Arrivals + Send>> {
    let names: Vec<&str> = trace.deployments().collect();
    let chosen = match names[..] {
        [only] => only,
        _ => name,
    };
    match trace.arrivals(chosen, Spread::Poisson, rng) {
        Some(arrivals) => Ok(Box::new(arrivals)),
        None => bail!("the trace has no requests of `{name}`, but of {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_a_number_or_a_course() {
        let counts = |text: &str| text.parse::<Counts>().map(|Counts(counts)| counts);
        let second = Duration::from_secs;
        assert_eq!(counts("8").unwrap(), [(Duration::ZERO, 8)]);
        let course = [(second(10), 10), (second(300), 50), (second(600), 0)];
        assert_eq!(counts("10@10s, 50@5m,0@10m").unwrap(), course);
        for bad in ["", "x", "10@", "10@5", "10@5m,20@1m", "1,2", "0", "50001"] {
            assert!(counts(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn rates_are_per_second_unless_they_say_otherwise() {
        let rate = |text: &str| text.parse::<Rate>().map(|Rate(workload)| workload.to_string());
        assert_eq!(rate("50").unwrap(), "steady:50/s");
        assert_eq!(rate("600/m").unwrap(), "steady:600/m");
        assert!(rate("-1").is_err() && rate("many").is_err());
    }
}
