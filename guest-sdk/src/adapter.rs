//! Joins a [`Policy`] to the generated bindings. Exists only in guests.

use std::{cell::RefCell, marker::PhantomData};

use crate::{
    Conformance, Decision, Latency, Limits, Observation, Policy, Replica, ReplicaKind,
    ReplicaState, Sample, Wish, Work, parse_config,
};

#[allow(missing_docs, reason = "generated code")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "policy",
        pub_export_macro: true,
        default_bindings_module: "samovar_sdk::private::bindings",
    });
}

#[allow(missing_docs, reason = "generated code")]
pub mod port_bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "port",
        pub_export_macro: true,
        default_bindings_module: "samovar_sdk::private::port_bindings",
    });
}

use bindings::exports::samovar::policy::scaling as wire;

/// The component's side of `P`.
pub struct Adapter<P>(PhantomData<P>);

impl<P: Policy> wire::Guest for Adapter<P> {
    type Scaler = Scaler<P>;

    fn describe() -> wire::Description {
        wire::Description {
            name: P::NAME.into(),
            version: P::VERSION.into(),
            config_schema: P::CONFIG_SCHEMA.into(),
            needs_replicas: P::NEEDS_REPLICAS,
        }
    }
}

impl<P: Conformance> port_bindings::exports::samovar::policy::conformance::Guest for Adapter<P> {
    fn answer(question: String) -> Result<String, String> {
        P::answer(&question)
    }
}

/// One policy's state. The host calls one thing at a time, hence no lock.
pub struct Scaler<P>(RefCell<P>);

impl<P: Policy> wire::GuestScaler for Scaler<P> {
    fn create(config: String) -> Result<wire::Scaler, String> {
        let policy = P::new(parse_config(&config)?)?;
        Ok(wire::Scaler::new(Self(RefCell::new(policy))))
    }

    fn scale(&self, seen: wire::Observation) -> wire::Decision {
        self.0.borrow_mut().scale(&seen.into()).into()
    }
}

impl From<wire::Observation> for Observation {
    fn from(seen: wire::Observation) -> Self {
        Self {
            now_ms: seen.now_ms,
            since_ms: seen.since_ms,
            limits: Limits {
                min: seen.limits.min,
                max: seen.limits.max,
                concurrency: seen.limits.concurrency,
                queue_max: seen.limits.queue_max,
            },
            starting: seen.starting,
            ready: seen.ready,
            draining: seen.draining,
            target: seen.target,
            queued: seen.queued,
            ongoing: seen.ongoing,
            queued_average: seen.queued_average,
            ongoing_average: seen.ongoing_average,
            arrived: seen.arrived,
            completed: seen.completed,
            failed: seen.failed,
            rejected: seen.rejected,
            oldest_wait_ms: seen.oldest_wait_ms,
            latency: seen.latency.map(|latency| Latency {
                p50_ms: latency.p50_ms,
                p90_ms: latency.p90_ms,
                p99_ms: latency.p99_ms,
            }),
            last_used_ms: seen.last_used_ms,
            created_ms: seen.created_ms,
            work: seen.work.map(Work::from),
            custom: seen.custom.into_iter().map(Sample::from).collect(),
            replicas: seen.replicas.into_iter().map(Replica::from).collect(),
        }
    }
}

impl From<wire::Work> for Work {
    fn from(work: wire::Work) -> Self {
        Self {
            offered: work.offered,
            served: work.served,
            rejected: work.rejected,
            cancelled: work.cancelled,
            capacity: work.capacity,
        }
    }
}

impl From<wire::Sample> for Sample {
    fn from(sample: wire::Sample) -> Self {
        Self { name: sample.name, value: sample.value }
    }
}

impl From<wire::Replica> for Replica {
    fn from(replica: wire::Replica) -> Self {
        Self {
            id: replica.id,
            kind: match replica.kind {
                wire::ReplicaKind::Wasm => ReplicaKind::Wasm,
                wire::ReplicaKind::Process => ReplicaKind::Process,
                wire::ReplicaKind::External => ReplicaKind::External,
            },
            state: match replica.state {
                wire::ReplicaState::Starting => ReplicaState::Starting,
                wire::ReplicaState::Ready => ReplicaState::Ready,
                wire::ReplicaState::Draining => ReplicaState::Draining,
            },
            ongoing: replica.ongoing,
            idle_ms: replica.idle_ms,
            age_ms: replica.age_ms,
            load: replica.load,
            max_perf: replica.max_perf,
        }
    }
}

impl From<Decision> for wire::Decision {
    fn from(decision: Decision) -> Self {
        Self {
            wish: match decision.wish {
                Wish::Hold => wire::Wish::Hold,
                Wish::Replicas(count) => wire::Wish::Replicas(count),
            },
            remove_first: decision.remove_first,
            next_tick_ms: decision.next_tick_ms,
            reason: decision.reason,
        }
    }
}
