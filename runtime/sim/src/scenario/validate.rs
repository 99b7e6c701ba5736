//! Reads scenarios and checks what the simulation relies on.

use super::{CallsSpec, DeploymentSpec, Load, Scenario, Stages};
use crate::faults::DeploymentFaults;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::time::Duration;

/// The longest simulated time: rows and deadlines are counted in 64 bits with room to spare.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Bounds as in the server's specs.
const REPLICAS_MAX: u32 = 100_000;
const CONCURRENCY_MAX: u32 = 10_000;
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Rows of one deployment.
const ROWS_MAX: u128 = 10_000_000;

/// Calls of one request; each has a place in a 16-bit number.
const CALLS_MAX: usize = 1_000;

/// Why a scenario cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not even TOML or JSON.
    #[error("{0}")]
    Syntax(String),
    /// A setting is wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// The setting, like `deployments[0].replicas`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A policy is not there, or refused its configuration.
    #[error("policy `{policy}` of deployment `{deployment}`: {reason}")]
    Policy {
        /// The deployment.
        deployment: String,
        /// The policy's name.
        policy: String,
        /// What it said.
        reason: String,
    },
    /// No deployment has this name.
    #[error("the scenario has no deployment `{name}`")]
    NoDeployment {
        /// The name.
        name: String,
    },
}

impl Scenario {
    /// Reads a scenario from TOML and checks it.
    ///
    /// # Errors
    ///
    /// Which setting is wrong and why, or where the text is not TOML.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let input = toml::Deserializer::parse(text)
            .map_err(|source| Error::Syntax(format!("not TOML: {}", source.to_string().trim())))?;
        let read: Result<Scenario, _> = serde_path_to_error::deserialize(input);
        checked(read.map_err(|source| {
            let problem = source.inner().message().to_owned();
            Error::Invalid { field: source.path().to_string(), problem }
        })?)
    }

    /// Reads a scenario from JSON and checks it.
    ///
    /// # Errors
    ///
    /// Which setting is wrong and why, or where the text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let mut input = serde_json::Deserializer::from_str(text);
        checked(read_json(&mut input)?)
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    ///
    /// The first setting that does not.
    pub fn validate(&self) -> Result<(), Error> {
        between("duration", self.duration, Duration::from_millis(1), DURATION_MAX)?;
        between("tail", self.tail, Duration::ZERO, DURATION_MAX)?;
        between("interval", self.interval, Duration::from_millis(1), DURATION_MAX)?;
        if (self.duration + self.tail).as_nanos() / self.interval.as_nanos() > ROWS_MAX {
            return invalid("interval", format!("makes more than {ROWS_MAX} rows"));
        }
        if self.deployments.is_empty() {
            return invalid("deployments", "at least one is needed");
        }
        for (index, deployment) in self.deployments.iter().enumerate() {
            let earlier = &self.deployments[..index];
            let field = format!("deployments[{index}]");
            if earlier.iter().any(|other| other.name == deployment.name) {
                return invalid(
                    &format!("{field}.name"),
                    format!("`{}` is there twice", deployment.name),
                );
            }
            deployment.validate().map_err(|error| below(&field, error))?;
        }
        self.validate_calls()?;
        self.validate_faults()
    }

    fn validate_calls(&self) -> Result<(), Error> {
        for (index, deployment) in self.deployments.iter().enumerate() {
            let field = format!("deployments[{index}].calls.to");
            for to in deployment.calls.iter().flat_map(|calls| &calls.to) {
                if self.deployments.iter().all(|other| other.name != *to) {
                    return invalid(&field, format!("there is no deployment `{to}`"));
                }
            }
            let mut path = vec![deployment.name.as_str()];
            if self.calls_back(&mut path) {
                return invalid(
                    &field,
                    format!("calls go round: {}; a request would never end", path.join(" → ")),
                );
            }
        }
        Ok(())
    }

    /// Whether calls from the end of `path` lead back to its begin; `path` is then the circle.
    fn calls_back<'a>(&'a self, path: &mut Vec<&'a str>) -> bool {
        let from = path[path.len() - 1];
        let mut deployments = self.deployments.iter();
        let calls = deployments.find(|other| other.name == from).and_then(|d| d.calls.as_ref());
        for to in calls.iter().flat_map(|calls| &calls.to) {
            let is_back = *to == path[0];
            let is_new = !path.contains(&to.as_str());
            path.push(to);
            if is_back || is_new && self.calls_back(path) {
                return true;
            }
            path.pop();
        }
        false
    }

    fn validate_faults(&self) -> Result<(), Error> {
        for (index, node) in self.nodes.iter().enumerate() {
            if self.nodes[..index].iter().any(|other| other.name == node.name) {
                let problem = format!("`{}` is there twice", node.name);
                return invalid(&format!("nodes[{index}].name"), problem);
            }
        }
        for (index, failure) in self.faults.node_failures.iter().enumerate() {
            let field = format!("faults.node_failures[{index}]");
            if self.nodes.iter().all(|node| node.name != failure.node) {
                return invalid(
                    &format!("{field}.node"),
                    format!("there is no node `{}`", failure.node),
                );
            }
            between(&format!("{field}.at"), failure.at, Duration::ZERO, DURATION_MAX)?;
            between(&format!("{field}.lasts"), failure.lasts, Duration::ZERO, DURATION_MAX)?;
        }
        for (index, jump) in self.faults.clock_jumps.iter().enumerate() {
            let field = format!("faults.clock_jumps[{index}]");
            between(&format!("{field}.at"), jump.at, Duration::ZERO, DURATION_MAX)?;
            between(&format!("{field}.by"), jump.by, Duration::ZERO, DURATION_MAX)?;
        }
        Ok(())
    }
}

