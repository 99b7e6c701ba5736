//! Checks how a deployment serves: batches, reuse, readiness, and what clients may send.

use std::time::Duration;

use samovar_schema::Schema;
use serde_json::Value;

use super::{duration, in_range, plain_path};
use crate::error::{SpecError, SpecErrorKind};
use crate::raw::{RawBatching, RawSpec};
use crate::serving::{BatchingSpec, ReadyRule, Reuse};
use crate::units::Count;
use crate::{QueueSpec, Replicas, World};

/// More than that waits longer for its last request than it gains by the first.
const BATCH_MAX: u64 = 1024;
/// Requests that wait longer for company wait for nothing.
const BATCH_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// As in Lightning.
const DEFAULT_BATCH: u64 = 8;
const DEFAULT_BATCH_TIMEOUT: Duration = Duration::from_millis(10);
/// One replica is one instance on one thread at a time; more than this only adds waiting.
const CONCURRENCY_MAX: u64 = 10_000;
const DEFAULT_CONCURRENCY_03: u64 = 16;
const DEFAULT_DOCS: &str = "/docs";

/// What decides how many requests a replica may serve at a time.
pub(super) struct Server {
    pub world: World,
    pub is_guest: bool,
    pub reuse: Reuse,
    pub is_batched: bool,
}

/// Requests, or batches, that one replica serves at a time.
pub(super) fn concurrency(written: Option<Count>, server: &Server) -> Result<u32, SpecError> {
    let takes_many = server.world == World::HttpService03;
    let default = match server.reuse {
        Reuse::On if takes_many && !server.is_batched => DEFAULT_CONCURRENCY_03,
        Reuse::On | Reuse::Off => 1,
    };
    let count = written.map_or(default, |count| count.0);
    let concurrency = in_range("concurrency", count, (1, CONCURRENCY_MAX))?;
    if concurrency == 1 {
        return Ok(1);
    }
    if server.reuse == Reuse::Off {
        let problem =
            format!("`{concurrency}` is not possible with `reuse` off: an instance serves once");
        return Err(SpecError::invalid("concurrency", problem));
    }
    let refused = |problem, hint| SpecError {
        kind: SpecErrorKind::ConcurrencyUnsupported,
        field: "concurrency".to_owned(),
        problem,
        hint: Some(hint),
    };
    if server.is_batched && server.is_guest {
        let problem = format!(
            "`{concurrency}` is not possible with `batching`: an instance handles one batch at a \
             time"
        );
        let hint = "leave it out or use 1 and raise `replicas`, or `batching.max_batch_size`";
        return Err(refused(problem, hint.to_owned()));
    }
    if !takes_many {
        let world = server.world;
        let problem = format!(
            "`{concurrency}` is not possible with {world}, which serves one request at a time"
        );
        let hint = format!(
            "leave it out or use 1 and raise `replicas`, or build the handler for {}",
            World::HttpService03
        );
        return Err(refused(problem, hint));
    }
    Ok(concurrency)
}

/// Whether instances serve again, and that nothing else is said of those that do not.
pub(super) fn reuse(spec: &RawSpec) -> Result<Reuse, SpecError> {
    let reuse = spec.reuse.unwrap_or_default();
    if reuse == Reuse::On {
        return Ok(reuse);
    }
    if spec.batching.is_some() {
        let problem = "cannot be `off` with `batching`: one instance serves a whole batch";
        return Err(SpecError::invalid("reuse", problem));
    }
    if spec.max_requests.is_some_and(|count| count.0 > 0) {
        let problem = "cannot be `off` with `max_requests`: an instance serves once";
        return Err(SpecError::invalid("reuse", problem));
    }
    Ok(reuse)
}

/// Which requests go together. `endpoint` is where a process gets them by default.
pub(super) fn batching(
    written: Option<RawBatching>,
    is_guest: bool,
    endpoint: Option<&str>,
    queue: QueueSpec,
) -> Result<Option<BatchingSpec>, SpecError> {
    let batching = written.map(|written| batches(written, is_guest, endpoint, queue));
    batching.transpose().map_err(|error| error.below("batching"))
}

