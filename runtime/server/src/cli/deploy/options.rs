//! The options of `samovar deploy`, by what they are about.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::super::settings::{self, OnOff, SecretOption, Setting, Variable};
use crate::spec::{
    Count, DurationText, ParseError, RawBatching, RawCalls, RawColdStartProxy, RawLimits,
    RawOutbound, RawProcess, RawQueue, RawReplicas, RawScaling, RawSpec, ReadyRule, SizeText, Ttl,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Replicas and queue")]
pub struct PoolOptions {
    /// Bounds of the number of replicas, like 0..8, or 3 for a fixed number [default: 0..4]
    #[arg(long, value_name = "A..B")]
    replicas: Option<RawReplicas>,

    /// Replicas to start with [default: the lower bound]
    #[arg(long, value_name = "N")]
    initial_replicas: Option<Count>,

    /// Requests one replica serves at a time [default: 16, or 1 for wasi:http 0.2]
    #[arg(long, value_name = "N")]
    concurrency: Option<Count>,

    /// All replicas go when none was used for this long, or `off` [default: 5m]
    #[arg(long, value_name = "TIME")]
    idle_ttl: Option<Ttl>,

    /// A replica may go when it has been idle for this long [default: 30s]
    #[arg(long, value_name = "TIME")]
    scaledown_ttl: Option<DurationText>,

    /// Replace a replica after this many requests; 0 means never [default: 0]
    #[arg(long, value_name = "N")]
    max_requests: Option<Count>,

    /// Replace a replica at this age, or `off` [default: off]
    #[arg(long, value_name = "TIME")]
    max_age: Option<Ttl>,

    /// Requests that may wait for a replica [default: 1000]
    #[arg(long, value_name = "N")]
    queue_max: Option<Count>,

    /// How long a request may wait for a replica [default: 30s]
    #[arg(long, value_name = "TIME")]
    queue_timeout: Option<DurationText>,

    /// `off`: every request gets an instance of its own, which serves nothing else [default: on]
    #[arg(long, value_name = "ON|OFF")]
    reuse: Option<OnOff>,

    /// When it counts as ready: serving, any, min, target, or a number [default: serving]
    #[arg(long, value_name = "RULE", value_parser = ready_rule)]
    ready: Option<ReadyRule>,

    /// Who answers while no replica is ready: another deployment, or a URL [default: nobody]
    #[arg(long, value_name = "NAME|URL")]
    cold_start_proxy: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Batches")]
pub struct BatchOptions {
    /// Send requests that wait to a replica together, so many at most [default: each alone]
    #[arg(long, value_name = "N")]
    max_batch_size: Option<Count>,

    /// How long a request waits for others at most; makes batches too [default: 10ms]
    #[arg(long, value_name = "TIME")]
    timeout_batching: Option<DurationText>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What clients send")]
pub struct EndpointOptions {
    /// The only path below the route that reaches the replicas, by POST [default: all do]
    #[arg(long, value_name = "PATH")]
    endpoint: Option<String>,

    /// File with the JSON Schema of request bodies
    #[arg(long, value_name = "FILE")]
    input_schema: Option<PathBuf>,

    /// File with the JSON Schema of response bodies
    #[arg(long, value_name = "FILE")]
    output_schema: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What the handler may use")]
pub struct ReachOptions {
    /// Environment variable; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<Variable>,

    /// Environment variable whose value the server looks up and never shows: NAME=env:VARIABLE or
    /// NAME=file:PATH, both the server's; repeat it for more
    #[arg(long = "secret", value_name = "NAME=SOURCE")]
    secrets: Vec<SecretOption>,

    /// Value of `wasi:config`; repeat it for more
    #[arg(long = "value", value_name = "KEY=VALUE")]
    values: Vec<Variable>,

    /// Deployments it may call inside the server: names with commas, `all` or `none` [default: all]
    #[arg(long, value_name = "NAMES")]
    calls: Option<String>,

    /// What it may request elsewhere, like https://*.example.com; repeat it for more [default:
    /// nothing]
    #[arg(long, value_name = "RULE")]
    outbound: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Scaling")]
pub struct ScalingOptions {
    /// Policy that decides on the number of replicas [default: lightning]
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,

    /// Setting of the policy; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Setting>,

    /// Time between two decisions [default: 1s]
    #[arg(long, value_name = "TIME")]
    interval: Option<DurationText>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Memory of one replica [default: 128MiB, or no limit for a process]
    #[arg(long, value_name = "SIZE")]
    memory: Option<SizeText>,

    /// Longest time until a response begins [default: 30s]
    #[arg(long, value_name = "TIME")]
    request_timeout: Option<DurationText>,

    /// Longest time the handler may compute for one request [default: 10s]
    #[arg(long, value_name = "TIME")]
    cpu_time: Option<DurationText>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Processes")]
pub struct ProcessOptions {
    /// Accelerators of each replica: a whole number, or a fraction of one [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "file")]
    gpus: Option<f64>,

    /// Path that answers when a replica can serve [default: any answer to / will do]
    #[arg(long, value_name = "PATH", conflicts_with = "file")]
    health: Option<String>,

    /// Time a replica may take to become ready [default: 10s, or 10m for a process]
    #[arg(long, value_name = "TIME")]
    start_timeout: Option<DurationText>,

    /// Folder the command runs in [default: this one]
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    cwd: Option<PathBuf>,
}

impl ProcessOptions {
    fn spec(self, command: Vec<String>, memory: Option<SizeText>) -> Option<RawProcess> {
        let mut words = command.into_iter();
        let program = words.next()?;
        Some(RawProcess {
            command: Some(program),
            args: words.collect(),
            cwd: self.cwd,
            health: self.health,
            gpus: self.gpus,
            memory,
            ..RawProcess::default()
        })
    }
}

fn ready_rule(text: &str) -> Result<ReadyRule, ParseError> {
    match text.parse() {
        Ok(count) => Ok(ReadyRule::Count(count)),
        Err(_) => text.parse(),
    }
}

impl PoolOptions {
    /// Into `spec`.
    pub fn fill(self, spec: &mut RawSpec) {
        spec.replicas = self.replicas;
        spec.initial_replicas = self.initial_replicas;
        spec.concurrency = self.concurrency;
        spec.idle_ttl = self.idle_ttl;
        spec.scaledown_ttl = self.scaledown_ttl;
        spec.max_requests = self.max_requests;
        spec.max_age = self.max_age;
        spec.queue = RawQueue { max: self.queue_max, timeout: self.queue_timeout };
        spec.reuse = self.reuse.map(Into::into);
        spec.ready = self.ready;
        spec.cold_start_proxy = self.cold_start_proxy.map(|to| match to.contains("://") {
            true => RawColdStartProxy { url: Some(to), ..RawColdStartProxy::default() },
            false => RawColdStartProxy { deployment: Some(to), ..RawColdStartProxy::default() },
        });
    }
}

impl BatchOptions {
    /// Into `spec`.
    pub fn fill(self, spec: &mut RawSpec) {
        if self.max_batch_size.is_some() || self.timeout_batching.is_some() {
            spec.batching = Some(RawBatching {
                max_batch_size: self.max_batch_size,
                timeout_batching: self.timeout_batching,
                ..RawBatching::default()
            });
        }
    }
}

impl EndpointOptions {
    /// Into `spec`.
    ///
    /// # Errors
    ///
    /// When a schema cannot be read or is no JSON.
    pub fn fill(self, spec: &mut RawSpec) -> anyhow::Result<()> {
        spec.endpoint = self.endpoint;
        spec.input_schema = self.input_schema.as_deref().map(schema).transpose()?;
        spec.output_schema = self.output_schema.as_deref().map(schema).transpose()?;
        Ok(())
    }
}

fn schema(file: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))
}

impl ReachOptions {
    /// Into `spec`.
    pub fn fill(self, spec: &mut RawSpec) {
        let pairs = |list: Vec<Variable>| {
            list.into_iter().map(|variable| (variable.key, variable.value)).collect()
        };
        spec.env = pairs(self.env);
        spec.config = pairs(self.values);
        spec.secrets = self.secrets.into_iter().map(|secret| (secret.name, secret.from)).collect();
        spec.calls = self.calls.map(|names| {
            let allow = match names.as_str() {
                "all" => vec!["*".to_owned()],
                "none" => Vec::new(),
                names => names.split(',').map(|name| name.trim().to_owned()).collect(),
            };
            RawCalls { allow: Some(allow) }
        });
        if !self.outbound.is_empty() {
            spec.outbound = Some(RawOutbound { allow: self.outbound, ..RawOutbound::default() });
        }
    }
}

impl ScalingOptions {
    /// Into `spec`.
    pub fn fill(self, spec: &mut RawSpec) {
        spec.scaling = RawScaling {
            policy: self.policy,
            config: settings::config(self.set),
            interval: self.interval,
        };
    }
}

/// Into `spec`, for a component or, with a command, for processes.
pub fn fill_native(
    limits: LimitOptions,
    process: ProcessOptions,
    command: Vec<String>,
    spec: &mut RawSpec,
) {
    spec.limits = RawLimits {
        memory: limits.memory.filter(|_| command.is_empty()),
        request_timeout: limits.request_timeout,
        cpu_time: limits.cpu_time,
        start_timeout: process.start_timeout,
        ..RawLimits::default()
    };
    spec.process = process.spec(command, limits.memory);
}
