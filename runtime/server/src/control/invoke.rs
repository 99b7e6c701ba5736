//! Calls of operators: like those of clients, but with limits and environment of their own if they
//! run on a fresh instance.

use super::Control;
use crate::api::{ApiError, ErrorCode};
use crate::calls::Origin;
use crate::clock;
use crate::deployment::{Deployment, Revision};
use crate::dispatch::{Failure, Inbound, RequestBody, ResponseBody};
use crate::spec::{DeploymentName, DeploymentSpec, Overrides, Replicas, Reuse, World};
use http::{Request, Response};
use std::sync::Arc;
use wasmtime_wasi_http::WasiBody;

/// The instance of one call. Dropping it lets it go once the call has ended.
struct Fresh(Arc<Revision>);

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.pool.close(clock::now());
    }
}

impl Control {
    /// Serves one request with a deployment. With overrides it runs on an instance of its own.
    ///
    /// # Errors
    ///
    /// `not-found`, or when the overrides are refused. What goes wrong with the request is an
    /// answer.
    pub async fn invoke(
        &self,
        name: &DeploymentName,
        request: Request<WasiBody>,
        overrides: &Overrides,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let deployment = self.deployment(name)?;
        let live = deployment.live();
        let changed = overrides.apply(&live.spec)?;
        let arrived = clock::now();
        let (parts, body) = request.into_parts();
        let (body, overflow) = RequestBody::boxed(body, live.request_limits.body_bytes);
        let inbound = Inbound {
            request: Request::from_parts(parts, body),
            overflow,
            arrived,
            recording: deployment.recorder.arrived(arrived),
            origin: Origin::default(),
        };
        let answer = if changed == live.spec {
            self.dispatch.serve(&deployment, inbound).await
        } else {
            self.serve_fresh(&deployment, changed, live.world, inbound).await?
        };
        Ok(answer.unwrap_or_else(Failure::into_response))
    }

    async fn serve_fresh(
        &self,
        deployment: &Deployment,
        spec: DeploymentSpec,
        world: Option<World>,
        inbound: Inbound,
    ) -> Result<Result<Response<ResponseBody>, Failure>, ApiError> {
        if !spec.runs.is_guest() {
            let message = "only components run on a fresh instance for one call";
            return Err(ApiError::new(ErrorCode::InvalidField, message).with_field("override"));
        }
        let longest = spec.limits.request_timeout + spec.limits.stall_timeout;
        let spec = DeploymentSpec {
            replicas: Replicas { min: 0, max: 1 },
            initial_replicas: 0,
            // It serves this one request, and needs no successor for that.
            reuse: Reuse::On,
            drain_timeout: spec.drain_timeout.max(longest),
            ..spec
        };
        let number = deployment.live().number;
        let revision = self.revision(&deployment.name, number, spec, world, &deployment.parts())?;
        deployment.host(Arc::clone(&revision));
        let fresh = Fresh(Arc::clone(&revision));
        let answer = self.dispatch.serve_with(deployment, revision, inbound).await;
        drop(fresh);
        Ok(answer)
    }
}
