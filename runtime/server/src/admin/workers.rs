//! What workers call: the protocol of Vast's workers, apart from the API of operators. Their token
//! is in their messages, and it opens nothing but their own deployment. Operators ask here what to
//! tell a worker.

use super::{Admin, parse};
use crate::api::{self, ApiError, ErrorCode};
use crate::native::Crew;
use crate::spec::DeploymentName;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use samovar_workers::message::{
    FINISHED_BYTES_MAX, Finished, Leave, Malformed, REPORT_BYTES_MAX, Report,
};
use samovar_workers::registry::{Refused, Sender};
use samovar_workers::secret::Secret;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a worker is answered.
type Answer = Result<Response, ApiError>;

/// The routes of the protocol. Workers differ in whether they end them with a slash.
pub fn protocol() -> Router<Admin> {
    let mut router = Router::new();
    for end in ["", "/"] {
        let of = |name: &str| format!("/workers/{{deployment}}/{name}{end}");
        router = router
            .route(&of("worker_status"), post(status))
            .route(&of("delete_requests"), post(finished))
            .route(&of("leave"), post(leave))
            .route(&of("pubkey"), get(public_key))
            // Workers of 2024 drop the path of the address they report to.
            .route(&format!("/worker_status{end}"), post(status_by_user));
    }
    router
}

/// `GET /v1/deployments/{name}/join`.
pub async fn join(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<api::Join>, ApiError> {
    let name = parse::<DeploymentName>(&name, "name")?;
    let deployment = admin.control.deployment(&name)?;
    if deployment.live().workload.is_none() {
        return Err(no_workers(&name));
    }
    Ok(Json(admin.control.native.join(&name)))
}

fn no_workers(name: &DeploymentName) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("deployment `{name}` takes no workers"))
        .with_hint("give its spec a `worker`, like worker = { protocol = \"vast\" }")
}

async fn status(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (_, token) = credentials(&headers);
    let body = read(body, REPORT_BYTES_MAX).await?;
    report(&admin, &name, &body, &Sender { peer: Some(peer.ip()), token })
}

/// Workers of 2024: the deployment is the user, the token the password.
async fn status_by_user(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (user, token) = credentials(&headers);
    let Some(name) = user else {
        let message = "say who you are: the deployment as user, its token as password";
        return Err(ApiError::new(ErrorCode::Unauthorized, message));
    };
    let body = read(body, REPORT_BYTES_MAX).await?;
    report(&admin, &name, &body, &Sender { peer: Some(peer.ip()), token })
}

fn report(admin: &Admin, name: &str, body: &[u8], sender: &Sender) -> Answer {
    let crew = crew(admin, name)?;
    let report = Report::parse(body).map_err(malformed)?;
    taken(crew.report(&report, sender))?;
    Ok(accepted())
}

async fn finished(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = read(body, FINISHED_BYTES_MAX).await?;
    let finished = Finished::parse(&body).map_err(malformed)?;
    admit(&admin, &name, &finished.worker, finished.token, &headers)?;
    // Samovar saw the requests end itself; the worker only wants to be rid of its list.
    Ok(accepted())
}

async fn leave(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = read(body, REPORT_BYTES_MAX).await?;
    let leave = Leave::parse(&body).map_err(malformed)?;
    let crew = admit(&admin, &name, &leave.worker, leave.token, &headers)?;
    crew.leave(&leave.worker);
    Ok(accepted())
}

async fn public_key(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    crew(&admin, &name)?;
    let key = admin.control.native.public_key();
    let key = key.map_err(|problem| ApiError::new(ErrorCode::StorageFailed, problem))?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], key).into_response())
}

fn crew(admin: &Admin, name: &str) -> Result<Arc<Crew>, ApiError> {
    let name = name.parse::<DeploymentName>().map_err(|_| unknown())?;
    admin.control.native.crew(&name).ok_or_else(unknown)
}

fn admit(
    admin: &Admin,
    name: &str,
    worker: &str,
    token: Option<Secret>,
    headers: &HeaderMap,
) -> Result<Arc<Crew>, ApiError> {
    let crew = crew(admin, name)?;
    let token = token.or_else(|| credentials(headers).1);
    taken(crew.admit(worker, token.as_ref()))?;
    Ok(crew)
}

/// What a crew makes of a message; none if no worker may report to it.
fn taken(outcome: Option<Result<(), Refused>>) -> Result<(), ApiError> {
    outcome.ok_or_else(unknown)?.map_err(|refused| error_of(&refused))
}

fn accepted() -> Response {
    (StatusCode::OK, Json(serde_json::json!({ "status": "ok" }))).into_response()
}

/// The same for deployments that are not there and those that take no workers.
fn unknown() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "no deployment of this name takes workers")
}

fn malformed(error: Malformed) -> ApiError {
    ApiError::new(ErrorCode::InvalidJson, error.to_string())
}

fn error_of(refused: &Refused) -> ApiError {
    let code = match refused {
        Refused::Denied => ErrorCode::Unauthorized,
        Refused::NoAddress(_) | Refused::NoUrl => ErrorCode::InvalidField,
        Refused::Conflict { .. } | Refused::AddressTaken { .. } => ErrorCode::NameTaken,
        Refused::Past(_) => ErrorCode::OldMessage,
        Refused::Full => ErrorCode::TooManyWorkers,
    };
    ApiError::new(code, refused.to_string())
}

/// User and password of `Authorization: Basic`, or a token after `Bearer`.
fn credentials(headers: &HeaderMap) -> (Option<String>, Option<Secret>) {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(value) = value else { return (None, None) };
    if let Some(token) = value.strip_prefix("Bearer ") {
        return (None, Some(Secret::new(token)));
    }
    let decoded = value.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok());
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match text.as_deref().and_then(|text| text.split_once(':')) {
        Some((user, password)) => (Some(user.to_owned()), Some(Secret::new(password))),
        None => (None, None),
    }
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, bytes_max).await.map_err(|_| {
        let message = format!("the message is larger than {bytes_max} bytes, or broke off");
        ApiError::new(ErrorCode::MessageTooLarge, message)
    })
}
