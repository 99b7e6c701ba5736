//! `samovar.toml`: the deployments and policies that `samovar apply` makes so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use crate::spec::{
    self, DeploymentName, Digest, PolicyName, RawSpec, SpecError, SpecErrorKind, World,
};

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawManifest {
    deployments: BTreeMap<DeploymentName, RawSpec>,
    policies: BTreeMap<PolicyName, RawPolicy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    file: PathBuf,
}

/// A checked manifest. Both lists are ordered by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub policies: Vec<ManifestPolicy>,
    pub deployments: Vec<ManifestDeployment>,
}

/// A policy to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPolicy {
    pub name: PolicyName,
    pub file: PathBuf,
}

/// A deployment to put.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestDeployment {
    pub name: DeploymentName,
    pub component: ComponentSource,
    /// The spec as written, without `component`. It was checked with a stand-in for that.
    pub spec: RawSpec,
}

/// Where the component of a deployment comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentSource {
    /// It was uploaded before.
    Uploaded(Digest),
    /// It has to be uploaded.
    File(PathBuf),
    /// There is none: its replicas are processes or workers.
    None,
}

impl ManifestDeployment {
    /// The name of this part of the manifest, for errors.
    pub fn section(&self) -> String {
        section(&self.name)
    }
}

fn section(name: &DeploymentName) -> String {
    format!("deployments.{name}")
}

impl Manifest {
    /// Reads and checks a manifest. Relative paths in it start from its own folder.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is wrong. The files it names are not looked at.
    pub fn read(path: &Path) -> Result<Manifest, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Manifest::parse(&text, folder)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })
    }

    /// Checks the text of a manifest whose relative paths start from `folder`.
    ///
    /// # Errors
    ///
    /// The first mistake, named by its path in the manifest.
    pub fn parse(text: &str, folder: &Path) -> Result<Manifest, SpecError> {
        let raw: RawManifest = spec::read_toml(text, "")?;
        if raw.deployments.is_empty() && raw.policies.is_empty() {
            return Err(SpecError::syntax("there is no deployment and no policy in it").with_hint(
                "write a section like [deployments.thumbnail] with component = \"thumbnail.wasm\"",
            ));
        }
        let policy = |(name, raw): (PolicyName, RawPolicy)| ManifestPolicy {
            name,
            file: folder.join(raw.file),
        };
        let deployments = raw.deployments.into_iter();
        Ok(Manifest {
            policies: raw.policies.into_iter().map(policy).collect(),
            deployments: deployments
                .map(|(name, spec)| deployment(name, spec, folder))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The folder from the root, where the manifest can be found again by the server.
fn absolute(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

fn deployment(
    name: DeploymentName,
    mut spec: RawSpec,
    folder: &Path,
) -> Result<ManifestDeployment, SpecError> {
    let root = section(&name);
    let component = match spec.component.take() {
        Some(text) if text.starts_with("sha256:") => {
            let wrong = |source: spec::ParseError| SpecError {
                kind: SpecErrorKind::InvalidField,
                field: format!("{root}.component"),
                problem: source.to_string(),
                hint: None,
            };
            ComponentSource::Uploaded(text.parse().map_err(wrong)?)
        }
        Some(path) => ComponentSource::File(folder.join(path)),
        None if spec.process.is_some() || spec.worker.is_some() => ComponentSource::None,
        None => {
            return Err(SpecError::invalid(format!("{root}.component"), "is missing")
                .with_hint("name a file like \"thumbnail.wasm\", or a digest; or a `process`"));
        }
    };
    spec.anchor(&absolute(folder));
    // The digest and the world are known later; until then those that forbid nothing stand in.
    let stand_in = match component {
        ComponentSource::None => spec.clone(),
        ComponentSource::File(_) | ComponentSource::Uploaded(_) => {
            RawSpec { component: Some(Digest::of(b"").to_string()), ..spec.clone() }
        }
    };
    stand_in.validate_below(&root, &name, World::HttpService03)?;
    Ok(ManifestDeployment { name, component, spec })
}
