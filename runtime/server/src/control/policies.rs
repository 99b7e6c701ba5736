//! Policies: naming them, and making one live for a deployment.

use super::{Control, not_found};
use crate::api::{self, ApiError, ErrorCode};
use crate::clock;
use crate::deployment::{Deployment, Scaling};
use crate::library::BUILTINS;
use crate::logs::LogStream;
use crate::policy::host::Replayed;
use crate::policy::{Program, Scaler};
use crate::spec::{DeploymentName, Digest, PolicyName};
use crate::store::PolicyRecord;
use crate::wasm::inspect::Kind;
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use samovar_core::ring::Ring;
use samovar_core::target::Wish;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Control {
    /// Uploads a policy and gives it a name. Deployments that use the name keep what they have until
    /// they are swapped. True if the name is new.
    ///
    /// # Errors
    ///
    /// Everything that can be wrong with an upload; `name-taken` for a built-in name.
    pub async fn put_policy(
        &self,
        name: &PolicyName,
        body: impl Stream<Item = Result<Bytes, String>> + Send,
    ) -> Result<(bool, api::Policy), ApiError> {
        if self.library.builtin(name.as_str()).is_some() {
            let message = format!("`{name}` is a built-in policy");
            let error = ApiError::new(ErrorCode::NameTaken, message);
            return Err(error.with_hint("push yours under another name"));
        }
        let (_, component) = self.put_component(Some(Kind::Policy), body).await?;
        let program = self.library.program(component.digest).await?;
        let _changing = self.change("policy", name.as_str()).await;
        let is_new = self.store.policy(name.as_str()).is_none();
        let record = PolicyRecord {
            name: name.to_string(),
            digest: component.digest,
            description: serde_json::to_value(&program.description).expect("it is plain data"),
            created_at_ms: clock::unix_ms(),
        };
        self.stored(move |store| store.put_policy(record)).await?;
        Ok((is_new, self.policy(name).await?))
    }

    /// One policy.
    ///
    /// # Errors
    ///
    /// `not-found`.
    pub async fn policy(&self, name: &PolicyName) -> Result<api::Policy, ApiError> {
        let digest = self.policy_digest(name)?;
        let builtin = self.library.builtin(name.as_str()).is_some();
        let description = match self.store.policy(name.as_str()).filter(|_| !builtin) {
            Some(record) => serde_json::from_value(record.description).map_err(|error| {
                let message = format!("read policy `{name}`: {error}");
                ApiError::new(ErrorCode::StorageFailed, message)
            })?,
            None => self.library.program(digest).await?.description.clone(),
        };
        let deployments = self.deployments.list().into_iter();
        let used_by = deployments
            .filter(|deployment| deployment.scaling.lock().policy == *name)
            .map(|deployment| deployment.name.clone());
        let used_by = used_by.collect();
        Ok(api::Policy { name: name.clone(), digest, description, builtin, used_by })
    }

    /// All policies, built-in ones first.
    ///
    /// # Errors
    ///
    /// When a record cannot be read.
    pub async fn policies(&self) -> Result<Vec<api::Policy>, ApiError> {
        let builtin = BUILTINS.iter().map(|builtin| builtin.name.to_owned());
        let pushed = self.store.policies().into_iter().map(|record| record.name);
        let mut policies = Vec::new();
        for name in builtin.chain(pushed) {
            if let Ok(name) = name.parse::<PolicyName>() {
                policies.push(self.policy(&name).await?);
            }
        }
        Ok(policies)
    }

    /// Forgets a pushed policy's name. Deployments that use it keep it.
    ///
    /// # Errors
    ///
    /// `not-found`, `name-taken` for a built-in policy, or a failure of the store.
    pub async fn delete_policy(&self, name: &PolicyName) -> Result<(), ApiError> {
        if self.library.builtin(name.as_str()).is_some() {
            let message = format!("`{name}` is a built-in policy and cannot be deleted");
            return Err(ApiError::new(ErrorCode::NameTaken, message));
        }
        let _changing = self.change("policy", name.as_str()).await;
        let stored = name.to_string();
        self.stored(move |store| store.delete_policy(&stored)).await
    }

    /// The component a name stands for now.
    pub(super) fn policy_digest(&self, name: &PolicyName) -> Result<Digest, ApiError> {
        if let Some((digest, _)) = self.library.builtin(name.as_str()) {
            return Ok(digest);
        }
        let record = self.store.policy(name.as_str()).ok_or_else(|| {
            not_found("policy", name).with_hint("`samovar policy list` shows those there are")
        })?;
        Ok(record.digest)
    }

    /// Makes a policy live for a deployment: create, replay, publish, and only then let go of the
    /// one before. On any failure that one stays.
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
        let digest = self.policy_digest(&set.policy)?;
        let program = self.library.program(digest).await?;
        let ring = Arc::clone(&deployment.ring);
        let (scaling, replayed) = scaling(&program, set.policy, set.config, ring).await?;
        self.save(&deployment, &deployment.live(), &scaling).await?;
        let (before, live) = publish(&deployment, scaling);
        let previous = api::PreviousPolicy { name: before.policy.clone(), digest: before.digest() };
        let took = clock::now().since(started);
        note_swap(&deployment, &previous, &live, &replayed);
        Ok(api::PolicySwapped {
            policy: live,
            replayed: replayed.observations as u64,
            took_ms: took.as_secs_f64() * 1000.0,
            previous,
        })
    }
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
    replayed: &Replayed,
) {
    let wish = match replayed.last.as_ref().map(|answer| answer.wish) {
        Some(Wish::Replicas(wanted)) => format!("{wanted} replicas"),
        Some(Wish::Hold) => "to hold".to_owned(),
        None => "nothing yet".to_owned(),
    };
    let count = replayed.observations;
    let text = format!(
        "policy {} -> {}: after {count} observations it wants {wish}, the target was {}",
        previous.name,
        live.name,
        deployment.counts().target,
    );
    deployment.log.push(None, LogStream::System, text);
}

/// The new policy is live from here on. Answers with the one before.
pub(super) fn publish(deployment: &Deployment, scaling: Scaling) -> (Scaling, api::PolicyRef) {
    let mut live = deployment.scaling.lock();
    let before = std::mem::replace(&mut *live, scaling);
    let now = live.to_api();
    drop(live);
    deployment.policy_counts.swaps.fetch_add(1, Ordering::Relaxed);
    deployment.attention.notify_one();
    (before, now)
}
