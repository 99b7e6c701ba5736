//! The admin API: HTTP to [`Control`] and back.
//!
//! Handlers parse, call one function and answer. The listener is the server's own, apart from the
//! data plane.

mod invoke;
mod manual;
mod metrics;
mod openapi;
mod policies;
mod requests;
mod workers;

use crate::api::{self, ApiError, ErrorBody, ErrorCode};
use crate::clock;
use crate::config::Secret;
use crate::control::Control;
use crate::library::blocking;
use crate::logs::{Line, LogStream};
use crate::spec::{self, DeploymentName, Digest, RawSpec};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Bytes of a JSON body. Specs are small; uploads of components are not read by this.
const JSON_BYTES_MAX: usize = 1 << 20;
/// Decisions and log lines that are sent if the caller does not say.
const DECISIONS_DEFAULT: usize = 100;
const LINES_DEFAULT: usize = 1000;

/// What the handlers need.
#[derive(Clone)]
pub struct Admin {
    /// Does the work.
    pub control: Arc<Control>,
    /// What every request to `/v1` must bring, if set.
    pub token: Option<Arc<Secret>>,
    /// Where the data plane listens.
    pub data_plane: SocketAddr,
}

/// The routes of the admin API.
pub fn router(admin: Admin) -> Router {
    let v1 = Router::new()
        .route("/info", get(info))
        .route("/components", post(put_component).get(list_components))
        .route("/components/{digest}", get(get_component).delete(delete_component))
        .route("/deployments", get(list_deployments))
        .route(
            "/deployments/{name}",
            put(put_deployment).get(get_deployment).delete(delete_deployment),
        )
        .merge(policies::of_deployments())
        .route("/deployments/{name}/decisions", get(decisions))
        .merge(manual::of_deployments())
        .merge(invoke::of_deployments())
        .route("/deployments/{name}/join", get(workers::join))
        .route("/machine", get(machine))
        .route("/deployments/{name}/logs", get(logs))
        .route("/deployments/{name}/requests", get(requests::requests))
        .merge(policies::by_name())
        .layer(DefaultBodyLimit::disable())
        .route_layer(middleware::from_fn_with_state(admin.clone(), authorize));
    let external =
        manual::external().route_layer(middleware::from_fn_with_state(admin.clone(), authorize));
    Router::new()
        .nest("/v1", v1)
        .merge(external)
        .merge(workers::protocol())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(admin)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        (status, Json(ErrorBody { error: self })).into_response()
    }
}

async fn authorize(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let Some(token) = &admin.token else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if given.is_some_and(|given| token.is_equal(given.as_bytes())) {
        return next.run(request).await;
    }
    let error = ApiError::new(ErrorCode::Unauthorized, "the admin token is missing or wrong");
    error
        .with_hint("send `Authorization: Bearer TOKEN`; the CLI reads SAMOVAR_ADMIN_TOKEN")
        .into_response()
}

async fn unknown_route(request: Request) -> ApiError {
    let message = format!("there is no {} {}", request.method(), request.uri().path());
    ApiError::new(ErrorCode::NotFound, message).with_hint("/openapi.json lists what there is")
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!("{} cannot be used with {}", request.uri().path(), request.method());
    ApiError::new(ErrorCode::MethodNotAllowed, message)
        .with_hint("/openapi.json lists what there is")
}

fn parse<T: FromStr>(text: &str, what: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| {
        ApiError::new(ErrorCode::InvalidField, format!("{error}")).with_field(what)
    })
}

fn bad_query(rejection: QueryRejection) -> ApiError {
    ApiError::new(ErrorCode::InvalidField, rejection.body_text()).with_field("query")
}

fn status_of(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

async fn json<T: serde::de::DeserializeOwned>(body: Body, root: &str) -> Result<T, ApiError> {
    let bytes = read(body).await?;
    Ok(spec::read_json(&bytes, root)?)
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, JSON_BYTES_MAX).await.map_err(|error| {
        let message = format!("read the body, at most {JSON_BYTES_MAX} bytes: {error}");
        ApiError::new(ErrorCode::InvalidJson, message)
    })
}

fn chunks(body: Body) -> impl Stream<Item = Result<Bytes, String>> + Send {
    body.into_data_stream().map(|chunk| chunk.map_err(|error| error.to_string()))
}

async fn info(State(admin): State<Admin>) -> Json<api::Info> {
    Json(api::Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data_plane: format!("http://{}", admin.data_plane),
        uptime_ms: clock::now().as_millis(),
    })
}

async fn machine(State(admin): State<Admin>) -> Result<Json<api::Machine>, ApiError> {
    let control = Arc::clone(&admin.control);
    let devices = blocking(move || control.native.devices()).await?;
    let slots = &admin.control.slots;
    let free = u32::try_from(slots.places.available_permits()).unwrap_or(u32::MAX);
    Ok(Json(api::Machine { slots: slots.total(), slots_free: free, devices }))
}

