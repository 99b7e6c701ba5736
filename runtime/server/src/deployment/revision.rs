//! One immutable spec of a deployment, its pool, and what its spec means to the parts that run it.

use super::Workload;
use crate::dispatch::front::Front;
use crate::native::Terms;
use crate::slots::Demand;
use crate::spec::{DeploymentSpec, World};
use crate::warm_pool::WarmPool;
use crate::wasm::guest::GuestLimits;
use std::sync::Arc;
use std::time::Duration;

/// What the data plane checks for each request of a revision.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// Bytes of a request's head.
    pub headers_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Bytes of a response's head.
    pub response_headers_bytes: usize,
    /// Bytes of a response's body.
    pub response_body_bytes: u64,
    /// From dispatch to the response's head.
    pub request_timeout: Duration,
    /// The longest silence of a response's body.
    pub stall_timeout: Duration,
    /// The longest wait for a replica.
    pub queue_timeout: Duration,
}

impl From<&DeploymentSpec> for RequestLimits {
    fn from(spec: &DeploymentSpec) -> Self {
        RequestLimits {
            headers_bytes: size(spec.limits.request_headers),
            body_bytes: spec.limits.request_body,
            response_headers_bytes: size(spec.limits.response_headers),
            response_body_bytes: spec.limits.response_body,
            request_timeout: spec.limits.request_timeout,
            stall_timeout: spec.limits.stall_timeout,
            queue_timeout: spec.queue.timeout,
        }
    }
}

impl From<&DeploymentSpec> for GuestLimits {
    fn from(spec: &DeploymentSpec) -> Self {
        GuestLimits {
            memory_bytes: size(spec.limits.memory),
            cpu_time: spec.limits.cpu_time,
            response_headers_bytes: size(spec.limits.response_headers),
            env: spec.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// One immutable spec of a deployment, and its pool.
pub struct Revision {
    /// Counted from 1.
    pub number: u64,
    /// What was asked for.
    pub spec: DeploymentSpec,
    /// The handler's world; none if a replica is no component.
    pub world: Option<World>,
    /// Its replicas.
    pub pool: Arc<WarmPool>,
    /// What is checked for each request.
    pub request_limits: RequestLimits,
    /// How the work of a request is measured; none if it is not.
    pub workload: Option<Workload>,
    /// What one replica takes of the machine.
    pub demand: Demand,
    /// What stands in front of its replicas; none if requests reach them as they are.
    pub front: Option<Arc<Front>>,
    /// Its deployment's name, if its requests can call others.
    pub caller: Option<Arc<str>>,
    /// How its workers are treated; none if none may report.
    pub workers: Option<Terms>,
}

impl Revision {
    /// Whether requests go to its replicas together.
    pub fn is_batched(&self) -> bool {
        self.pool.limits().batch.is_some()
    }

    /// Whether its replicas are instances of a component.
    pub fn is_guest(&self) -> bool {
        self.world.is_some()
    }
}
