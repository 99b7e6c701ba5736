//! What stands in front of a deployment's replicas: its endpoint, the schemas of what goes in and
//! comes out, a page to try it, and who answers while it is cold.

use super::body::{empty, full, read};
use super::{Dispatch, Failure, FailureCode, Inbound, ResponseBody};
use crate::deployment::{Deployment, Revision};
use crate::spec::DeploymentName;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use samovar_outbound::{CallOptions, Client};
use samovar_schema::{Fault, Schema};
use std::sync::Arc;
use std::time::Duration;

/// How often a request is passed on to a deployment that stands in, which may be cold too. Beyond
/// that it waits: those that stand in for one another in a circle would pass it on for ever.
const PASSED_ON_MAX: u32 = 4;

/// Bytes of a body that are checked by the thread that serves the request.
const CHECKED_HERE_MAX: usize = 64 << 10;

/// What stands in front of one revision.
#[derive(Default)]
pub struct Front {
    /// The only path that reaches the replicas, by POST; none if all do.
    pub endpoint: Option<String>,
    /// What a request's body must be.
    pub input: Option<Arc<Schema>>,
    /// What a response's body must be.
    pub output: Option<Arc<Schema>>,
    /// The page to try it.
    pub docs: Option<Docs>,
    /// Who answers while it is cold.
    pub cold: Option<ColdStart>,
}

impl Front {
    /// Whether nothing stands in front.
    pub fn is_empty(&self) -> bool {
        let Front { endpoint, input, output, docs, cold } = self;
        endpoint.is_none()
            && input.is_none()
            && output.is_none()
            && docs.is_none()
            && cold.is_none()
    }
}

/// A page and the document it shows.
pub struct Docs {
    /// Below the route: `/docs`.
    pub path: String,
    /// The page.
    pub page: Bytes,
    /// What its browser may load.
    pub policy: String,
    /// The OpenAPI document.
    pub document: Bytes,
}

/// Who answers while no replica is ready, or too few are.
pub struct ColdStart {
    /// Who.
    pub to: Stand,
    /// Requests per ready replica from which on it steps in too.
    pub above: Option<f64>,
    /// How long it has for an answer's head.
    pub timeout: Duration,
}

/// Who stands in.
pub enum Stand {
    /// Another deployment.
    Deployment(DeploymentName),
    /// A server elsewhere.
    Url(Uri, Client),
    /// Always the same answer.
    Response {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// Its body.
        body: Bytes,
    },
}

impl ColdStart {
    /// Whether it answers instead of a pool with so many ready replicas and requests. Lightning has
    /// a batch per worker as the bound.
    fn steps_in(&self, ready: u32, requests: u32) -> bool {
        let most = self.above.map_or(f64::INFINITY, |above| above * f64::from(ready));
        ready == 0 || f64::from(requests) >= most
    }
}

impl Dispatch {
    /// Serves a request of a revision that has something in front.
    pub(super) async fn serve_behind(
        &self,
        front: &Front,
        deployment: &Deployment,
        live: Arc<Revision>,
        mut inbound: Inbound,
    ) -> Result<Response<ResponseBody>, Failure> {
        let path = inbound.request.uri().path();
        if let Some(docs) = &front.docs
            && let Some(page) = docs.page(inbound.request.method(), path)
        {
            return Ok(page);
        }
        if let Some(endpoint) = &front.endpoint {
            check_endpoint(endpoint, inbound.request.method(), path)?;
        }
        if let Some(schema) = &front.input {
            inbound = checked_input(schema, &live, inbound).await?;
        }
        if let Some(cold) = &front.cold {
            let counts = live.pool.counts();
            let may_pass_on = inbound.origin.passed_on < PASSED_ON_MAX;
            if may_pass_on && cold.steps_in(counts.ready, counts.queued + counts.ongoing) {
                live.pool.warm_up();
                deployment.note_proxied();
                return self.stand_in(cold, &live, inbound).await;
            }
        }
        let bytes_max = live.request_limits.response_body_bytes;
        let is_head = inbound.request.method() == Method::HEAD;
        let response = self.serve_pooled(deployment, live, inbound).await?;
        match &front.output {
            Some(schema) if response.status().is_success() && !is_head => {
                checked_output(schema, bytes_max, response).await
            }
            Some(_) | None => Ok(response),
        }
    }

