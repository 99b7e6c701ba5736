//! A typed client of the admin API over plain HTTP.
//!
//! It keeps the JSON of each answer beside the typed value, so that a command can print exactly
//! what the server said. It retries nothing.

pub mod body;
mod error;
mod lines;
mod manual;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api;
use crate::config::Secret;
use crate::spec::{DeploymentName, Digest, PolicyName, RawSpec};

pub use body::Body;
pub use error::ClientError;
pub use lines::LogLines;
pub use manual::{Call, refusal_in};

/// Longer than that, and nobody answers there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Larger answers are not from an admin API; lists of thousands of deployments are smaller.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How much of a strange answer is shown.
const SHOWN_CHARS_MAX: usize = 200;

/// A connection pool to one server.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<HttpConnector, Body>,
    /// What the other side is called in errors.
    what: &'static str,
    /// Scheme, host, port and path prefix, without `/` at the end.
    base: String,
    token: Option<Secret>,
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Reply<T> {
    /// The JSON as the server sent it.
    pub json: Bytes,
    pub value: T,
}

impl Client {
    /// A client of the admin API at `url`. Connects when first used.
    ///
    /// # Errors
    ///
    /// [`ClientError::Url`] when `url` is not a plain HTTP address.
    pub fn admin(url: &str, token: Option<Secret>) -> Result<Client, ClientError> {
        Client::new("the admin API", url, token)
    }

    /// A client of the data plane at `url`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Url`] when `url` is not a plain HTTP address.
    pub fn data_plane(url: &str) -> Result<Client, ClientError> {
        Client::new("the data plane", url, None)
    }

