//! Deploying, redeploying, deleting, and coming back after a restart.

use super::live_policy::{publish, scaling};
use super::revisions::LATE;
use super::{Control, not_found};
use crate::api::{self, ApiError, ErrorCode, PolicyVersion, Via};
use crate::clock;
use crate::deployment::{Deployment, History, Parts, Revision, Scaling, Shadow};
use crate::spec::{DeploymentName, DeploymentSpec, Digest, PolicyName, RawSpec, Runs, World};
use crate::store::{DeploymentRecord, JsonText, PolicyUse, PolicyVersionRecord};
use crate::wasm::inspect::Kind;
use samovar_core::time::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// How long stopping waits for rented machines to be given back.
const GIVE_BACK_MAX: Duration = Duration::from_secs(60);

impl Control {
    /// Makes a spec live. True if the name is new. Answers when the new revision serves; on any
    /// failure the one before stays.
    ///
    /// # Errors
    ///
    /// Everything that can be wrong with a spec, its component or its policy.
    pub async fn put_deployment(
        self: &Arc<Self>,
        name: &DeploymentName,
        raw: RawSpec,
    ) -> Result<(bool, api::Deployment), ApiError> {
        let _changing = self.change("deployment", name.as_str()).await;
        let world = match raw.component {
            Some(_) => Some(
                self.world(&raw.component_digest()?, Kind::Handler)
                    .map_err(|error| error.with_field("spec.component"))?,
            ),
            None => None,
        };
        let spec = raw.validate(name, world.unwrap_or(World::HttpService03))?;
        self.check_batching(&spec)?;
        self.check_route(name, &spec)?;
        self.native.check(&spec)?;
        let existing = self.deployments.get(name);
        if let Some(deployment) = &existing
            && deployment.spec() == spec
            && self.has_policy(deployment, &spec)?
        {
            return Ok((false, deployment.to_api()));
        }
        let parts = existing.as_ref().map_or_else(Parts::default, |deployment| deployment.parts());
        let new_scaling = self.scaling_for(existing.as_deref(), &spec, &parts).await?;
        let number = existing.as_ref().map_or(1, |deployment| deployment.live().number + 1);
        let revision = match self.start_revision(name, number, spec, world, &parts).await {
            Ok(revision) => revision,
            Err(error) => {
                if let Some(deployment) = &existing {
                    self.native.unsettle_crew(deployment);
                }
                return Err(error);
            }
        };
        match existing {
            None => {
                let scaling = new_scaling.expect("a new deployment has a new policy");
                let now = clock::unix_ms();
                let policies = (History::new(&scaling), scaling);
                let deployment =
                    Deployment::new(name.clone(), Arc::clone(&revision), policies, parts, now);
                let saved = {
                    let (scaling, history) = (deployment.scaling.lock(), deployment.history.lock());
                    let record = record(&deployment, &revision, &scaling, &history, None);
                    self.stored(move |store| store.put_deployment(record))
                };
                if let Err(error) = saved.await {
                    deployment.delete();
                    return Err(error);
                }
                self.native.settle_crew(&deployment, &revision);
                self.deployments.add(Arc::clone(&deployment));
                self.drive(Arc::clone(&deployment), clock::now());
                Ok((true, deployment.to_api()))
            }
            Some(deployment) => {
                self.replace(&deployment, revision, new_scaling).await?;
                Ok((false, deployment.to_api()))
            }
        }
    }

    /// Makes a revision live in place of another.
    async fn replace(
        &self,
        deployment: &Arc<Deployment>,
        revision: Arc<Revision>,
        new_scaling: Option<Scaling>,
    ) -> Result<(), ApiError> {
        let history = deployment.history.lock().clone();
        let (history, shadow) = match &new_scaling {
            Some(scaling) => (history.with(scaling, Via::Deploy), deployment.shadow()),
            None => (history, deployment.shadow()),
        };
        let record = match &new_scaling {
            Some(scaling) => record(deployment, &revision, scaling, &history, shadow.as_deref()),
            None => {
                let scaling = deployment.scaling.lock();
                record(deployment, &revision, &scaling, &history, shadow.as_deref())
            }
        };
        if let Err(error) = self.stored(move |store| store.put_deployment(record)).await {
            revision.pool.close(clock::now());
            return Err(error);
        }
        let rerouted = deployment.live().spec.route != revision.spec.route;
        deployment.switch(Arc::clone(&revision));
        self.native.settle_crew(deployment, &revision);
        if let Some(scaling) = new_scaling {
            drop(publish(deployment, scaling, history));
        }
        if rerouted {
            self.deployments.reroute();
        }
        Ok(())
    }