fn batches(
    written: RawBatching,
    is_guest: bool,
    endpoint: Option<&str>,
    queue: QueueSpec,
) -> Result<BatchingSpec, SpecError> {
    let only_native = [("shape", written.shape.is_some()), ("path", written.path.is_some())];
    if let Some((field, _)) = only_native.iter().find(|(_, is_written)| is_guest && *is_written) {
        return Err(SpecError::invalid(*field, "is for processes and workers only")
            .with_hint("a component is called with whole requests, its export `handle-batch`"));
    }
    let size = written.max_batch_size.map_or(DEFAULT_BATCH, |count| count.0);
    let max_batch_size = in_range("max_batch_size", size, (1, BATCH_MAX))?;
    if max_batch_size > queue.max {
        let problem = format!(
            "`{max_batch_size}` is more than may wait, so no batch would be full: `queue.max` is \
             {}",
            queue.max
        );
        return Err(SpecError::invalid("max_batch_size", problem));
    }
    let path = match written.path {
        Some(path) => Some(post_path(path)?),
        None => (!is_guest).then(|| endpoint.unwrap_or("/").to_owned()),
    };
    Ok(BatchingSpec {
        max_batch_size,
        timeout: duration(
            "timeout_batching",
            written.timeout_batching,
            DEFAULT_BATCH_TIMEOUT,
            (Duration::ZERO, BATCH_TIMEOUT_MAX),
        )?,
        since: written.since.unwrap_or_default(),
        shape: written.shape.unwrap_or_default(),
        path,
        retry_alone: written.retry_alone.unwrap_or(true),
    })
}

fn post_path(path: String) -> Result<String, SpecError> {
    if path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok() {
        return Ok(path);
    }
    let shown: String = path.chars().take(100).collect();
    let problem = format!("`{shown}` is not a path; write one like `/predict`");
    Err(SpecError::invalid("path", problem))
}

/// When the deployment is ready.
pub(super) fn ready(
    written: Option<ReadyRule>,
    replicas: Replicas,
) -> Result<ReadyRule, SpecError> {
    let rule = written.unwrap_or_default();
    if let ReadyRule::Count(count) = rule {
        in_range("ready", u64::from(count), (1, u64::from(replicas.max)))?;
    }
    Ok(rule)
}

/// What clients may send, and what they get.
pub(super) struct Contract {
    pub endpoint: Option<String>,
    pub input_schema: Option<Value>,
    pub output_schema: Option<Value>,
    pub docs: Option<String>,
}

/// Takes the contract out of `spec`.
pub(super) fn contract(spec: &mut RawSpec) -> Result<Contract, SpecError> {
    let endpoint = spec.endpoint.take();
    let endpoint = endpoint.map(|path| plain_path("endpoint", "a path", path, "/api/predict"));
    let endpoint = endpoint.transpose()?;
    let input_schema = schema("input_schema", spec.input_schema.take())?;
    let output_schema = schema("output_schema", spec.output_schema.take())?;
    let has_any = endpoint.is_some() || input_schema.is_some() || output_schema.is_some();
    let docs = docs(spec.docs.take(), has_any)?;
    Ok(Contract { endpoint, input_schema, output_schema, docs })
}

/// Where the page is on which to try the deployment; nowhere if it is off.
fn docs(written: Option<String>, has_contract: bool) -> Result<Option<String>, SpecError> {
    match written.as_deref() {
        None => Ok(has_contract.then(|| DEFAULT_DOCS.to_owned())),
        Some("off") => Ok(None),
        Some("/") => {
            let problem = "cannot be `/`, which is the deployment's own; write one like `/docs`";
            Err(SpecError::invalid("docs", problem))
        }
        Some(path) => plain_path("docs", "a path", path.to_owned(), "/docs")
            .map(Some)
            .map_err(|error| error.with_hint("`off` switches the page off")),
    }
}

/// A schema of bodies, if it compiles. What comes of it is not kept: a spec is only a text.
fn schema(field: &str, written: Option<Value>) -> Result<Option<Value>, SpecError> {
    let Some(schema) = written else { return Ok(None) };
    Schema::compile(&schema).map_err(|error| SpecError::invalid(field, error.to_string()))?;
    Ok(Some(schema))
}
