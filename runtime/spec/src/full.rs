//! The full form of a checked spec: every setting written out, readable as an equal spec.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::raw::{
    RawBatching, RawCalls, RawColdStartProxy, RawDistribute, RawFleet, RawKeyValue, RawLimits,
    RawOutbound, RawProcess, RawQueue, RawReplicas, RawScaling, RawSecret, RawSpec, RawWorker,
};
use super::units::{Count, DurationText, SizeText};
use super::{DeploymentSpec, Replicas};

/// What has no meaning for a sort of replica is left out.
impl From<&DeploymentSpec> for RawSpec {
    fn from(spec: &DeploymentSpec) -> RawSpec {
        let process = spec.runs.process();
        let Replicas { min, max } = spec.replicas;
        let is_guest = spec.runs.is_guest();
        let secrets = spec.secrets.iter();
        RawSpec {
            component: spec.runs.component().map(|digest| digest.to_string()),
            process: process.map(RawProcess::from),
            distribute: process
                .and_then(|process| process.distribute.as_ref().map(RawDistribute::from)),
            worker: spec.worker.as_ref().map(RawWorker::from),
            fleet: spec.fleet.as_ref().map(RawFleet::from),
            priority: Some(spec.priority),
            route: Some(spec.route.clone()),
            replicas: Some(RawReplicas { min: min.into(), max: max.into() }),
            initial_replicas: count(spec.initial_replicas),
            concurrency: count(spec.concurrency),
            idle_ttl: Some(spec.idle_ttl),
            scaledown_ttl: duration(spec.scaledown_ttl),
            max_requests: Some(Count(spec.max_requests)),
            max_age: Some(spec.max_age),
            reuse: is_guest.then_some(spec.reuse),
            queue: RawQueue { max: count(spec.queue.max), timeout: duration(spec.queue.timeout) },
            batching: spec.batching.as_ref().map(RawBatching::from),
            cold_start_proxy: spec.cold_start_proxy.as_ref().map(RawColdStartProxy::from),
            drain_timeout: duration(spec.drain_timeout),
            scaling: RawScaling {
                policy: Some(spec.scaling.policy.to_string()),
                config: spec.scaling.config.clone(),
                interval: duration(spec.scaling.interval),
            },
            external_scaler: Some(spec.external_scaler),
            ready: Some(spec.ready),
            endpoint: spec.endpoint.clone(),
            input_schema: spec.input_schema.clone(),
            output_schema: spec.output_schema.clone(),
            docs: Some(spec.docs.clone().unwrap_or_else(|| "off".to_owned())),
            limits: limits(spec),
            calls: is_guest.then(|| RawCalls::from(&spec.calls)),
            outbound: spec.outbound.as_ref().map(RawOutbound::from),
            keyvalue: is_guest.then(|| RawKeyValue::from(&spec.keyvalue)),
            config: spec.config.clone(),
            env: spec.env.clone(),
            secrets: secrets.map(|(key, from)| (key.clone(), RawSecret::from(from))).collect(),
        }
    }
}

fn limits(spec: &DeploymentSpec) -> RawLimits {
    let limits = &spec.limits;
    let is_guest = spec.runs.is_guest();
    RawLimits {
        memory: is_guest.then_some(SizeText(limits.memory)),
        request_timeout: duration(limits.request_timeout),
        stall_timeout: duration(limits.stall_timeout),
        cpu_time: is_guest.then_some(DurationText(limits.cpu_time)),
        start_timeout: duration(limits.start_timeout),
        request_headers: Some(SizeText(limits.request_headers)),
        request_body: Some(SizeText(limits.request_body)),
        response_headers: Some(SizeText(limits.response_headers)),
        response_body: Some(SizeText(limits.response_body)),
    }
}

fn count(count: u32) -> Option<Count> {
    Some(Count(u64::from(count)))
}

fn duration(duration: Duration) -> Option<DurationText> {
    Some(DurationText(duration))
}

impl Serialize for DeploymentSpec {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        RawSpec::from(self).serialize(output)
    }
}

/// Reads the full form, as it was serialized. A spec from a user goes through
/// [`RawSpec::from_json`] and [`RawSpec::validate`] instead, which know the name and the handler.
impl<'de> Deserialize<'de> for DeploymentSpec {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<DeploymentSpec, D::Error> {
        RawSpec::deserialize(input)?.validate_full().map_err(serde::de::Error::custom)
    }
}
