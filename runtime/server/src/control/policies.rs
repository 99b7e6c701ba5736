//! Policies by name.

use super::{Control, not_found};
use crate::api::{self, ApiError, ErrorCode};
use crate::clock;
use crate::library::BUILTINS;
use crate::spec::{Digest, PolicyName};
use crate::store::PolicyRecord;
use crate::wasm::inspect::Kind;
use bytes::Bytes;
use futures::Stream;

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

    /// The component of a policy that was chosen earlier. One that was built into another version of
    /// the server is the one of that name now.
    pub(super) fn chosen_digest(&self, name: &PolicyName, digest: Digest) -> Digest {
        match self.library.builtin(name.as_str()) {
            Some((now, _)) if self.store.component(&digest).is_none() => now,
            _ => digest,
        }
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
}