    /// Takes no more requests, finishes those there are, forgets the deployment.
    ///
    /// # Errors
    ///
    /// `not-found`, or a failure of the store; then it stays.
    pub async fn delete_deployment(&self, name: &DeploymentName) -> Result<(), ApiError> {
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        let stored = name.to_string();
        self.stored(move |store| store.delete_deployment(&stored)).await?;
        self.deployments.remove(name);
        deployment.delete();
        self.keyvalue.remove(name).await;
        Ok(())
    }

    /// Closes all pools, so that native replicas end. Answers how long that may take.
    pub fn stop_replicas(&self) -> Duration {
        let mut longest = Duration::ZERO;
        for deployment in self.deployments.list() {
            let live = deployment.live();
            live.pool.close(clock::now());
            match &live.spec.runs {
                Runs::Process(process) => longest = longest.max(process.grace),
                // Its machine has to be given back.
                Runs::External if live.spec.fleet.is_some() => {
                    longest = longest.max(GIVE_BACK_MAX);
                }
                Runs::External | Runs::Component(_) => {}
            }
        }
        longest + LATE
    }

    /// Brings back what was deployed when the server stopped. A deployment that cannot come back is
    /// reported and left as it is on disk.
    pub async fn restore(self: &Arc<Self>) {
        let records = self.store.deployments();
        let names = records.iter().map(|record| record.name.clone()).collect();
        self.keyvalue.keep_only(&names).await;
        let mut restored = Vec::new();
        for record in records {
            let name = record.name.clone();
            match self.restore_one(record).await {
                Ok(deployment) => restored.push(deployment),
                Err(error) => tracing::error!(deployment = name, "cannot restore: {error}"),
            }
        }
        self.deployments.insert(restored.iter().map(Arc::clone));
        let count = u32::try_from(restored.len()).unwrap_or(u32::MAX);
        for (index, deployment) in (0..count).zip(restored) {
            let (live, now) = (deployment.live(), clock::now());
            live.pool.plan(now);
            // All over the interval: else thousands would tick at once, each second anew.
            let first = now + live.spec.scaling.interval / count * index;
            self.drive(deployment, first);
        }
    }

    async fn restore_one(&self, record: DeploymentRecord) -> Result<Arc<Deployment>, ApiError> {
        let broken = |error: serde_json::Error| {
            ApiError::new(ErrorCode::StorageFailed, format!("read the stored spec: {error}"))
        };
        let name: DeploymentName = record.name.parse().map_err(|error| {
            ApiError::new(ErrorCode::StorageFailed, format!("read the stored name: {error}"))
        })?;
        let spec: DeploymentSpec = record.spec.read().map_err(broken)?;
        let world = match spec.runs.component() {
            Some(component) => Some(self.world(&component, Kind::Handler)?),
            None => None,
        };
        let parts = Parts::default();
        let policy = spec.scaling.policy.clone();
        let program =
            self.library.program(self.chosen_digest(&policy, record.policy.digest)).await?;
        let ring = Arc::clone(&parts.ring);
        let (scaling, _) = scaling(&program, policy, config(record.policy.config), ring).await?;
        let versions = record.policy_versions.into_iter().filter_map(version).collect();
        if spec.runs == Runs::External {
            self.native.external(&name, &spec, &parts, None).sweep();
        }
        let revision = self.revision(&name, record.revision, spec, world, &parts)?;
        let policies = (History::restored(versions, &scaling), scaling);
        let deployment =
            Deployment::new(name, Arc::clone(&revision), policies, parts, record.created_at_ms);
        self.native.settle_crew(&deployment, &revision);
        deployment.set_held(record.held);
        revision.pool.hold(record.held, clock::now());
        if let Some(shadow) = record.shadow {
            self.restore_shadow(&deployment, shadow).await;
        }
        Ok(deployment)
    }

    /// A shadow that cannot come back is reported; the deployment serves without it.
    async fn restore_shadow(&self, deployment: &Arc<Deployment>, shadow: PolicyUse) {
        let restored = async {
            let policy: PolicyName = shadow.name.parse().map_err(|error| {
                ApiError::new(ErrorCode::StorageFailed, format!("read the stored name: {error}"))
            })?;
            let digest = self.chosen_digest(&policy, shadow.digest);
            let program = self.library.program(digest).await?;
            let config = config(shadow.config);
            let ring = Arc::clone(&deployment.ring);
            let (scaling, _) = scaling(&program, policy, config, ring).await?;
            Ok::<_, ApiError>(Shadow::new(scaling.policy, scaling.config, scaling.scaler, 0))
        };
        match restored.await {
            Ok(shadow) => deployment.set_shadow(Some(shadow)),
            Err(error) => {
                tracing::error!(deployment = %deployment.name, "cannot restore the shadow: {error}");
            }
        }
    }