    fn new(what: &'static str, url: &str, token: Option<Secret>) -> Result<Client, ClientError> {
        let wrong = |problem| ClientError::Url { url: url.to_owned(), problem };
        let uri: Uri = url.parse().map_err(|_| wrong("it does not parse"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(wrong(
                    "https is not supported, use a tunnel or a proxy on this machine",
                ));
            }
            Some(_) | None => return Err(wrong("it does not begin with http://")),
        }
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Client { http, what, base: url.trim_end_matches('/').to_owned(), token })
    }

    /// `GET /v1/info`
    pub async fn info(&self) -> Result<Reply<api::Info>, ClientError> {
        self.get("/v1/info").await
    }

    /// `GET /v1/deployments`
    pub async fn deployments(&self) -> Result<Reply<api::DeploymentList>, ClientError> {
        self.get("/v1/deployments").await
    }

    /// `GET /v1/deployments/{name}`
    pub async fn deployment(
        &self,
        name: &DeploymentName,
    ) -> Result<Reply<api::Deployment>, ClientError> {
        self.get(&format!("/v1/deployments/{name}")).await
    }

    /// `GET /v1/deployments/{name}/replicas`.
    pub async fn replicas(
        &self,
        name: &DeploymentName,
    ) -> Result<Reply<api::ReplicaList>, ClientError> {
        self.get(&format!("/v1/deployments/{name}/replicas")).await
    }

    /// `GET /v1/deployments/{name}/join`.
    pub async fn join(&self, name: &DeploymentName) -> Result<Reply<api::Join>, ClientError> {
        self.get(&format!("/v1/deployments/{name}/join")).await
    }

    /// `GET /v1/machine`.
    pub async fn machine(&self) -> Result<Reply<api::Machine>, ClientError> {
        self.get("/v1/machine").await
    }

    /// `PUT /v1/deployments/{name}`: waits until the new revision is live.
    pub async fn put_deployment(
        &self,
        name: &DeploymentName,
        spec: &RawSpec,
    ) -> Result<Reply<api::Deployment>, ClientError> {
        self.put(&format!("/v1/deployments/{name}"), spec).await
    }

    /// `DELETE /v1/deployments/{name}`: waits until it has drained.
    pub async fn delete_deployment(&self, name: &DeploymentName) -> Result<(), ClientError> {
        let path = format!("/v1/deployments/{name}");
        let request = self.request(Method::DELETE, &path, body::empty());
        self.answer(request).await.map(|_| ())
    }

    /// `GET /v1/components/{digest}`
    pub async fn component(&self, digest: &Digest) -> Result<Reply<api::Component>, ClientError> {
        self.get(&format!("/v1/components/{digest}")).await
    }

    /// `POST /v1/components`: streams the file, telling `on_sent` the length of each piece.
    pub async fn upload_component(
        &self,
        file: &Path,
        on_sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Reply<api::Component>, ClientError> {
        self.upload(Method::POST, "/v1/components", file, on_sent).await
    }

    /// `GET /v1/policies`
    pub async fn policies(&self) -> Result<Reply<api::PolicyList>, ClientError> {
        self.get("/v1/policies").await
    }

    /// `GET /v1/policies/{name}`
    pub async fn policy(&self, name: &PolicyName) -> Result<Reply<api::Policy>, ClientError> {
        self.get(&format!("/v1/policies/{name}")).await
    }

    /// `PUT /v1/policies/{name}`: streams the file, telling `on_sent` the length of each piece.
    pub async fn push_policy(
        &self,
        name: &PolicyName,
        file: &Path,
        on_sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Reply<api::Policy>, ClientError> {
        self.upload(Method::PUT, &format!("/v1/policies/{name}"), file, on_sent).await
    }

    /// `PUT /v1/deployments/{name}/policy`: waits until the policy is live.
    pub async fn swap_policy(
        &self,
        name: &DeploymentName,
        policy: &api::SetPolicy,
    ) -> Result<Reply<api::PolicySwapped>, ClientError> {
        self.put(&format!("/v1/deployments/{name}/policy"), policy).await
    }

    /// `GET /v1/deployments/{name}/policy/versions`
    pub async fn policy_versions(
        &self,
        name: &DeploymentName,
    ) -> Result<Reply<api::PolicyVersions>, ClientError> {
        self.get(&format!("/v1/deployments/{name}/policy/versions")).await
    }

    /// `POST /v1/deployments/{name}/policy/rollback`: waits until the policy is live.
    pub async fn rollback_policy(
        &self,
        name: &DeploymentName,
        to: &api::Rollback,
    ) -> Result<Reply<api::PolicySwapped>, ClientError> {
        self.send_json(Method::POST, &format!("/v1/deployments/{name}/policy/rollback"), to).await
    }

    /// `POST /v1/deployments/{name}/policy/promote`: waits until the shadow is live.
    pub async fn promote_shadow(
        &self,
        name: &DeploymentName,
    ) -> Result<Reply<api::PolicySwapped>, ClientError> {
        let path = format!("/v1/deployments/{name}/policy/promote");
        self.parsed(self.request(Method::POST, &path, body::empty())).await
    }

    /// `POST /v1/deployments/{name}/policy/test`
    pub async fn test_policy(
        &self,
        name: &DeploymentName,
        test: &api::TestPolicy,
    ) -> Result<Reply<api::PolicyTest>, ClientError> {
        self.send_json(Method::POST, &format!("/v1/deployments/{name}/policy/test"), test).await
    }

    /// `PUT /v1/deployments/{name}/policy/shadow`: waits until it runs.
    pub async fn set_shadow(
        &self,
        name: &DeploymentName,
        policy: &api::SetPolicy,
    ) -> Result<Reply<api::Shadow>, ClientError> {
        self.put(&format!("/v1/deployments/{name}/policy/shadow"), policy).await
    }

    /// `GET /v1/deployments/{name}/policy/shadow`
    pub async fn shadow(&self, name: &DeploymentName) -> Result<Reply<api::Shadow>, ClientError> {
        self.get(&format!("/v1/deployments/{name}/policy/shadow")).await
    }

    /// `DELETE /v1/deployments/{name}/policy/shadow`
    pub async fn delete_shadow(&self, name: &DeploymentName) -> Result<(), ClientError> {
        let path = format!("/v1/deployments/{name}/policy/shadow");
        let request = self.request(Method::DELETE, &path, body::empty());
        self.answer(request).await.map(|_| ())
    }

    /// `GET /v1/deployments/{name}/decisions`
    pub async fn decisions(
        &self,
        name: &DeploymentName,
        limit: u32,
    ) -> Result<Reply<api::DecisionList>, ClientError> {
        self.get(&format!("/v1/deployments/{name}/decisions?limit={limit}")).await
    }

    /// `GET /v1/deployments/{name}/logs`: the lines come as they are written when `follow` is set.
    pub async fn logs(
        &self,
        name: &DeploymentName,
        follow: bool,
        limit: u32,
    ) -> Result<LogLines, ClientError> {
        let path = format!("/v1/deployments/{name}/logs?follow={follow}&limit={limit}");
        self.lines(&path).await
    }

    /// `GET /v1/deployments/{name}/requests`: a line for each request that comes or ends.
    pub async fn requests(&self, name: &DeploymentName) -> Result<LogLines, ClientError> {
        self.lines(&format!("/v1/deployments/{name}/requests")).await
    }

    async fn lines(&self, path: &str) -> Result<LogLines, ClientError> {
        let request = self.request(Method::GET, path, body::empty());
        let response = self.send(request).await?;
        match response.status().is_success() {
            true => Ok(LogLines::new(self.base.clone(), response.into_body())),
            false => Err(self.refusal(response).await),
        }
    }

    /// The request for `path` of this server, with the token if there is one.
    fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let mut request = request.body(body).expect("the base was parsed, names need no escapes");
        if let Some(token) = &self.token {
            let text = format!("Bearer {}", token.expose());
            let mut value = HeaderValue::try_from(text).expect("a token is printable ASCII");
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        request
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Reply<T>, ClientError> {
        let request = self.request(Method::GET, path, body::empty());
        self.parsed(request).await
    }

    async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<Reply<T>, ClientError> {
        self.send_json(Method::PUT, path, value).await
    }

    async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        value: &impl Serialize,
    ) -> Result<Reply<T>, ClientError> {
        let json = serde_json::to_vec(value).expect("wire types have string keys only");
        let mut request = self.request(method, path, body::full(json));
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.parsed(request).await
    }

    async fn upload<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        file: &Path,
        on_sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Reply<T>, ClientError> {
        let (body, size_bytes) = body::file(file, on_sent).await?;
        let mut request = self.request(method, path, body);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
        // With a length the server can refuse before it has read everything.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size_bytes));
        self.parsed(request).await
    }

    async fn parsed<T: DeserializeOwned>(
        &self,
        request: Request<Body>,
    ) -> Result<Reply<T>, ClientError> {
        let (status, json) = self.answer(request).await?;
        match serde_json::from_slice(&json) {
            Ok(value) => Ok(Reply { json, value }),
            Err(_) => Err(self.not_an_api(status, &json)),
        }
    }

    /// Status and body of a successful answer.
    async fn answer(&self, request: Request<Body>) -> Result<(StatusCode, Bytes), ClientError> {
        let response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let status = response.status();
        Ok((status, self.read(response.into_body()).await?))
    }

    /// Sends a request whose URI begins with the base of this client.
    ///
    /// # Errors
    ///
    /// When there is no answer. Every status is a success here.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
        let url = self.base.clone();
        self.http.request(request).await.map_err(|error| {
            let reason = error::root_cause(&error);
            match error.is_connect() {
                true => ClientError::Unreachable { what: self.what, url, reason },
                false => ClientError::Broken { url, reason },
            }
        })
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        collected.map(|body| body.to_bytes()).map_err(|error| ClientError::Broken {
            url: self.base.clone(),
            reason: error::root_cause(error.as_ref()),
        })
    }

    /// The error in an answer that is not a success.
    async fn refusal(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        match self.read(response.into_body()).await {
            Ok(json) => match serde_json::from_slice::<api::ErrorBody>(&json) {
                Ok(body) => ClientError::Api(body.error),
                Err(_) => self.not_an_api(status, &json),
            },
            Err(error) => error,
        }
    }

    fn not_an_api(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let text = String::from_utf8_lossy(body);
        let body = text.chars().take(SHOWN_CHARS_MAX).collect::<String>().trim().to_owned();
        ClientError::NotAnApi { url: self.base.clone(), status, body }
    }
}
