//! One deployment while it is simulated: the real pool, and what its owner knows.

use crate::arrivals::{Arrival, Arrivals};
use crate::crowd::Crowd;
use crate::faults::Injector;
use crate::requests::{Deadlines, NONE};
use crate::rng::{self, Rng};
use crate::scaler::Scaler;
use crate::scenario::{DeploymentSpec, Load, Scenario};
use crate::tally::Tally;
use samovar_core::pool::Pool;
use samovar_core::replica::{Lease, ReplicaId};
use samovar_core::target::Answer;
use samovar_core::time::Timestamp;
use std::time::Duration;

/// What stands for the instance of a replica.
pub(crate) struct Replica {
    pub id: ReplicaId,
    /// Where it runs; none if there was no room, so that its start fails.
    pub node: Option<u32>,
    pub is_ready: bool,
    pub ordered: Timestamp,
    /// The list of requests on it.
    pub first: u32,
    /// When its event loop has done what it was given so far.
    pub serial_free: u64,
}

impl Replica {
    pub fn new(id: ReplicaId, node: Option<u32>, now: Timestamp) -> Self {
        Replica { id, node, is_ready: false, ordered: now, first: NONE, serial_free: 0 }
    }
}

/// A question to a policy that is under way.
pub(crate) struct Asked {
    /// When it is there.
    pub due: Timestamp,
    pub answer: Result<Answer, String>,
}

/// The control loop's memory.
pub(crate) struct ControlLoop {
    pub next_tick: Timestamp,
    /// What the policy wanted when the machine had less room.
    pub short_of: Option<u32>,
    pub asked: Option<Asked>,
    /// Of the planned turn that counts.
    pub generation: u32,
}

/// The streams of one deployment.
pub(crate) struct Streams {
    pub service: Rng,
    pub serial: Rng,
    pub start_up: Rng,
    pub think: Rng,
}

/// One deployment.
pub(crate) struct Deployment {
    pub spec: DeploymentSpec,
    pub pool: Pool<u32>,
    /// By the pool's slots.
    pub replicas: Vec<Option<Replica>>,
    pub scaler: Box<dyn Scaler>,
    pub control: ControlLoop,
    /// Its place in the order of names.
    pub rank: usize,
    /// Which deployments its requests call.
    pub calls: Vec<u32>,
    pub source: Option<Box<dyn Arrivals>>,
    /// The users of a closed loop.
    pub crowd: Option<Crowd>,
    /// The one that is planned.
    pub arrival: Option<Arrival>,
    pub streams: Streams,
    pub faults: Injector,
    pub waiting: Deadlines,
    pub served: Deadlines,
    pub queue_timeout: u64,
    pub request_timeout: u64,
    pub tally: Tally,
}

impl Deployment {
    pub fn new(
        spec: DeploymentSpec,
        scaler: Box<dyn Scaler>,
        scenario: &Scenario,
        rank: usize,
        rows: usize,
    ) -> Self {
        let stream = |purpose| rng::stream(scenario.seed, &spec.name, purpose);
        let position = |name: &String| {
            scenario.deployments.iter().position(|other| other.name == *name).map(|at| at as u32)
        };
        let calls = spec.calls.iter().flat_map(|calls| &calls.to);
        Deployment {
            pool: Pool::new(spec.limits(), Timestamp::ZERO),
            replicas: Vec::new(),
            scaler,
            control: ControlLoop {
                next_tick: Timestamp::ZERO,
                short_of: None,
                asked: None,
                generation: 0,
            },
            rank,
            calls: calls.filter_map(position).collect(),
            source: open_loop(&spec, scenario.seed),
            crowd: spec.load.as_ref().and_then(Crowd::of),
            arrival: None,
            streams: Streams {
                service: stream("service"),
                serial: stream("serial"),
                start_up: stream("start-up"),
                think: stream("think"),
            },
            faults: Injector::new(
                spec.faults.clone(),
                scenario.faults.until,
                scenario.seed,
                &spec.name,
            ),
            waiting: Deadlines::default(),
            served: Deadlines::default(),
            queue_timeout: nanos(spec.queue.timeout),
            request_timeout: nanos(spec.request_timeout),
            tally: Tally::new(rows),
            spec,
        }
    }

    /// The replica of a lease, unless it is gone.
    pub fn replica(&mut self, lease: Lease) -> Option<&mut Replica> {
        let replica = self.replicas.get_mut(lease.slot as usize)?.as_mut()?;
        (replica.id == lease.id).then_some(replica)
    }

    /// Takes the replica of a lease away, unless it is gone.
    pub fn vacate(&mut self, lease: Lease) -> Option<Replica> {
        self.replica(lease)?;
        self.replicas[lease.slot as usize].take()
    }
}

/// The requests of an open loop.
fn open_loop(spec: &DeploymentSpec, seed: u64) -> Option<Box<dyn Arrivals>> {
    let Some(Load::Open(workload)) = &spec.load else { return None };
    Some(Box::new(workload.arrivals(rng::stream(seed, &spec.name, "arrivals"))))
}

/// Nanoseconds, at most those of some 292 years: sums of two still fit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).map_or(u64::MAX / 2, |nanos| nanos.min(u64::MAX / 2))
}
