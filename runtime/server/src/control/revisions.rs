//! Making revisions of deployments, and waiting until they serve.

use super::Control;
use super::surroundings::secrets;
use crate::api::{ApiError, ErrorCode};
use crate::clock;
use crate::deployment::{Parts, RequestLimits, Revision};
use crate::dispatch::Batches;
use crate::dispatch::front::{ColdStart, Docs, Front, Stand};
use crate::library::LazyCode;
use crate::logs::GuestOutput;
use crate::native;
use crate::slots::Demand;
use crate::spec::{
    self, BatchingSpec, ColdStartProxySpec, DeploymentName, DeploymentSpec, ProxyTo, Runs, World,
};
use crate::warm_pool::{PoolSettings, Shared, Source, WarmPool};
use crate::wasm::guest::GuestLimits;
use crate::wasm::replica::heavy::Heavy;
use crate::wasm::replica::{End, Instance, Making};
use crate::wasm::surroundings::Surroundings;
use samovar_core::limits::{BatchLimits, PoolLimits};
use samovar_schema::{Described, Page, Schema};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a component must export to get batches.
const BATCH_EXPORT: &str = "samovar:handler/batch@0.1.";
/// How often a deployment that is being started is looked at.
const READY_POLL: Duration = Duration::from_millis(5);
/// How much longer to wait for a native replica than it has time to start.
pub(super) const LATE: Duration = Duration::from_secs(5);

impl Control {
    /// Makes a revision and waits until the replicas it starts with are ready. One instance is made
    /// in any case, so that a component that cannot start is refused now and not at its first
    /// request.
    pub(super) async fn start_revision(
        &self,
        name: &DeploymentName,
        number: u64,
        spec: DeploymentSpec,
        world: Option<World>,
        parts: &Parts,
    ) -> Result<Arc<Revision>, ApiError> {
        let mut start_timeout = spec.limits.start_timeout;
        let wanted = spec.initial_replicas.max(spec.replicas.min);
        match (world, spec.runs.component()) {
            (Some(world), Some(component)) if wanted == 0 => {
                let code = self.library.handler(component, called_as(&spec, world));
                let surroundings = self.surroundings(name, &spec, parts)?;
                try_start(&code, &spec, &surroundings, &self.heavy).await?;
            }
            (Some(_), _) => {}
            // A replica that is too late says so itself, with what it was waiting for.
            (None, _) => start_timeout += LATE,
        }
        let revision = self.revision(name, number, spec, world, parts)?;
        revision.pool.plan(clock::now());
        let until_ready = until_ready(&revision, wanted);
        let ready = tokio::time::timeout(start_timeout, until_ready).await;
        match ready {
            Ok(Ok(())) => Ok(revision),
            Ok(Err(reason)) => {
                revision.pool.close(clock::now());
                Err(start_failed(&reason))
            }
            Err(_) => {
                revision.pool.close(clock::now());
                Err(start_failed(&format!("{wanted} replicas were not ready in {start_timeout:?}")))
            }
        }
    }