    async fn stand_in(
        &self,
        cold: &ColdStart,
        live: &Revision,
        inbound: Inbound,
    ) -> Result<Response<ResponseBody>, Failure> {
        let failed = |message: String| Failure::new(FailureCode::ProxyFailed, message);
        let late = || failed(format!("the cold start proxy did not answer in {:?}", cold.timeout));
        match &cold.to {
            Stand::Response { status, headers, body } => {
                let mut response = Response::new(ResponseBody::full(body.clone()));
                *response.status_mut() = *status;
                response.headers_mut().extend(headers.iter().cloned());
                Ok(response)
            }
            Stand::Deployment(name) => {
                let Inbound { request, mut origin, .. } = inbound;
                origin.passed_on += 1;
                let answer = Box::pin(self.call(name, request, origin));
                tokio::time::timeout(cold.timeout, answer).await.map_err(|_| late())?
            }
            Stand::Url(url, client) => {
                let (mut parts, body) = inbound.request.into_parts();
                parts.uri = below(url, &parts.uri).map_err(|error| failed(error.to_string()))?;
                parts.headers.remove(header::HOST);
                samovar_proxy::headers::clean_request(&mut parts.headers);
                let request = Request::from_parts(parts, body);
                let answer = client.send(request, CallOptions::default());
                let answer = tokio::time::timeout(cold.timeout, answer).await;
                let response = answer.map_err(|_| late())?;
                let response = response.map_err(|error| {
                    failed(format!("the cold start proxy could not be asked: {error}"))
                })?;
                let limits = &live.request_limits;
                Ok(response.map(|body| ResponseBody::foreign(body, limits)))
            }
        }
    }
}

impl Docs {
    fn page(&self, method: &Method, path: &str) -> Option<Response<ResponseBody>> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let rest = path.strip_prefix(self.path.as_str())?;
        let (kind, body) = match rest {
            "" | "/" => ("text/html; charset=utf-8", &self.page),
            "/openapi.json" => ("application/json", &self.document),
            _ => return None,
        };
        let mut response = Response::new(ResponseBody::full(body.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(policy) = HeaderValue::from_str(&self.policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Some(response)
    }
}

/// A URL with the path and the query of a request added to its own path.
fn below(url: &Uri, request: &Uri) -> Result<Uri, http::Error> {
    let path = match request.path() {
        "/" => url.path().to_owned(),
        rest => format!("{}{rest}", url.path().trim_end_matches('/')),
    };
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    let builder = Uri::builder().scheme(url.scheme_str().unwrap_or("http"));
    let authority = url.authority().map_or("", |authority| authority.as_str());
    builder.authority(authority).path_and_query(format!("{path}{query}")).build()
}

fn check_endpoint(endpoint: &str, method: &Method, path: &str) -> Result<(), Failure> {
    if path != endpoint && path.strip_suffix('/') != Some(endpoint) {
        let message = format!("there is nothing at {path}; the endpoint is POST {endpoint}");
        return Err(Failure::new(FailureCode::NotEndpoint, message));
    }
    if method != Method::POST {
        let message = format!("{endpoint} takes POST, not {method}");
        return Err(Failure::new(FailureCode::Method, message));
    }
    Ok(())
}

/// Reads a request's body and checks it.
async fn checked_input(
    schema: &Arc<Schema>,
    live: &Revision,
    inbound: Inbound,
) -> Result<Inbound, Failure> {
    let (inbound, body) = inbound.read(live).await?;
    check(schema, &body).await.map_err(|faults| {
        let message = told("the request's body", &faults);
        Failure::new(FailureCode::InputSchema, message).faults(faults)
    })?;
    Ok(inbound.with_body(body))
}

/// Reads a response's body and checks it.
async fn checked_output(
    schema: &Arc<Schema>,
    bytes_max: u64,
    response: Response<ResponseBody>,
) -> Result<Response<ResponseBody>, Failure> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, usize::try_from(bytes_max).unwrap_or(usize::MAX));
    let body = body.collect().await.map_err(|error| {
        let message = format!("the response broke off before it could be checked: {error}");
        Failure::new(FailureCode::OutputSchema, message)
    })?;
    let body = body.to_bytes();
    check(schema, &body).await.map_err(|faults| {
        let message = told("the handler's answer", &faults);
        Failure::new(FailureCode::OutputSchema, message).faults(faults)
    })?;
    Ok(Response::from_parts(parts, ResponseBody::full(body)))
}