    /// Whether the live policy is what a spec asks for: the component its name stands for now, with
    /// its settings.
    fn has_policy(&self, deployment: &Deployment, spec: &DeploymentSpec) -> Result<bool, ApiError> {
        let wanted = &spec.scaling;
        let digest = self
            .policy_digest(&wanted.policy)
            .map_err(|error| error.with_field("spec.scaling.policy"))?;
        let live = deployment.scaling.lock();
        Ok(live.digest() == digest && live.policy == wanted.policy && live.config == wanted.config)
    }

    /// The policy for a spec: a new one, or none if the live one is what it asks for.
    async fn scaling_for(
        &self,
        existing: Option<&Deployment>,
        spec: &DeploymentSpec,
        parts: &Parts,
    ) -> Result<Option<Scaling>, ApiError> {
        if let Some(deployment) = existing
            && self.has_policy(deployment, spec)?
        {
            return Ok(None);
        }
        let wanted = &spec.scaling;
        let digest = self
            .policy_digest(&wanted.policy)
            .map_err(|error| error.with_field("spec.scaling.policy"))?;
        let program = self.library.program(digest).await?;
        let ring = Arc::clone(&parts.ring);
        let made = scaling(&program, wanted.policy.clone(), wanted.config.clone(), ring).await;
        let (scaling, _) = made.map_err(|error| error.with_field("spec.scaling.config"))?;
        Ok(Some(scaling))
    }

    /// Two deployments cannot have one route.
    fn check_route(&self, name: &DeploymentName, spec: &DeploymentSpec) -> Result<(), ApiError> {
        let routes = self.deployments.routes();
        match routes.find(&spec.route) {
            Some((other, _)) if other.name != *name && other.live().spec.route == spec.route => {
                let message = format!("the route {} belongs to `{}`", spec.route, other.name);
                Err(ApiError::new(ErrorCode::NameTaken, message).with_field("spec.route"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn drive(&self, deployment: Arc<Deployment>, first: Timestamp) {
        self.loops.drive(deployment, Arc::clone(&self.slots), first);
    }

    /// The last decisions of one deployment.
    ///
    /// # Errors
    ///
    /// `not-found`.
    pub fn decisions(
        &self,
        name: &DeploymentName,
        limit: usize,
    ) -> Result<Vec<api::Decision>, ApiError> {
        let deployment = self.deployments.get(name).ok_or_else(|| not_found("deployment", name))?;
        Ok(deployment.decisions(limit))
    }
}

/// What is stored of a deployment with this revision and these policies.
pub(super) fn record(
    deployment: &Deployment,
    revision: &Revision,
    scaling: &Scaling,
    history: &History,
    shadow: Option<&Shadow>,
) -> DeploymentRecord {
    // The policy of a swap stands in the stored spec too, so that it comes back after a restart.
    let spec = scaling.in_spec(&revision.spec);
    DeploymentRecord {
        name: deployment.name.to_string(),
        revision: revision.number,
        spec: JsonText::of(&spec),
        component: spec.runs.component(),
        policy: policy_use(&scaling.policy, scaling.digest(), &scaling.config),
        policy_versions: history.versions().iter().map(version_record).collect(),
        held: deployment.held(),
        shadow: shadow.map(|shadow| {
            policy_use(&shadow.policy, shadow.scaler.program().digest, &shadow.config)
        }),
        created_at_ms: deployment.created_at_ms,
        updated_at_ms: clock::unix_ms(),
    }
}

fn policy_use(name: &PolicyName, digest: Digest, config: &Map<String, Value>) -> PolicyUse {
    PolicyUse { name: name.to_string(), digest, config: Value::Object(config.clone()) }
}

fn version_record(version: &PolicyVersion) -> PolicyVersionRecord {
    PolicyVersionRecord {
        version: version.version,
        policy: policy_use(&version.name, version.digest, &version.config),
        since_ms: version.since_ms,
        via: version.via.as_str().to_owned(),
    }
}

/// A stored version; none if a newer server wrote what this one does not know.
fn version(record: PolicyVersionRecord) -> Option<PolicyVersion> {
    Some(PolicyVersion {
        version: record.version,
        name: record.policy.name.parse().ok()?,
        digest: record.policy.digest,
        config: config(record.policy.config),
        since_ms: record.since_ms,
        via: Via::from_text(&record.via)?,
    })
}

fn config(stored: Value) -> Map<String, Value> {
    match stored {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}
