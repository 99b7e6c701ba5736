//! Calls for what operators do by hand.

use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use super::{Body, Client, ClientError, Reply, body};
use crate::api;
use crate::spec::DeploymentName;

/// A request to a deployment.
pub struct Call {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Client {
    /// `GET /v1/deployments/{name}/replicas/{id}`
    pub async fn replica(
        &self,
        name: &DeploymentName,
        id: u64,
    ) -> Result<Reply<api::Replica>, ClientError> {
        self.get(&format!("/v1/deployments/{name}/replicas/{id}")).await
    }

    /// `POST /v1/deployments/{name}/replicas`
    pub async fn add_replicas(
        &self,
        name: &DeploymentName,
        add: &api::AddReplicas,
    ) -> Result<Reply<api::ReplicasChanged>, ClientError> {
        self.send_json(Method::POST, &format!("/v1/deployments/{name}/replicas"), add).await
    }

    /// `PUT /v1/deployments/{name}/replicas`
    pub async fn set_replicas(
        &self,
        name: &DeploymentName,
        set: &api::SetReplicas,
    ) -> Result<Reply<api::ReplicasChanged>, ClientError> {
        self.put(&format!("/v1/deployments/{name}/replicas"), set).await
    }

    /// `DELETE /v1/deployments/{name}/replicas/{id}`
    pub async fn remove_replica(
        &self,
        name: &DeploymentName,
        id: u64,
    ) -> Result<Reply<api::ReplicasChanged>, ClientError> {
        let path = format!("/v1/deployments/{name}/replicas/{id}");
        self.parsed(self.request(Method::DELETE, &path, body::empty())).await
    }

    /// `POST /v1/deployments/{name}/replicas/{id}/restart`
    pub async fn restart_replica(
        &self,
        name: &DeploymentName,
        id: u64,
    ) -> Result<Reply<api::ReplicasChanged>, ClientError> {
        let path = format!("/v1/deployments/{name}/replicas/{id}/restart");
        self.parsed(self.request(Method::POST, &path, body::empty())).await
    }

    /// `POST /v1/deployments/{name}/pause`
    pub async fn pause(
        &self,
        name: &DeploymentName,
        pause: &api::Pause,
    ) -> Result<Reply<api::ReplicasChanged>, ClientError> {
        self.send_json(Method::POST, &format!("/v1/deployments/{name}/pause"), pause).await
    }

    /// `POST /v1/deployments/{name}/resume`
    pub async fn resume(
        &self,
        name: &DeploymentName,
    ) -> Result<Reply<api::ReplicasChanged>, ClientError> {
        let path = format!("/v1/deployments/{name}/resume");
        self.parsed(self.request(Method::POST, &path, body::empty())).await
    }

    /// `POST /v1/deployments/{name}/decide`: waits for the decision.
    pub async fn decide(&self, name: &DeploymentName) -> Result<Reply<api::Decision>, ClientError> {
        let path = format!("/v1/deployments/{name}/decide");
        self.parsed(self.request(Method::POST, &path, body::empty())).await
    }

    /// `GET /v1/deployments/{name}/ready`. That it is not ready is an answer, not an error.
    pub async fn ready(&self, name: &DeploymentName) -> Result<Reply<api::Readiness>, ClientError> {
        let path = format!("/v1/deployments/{name}/ready");
        let response = self.send(self.request(Method::GET, &path, body::empty())).await?;
        let status = response.status();
        if !status.is_success() && status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(self.refusal(response).await);
        }
        let json = self.read(response.into_body()).await?;
        match serde_json::from_slice(&json) {
            Ok(value) => Ok(Reply { json, value }),
            Err(_) => Err(self.not_an_api(status, &json)),
        }
    }

    /// `{method} /v1/deployments/{name}/invoke/{path}`, with the JSON of overrides.
    ///
    /// # Errors
    ///
    /// When there is no answer. Every status is a success here, also that of a refusal.
    pub async fn invoke(
        &self,
        name: &DeploymentName,
        path: &PathAndQuery,
        overrides: HeaderValue,
        call: Call,
    ) -> Result<Response<Incoming>, ClientError> {
        let path = path.as_str();
        // Without a path of its own there is no `/` behind `invoke` either.
        let path = path
            .strip_prefix('/')
            .filter(|rest| rest.is_empty() || rest.starts_with('?'))
            .unwrap_or(path);
        let path = format!("/v1/deployments/{name}/invoke{path}");
        let mut request = self.request(call.method, &path, call.body);
        let token = request.headers_mut().remove(http::header::AUTHORIZATION);
        *request.headers_mut() = call.headers;
        request.headers_mut().insert("samovar-override", overrides);
        if let Some(token) = token {
            request.headers_mut().insert(http::header::AUTHORIZATION, token);
        }
        self.send(request).await
    }
}

/// The error in a refusal of the admin API, if it is one and not the answer of a handler.
pub fn refusal_in(response: &http::response::Parts, body: &[u8]) -> Option<ClientError> {
    let is_json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    if response.status.is_success() || !response.headers.get(CONTENT_TYPE).is_some_and(is_json) {
        return None;
    }
    let api::ErrorBody { error } = serde_json::from_slice(body).ok()?;
    match error.code {
        api::ErrorCode::Unknown(_) => None,
        _ => Some(ClientError::Api(error)),
    }
}
