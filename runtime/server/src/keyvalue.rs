//! The store behind `wasi:keyvalue`: one file for all deployments, beside the rest of the data.

use crate::clock;
use crate::spec::{DeploymentName, KeyValueSpec};
use samovar_keyvalue::{KeyValue, Settings, Space, Usage};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The file in the data folder.
const FILE: &str = "keyvalue.redb";
/// How often expired values are looked for, and how many go in one step.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
const SWEEP_MAX: usize = 1000;

/// The store of the server; empty if its file could not be opened.
pub struct Values(Option<Arc<KeyValue>>);

impl Values {
    /// Opens the store. A file that cannot be used is reported and left as it is: handlers are told
    /// that there is no store, and everything else goes on.
    pub fn open(data: &Path) -> Self {
        match KeyValue::open(data.join(FILE)) {
            Ok(store) => {
                let store = Arc::new(store);
                tokio::spawn(sweep(Arc::downgrade(&store)));
                Values(Some(store))
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!("handlers have no key-value store: {error:#}");
                Values(None)
            }
        }
    }

    /// What a deployment has and may have.
    pub fn space(&self, name: &DeploymentName, spec: &KeyValueSpec) -> Option<Space> {
        let settings = Settings {
            quota_bytes: spec.quota,
            value_bytes_max: spec.value_max,
            ttl: spec.ttl.limit(),
            ..Settings::default()
        };
        Some(self.0.as_ref()?.deployment(name.as_str(), settings))
    }

    /// What a deployment has stored.
    pub fn usage(&self, name: &DeploymentName) -> Usage {
        self.0.as_ref().map(|store| store.usage(name.as_str())).unwrap_or_default()
    }

    /// Removes all values of a deployment.
    pub async fn remove(&self, name: &DeploymentName) {
        let Some(store) = &self.0 else { return };
        if let Err(error) = store.remove_deployment(name.as_str()).await {
            tracing::error!(deployment = %name, "cannot remove its key-values: {error}");
        }
    }

    /// Removes the values of deployments that are not there any more: the server ended between the
    /// two removals.
    pub async fn keep_only(&self, names: &BTreeSet<String>) {
        let Some(store) = &self.0 else { return };
        for name in store.deployments() {
            if !names.contains(&name)
                && let Err(error) = store.remove_deployment(&name).await
            {
                tracing::error!(deployment = name, "cannot remove its key-values: {error}");
            }
        }
    }
}

/// Frees the room of what has expired, until the store is closed.
async fn sweep(store: Weak<KeyValue>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        loop {
            let Some(store) = store.upgrade() else { return };
            match store.sweep(clock::unix_ms(), SWEEP_MAX).await {
                Ok(swept) if swept.is_done => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("cannot remove expired key-values: {error}");
                    break;
                }
            }
        }
    }
}
