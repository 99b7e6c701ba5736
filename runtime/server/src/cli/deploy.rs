//! `samovar deploy`: upload a handler and make it a deployment.

mod options;

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::connection::Connection;
use super::table::write_fields;
use super::{artifact, failure, human};
use crate::api;
use crate::client::Client;
use crate::spec::{DeploymentName, RawSpec, World};
use options::{
    BatchOptions, EndpointOptions, LimitOptions, PoolOptions, ProcessOptions, ReachOptions,
    ScalingOptions,
};

const EXAMPLES: &str = "\
Examples:
  samovar deploy thumbnail.wasm --name thumbnail
  samovar deploy thumbnail.wasm --name thumbnail --replicas 0..8 --idle-ttl 5m
  samovar deploy thumbnail.wasm --name thumbnail --policy lightning --set max_batch_size=2
  samovar deploy hello.wasm --name hello --replicas 2 --env GREETING=Hi --route /greet
  samovar deploy batch.wasm --name batch --max-batch-size 16 --timeout-batching 5ms
  samovar deploy fetch.wasm --name fetch --outbound 'https://*.example.com' --calls none
  samovar deploy api.wasm --name api --endpoint /predict --input-schema in.json --reuse off
  samovar deploy api.wasm --name api --secret API_KEY=env:UPSTREAM_KEY --cold-start-proxy light
  samovar deploy --name model --gpus 1 --health /health -- python3 server.py

Deploying to a name that exists replaces its spec as a whole, without losing a request: options
that are not given have their defaults again. The old revision stays if the new one does not start.
Times are written like 250ms, 30s or 5m, sizes like 64KiB or 1GiB. There are more settings than
options: `samovar apply --help` shows the file that holds them all.";

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

    #[command(flatten)]
    pool: PoolOptions,

    #[command(flatten)]
    scaling: ScalingOptions,

    #[command(flatten)]
    batches: BatchOptions,

    #[command(flatten)]
    endpoint: EndpointOptions,

    #[command(flatten)]
    reach: ReachOptions,

    #[command(flatten)]
    limits: LimitOptions,

    #[command(flatten)]
    process: ProcessOptions,

    #[command(flatten)]
    connection: Connection,
}

impl Deploy {
    /// The spec that the options make.
    fn spec(self) -> anyhow::Result<RawSpec> {
        let mut spec = RawSpec { route: self.route, ..RawSpec::default() };
        self.pool.fill(&mut spec);
        self.scaling.fill(&mut spec);
        self.batches.fill(&mut spec);
        self.endpoint.fill(&mut spec)?;
        self.reach.fill(&mut spec);
        options::fill_native(self.limits, self.process, self.command, &mut spec);
        spec.anchor(&std::env::current_dir().context("find the current folder")?);
        let digest = self.file.as_deref().map(artifact::digest).transpose()?;
        spec.component = digest.map(|digest| digest.to_string());
        Ok(spec)
    }

    /// Uploads the file, puts the spec, and prints where the deployment is.
    pub async fn run(self: Box<Deploy>) -> anyhow::Result<()> {
        if let Some(file) = &self.file {
            artifact::check(file)?;
        }
        let Deploy { file, name, connection, .. } = &*self;
        let (file, name, connection) = (file.clone(), name.clone(), connection.clone());
        let spec = self.spec()?;
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
