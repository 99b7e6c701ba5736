//! Between the core's types and those of the WIT.

use super::bindings::exports::samovar::policy::scaling as wit;
use samovar_core::observation::Observation;
use samovar_core::replica::{ReplicaId, ReplicaKind, ReplicaView, State};
use samovar_core::target::{Answer, Wish};
use samovar_core::time::Timestamp;
use std::time::Duration;

/// Bytes kept of a reason.
const REASON_BYTES_MAX: usize = 200;

/// A policy's decision as the core knows it.
pub fn answer(decision: wit::Decision) -> Answer {
    let mut reason = decision.reason;
    if reason.len() > REASON_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    }
    Answer {
        wish: match decision.wish {
            wit::Wish::Hold => Wish::Hold,
            wit::Wish::Replicas(wanted) => Wish::Replicas(wanted),
        },
        remove_first: decision.remove_first.into_iter().map(ReplicaId).collect(),
        next_tick: decision.next_tick_ms.map(timestamp),
        reason,
    }
}

/// An observation as a policy sees it; the single replicas only if it reads them.
pub fn observation(seen: &Observation, with_replicas: bool) -> wit::Observation {
    let replicas = if with_replicas { seen.replicas.as_slice() } else { &[] };
    wit::Observation {
        now_ms: seen.now.as_millis(),
        since_ms: millis(seen.since),
        limits: wit::Limits {
            min: seen.min,
            max: seen.max,
            concurrency: seen.concurrency,
            queue_max: seen.queue_max,
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
        oldest_wait_ms: seen.oldest_wait.map(millis),
        latency: seen.latency.map(|latency| wit::Latency {
            p50_ms: latency.p50_ms,
            p90_ms: latency.p90_ms,
            p99_ms: latency.p99_ms,
        }),
        last_used_ms: seen.last_used.map(|used| used.as_millis()),
        created_ms: seen.created.as_millis(),
        work: seen.work.map(|work| wit::Work {
            offered: work.offered,
            served: work.served,
            rejected: work.rejected,
            cancelled: work.cancelled,
            capacity: work.capacity,
        }),
        custom: seen
            .custom
            .iter()
            .map(|(name, value)| wit::Sample { name: name.clone(), value: *value })
            .collect(),
        replicas: replicas.iter().map(replica).collect(),
    }
}

fn replica(view: &ReplicaView) -> wit::Replica {
    wit::Replica {
        id: view.id.0,
        kind: match view.kind {
            ReplicaKind::Wasm => wit::ReplicaKind::Wasm,
            ReplicaKind::Process => wit::ReplicaKind::Process,
            ReplicaKind::External => wit::ReplicaKind::External,
        },
        state: match view.state {
            State::Starting => wit::ReplicaState::Starting,
            State::Ready => wit::ReplicaState::Ready,
            State::Draining { .. } => wit::ReplicaState::Draining,
        },
        ongoing: view.ongoing,
        idle_ms: view.idle.map(millis),
        age_ms: millis(view.age),
        load: view.load,
        max_perf: view.max_perf,
    }
}

/// A time a policy named. One beyond the clock's range is never.
fn timestamp(millis: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_millis(millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