impl DeploymentSpec {
    fn validate(&self) -> Result<(), Error> {
        if self.name.is_empty() {
            return invalid("name", "is empty");
        }
        let replicas = self.replicas;
        between("replicas.max", replicas.max, 1, REPLICAS_MAX)?;
        between("replicas.min", replicas.min, 0, replicas.max)?;
        if let Some(initial) = self.initial_replicas {
            between("initial_replicas", initial, replicas.min, replicas.max)?;
        }
        between("concurrency", self.concurrency, 1, CONCURRENCY_MAX)?;
        between("queue.max", self.queue.max, 1, u32::MAX)?;
        let millisecond = Duration::from_millis(1);
        between("queue.timeout", self.queue.timeout, millisecond, DURATION_MAX)?;
        between("request_timeout", self.request_timeout, millisecond, DURATION_MAX)?;
        between("start_timeout", self.start_timeout, millisecond, DURATION_MAX)?;
        between("drain_timeout", self.drain_timeout, Duration::ZERO, DURATION_MAX)?;
        between("scaledown_ttl", self.scaledown_ttl, Duration::ZERO, DURATION_MAX)?;
        between("scaling.interval", self.scaling.interval, INTERVAL_MIN, DURATION_MAX)?;
        if let Some(idle_ttl) = self.idle_ttl {
            between("idle_ttl", idle_ttl, Duration::ZERO, DURATION_MAX)?;
        }
        if let Some(max_age) = self.max_age {
            between("max_age", max_age, Duration::from_secs(1), DURATION_MAX)?;
        }
        if let Some(Load::Users(users)) = &self.load {
            between("load.users.ramp", users.ramp, Duration::ZERO, DURATION_MAX)?;
            between("load.users.after_failure", users.after_failure, millisecond, DURATION_MAX)?;
        }
        if let Some(Load::Stages(stages)) = &self.load {
            stages.validate().map_err(|error| below("load.stages", error))?;
        }
        if let Some(CallsSpec { to, backoff, .. }) = &self.calls {
            between("calls.to", to.len(), 1, CALLS_MAX)?;
            between("calls.backoff", *backoff, millisecond, DURATION_MAX)?;
        }
        self.faults.validate().map_err(|error| below("faults", error))
    }
}

impl Stages {
    fn validate(&self) -> Result<(), Error> {
        between("after_failure", self.after_failure, Duration::from_millis(1), DURATION_MAX)?;
        if self.steps.is_empty() {
            return invalid("steps", "at least one is needed");
        }
        let mut free = Duration::ZERO;
        for (index, step) in self.steps.iter().enumerate() {
            let field = format!("steps[{index}]");
            between(&format!("{field}.at"), step.at, free, DURATION_MAX)?;
            between(&format!("{field}.ramp"), step.ramp, Duration::ZERO, DURATION_MAX)?;
            free = step.at + step.ramp;
        }
        Ok(())
    }
}

impl DeploymentFaults {
    fn validate(&self) -> Result<(), Error> {
        let one = |field, probability| between(field, probability, 0.0, 1.0);
        one("start_fails", self.start_fails)?;
        one("start_hangs", self.start_hangs)?;
        one("request_hangs", self.request_hangs)?;
        one("answer_late", self.answer_late)?;
        one("answer_lost", self.answer_lost)?;
        one("answer_error", self.answer_error)?;
        one("answer_nan", self.answer_nan)?;
        if let Some(life) = self.crash_every {
            between("crash_every", life, Duration::from_millis(1), DURATION_MAX)?;
        }
        for (index, window) in self.windows.iter().enumerate() {
            if window.from >= window.to {
                let problem = "ends before it begins";
                return invalid(&format!("windows[{index}]"), problem);
            }
        }
        Ok(())
    }
}

fn read_json<T: DeserializeOwned>(
    input: &mut serde_json::Deserializer<serde_json::de::StrRead<'_>>,
) -> Result<T, Error> {
    let read = serde_path_to_error::deserialize(&mut *input).map_err(|source| {
        match source.inner().is_data() {
            true => Error::Invalid {
                field: source.path().to_string(),
                problem: source.inner().to_string(),
            },
            false => Error::Syntax(format!("not JSON: {}", source.inner())),
        }
    })?;
    input.end().map_err(|source| Error::Syntax(format!("not JSON: {source}")))?;
    Ok(read)
}

fn checked(scenario: Scenario) -> Result<Scenario, Error> {
    scenario.validate()?;
    Ok(scenario)
}

/// What is wrong with a part, seen from the whole.
fn below(root: &str, error: Error) -> Error {
    match error {
        Error::Invalid { field, problem } => {
            Error::Invalid { field: format!("{root}.{field}"), problem }
        }
        other => other,
    }
}

fn invalid<T>(field: &str, problem: impl Display) -> Result<T, Error> {
    Err(Error::Invalid { field: field.to_owned(), problem: problem.to_string() })
}

fn between<T: PartialOrd + std::fmt::Debug>(
    field: &str,
    value: T,
    lowest: T,
    highest: T,
) -> Result<(), Error> {
    if lowest <= value && value <= highest {
        return Ok(());
    }
    invalid(field, format!("{value:?} is not between {lowest:?} and {highest:?}"))
}
