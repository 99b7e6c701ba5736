//! The routes of policies: those with a name, and the one that decides for a deployment.

use super::{Admin, chunks, detached, json, parse, read, status_of};
use crate::api::{self, ApiError};
use crate::spec::{self, DeploymentName, PolicyName};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use std::sync::Arc;

/// Routes below `/deployments/{name}/policy`.
pub fn of_deployments() -> Router<Admin> {
    Router::new()
        .route("/deployments/{name}/policy", put(set))
        .route("/deployments/{name}/policy/versions", get(versions))
        .route("/deployments/{name}/policy/rollback", post(rollback))
        .route("/deployments/{name}/policy/promote", post(promote))
        .route("/deployments/{name}/policy/test", post(test))
        .route(
            "/deployments/{name}/policy/shadow",
            put(set_shadow).get(get_shadow).delete(delete_shadow),
        )
}

/// Routes below `/policies`.
pub fn by_name() -> Router<Admin> {
    Router::new()
        .route("/policies", get(list))
        .route("/policies/{name}", put(put_policy).get(get_policy).delete(delete_policy))
}

async fn set(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<api::PolicySwapped>, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let set: api::SetPolicy = json(body, "").await?;
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.set_policy(&name, set).await }).await?))
}

async fn versions(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::PolicyVersions>, ApiError> {
    Ok(Json(admin.control.policy_versions(&parse(&name, "name")?)?))
}

/// Without a body, back to the version before the live one.
async fn rollback(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<api::PolicySwapped>, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let body = read(body).await?;
    let to = match body.is_empty() {
        true => api::Rollback::default(),
        false => spec::read_json(&body, "")?,
    };
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.rollback_policy(&name, to.version).await }).await?))
}

async fn promote(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::PolicySwapped>, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.promote_shadow(&name).await }).await?))
}

async fn test(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<api::PolicyTest>, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let test: api::TestPolicy = json(body, "").await?;
    Ok(Json(admin.control.test_policy(&name, test).await?))
}

async fn set_shadow(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<api::Shadow>, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let set: api::SetPolicy = json(body, "").await?;
    let control = Arc::clone(&admin.control);
    Ok(Json(detached(async move { control.set_shadow(&name, set).await }).await?))
}

async fn get_shadow(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::Shadow>, ApiError> {
    Ok(Json(admin.control.shadow(&parse(&name, "name")?)?))
}

async fn delete_shadow(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name: DeploymentName = parse(&name, "name")?;
    let control = Arc::clone(&admin.control);
    detached(async move { control.delete_shadow(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_policy(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let name: PolicyName = parse(&name, "name")?;
    let (is_new, policy) = admin.control.put_policy(&name, chunks(body)).await?;
    Ok((status_of(is_new), Json(policy)).into_response())
}

async fn list(State(admin): State<Admin>) -> Result<Json<api::PolicyList>, ApiError> {
    Ok(Json(api::PolicyList { policies: admin.control.policies().await? }))
}

async fn get_policy(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::Policy>, ApiError> {
    Ok(Json(admin.control.policy(&parse(&name, "name")?).await?))
}

async fn delete_policy(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    admin.control.delete_policy(&parse(&name, "name")?).await?;
    Ok(StatusCode::NO_CONTENT)
}
