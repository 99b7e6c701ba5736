//! The policy that decides for a deployment, the one in its shadow, and those it had before.
//!
//! Every change goes the same way: make the policy, feed it the past, write the record, publish,
//! and only then let go of the one before. On any failure that one stays.

use super::{Control, not_found};
use crate::api::{self, ApiError, ErrorCode, Via};
use crate::clock;
use crate::deployment::{Deployment, History, Scaling, Shadow};
use crate::logs::LogStream;
use crate::policy::host::Replayed;
use crate::policy::{Program, Scaler};
use crate::spec::{DeploymentName, PolicyName};
use parking_lot::Mutex;
use samovar_core::ring::Ring;
use samovar_core::target::Wish;
use samovar_core::time::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A policy that is about to go live.
struct Next {
    scaling: Scaling,
    via: Via,
    /// The shadow afterwards.
    shadow: Option<Arc<Shadow>>,
    /// Observations of the past it knows.
    replayed: u64,
    /// What it would have answered last, for the log.
    last: Option<Wish>,
}

impl Control {
    /// Makes a policy live for a deployment.
    ///
    /// # Errors
    ///
    /// `not-found`, `policy-create-failed`, `policy-replay-failed`, or a failure of the store.
    pub async fn set_policy(
        &self,
        name: &DeploymentName,
        set: api::SetPolicy,
    ) -> Result<api::PolicySwapped, ApiError> {
        let started = clock::now();
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        let program = self.library.program(self.policy_digest(&set.policy)?).await?;
        let ring = Arc::clone(&deployment.ring);
        let made = scaling(&program, set.policy, set.config, ring).await?;
        self.go_live(&deployment, Next::swap(made, Via::Swap, &deployment), started).await
    }

    /// Makes an earlier policy live again, with the settings it had.
    ///
    /// # Errors
    ///
    /// `not-found`, also for a version the deployment never had, or as [`Control::set_policy`].
    pub async fn rollback_policy(
        &self,
        name: &DeploymentName,
        to: Option<u64>,
    ) -> Result<api::PolicySwapped, ApiError> {
        let started = clock::now();
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        let earlier = deployment.history.lock().get(to).cloned();
        let earlier = earlier.ok_or_else(|| match to {
            Some(version) => not_found("policy version", version)
                .with_hint(format!("`samovar policy versions {name}` shows those there are")),
            None => ApiError::new(
                ErrorCode::NotFound,
                format!("`{name}` has had no other policy than the live one"),
            ),
        })?;
        let digest = self.chosen_digest(&earlier.name, earlier.digest);
        let program = self.library.program(digest).await?;
        let ring = Arc::clone(&deployment.ring);
        let made = scaling(&program, earlier.name, earlier.config, ring).await?;
        self.go_live(&deployment, Next::swap(made, Via::Rollback, &deployment), started).await
    }

    /// Makes the shadow live. It goes on with the state it has.
    ///
    /// # Errors
    ///
    /// `not-found`, also when there is no shadow, or a failure of the store.
    pub async fn promote_shadow(
        &self,
        name: &DeploymentName,
    ) -> Result<api::PolicySwapped, ApiError> {
        let started = clock::now();
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        let shadow = deployment.shadow().ok_or_else(|| no_shadow(name))?;
        let known = shadow.to_api();
        let next = Next {
            scaling: Scaling {
                policy: shadow.policy.clone(),
                config: shadow.config.clone(),
                scaler: Arc::clone(&shadow.scaler),
                last_error: None,
            },
            via: Via::Promote,
            shadow: None,
            replayed: known.replayed + known.compared,
            last: None,
        };
        self.go_live(&deployment, next, started).await
    }

    /// Puts a policy in the shadow of a deployment's live one, in place of another one there.
    ///
    /// # Errors
    ///
    /// As [`Control::set_policy`].
    pub async fn set_shadow(
        &self,
        name: &DeploymentName,
        set: api::SetPolicy,
    ) -> Result<api::Shadow, ApiError> {
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        let program = self.library.program(self.policy_digest(&set.policy)?).await?;
        let text = Value::Object(set.config.clone()).to_string();
        let ring = Arc::clone(&deployment.ring);
        let (scaler, replayed) = Scaler::create(&program, text, ring).await?;
        let fed = replayed.observations as u64;
        let shadow = Shadow::new(set.policy, set.config, Arc::new(scaler), fed);
        self.save(&deployment, Some(&shadow)).await?;
        let answer = shadow.to_api();
        deployment.set_shadow(Some(shadow));
        Ok(answer)
    }

    /// The policy in the shadow.
    ///
    /// # Errors
    ///
    /// `not-found`, also when there is none.
    pub fn shadow(&self, name: &DeploymentName) -> Result<api::Shadow, ApiError> {
        let shadow = self.deployment(name)?.shadow().ok_or_else(|| no_shadow(name))?;
        Ok(shadow.to_api())
    }

