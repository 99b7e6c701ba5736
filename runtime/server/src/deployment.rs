//! Deployments, their revisions, and how requests find them.

mod decisions;
mod gauges;
mod history;
mod recorder;
mod registry;
mod revision;
mod shadow;
mod work;

use crate::api;
use crate::clock;
use crate::logs::DeploymentLog;
use crate::native::Crew;
use crate::policy::Scaler;
use crate::spec::{DeploymentName, DeploymentSpec, Digest, PolicyName};
use arc_swap::ArcSwap;
use decisions::{DecisionLog, Logged};
use parking_lot::Mutex;
use samovar_core::pool::{Counts, Totals};
use samovar_core::ring::Ring;
use samovar_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

pub use gauges::Gauges;
pub use history::History;
pub use recorder::{Event, Recorder, Recording};
pub use registry::Deployments;
pub use revision::{RequestLimits, Revision};
pub use shadow::Shadow;
pub use work::{WorkTally, Workload};

/// The policy that is live for a deployment.
pub struct Scaling {
    /// Its name when it was chosen.
    pub policy: PolicyName,
    /// Its settings.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Its state.
    pub scaler: Arc<Scaler>,
    /// Why the last tick had no answer.
    pub last_error: Option<String>,
}

impl Scaling {
    /// As in the admin API.
    pub fn to_api(&self) -> api::PolicyRef {
        let is_failing = self.last_error.is_some();
        api::PolicyRef {
            name: self.policy.clone(),
            digest: self.digest(),
            config: self.config.clone(),
            state: if is_failing { api::PolicyState::Failing } else { api::PolicyState::Live },
            last_error: self.last_error.clone(),
        }
    }

    /// A spec with this policy in it.
    pub fn in_spec(&self, spec: &DeploymentSpec) -> DeploymentSpec {
        let mut spec = spec.clone();
        spec.scaling.policy = self.policy.clone();
        spec.scaling.config = self.config.clone();
        spec
    }

    /// The policy's component.
    pub fn digest(&self) -> Digest {
        self.scaler.program().digest
    }
}

/// Counts of what policies did for a deployment.
#[derive(Debug, Default)]
pub struct PolicyCounts {
    /// Ticks that were answered.
    pub decisions: AtomicU64,
    /// Ticks that were not, because the policy failed or answered nonsense.
    pub errors: AtomicU64,
    /// Policies that went live.
    pub swaps: AtomicU64,
}

/// A named service.
pub struct Deployment {
    /// Its name.
    pub name: DeploymentName,
    /// What its guests print. Outlives revisions.
    pub log: Arc<DeploymentLog>,
    /// The last observations, for new scalers.
    pub ring: Arc<Mutex<Ring>>,
    /// The live policy.
    pub scaling: Mutex<Scaling>,
    /// The policies it has had, the live one last.
    pub history: Mutex<History>,
    /// What policies did.
    pub policy_counts: PolicyCounts,
    /// Rung when the control loop should look at the pools before its next tick.
    pub attention: Arc<Notify>,
    /// The work of its requests.
    pub work: Arc<WorkTally>,
    /// The workers that report to it.
    pub crew: Arc<Crew>,
    /// Tells who listens about its requests.
    pub recorder: Recorder,
    /// When it was first deployed, in Unix milliseconds.
    pub created_at_ms: u64,
    live: ArcSwap<Revision>,
    /// Revisions whose pools are still draining.
    retired: Mutex<Vec<Arc<Revision>>>,
    /// Totals of pools that are gone.
    past: Mutex<Totals>,
    shadow: Mutex<Option<Arc<Shadow>>>,
    decisions: Mutex<DecisionLog>,
    timed_out: AtomicU64,
    held: Mutex<Option<u32>>,
    ask_now: AtomicBool,
    decided: AtomicU64,
    loops: AtomicU64,
    proxied: AtomicU64,
    is_deleted: AtomicBool,
}

impl Deployment {
    /// A deployment whose first revision is live.
    pub fn new(
        name: DeploymentName,
        revision: Arc<Revision>,
        (history, scaling): (History, Scaling),
        parts: Parts,
        created_at_ms: u64,
    ) -> Arc<Self> {
        Arc::new(Deployment {
            name,
            log: parts.log,
            ring: parts.ring,
            scaling: Mutex::new(scaling),
            history: Mutex::new(history),
            policy_counts: PolicyCounts::default(),
            attention: parts.attention,
            work: parts.work,
            crew: parts.crew,
            recorder: Recorder::default(),
            created_at_ms,
            live: ArcSwap::new(revision),
            retired: Mutex::default(),
            past: Mutex::default(),
            shadow: Mutex::default(),
            decisions: Mutex::default(),
            timed_out: AtomicU64::new(0),
            held: Mutex::default(),
            ask_now: AtomicBool::new(false),
            decided: AtomicU64::new(0),
            loops: AtomicU64::new(0),
            proxied: AtomicU64::new(0),
            is_deleted: AtomicBool::new(false),
        })
    }