/// Checks a body. A large one may take the processor for a while, so it does not hold up others.
async fn check(schema: &Arc<Schema>, body: &Bytes) -> Result<(), Vec<Fault>> {
    if body.len() <= CHECKED_HERE_MAX {
        return schema.check(body);
    }
    let (schema, body) = (Arc::clone(schema), body.clone());
    let checked = tokio::task::spawn_blocking(move || schema.check(&body)).await;
    checked.unwrap_or_else(|failed| {
        // Our own defect, but what could not be checked is not passed on.
        tracing::error!("a body could not be checked: {failed}");
        Err(Vec::new())
    })
}

fn told(what: &str, faults: &[Fault]) -> String {
    match faults {
        [] => format!("{what} does not fit its schema"),
        [fault, ..] if fault.pointer.is_empty() => {
            format!("{what} does not fit its schema: {}", fault.reason)
        }
        [fault, ..] => {
            format!("{what} does not fit its schema: at {}: {}", fault.pointer, fault.reason)
        }
    }
}

impl Inbound {
    /// Reads the whole body, which is within the limit.
    ///
    /// # Errors
    ///
    /// When it breaks off, or it or the head is too large.
    pub async fn read(self, revision: &Revision) -> Result<(Inbound, Bytes), Failure> {
        let (parts, body) = self.request.into_parts();
        super::check_limits(&revision.request_limits, &parts)?;
        let read = read(body, revision.request_limits.request_timeout).await;
        let body = read.map_err(|failure| super::call::too_large_or(&self.overflow, failure))?;
        let request = Request::from_parts(parts, empty());
        Ok((Inbound { request, ..self }, body))
    }

    /// With a body that was read before.
    pub fn with_body(self, body: Bytes) -> Inbound {
        let (parts, _) = self.request.into_parts();
        Inbound { request: Request::from_parts(parts, full(body)), overflow: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_in_and_when() {
        let to = || Stand::Deployment("other".parse().unwrap());
        let cold = |above| ColdStart { to: to(), above, timeout: Duration::from_secs(1) };
        assert!(cold(None).steps_in(0, 0));
        assert!(!cold(None).steps_in(1, 1_000_000));
        assert!(!cold(Some(8.0)).steps_in(2, 15));
        assert!(cold(Some(8.0)).steps_in(2, 16), "as many as Lightning's bound");
        assert!(cold(Some(0.5)).steps_in(2, 1));
    }

    #[test]
    fn what_follows_the_route_is_added_to_a_url() {
        let below = |url: &str, request: &str| {
            below(&url.parse().unwrap(), &request.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(below("https://a.example:1/predict", "/"), "https://a.example:1/predict");
        assert_eq!(below("https://a.example/p/", "/x/y?z=1"), "https://a.example/p/x/y?z=1");
        assert_eq!(below("http://a.example", "http://b/?z"), "http://a.example/?z");
        assert_eq!(below("http://a.example", "/x"), "http://a.example/x");
    }

    #[test]
    fn only_the_endpoint_is_served() {
        let code = |method, path| check_endpoint("/predict", &method, path).err();
        assert!(code(Method::POST, "/predict").is_none());
        assert!(code(Method::POST, "/predict/").is_none());
        assert!(format!("{:?}", code(Method::GET, "/predict")).contains("takes POST, not GET"));
        assert!(format!("{:?}", code(Method::POST, "/")).contains("the endpoint is POST /predict"));
        assert!(format!("{:?}", code(Method::POST, "/predict2")).contains("nothing at /predict2"));
    }
}