    /// Takes the policy in the shadow away.
    ///
    /// # Errors
    ///
    /// `not-found`, also when there is none, or a failure of the store; then it stays.
    pub async fn delete_shadow(&self, name: &DeploymentName) -> Result<(), ApiError> {
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        deployment.shadow().ok_or_else(|| no_shadow(name))?;
        self.save(&deployment, None).await?;
        deployment.set_shadow(None);
        Ok(())
    }

    /// The policies a deployment has had, the live one last.
    ///
    /// # Errors
    ///
    /// `not-found`.
    pub fn policy_versions(&self, name: &DeploymentName) -> Result<api::PolicyVersions, ApiError> {
        let deployment = self.deployment(name)?;
        let versions = deployment.history.lock().versions().to_vec();
        Ok(api::PolicyVersions { versions })
    }

    async fn go_live(
        &self,
        deployment: &Arc<Deployment>,
        next: Next,
        started: Timestamp,
    ) -> Result<api::PolicySwapped, ApiError> {
        let Next { scaling, via, shadow, replayed, last } = next;
        let history = deployment.history.lock().with(&scaling, via);
        let revision = deployment.live();
        let record = super::deployments::record(
            deployment,
            &revision,
            &scaling,
            &history,
            shadow.as_deref(),
        );
        self.stored(move |store| store.put_deployment(record)).await?;
        let (before, live) = publish(deployment, scaling, history);
        deployment.set_shadow(shadow);
        let previous = api::PreviousPolicy { name: before.policy.clone(), digest: before.digest() };
        note_swap(deployment, &previous, &live, replayed, last);
        let took = clock::now().since(started);
        let took_ms = took.as_secs_f64() * 1000.0;
        let version = deployment.history.lock().live().version;
        Ok(api::PolicySwapped { policy: live, version, replayed, took_ms, previous })
    }

    /// Writes a deployment's record as it is, with this shadow.
    pub(super) async fn save(
        &self,
        deployment: &Arc<Deployment>,
        shadow: Option<&Shadow>,
    ) -> Result<(), ApiError> {
        let record = {
            let (scaling, history) = (deployment.scaling.lock(), deployment.history.lock());
            super::deployments::record(deployment, &deployment.live(), &scaling, &history, shadow)
        };
        self.stored(move |store| store.put_deployment(record)).await
    }
}

impl Next {
    /// A policy that was made anew.
    fn swap((scaling, replayed): (Scaling, Replayed), via: Via, deployment: &Deployment) -> Self {
        Next {
            scaling,
            via,
            shadow: deployment.shadow(),
            replayed: replayed.observations as u64,
            last: replayed.last.map(|answer| answer.wish),
        }
    }
}

fn no_shadow(name: &DeploymentName) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("`{name}` has no policy in the shadow"))
        .with_hint(format!("start one with `samovar policy shadow {name} POLICY`"))
}

/// Makes a policy's state for a deployment, with its past in it.
pub(super) async fn scaling(
    program: &Arc<Program>,
    policy: PolicyName,
    config: Map<String, Value>,
    ring: Arc<Mutex<Ring>>,
) -> Result<(Scaling, Replayed), ApiError> {
    let text = Value::Object(config.clone()).to_string();
    let (scaler, replayed) = Scaler::create(program, text, ring).await?;
    let scaling = Scaling { policy, config, scaler: Arc::new(scaler), last_error: None };
    Ok((scaling, replayed))
}

/// Tells in the log what changed, and what the new policy would have answered last.
fn note_swap(
    deployment: &Deployment,
    previous: &api::PreviousPolicy,
    live: &api::PolicyRef,
    replayed: u64,
    last: Option<Wish>,
) {
    let wish = match last {
        Some(Wish::Replicas(wanted)) => format!(", it wants {wanted} replicas"),
        Some(Wish::Hold) => ", it wants to hold".to_owned(),
        None => String::new(),
    };
    let text = format!(
        "policy {} -> {}: knows {replayed} observations{wish}; the target was {}",
        previous.name,
        live.name,
        deployment.counts().target,
    );
    deployment.log.push(None, LogStream::System, text);
}

/// The new policy is live from here on. Answers with the one before.
pub(super) fn publish(
    deployment: &Deployment,
    scaling: Scaling,
    history: History,
) -> (Scaling, api::PolicyRef) {
    let mut live = deployment.scaling.lock();
    let before = std::mem::replace(&mut *live, scaling);
    let now = live.to_api();
    *deployment.history.lock() = history;
    drop(live);
    deployment.policy_counts.swaps.fetch_add(1, Ordering::Relaxed);
    deployment.attention.notify_one();
    (before, now)
}