    /// The revision that takes requests.
    pub fn live(&self) -> Arc<Revision> {
        self.live.load_full()
    }

    /// What it keeps through all its revisions.
    pub fn parts(&self) -> Parts {
        Parts {
            log: Arc::clone(&self.log),
            ring: Arc::clone(&self.ring),
            attention: Arc::clone(&self.attention),
            work: Arc::clone(&self.work),
            crew: Arc::clone(&self.crew),
        }
    }

    /// How many replicas an operator wants, whatever the policy says; none if it decides.
    pub fn held(&self) -> Option<u32> {
        *self.held.lock()
    }

    /// Sets it, for further revisions. Answers what it was.
    pub fn set_held(&self, count: Option<u32>) -> Option<u32> {
        std::mem::replace(&mut *self.held.lock(), count)
    }

    /// A revision that serves one call beside the live one. It is looked after until it is empty.
    pub fn host(&self, revision: Arc<Revision>) {
        self.retired.lock().push(revision);
    }

    /// The policy is asked at once.
    pub fn ask_now(&self) {
        self.ask_now.store(true, Ordering::Release);
        self.attention.notify_one();
    }

    /// Whether the policy is to be asked at once. Once.
    pub fn takes_question(&self) -> bool {
        self.ask_now.swap(false, Ordering::AcqRel)
    }

    /// Makes `revision` the one that takes requests. The one before finishes what it has.
    pub fn switch(&self, revision: Arc<Revision>) {
        revision.pool.hold(self.held(), clock::now());
        let before = self.live.swap(revision);
        self.retired.lock().push(Arc::clone(&before));
        before.pool.close(clock::now());
        self.attention.notify_one();
    }

    /// Takes no more requests.
    pub fn delete(&self) {
        self.is_deleted.store(true, Ordering::Release);
        self.live().pool.close(clock::now());
        self.attention.notify_one();
    }

    /// Whether it was deleted.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Brings draining revisions on. Answers when the next one wants to be looked at.
    pub fn plan_retired(&self) -> Option<samovar_core::time::Timestamp> {
        let now = clock::now();
        let mut retired = self.retired.lock();
        let mut wake = None;
        retired.retain(|revision| {
            let next = revision.pool.plan(now);
            if revision.pool.is_finished() {
                add(&mut self.past.lock(), &revision.pool.totals());
                return false;
            }
            wake = [wake, next].into_iter().flatten().min();
            true
        });
        wake
    }

    /// Whether a deleted deployment has nothing left to do.
    pub fn is_finished(&self) -> bool {
        self.is_deleted() && self.live().pool.is_finished() && self.retired.lock().is_empty()
    }

    /// A request left the queue because its time was over.
    pub fn note_timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    /// A call was refused because its own ancestors held every place.
    pub fn note_loop(&self) {
        self.loops.fetch_add(1, Ordering::Relaxed);
    }

