//! Requests that a guest makes: to another deployment in process, or out into the world.

use super::ahead::Ahead;
use super::guest::Guest;
use super::surroundings::Surroundings;
use crate::calls::{CALL_HEADER, Running};
use crate::dispatch::{BrokenBody, ResponseBody};
use crate::spec::DeploymentName;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use wasmtime::AsContextMut as _;
use wasmtime::component::{Accessor, HasData, Resource};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::bindings::http::client;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    Error as WasiError, RequestOptions, WasiBody, WasiHttp, WasiHttpCtxView, WasiHttpView as _, p3,
};

/// Hosts below these are deployments: our own name, and the one Spin's components use.
const INTERNAL: [&str; 2] = [".spin.internal", ".internal"];

/// The deployment that a request is for, if its host names one.
fn internal(host: &str) -> Option<&str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    INTERNAL.iter().find_map(|suffix| {
        let cut = host.len().checked_sub(suffix.len())?;
        let (name, end) = host.split_at_checked(cut)?;
        end.eq_ignore_ascii_case(suffix).then_some(name)
    })
}

/// Sends a guest's request.
pub async fn send(
    surroundings: Arc<Surroundings>,
    running: Option<Arc<Running>>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<WasiBody>, WasiError> {
    request.headers_mut().remove(&CALL_HEADER);
    if let Some(running) = &running {
        running.trace_into(request.headers_mut());
    }
    let host = request.uri().host().unwrap_or_default();
    match internal(host).map(|name| name.to_ascii_lowercase().parse::<DeploymentName>()) {
        Some(Ok(name)) => call(&surroundings, running.as_deref(), &name, request, options).await,
        Some(Err(error)) => {
            surroundings.note(&format!("call to `{host}` denied: {error}"));
            Err(WasiError::HttpRequestUriInvalid)
        }
        None => surroundings.fetch(request, options).await,
    }
}

/// Calls another deployment, or the guest's own, in process.
async fn call(
    surroundings: &Surroundings,
    running: Option<&Running>,
    name: &DeploymentName,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<WasiBody>, WasiError> {
    if !surroundings.calls.allows(name) {
        surroundings.note(&format!("call to `{name}` denied: `calls.allow` does not name it"));
        return Err(WasiError::HttpRequestDenied);
    }
    // None only while the server goes down.
    let dispatch = surroundings.dispatch.upgrade().ok_or(WasiError::ConnectionTerminated)?;
    let origin = running.map(|running| running.call(name)).unwrap_or_default();
    let answer = dispatch.call(name, request, origin);
    let answer = match options.first_byte_timeout {
        Some(longest) => tokio::time::timeout(longest, answer)
            .await
            .map_err(|_| WasiError::HttpResponseTimeout)?,
        None => answer.await,
    };
    let response = answer.unwrap_or_else(|failure| failure.into_response());
    let (parts, body) = response.into_parts();
    let body = match body {
        whole @ ResponseBody::Full(_) => whole.map_err(broken).boxed_unsync(),
        stream @ ResponseBody::Stream(_) => Ahead::new(stream).await.map_err(broken).boxed_unsync(),
    };
    Ok(Response::from_parts(parts, body))
}

fn broken(error: BrokenBody) -> WasiError {
    match error {
        BrokenBody::Guest => WasiError::HttpResponseIncomplete,
        BrokenBody::Stalled(_) => WasiError::HttpResponseTimeout,
        BrokenBody::TooLarge => WasiError::HttpResponseBodySize(None),
    }
}

/// `wasi:http/client` of WASI 0.3, where one instance serves many requests: says first which of
/// them makes the call.
pub struct CallingHttp;

impl HasData for CallingHttp {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl client::HostWithStore<Guest> for CallingHttp {
    async fn send(
        store: &Accessor<Guest, Self>,
        request: Resource<p3::Request>,
    ) -> Result<Resource<p3::Response>, TrappableError<ErrorCode>> {
        store
            .with(|mut access| {
                // The last one is the call of the handler, whatever task of it we are in.
                let task = access.as_context_mut().async_call_stack()?.last();
                access.as_context_mut().data_mut().act_for(task);
                wasmtime::error::Ok(())
            })
            .map_err(TrappableError::trap)?;
        // Its first step, which takes the request, is made at once: nothing comes between.
        let plain = store.with_getter::<WasiHttp>(Guest::http);
        <WasiHttp as client::HostWithStore<Guest>>::send(&plain, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: Option<&str>) {
        assert_eq!(internal(host), expected, "{host}");
    }

    #[test]
    fn hosts_that_name_deployments() {
        check("thumbnail.internal", Some("thumbnail"));
        check("thumbnail.spin.internal", Some("thumbnail"));
        check("Thumbnail.INTERNAL", Some("Thumbnail"));
        check("thumbnail.internal.", Some("thumbnail"));
        check("a.b.internal", Some("a.b"));
        check(".internal", Some(""));
        check("internal", None);
        check("thumbnail.internal.example.org", None);
        check("notinternal", None);
        check("", None);
        check("é.internal", Some("é"));
    }
}
