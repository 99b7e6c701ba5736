//! Uploading components.

use super::{Control, not_found};
use crate::api::{self, ApiError, ErrorCode};
use crate::clock;
use crate::library::blocking;
use crate::spec::{Digest, World};
use crate::store::{ComponentRecord, StoreError, Uploaded};
use crate::wasm::inspect::{self, Inspection, Kind};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Chunks of an upload that may wait for the disk.
const CHUNKS_WAITING_MAX: usize = 8;

impl Control {
    /// Takes an upload in, checks, compiles and stores it. True if it is new.
    ///
    /// # Errors
    ///
    /// Everything that can be wrong with an upload, also that it is not of the `expected` kind.
    /// Nothing is stored then.
    pub async fn put_component(
        &self,
        expected: Option<Kind>,
        body: impl Stream<Item = Result<Bytes, String>> + Send,
    ) -> Result<(bool, api::Component), ApiError> {
        let uploaded = self.receive(body).await?;
        let digest = uploaded.digest();
        let _changing = self.change("component", &digest.hex()).await;
        let wasm = uploaded.path().to_owned();
        let inspection = blocking(move || {
            let bytes = std::fs::read(&wasm).map_err(|error| {
                let message = format!("read the upload again: {error}");
                ApiError::new(ErrorCode::StorageFailed, message)
            })?;
            inspect::inspect(&bytes)
        });
        let inspection = inspection.await??;
        check_kind(&digest, inspection.world, expected)?;
        let admitted = self.library.admit(digest, inspection.world, uploaded.path()).await;
        if admitted.is_err() && self.store.component(&digest).is_none() {
            self.stored(move |store| store.sweep_code(|key| !key.starts_with(&digest.hex())))
                .await?;
        }
        admitted?;
        let record = record(&uploaded, inspection);
        let component = to_api(&record)?;
        let is_new = self.stored(move |store| store.commit_component(uploaded, record)).await?;
        Ok((is_new, component))
    }

    /// Writes an upload to disk, hashing it on the way.
    async fn receive(
        &self,
        body: impl Stream<Item = Result<Bytes, String>> + Send,
    ) -> Result<Uploaded, ApiError> {
        let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_WAITING_MAX);
        let store = Arc::clone(&self.store);
        let limit = self.component_bytes_max;
        let writer = tokio::task::spawn_blocking(move || {
            let mut upload = store.begin_upload(limit)?;
            while let Some(chunk) = chunks.blocking_recv() {
                upload.write(&chunk)?;
            }
            Ok::<_, StoreError>(upload)
        });
        let mut broken = None;
        let mut body = pin!(body);
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => {
                    if sender.send(chunk).await.is_err() {
                        break; // The writer has failed; it says why.
                    }
                }
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let upload = writer.await.map_err(|error| {
            ApiError::new(ErrorCode::StorageFailed, format!("the writer failed: {error}"))
        })??;
        if let Some(error) = broken {
            let message = format!("the upload broke off: {error}");
            return Err(ApiError::new(ErrorCode::TruncatedComponent, message));
        }
        Ok(blocking(move || upload.finish()).await??)
    }

    /// All components, by digest.
    pub fn components(&self) -> Vec<api::Component> {
        self.store.components().iter().filter_map(|record| to_api(record).ok()).collect()
    }

    /// One component.
    ///
    /// # Errors
    ///
    /// `not-found`.
    pub fn component(&self, digest: &Digest) -> Result<api::Component, ApiError> {
        let record = self.store.component(digest).ok_or_else(|| not_found("component", digest))?;
        to_api(&record)
    }

    /// Forgets a component nobody uses.
    ///
    /// # Errors
    ///
    /// `not-found`, `component-in-use` with its users, or a failure of the store.
    pub async fn delete_component(&self, digest: Digest) -> Result<(), ApiError> {
        let _changing = self.change("component", &digest.hex()).await;
        self.stored(move |store| store.delete_component(&digest)).await
    }

    /// The world of a stored component, which must be of this kind.
    pub(super) fn world(&self, digest: &Digest, kind: Kind) -> Result<World, ApiError> {
        let world = self.component(digest)?.world;
        check_kind(digest, world, Some(kind))?;
        Ok(world)
    }
}

/// Whether a component of this world can be used as `expected`.
fn check_kind(digest: &Digest, world: World, expected: Option<Kind>) -> Result<(), ApiError> {
    let digest = digest.short();
    match (expected, Kind::from(world)) {
        (Some(Kind::Handler), Kind::Policy) => {
            let message = format!("component {digest} is a scaling policy, not a handler");
            let hint = "push it with `samovar policy push`, then `samovar policy swap`";
            Err(ApiError::new(ErrorCode::NotAHandler, message).with_hint(hint))
        }
        (Some(Kind::Policy), Kind::Handler) => {
            let message = format!("component {digest} is a handler, not a scaling policy");
            let hint = "it must export `samovar:policy/scaling@0.1.x`; deploy handlers with \
                        `samovar deploy`";
            Err(ApiError::new(ErrorCode::NotAPolicy, message).with_hint(hint))
        }
        (None, _) | (Some(Kind::Handler), Kind::Handler) | (Some(Kind::Policy), Kind::Policy) => {
            Ok(())
        }
    }
}

fn record(uploaded: &Uploaded, inspection: Inspection) -> ComponentRecord {
    ComponentRecord {
        digest: uploaded.digest(),
        kind: Kind::from(inspection.world).as_str().to_owned(),
        world: inspection.world.to_string(),
        size_bytes: uploaded.size_bytes(),
        imports: inspection.imports,
        exports: inspection.exports,
        created_at_ms: clock::unix_ms(),
    }
}

fn to_api(record: &ComponentRecord) -> Result<api::Component, ApiError> {
    let world = serde_json::from_value::<World>(record.world.clone().into()).map_err(|_| {
        let message = format!("component {} was stored by another version", record.digest);
        ApiError::new(ErrorCode::StorageFailed, message)
    })?;
    Ok(api::Component {
        digest: record.digest,
        kind: match Kind::from(world) {
            Kind::Handler => api::ComponentKind::Handler,
            Kind::Policy => api::ComponentKind::Policy,
        },
        world,
        size_bytes: record.size_bytes,
        imports: record.imports.clone(),
        exports: record.exports.clone(),
    })
}
