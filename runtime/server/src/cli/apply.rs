//! `samovar apply`: make the server hold what a manifest says.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::connection::{Connection, Output};
use super::{artifact, failure};
use crate::api;
use crate::client::{Client, ClientError};
use crate::config::{ComponentSource, Manifest, ManifestDeployment, ManifestPolicy};
use crate::spec::{DeploymentSpec, PolicyName, World};

const EXAMPLES: &str = "\
Example of a manifest, with the default settings left out:
  [policies.mine]
  file = \"mine.wasm\"

  [deployments.thumbnail]
  component = \"thumbnail.wasm\"     # or the digest of an uploaded component
  replicas = \"0..8\"
  idle_ttl = \"5m\"
  queue = { max = 200, timeout = \"10s\" }
  scaling = { policy = \"mine\", config = { waiting_per_replica = 2 } }
  limits = { memory = \"256MiB\", cpu_time = \"2s\" }
  env = { QUALITY = \"80\" }

  [deployments.model]                # a process that serves HTTP on the port in PORT
  process = { command = \"python3\", args = [\"server.py\"], health = \"/health\" }
  replicas = \"0..2\"

What is not in the manifest is left alone. Applying the same manifest again changes nothing.";

/// Make deployments and policies as a manifest says
///
/// Everything is checked before anything is sent. Policies come first, then deployments, each in
/// the order of their names; the first failure ends it, and what was done before stays.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Apply {
    /// The manifest
    #[arg(long, short, value_name = "FILE", default_value = "samovar.toml")]
    file: PathBuf,

    #[command(flatten)]
    connection: Connection,
}

/// What became of one part of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Created,
    Changed,
    Unchanged,
}

#[derive(Debug, Serialize)]
struct Step {
    kind: &'static str,
    name: String,
    change: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

impl Apply {
    /// Applies the manifest and prints one line per part.
    pub async fn run(self) -> anyhow::Result<()> {
        let manifest = Manifest::read(&self.file)?;
        check_files(&manifest)?;
        let client = self.connection.client()?;
        let mut policies = BTreeMap::new();
        for policy in &manifest.policies {
            let (step, now) = apply_policy(&client, policy)
                .await
                .with_context(|| format!("apply policies.{}", policy.name))?;
            policies.insert(now.name.clone(), now);
            self.print(&step)?;
        }
        for deployment in manifest.deployments {
            let section = deployment.section();
            let step = apply_deployment(&client, deployment, &mut policies).await;
            self.print(&step.with_context(|| format!("apply {section}"))?)?;
        }
        Ok(())
    }

    fn print(&self, step: &Step) -> io::Result<()> {
        let mut out = io::stdout();
        if self.connection.output == Output::Json {
            return writeln!(out, "{}", serde_json::to_string(step).expect("plain fields"));
        }
        let change = match step.change {
            Change::Created => "created",
            Change::Changed => "changed",
            Change::Unchanged => "unchanged",
        };
        let revision = step.revision.map(|n| format!(", revision {n}")).unwrap_or_default();
        writeln!(out, "{change:9}  {} {}{revision}", step.kind, step.name)
    }
}

fn check_files(manifest: &Manifest) -> anyhow::Result<()> {
    for policy in &manifest.policies {
        artifact::check(&policy.file).with_context(|| format!("policies.{}", policy.name))?;
    }
    for deployment in &manifest.deployments {
        if let ComponentSource::File(path) = &deployment.component {
            artifact::check(path).with_context(|| deployment.section())?;
        }
    }
    Ok(())
}

async fn apply_policy(
    client: &Client,
    policy: &ManifestPolicy,
) -> anyhow::Result<(Step, api::Policy)> {
    let ManifestPolicy { name, file } = policy;
    let known = found(client.policy(name).await)?.map(|reply| reply.value);
    let step = |change| Step { kind: "policy", name: name.to_string(), change, revision: None };
    match known {
        Some(known) if known.digest == artifact::digest(file)? => {
            Ok((step(Change::Unchanged), known))
        }
        Some(_) => Ok((step(Change::Changed), artifact::push(client, name, file).await?.value)),
        None => Ok((step(Change::Created), artifact::push(client, name, file).await?.value)),
    }
}

async fn apply_deployment(
    client: &Client,
    deployment: ManifestDeployment,
    policies: &mut BTreeMap<PolicyName, api::Policy>,
) -> anyhow::Result<Step> {
    let section = deployment.section();
    let ManifestDeployment { name, component, spec } = deployment;
    let mut raw = spec;
    let component = component_of(client, &component).await?;
    raw.component = component.as_ref().map(|component| component.digest.to_string());
    let world = component.map_or(World::HttpService03, |component| component.world);
    let wanted = raw.clone().validate_below(&section, &name, world)?;
    let known = found(client.deployment(&name).await)?.map(|reply| reply.value);
    let step = |change, revision| Step {
        kind: "deployment",
        name: name.to_string(),
        change,
        revision: Some(revision),
    };
    if let Some(known) = &known
        && is_same(client, known, &wanted, policies).await?
    {
        return Ok(step(Change::Unchanged, known.revision));
    }
    let spinner = artifact::spinner(&format!("starting {name}"));
    let put = client.put_deployment(&name, &raw).await;
    spinner.finish_and_clear();
    let now = put?.value;
    now.warnings.iter().for_each(|warning| failure::warn(&format!("{name}: {warning}")));
    let change = if known.is_some() { Change::Changed } else { Change::Created };
    Ok(step(change, now.revision))
}

async fn component_of(
    client: &Client,
    source: &ComponentSource,
) -> anyhow::Result<Option<api::Component>> {
    match source {
        ComponentSource::Uploaded(digest) => Ok(Some(client.component(digest).await?.value)),
        ComponentSource::File(path) => artifact::upload(client, Path::new(path)).await.map(Some),
        ComponentSource::None => Ok(None),
    }
}

/// Whether the server holds this very spec already, and the newest component of its policy.
async fn is_same(
    client: &Client,
    known: &api::Deployment,
    wanted: &DeploymentSpec,
    policies: &mut BTreeMap<PolicyName, api::Policy>,
) -> anyhow::Result<bool> {
    let full = serde_json::to_value(wanted).context("write the spec as JSON")?;
    if known.spec != full {
        return Ok(false);
    }
    let name = &wanted.scaling.policy;
    if !policies.contains_key(name) {
        policies.insert(name.clone(), client.policy(name).await?.value);
    }
    Ok(policies[name].digest == known.policy.digest)
}

/// The answer, or `None` when the server does not know the thing.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_in_the_help_is_a_manifest() {
        let (_, manifest) = EXAMPLES.split_once('\n').unwrap();
        let (manifest, _) = manifest.split_once("What is not").unwrap();
        let manifest = Manifest::parse(manifest, Path::new("")).unwrap();
        assert_eq!((manifest.policies.len(), manifest.deployments.len()), (1, 2));
    }
}
