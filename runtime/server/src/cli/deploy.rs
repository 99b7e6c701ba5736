//! `samovar deploy`: upload a handler and make it a deployment.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::connection::Connection;
use super::settings::{self, Setting, Variable};
use super::table::write_fields;
use super::{artifact, failure, human};
use crate::api;
use crate::client::Client;
use crate::spec::{
    Count, DeploymentName, DurationText, RawLimits, RawProcess, RawQueue, RawReplicas, RawScaling,
    RawSpec, SizeText, Ttl, World,
};

const EXAMPLES: &str = "\
Examples:
  samovar deploy thumbnail.wasm --name thumbnail
  samovar deploy thumbnail.wasm --name thumbnail --replicas 0..8 --idle-ttl 5m
  samovar deploy thumbnail.wasm --name thumbnail --policy lightning --set max_batch_size=2
  samovar deploy hello.wasm --name hello --replicas 2 --env GREETING=Hi --route /greet
  samovar deploy --name model --gpus 1 --health /health -- python3 server.py

Deploying to a name that exists replaces its spec as a whole, without losing a request: options
that are not given have their defaults again. The old revision stays if the new one does not start.
Times are written like 250ms, 30s or 5m, sizes like 64KiB or 1GiB.";

/// Upload a component and serve requests with it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Deploy {
    /// The component, a .wasm file
    #[arg(required_unless_present = "command")]
    file: Option<PathBuf>,

    /// A command that serves HTTP on the port in PORT, in place of a component; after --
    #[arg(last = true, conflicts_with = "file")]
    command: Vec<String>,

    /// Name of the deployment
    #[arg(long, short)]
    name: DeploymentName,

    /// Path prefix on the data plane [default: / and the name]
    #[arg(long, value_name = "PATH")]
    route: Option<String>,

    /// Environment variable of the handler; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<Variable>,

    #[command(flatten)]
    pool: PoolOptions,

    #[command(flatten)]
    scaling: ScalingOptions,

    #[command(flatten)]
    limits: LimitOptions,

    #[command(flatten)]
    process: ProcessOptions,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Replicas and queue")]
struct PoolOptions {
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
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Scaling")]
struct ScalingOptions {
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
struct LimitOptions {
    /// Memory of one replica [default: 128MiB]
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
struct ProcessOptions {
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

impl Deploy {
    /// Uploads the file, puts the spec, and prints where the deployment is.
    pub async fn run(self: Box<Deploy>) -> anyhow::Result<()> {
        if let Some(file) = &self.file {
            artifact::check(file)?;
        }
        let Deploy { file, command, name, route, env, pool, scaling, limits, process, connection } =
            *self;
        let mut spec = pool.spec();
        spec.route = route;
        spec.env = env.into_iter().map(|variable| (variable.key, variable.value)).collect();
        spec.scaling = RawScaling {
            policy: scaling.policy,
            config: settings::config(scaling.set),
            interval: scaling.interval,
        };
        spec.limits = RawLimits {
            memory: limits.memory.filter(|_| file.is_some()),
            request_timeout: limits.request_timeout,
            cpu_time: limits.cpu_time,
            start_timeout: process.start_timeout,
            ..RawLimits::default()
        };
        spec.process = process.spec(command, limits.memory);
        spec.anchor(&std::env::current_dir().context("find the current folder")?);
        spec.component = file.as_deref().map(artifact::digest).transpose()?.map(|d| d.to_string());
        // The server checks again; this saves the upload. The world that allows most stands in.
        spec.clone().validate(&name, World::HttpService03)?;

        let client = connection.client()?;
        let component = match &file {
            Some(file) => Some(artifact::upload(&client, file).await?),
            None => None,
        };
        let spinner = artifact::spinner(&format!("starting {name}"));
        let reply = client.put_deployment(&name, &spec).await;
        spinner.finish_and_clear();
        let reply = reply?;
        reply.value.warnings.iter().for_each(|warning| failure::warn(warning));
        let url = url(&client, &reply.value).await;
        connection.print(&reply.json, |out| {
            write_deployed(out, &reply.value, component.as_ref(), &url)
        })?;
        Ok(())
    }
}

impl PoolOptions {
    fn spec(self) -> RawSpec {
        RawSpec {
            replicas: self.replicas,
            initial_replicas: self.initial_replicas,
            concurrency: self.concurrency,
            idle_ttl: self.idle_ttl,
            scaledown_ttl: self.scaledown_ttl,
            max_requests: self.max_requests,
            max_age: self.max_age,
            queue: RawQueue { max: self.queue_max, timeout: self.queue_timeout },
            ..RawSpec::default()
        }
    }
}

/// Where a deployment can be called; its route alone when the server does not say where it is.
pub async fn url(client: &Client, deployment: &api::Deployment) -> String {
    let data_plane = client.info().await.map(|info| info.value.data_plane).unwrap_or_default();
    format!("{}{}", data_plane.trim_end_matches('/'), deployment.route)
}

fn write_deployed(
    out: &mut dyn io::Write,
    deployment: &api::Deployment,
    component: Option<&api::Component>,
    url: &str,
) -> io::Result<()> {
    let api::Deployment { name, revision, replicas, .. } = deployment;
    let what = match component {
        Some(component) => {
            let size = human::size(component.size_bytes);
            ("component", format!("{}, {size}, {}", component.digest.short(), component.world))
        }
        None => ("process", command_line(deployment)),
    };
    writeln!(out, "deployed {name}, revision {revision}")?;
    write_fields(
        out,
        &[
            ("url", url.to_owned()),
            ("replicas", format!("{} ready, bounds {}", replicas.ready, bounds(deployment))),
            ("policy", deployment.policy.name.to_string()),
            what,
        ],
    )
}

/// The command of a deployment of processes, as in a shell.
pub fn command_line(deployment: &api::Deployment) -> String {
    let process = &deployment.spec["process"];
    let words = std::iter::once(&process["command"]);
    let words = words.chain(process["args"].as_array().into_iter().flatten());
    let words: Vec<&str> = words.filter_map(serde_json::Value::as_str).collect();
    words.join(" ")
}

/// The bounds in a spec, `0..8`.
pub fn bounds(deployment: &api::Deployment) -> String {
    let replicas = &deployment.spec["replicas"];
    format!("{}..{}", replicas["min"], replicas["max"])
}