    /// The cold start proxy answered in its stead.
    pub fn note_proxied(&self) {
        self.proxied.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that the cold start proxy answered.
    pub fn proxied(&self) -> u64 {
        self.proxied.load(Ordering::Relaxed)
    }

    /// Calls refused because their own ancestors held every place.
    pub fn loops(&self) -> u64 {
        self.loops.load(Ordering::Relaxed)
    }

    /// Adds to the decision log: what came of the observation of `seen`. `wanted` is the target
    /// within the deployment's bounds, if the policy answered.
    pub fn push_decision(&self, seen: Timestamp, wanted: Option<u32>, mut decision: api::Decision) {
        let mut decisions = self.decisions.lock();
        if let Some(shadow) = self.shadow()
            && let Some(mut early) = shadow.take(seen)
        {
            shadow.compare(self, wanted, &mut early);
            decision.shadow = Some(Box::new(early));
        }
        decisions.push(Logged { seen, wanted, decision });
        self.decided.fetch_add(1, Ordering::Release);
    }

    /// The shadow has answered to the observation of `seen`, before or after the live policy.
    fn note_shadow(&self, shadow: &Shadow, seen: Timestamp, mut decision: api::ShadowDecision) {
        let mut decisions = self.decisions.lock();
        match decisions.get_mut(seen) {
            Some(logged) => {
                shadow.compare(self, logged.wanted, &mut decision);
                logged.decision.shadow = Some(Box::new(decision));
            }
            None => shadow.keep(seen, decision),
        }
    }

    /// The policy that runs beside the live one.
    pub fn shadow(&self) -> Option<Arc<Shadow>> {
        self.shadow.lock().clone()
    }

    /// Puts a policy in the shadow, or takes it away.
    pub fn set_shadow(&self, shadow: Option<Arc<Shadow>>) {
        *self.shadow.lock() = shadow;
    }

    /// How many decisions were ever added to the log.
    pub fn decision_count(&self) -> u64 {
        self.decided.load(Ordering::Acquire)
    }

    /// The last `limit` decisions, newest last.
    pub fn decisions(&self, limit: usize) -> Vec<api::Decision> {
        self.decisions.lock().last(limit)
    }

    /// What the policy last wanted and the machine does not have for it.
    fn limited(&self) -> Option<api::Limited> {
        let decisions = self.decisions.lock();
        let last = decisions.newest()?;
        let by = last.decision.limited_by?;
        let is_machine = matches!(by, api::LimitedBy::Slots | api::LimitedBy::Devices);
        is_machine.then_some(api::Limited { wanted: last.wanted?, by })
    }

    /// The single replicas of all revisions, and the last failures of the live one.
    pub fn replicas(&self) -> api::ReplicaList {
        let live = self.live();
        let (own, failures) = live.pool.replicas(live.number);
        let mut replicas = Vec::new();
        for revision in self.retired.lock().iter() {
            // What still serves for an old revision is on its way out, whatever its pool says.
            replicas.extend(revision.pool.replicas(revision.number).0.into_iter().map(|replica| {
                let state = match replica.state {
                    api::ReplicaState::Ready => api::ReplicaState::Draining,
                    state => state,
                };
                api::Replica { state, ..replica }
            }));
        }
        replicas.extend(own);
        replicas.sort_by_key(|replica| (replica.revision, replica.id));
        api::ReplicaList { replicas, failures }
    }

    /// What is in the pools of all revisions now. The target is that of the live one.
    pub fn counts(&self) -> Counts {
        let mut counts = self.live().pool.counts();
        for revision in self.retired.lock().iter() {
            let old = revision.pool.counts();
            counts.starting += old.starting;
            // What still serves for an old revision is on its way out, whatever its pool says.
            counts.draining += old.ready + old.draining;
            counts.queued += old.queued;
            counts.ongoing += old.ongoing;
        }
        counts
    }

    /// Counts since the server started, of all revisions.
    pub fn totals(&self) -> api::Totals {
        let mut sum = *self.past.lock();
        for revision in self.retired.lock().iter() {
            add(&mut sum, &revision.pool.totals());
        }
        add(&mut sum, &self.live().pool.totals());
        api::Totals {
            arrived: sum.arrived,
            completed: sum.completed,
            failed: sum.failed + sum.cancelled,
            rejected: sum.rejected,
            timed_out: self.timed_out.load(Ordering::Relaxed),
            replicas_started: sum.replicas_started,
            replicas_failed: sum.replicas_failed,
        }
    }

    /// The live spec with the live policy in it, which a swap may have changed.
    pub fn spec(&self) -> DeploymentSpec {
        self.scaling.lock().in_spec(&self.live().spec)
    }

    /// As in the admin API.
    pub fn to_api(&self) -> api::Deployment {
        let live = self.live();
        let counts = self.counts();
        api::Deployment {
            name: self.name.clone(),
            revision: live.number,
            kind: live.spec.runs.kind().into(),
            component: live.spec.runs.component(),
            world: live.world,
            route: live.spec.route.clone(),
            spec: serde_json::to_value(self.spec()).expect("a spec is JSON"),
            replicas: api::Replicas {
                starting: counts.starting,
                ready: counts.ready,
                draining: counts.draining,
            },
            target: counts.target,
            held: self.held(),
            queued: counts.queued.into(),
            ongoing: counts.ongoing.into(),
            policy: self.scaling.lock().to_api(),
            shadow: self.shadow().map(|shadow| shadow.to_api()),
            last_start_error: live.pool.last_start_error(),
            no_room: live.pool.no_room(),
            limited: self.limited(),
            totals: self.totals(),
            warnings: live.spec.warnings(&self.name),
        }
    }
}

fn add(sum: &mut Totals, more: &Totals) {
    sum.arrived += more.arrived;
    sum.completed += more.completed;
    sum.failed += more.failed;
    sum.cancelled += more.cancelled;
    sum.rejected += more.rejected;
    sum.replicas_started += more.replicas_started;
    sum.replicas_failed += more.replicas_failed;
}

/// What a deployment keeps through all its revisions.
#[derive(Clone, Default)]
pub struct Parts {
    /// Its log.
    pub log: Arc<DeploymentLog>,
    /// Its last observations.
    pub ring: Arc<Mutex<Ring>>,
    /// Wakes its control loop.
    pub attention: Arc<Notify>,
    /// The work of its requests.
    pub work: Arc<WorkTally>,
    /// The workers that report to it.
    pub crew: Arc<Crew>,
}