async fn put_component(State(admin): State<Admin>, body: Body) -> Result<Response, ApiError> {
    let (is_new, component) = admin.control.put_component(None, chunks(body)).await?;
    Ok((status_of(is_new), Json(component)).into_response())
}

async fn list_components(State(admin): State<Admin>) -> Json<api::ComponentList> {
    Json(api::ComponentList { components: admin.control.components() })
}

async fn get_component(
    State(admin): State<Admin>,
    Path(digest): Path<String>,
) -> Result<Json<api::Component>, ApiError> {
    Ok(Json(admin.control.component(&parse::<Digest>(&digest, "digest")?)?))
}

async fn delete_component(
    State(admin): State<Admin>,
    Path(digest): Path<String>,
) -> Result<StatusCode, ApiError> {
    admin.control.delete_component(parse(&digest, "digest")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_deployment(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let raw = RawSpec::from_json(&read(body).await?)?;
    // The change goes on if the caller leaves: half a deployment would be worse.
    let control = Arc::clone(&admin.control);
    let (is_new, deployment) =
        detached(async move { control.put_deployment(&name, raw).await }).await?;
    Ok((status_of(is_new), Json(deployment)).into_response())
}

async fn list_deployments(State(admin): State<Admin>) -> Json<api::DeploymentList> {
    let list = admin.control.deployments.list();
    let deployments = list.iter().map(|deployment| deployment.to_api()).collect();
    Json(api::DeploymentList { deployments })
}

async fn get_deployment(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::Deployment>, ApiError> {
    Ok(Json(admin.control.deployment(&parse(&name, "name")?)?.to_api()))
}

async fn delete_deployment(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let control = Arc::clone(&admin.control);
    detached(async move { control.delete_deployment(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionsQuery {
    limit: Option<usize>,
}

async fn replicas(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::ReplicaList>, ApiError> {
    let deployment = admin.control.deployment(&parse::<DeploymentName>(&name, "name")?)?;
    Ok(Json(deployment.replicas()))
}

async fn decisions(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    query: Result<Query<DecisionsQuery>, QueryRejection>,
) -> Result<Json<api::DecisionList>, ApiError> {
    let Query(query) = query.map_err(bad_query)?;
    let limit = query.limit.unwrap_or(DECISIONS_DEFAULT);
    let decisions = admin.control.decisions(&parse(&name, "name")?, limit)?;
    Ok(Json(api::DecisionList { decisions }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsQuery {
    #[serde(default)]
    follow: bool,
    limit: Option<usize>,
}

/// One JSON object per line; with `follow`, lines are sent as they come until the caller leaves.
async fn logs(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    query: Result<Query<LogsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(bad_query)?;
    let deployment = admin.control.deployment(&parse(&name, "name")?)?;
    let log = Arc::clone(&deployment.log);
    let name = deployment.name.clone();
    drop(deployment);
    let limit = query.limit.unwrap_or(LINES_DEFAULT);
    let first = log.since(0, limit);
    let next = first.last().map_or(*log.watch().borrow(), |line| line.number + 1);
    let sent = ndjson(&name, &first);
    let body = if query.follow {
        let more = futures::stream::unfold((log, next, name), |(log, next, name)| async move {
            let mut watch = log.watch();
            watch.wait_for(|number| *number > next).await.ok()?;
            let lines = log.since(next, usize::MAX);
            let next = lines.last().map_or(next, |line| line.number + 1);
            Some((ndjson(&name, &lines), (log, next, name)))
        });
        let all = futures::stream::once(async move { sent }).chain(more);
        Body::from_stream(all.map(Ok::<_, std::convert::Infallible>))
    } else {
        Body::from(sent)
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn ndjson(name: &DeploymentName, lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let line = api::LogLine {
            at_ms: line.at_ms,
            deployment: name.clone(),
            replica: line.replica,
            stream: match line.stream {
                LogStream::Stdout => api::LogStream::Stdout,
                LogStream::Stderr => api::LogStream::Stderr,
                LogStream::System => api::LogStream::System,
            },
            line: line.text.clone(),
        };
        text.push_str(&serde_json::to_string(&line).expect("it is plain data"));
        text.push('\n');
    }
    text
}

/// Runs a change to its end even if the caller's connection ends before.
async fn detached<R: Send + 'static>(
    change: impl Future<Output = Result<R, ApiError>> + Send + 'static,
) -> Result<R, ApiError> {
    tokio::spawn(change).await.map_err(|error| {
        ApiError::new(ErrorCode::StorageFailed, format!("the change failed: {error}"))
    })?
}