    /// Makes a revision that has no replicas yet.
    ///
    /// # Errors
    ///
    /// `invalid-field` when a secret or a file with certificates is not there.
    pub(super) fn revision(
        &self,
        name: &DeploymentName,
        number: u64,
        spec: DeploymentSpec,
        world: Option<World>,
        parts: &Parts,
    ) -> Result<Arc<Revision>, ApiError> {
        let secrets = secrets(&spec)?;
        parts.log.hide(secrets.values());
        let workers = self.native.terms(name, &spec, parts);
        let source = match (&spec.runs, world) {
            (Runs::Component(component), Some(world)) => Source::Guest {
                code: self.library.handler(*component, called_as(&spec, world)),
                limits: guest_limits(&spec, &secrets),
                surroundings: self.surroundings(name, &spec, parts)?,
            },
            (Runs::Component(_), None) => unreachable!("a component has a world"),
            (Runs::Process(_), _) => {
                let source = self.native.process(name, &spec, secrets, parts, workers.as_ref());
                Source::Process(Box::new(source))
            }
            (Runs::External, _) => {
                Source::External(self.native.external(name, &spec, parts, workers.as_ref()))
            }
        };
        let request_limits = RequestLimits::from(&spec);
        let mut limits = PoolLimits::from(&spec);
        let mut batching = spec.batching.clone();
        if world == Some(World::Batch01) && batching.is_none() {
            batching = Some(alone());
            limits.batch = batching.as_ref().map(BatchLimits::from);
        }
        let caller = self.calls_others(&spec).then(|| Arc::<str>::from(name.as_str()));
        let registry = &self.dispatch.calls;
        let batches = batching.map(|batching| {
            Arc::new(Batches::new(registry, caller.clone(), batching, request_limits.clone()))
        });
        let calls = caller.is_some().then(|| Arc::clone(registry));
        let settings =
            PoolSettings { limits, start_timeout: spec.limits.start_timeout, batches, calls };
        let shared = Shared {
            slots: Arc::clone(&self.slots.places),
            attention: Arc::clone(&parts.attention),
            runtime: tokio::runtime::Handle::current(),
            heavy: self.heavy.clone(),
            fault_injection: self.fault_injection,
            farewells: self.farewells.clone(),
        };
        let front = self.front(name, number, &spec)?;
        let pool = WarmPool::new(settings, source, Arc::clone(&parts.log), shared);
        let workload = spec.worker.as_ref().map(|worker| native::workload(&worker.workload));
        let demand = Demand::from(&spec);
        Ok(Arc::new(Revision {
            number,
            spec,
            world,
            pool,
            request_limits,
            workload,
            demand,
            front,
            caller,
            workers,
        }))
    }

    /// Whether its replicas can call other deployments. A process may always.
    fn calls_others(&self, spec: &DeploymentSpec) -> bool {
        const CLIENTS: [&str; 2] = ["wasi:http/outgoing-handler@0.2.", "wasi:http/client@0.3."];
        let Some(digest) = spec.runs.component() else { return true };
        let is_client = |import: &String| CLIENTS.iter().any(|name| import.starts_with(name));
        self.component(&digest).is_ok_and(|component| component.imports.iter().any(is_client))
    }

    /// Whether the component of a spec takes batches, if it is to get some.
    ///
    /// # Errors
    ///
    /// `invalid-field`.
    pub(super) fn check_batching(&self, spec: &DeploymentSpec) -> Result<(), ApiError> {
        let (Some(_), Some(digest)) = (&spec.batching, spec.runs.component()) else {
            return Ok(());
        };
        let exports = self.component(&digest)?.exports;
        if exports.iter().any(|export| export.starts_with(BATCH_EXPORT)) {
            return Ok(());
        }
        let message = format!("the component {} does not export `{BATCH_EXPORT}x`", digest.short());
        let error = ApiError::new(ErrorCode::InvalidField, message).with_field("spec.batching");
        Err(error.with_hint("`samovar_sdk::batch_handler!` makes handlers of batches"))
    }

    /// What stands in front of a revision; none if nothing does.
    fn front(
        &self,
        name: &DeploymentName,
        number: u64,
        spec: &DeploymentSpec,
    ) -> Result<Option<Arc<Front>>, ApiError> {
        let schema = |schema: &Option<Value>, field: &str| {
            let compiled = schema.as_ref().map(Schema::compile).transpose();
            let compiled = compiled.map(|schema| schema.map(Arc::new));
            compiled.map_err(|error| {
                ApiError::new(ErrorCode::InvalidField, error.to_string())
                    .with_field(format!("spec.{field}"))
            })
        };
        let mut front = Front {
            endpoint: spec.endpoint.clone(),
            input: schema(&spec.input_schema, "input_schema")?,
            output: schema(&spec.output_schema, "output_schema")?,
            docs: None,
            cold: spec.cold_start_proxy.as_ref().map(cold_start).transpose()?,
        };
        front.docs = docs(name, number, spec, &front);
        Ok((!front.is_empty()).then(|| Arc::new(front)))
    }
}

