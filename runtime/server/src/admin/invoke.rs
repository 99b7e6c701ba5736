//! Calls of operators, with overrides.

use super::{Admin, parse};
use crate::api::{ApiError, ErrorCode};
use crate::spec::{DeploymentName, Overrides};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::any;
use http::uri::PathAndQuery;
use http::{HeaderName, Uri};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::Error as WasiError;

/// Limits and environment of one call, as JSON.
const OVERRIDE_HEADER: HeaderName = HeaderName::from_static("samovar-override");
/// What the handler is told as its host.
const HOST: &str = "localhost";

/// Routes below `/deployments/{name}`.
pub fn of_deployments() -> Router<Admin> {
    Router::new()
        .route("/deployments/{name}/invoke", any(invoke))
        .route("/deployments/{name}/invoke/", any(invoke))
        .route("/deployments/{name}/invoke/{*path}", any(invoke_at))
}

async fn invoke(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    call(admin, &name, request).await
}

async fn invoke_at(
    State(admin): State<Admin>,
    Path((name, _)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    call(admin, &name, request).await
}

async fn call(admin: Admin, name: &str, request: Request) -> Result<Response, ApiError> {
    let name: DeploymentName = parse(name, "name")?;
    let (mut parts, body) = request.into_parts();
    let overrides = match parts.headers.remove(OVERRIDE_HEADER) {
        Some(value) => Overrides::from_json(value.as_bytes())?,
        None => Overrides::default(),
    };
    // The operator's own, and nothing to the handler.
    parts.headers.remove(http::header::AUTHORIZATION);
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("/{}{query}", path_below(&parts.uri));
    let target: PathAndQuery = target.parse().map_err(|error| {
        ApiError::new(ErrorCode::InvalidField, format!("{error}")).with_field("path")
    })?;
    let uri = Uri::builder().scheme("http").authority(HOST).path_and_query(target).build();
    parts.uri = uri.expect("scheme, authority and path are all there");
    let body = body.map_err(|_| WasiError::HttpProtocolError).boxed_unsync();
    let request = http::Request::from_parts(parts, body);
    let response = admin.control.invoke(&name, request, &overrides).await?;
    Ok(response.map(Body::new))
}

/// What stands behind `/deployments/{name}/invoke/`, as it was sent: `%2F` is no `/`.
fn path_below(uri: &Uri) -> &str {
    uri.path().splitn(5, '/').nth(4).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_call_is_not_decoded() {
        for (sent, path) in [
            ("/deployments/x/invoke", ""),
            ("/deployments/x/invoke/", ""),
            ("/deployments/x/invoke/a%20b/c%2Fd?e", "a%20b/c%2Fd"),
            ("/deployments/x/invoke//a/", "/a/"),
        ] {
            assert_eq!(path_below(&sent.parse().unwrap()), path);
        }
    }
}
