//! The routes of what operators do by hand, and the one that Ray Serve's external scalers know.

use super::{Admin, detached, json, parse, read};
use crate::api::{self, ApiError, ErrorCode};
use crate::control::manual::Held;
use crate::spec::{self, DeploymentName};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use std::sync::Arc;

type Changed = Result<Json<api::ReplicasChanged>, ApiError>;

/// Routes below `/deployments/{name}`.
pub fn of_deployments() -> Router<Admin> {
    Router::new()
        .route("/deployments/{name}/replicas", get(super::replicas).post(add).put(set))
        .route("/deployments/{name}/replicas/{id}", get(one).delete(remove))
        .route("/deployments/{name}/replicas/{id}/restart", post(restart))
        .route("/deployments/{name}/pause", post(pause))
        .route("/deployments/{name}/resume", post(resume))
        .route("/deployments/{name}/decide", post(decide))
        .route("/deployments/{name}/ready", get(ready))
}

/// The route of external scalers.
pub fn external() -> Router<Admin> {
    Router::new().route(
        "/api/v1/applications/{application}/deployments/{deployment}/scale",
        post(scale_externally),
    )
}

fn named(name: &str) -> Result<DeploymentName, ApiError> {
    parse(name, "name")
}

async fn one(
    State(admin): State<Admin>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Json<api::Replica>, ApiError> {
    Ok(Json(admin.control.replica(&named(&name)?, parse(&id, "id")?)?))
}

/// Without a body, one more.
async fn add(State(admin): State<Admin>, Path(name): Path<String>, body: Body) -> Changed {
    let name = named(&name)?;
    let body = read(body).await?;
    let add: api::AddReplicas = match body.is_empty() {
        true => api::AddReplicas::default(),
        false => spec::read_json(&body, "")?,
    };
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.add_replicas(&name, add.count).await }).await?))
}

async fn set(State(admin): State<Admin>, Path(name): Path<String>, body: Body) -> Changed {
    let name = named(&name)?;
    let set: api::SetReplicas = json(body, "").await?;
    let control = Arc::clone(&admin.control);
    let held = Some(Held::At(set.count));
    Ok(Json(detached(async move { control.hold(&name, held).await }).await?))
}

async fn remove(State(admin): State<Admin>, Path((name, id)): Path<(String, String)>) -> Changed {
    let (name, id) = (named(&name)?, parse(&id, "id")?);
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.remove_replica(&name, id).await }).await?))
}

async fn restart(State(admin): State<Admin>, Path((name, id)): Path<(String, String)>) -> Changed {
    let (name, id) = (named(&name)?, parse(&id, "id")?);
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.restart_replica(&name, id).await }).await?))
}

/// Without a body, at the number that is wanted now.
async fn pause(State(admin): State<Admin>, Path(name): Path<String>, body: Body) -> Changed {
    let name = named(&name)?;
    let body = read(body).await?;
    let pause: api::Pause = match body.is_empty() {
        true => api::Pause::default(),
        false => spec::read_json(&body, "")?,
    };
    let held = pause.replicas.map_or(Held::AsItIs, Held::At);
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.hold(&name, Some(held)).await }).await?))
}

async fn resume(State(admin): State<Admin>, Path(name): Path<String>) -> Changed {
    let name = named(&name)?;
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.hold(&name, None).await }).await?))
}

async fn decide(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::Decision>, ApiError> {
    Ok(Json(admin.control.decide(&named(&name)?).await?))
}

/// 200 if it is ready, 503 if not, with the reason in both.
async fn ready(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let readiness = admin.control.readiness(&named(&name)?)?;
    let status = match readiness.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, Json(readiness)).into_response())
}

/// As `POST` to Ray's dashboard does: 200, 400 for a bad body, 404, 412.
async fn scale_externally(
    State(admin): State<Admin>,
    Path((application, deployment)): Path<(String, String)>,
    body: Body,
) -> Result<Json<api::ExternallyScaled>, ApiError> {
    let body = read(body).await?;
    let scale: api::ExternalScale = spec::read_json(&body, "").map_err(|error| {
        let message = format!("the body is not `{{\"target_num_replicas\": N}}`: {error}");
        ApiError::new(ErrorCode::InvalidJson, message)
    })?;
    let control = Arc::clone(&admin.control);
    let count = scale.target_num_replicas;
    let change = async move { control.scale_externally(&application, &deployment, count).await };
    let changed = detached(change).await?;
    let target = changed.held.unwrap_or(changed.target);
    let message = format!("the deployment is held at {target} replicas");
    Ok(Json(api::ExternallyScaled { message, target_num_replicas: target }))
}