/// Waits until `wanted` replicas are ready, or one cannot start. Where replicas are expensive, one
/// that has to wait for room is not waited for: an older revision may hold what it needs.
async fn until_ready(revision: &Revision, wanted: u32) -> Result<(), String> {
    let pool = &revision.pool;
    loop {
        match pool.no_room() {
            Some(reason) if revision.is_guest() => return Err(reason),
            Some(_) if pool.counts().starting == 0 => return Ok(()),
            Some(_) | None => {}
        }
        // Nobody else looks after it before it is live.
        pool.plan(clock::now());
        if let Some(reason) = pool.last_start_error() {
            return Err(reason);
        }
        if pool.counts().ready >= wanted {
            return Ok(());
        }
        tokio::time::sleep(READY_POLL).await;
    }
}

/// Makes one instance and drops it.
async fn try_start(
    code: &LazyCode,
    spec: &DeploymentSpec,
    surroundings: &Arc<Surroundings>,
    heavy: &Heavy,
) -> Result<(), ApiError> {
    let code = code.get().await?;
    let log = Arc::clone(&surroundings.log);
    let output = GuestOutput { log, replica: None, fault_injection: false };
    let end = End { cut: Arc::default(), grace: Duration::ZERO, place: None, farewell: None };
    let secrets = secrets(spec)?;
    surroundings.log.hide(secrets.values());
    let limits = guest_limits(spec, &secrets);
    let making = Making { code: &code, limits: &limits, surroundings, output: &output, heavy };
    let start = Instance::start(making, end, drop);
    match tokio::time::timeout(spec.limits.start_timeout, start).await {
        Ok(Ok(_instance)) => Ok(()),
        Ok(Err(error)) => {
            surroundings.note(&format!("trial start failed: {error:#}"));
            Err(start_failed(&format!("{error:#}")))
        }
        Err(_) => Err(start_failed(&format!("not ready after {:?}", spec.limits.start_timeout))),
    }
}

fn start_failed(reason: &str) -> ApiError {
    let message = format!("a replica of the new revision could not start: {reason}");
    ApiError::new(ErrorCode::StartFailed, message)
}

/// What each instance may use, the values of its secrets included.
fn guest_limits(spec: &DeploymentSpec, secrets: &BTreeMap<String, String>) -> GuestLimits {
    let mut limits = GuestLimits::from(spec);
    limits.env.extend(secrets.iter().map(|(name, value)| (name.clone(), value.clone())));
    limits
}

/// A component that only knows batches gets batches of one.
fn alone() -> BatchingSpec {
    BatchingSpec {
        max_batch_size: 1,
        timeout: Duration::ZERO,
        since: spec::BatchSince::Oldest,
        shape: spec::BatchShape::Array,
        path: None,
        retry_alone: false,
    }
}

/// How the component of a spec is called: with batches if the spec says so, or if it knows no other
/// way.
fn called_as(spec: &DeploymentSpec, world: World) -> World {
    if spec.batching.is_some() { World::Batch01 } else { world }
}

/// The page of a revision and the document it shows.
fn docs(name: &DeploymentName, number: u64, spec: &DeploymentSpec, front: &Front) -> Option<Docs> {
    let path = spec.docs.clone()?;
    let described = Described {
        name: name.as_str(),
        title: None,
        description: None,
        version: &number.to_string(),
        // The data plane may be reached under many names: the one of the page is right.
        server_url: "/",
        route: &spec.route,
        endpoint: spec.endpoint.as_deref(),
        input: front.input.as_deref(),
        output: front.output.as_deref(),
        max_batch_size: spec.batching.as_ref().map(|batching| batching.max_batch_size),
    };
    let document = samovar_schema::openapi(&described).to_string();
    let Page { html, policy } = samovar_schema::page(&described);
    Some(Docs { path, page: html.into(), policy, document: document.into() })
}

/// Who stands in while a deployment is cold.
fn cold_start(spec: &ColdStartProxySpec) -> Result<ColdStart, ApiError> {
    let to = match &spec.to {
        ProxyTo::Deployment(name) => Stand::Deployment(name.clone()),
        ProxyTo::Response { status, headers, body } => {
            Stand::Response { status: *status, headers: headers.clone(), body: body.clone().into() }
        }
        ProxyTo::Url(url) => super::surroundings::stand_in(url, spec.timeout)?,
    };
    Ok(ColdStart { to, above: spec.above, timeout: spec.timeout })
}
