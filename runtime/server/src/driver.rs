//! The control loop of one deployment: look, ask the policy, act.
//!
//! Each deployment has a loop of its own, and nothing waits for a slow policy: while it thinks,
//! time-outs of the pool are still kept, and its late answer counts for the next tick. All loops
//! share one thread. A policy that answers quickly is called in place, because handing a question
//! over to another thread and back costs more than the answer.

use crate::api::{self, LimitedBy};
use crate::clock;
use crate::deployment::Deployment;
use crate::policy::host::{Failure, Scaled};
use crate::priority;
use crate::slots::{Demand, Slots};
use crate::spec::{DeploymentName, PolicyName};
use samovar_core::observation::Observation;
use samovar_core::target::{self, LimitedBy as Limit, Room, Target, Wish};
use samovar_core::tick::{self, ANSWER_MAX, PAUSE_MAX, PAUSE_MIN};
use samovar_core::time::Timestamp;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The thread of all control loops. What they do is short, and apart from the threads that serve
/// requests: a policy may be called in place.
pub struct Loops {
    handle: Handle,
    /// The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Loops {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or no timer.
    pub fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("control".to_owned());
        thread.spawn(move || {
            // Ticks of thousands of deployments come together. No request waits for all of them.
            priority::take_long_turns();
            _ = runtime.block_on(stopped); // Ends with an error: nothing is ever sent.
        })?;
        Ok(Loops { handle, _stop: stop })
    }

    /// Runs the loop of a deployment until it is deleted and drained. Its policy is asked at
    /// `first` for the first time.
    pub fn drive(&self, deployment: Arc<Deployment>, slots: Arc<Slots>, first: Timestamp) {
        self.handle.spawn(run(deployment, slots, first));
    }
}

/// A question to a policy.
struct Question {
    seen: Observation,
    scaler: Arc<crate::policy::Scaler>,
}

/// A question that is under way.
struct Asked {
    question: Question,
    /// When to stop waiting.
    until: Timestamp,
    answer: Pin<Box<dyn Future<Output = Result<Scaled, Failure>> + Send>>,
}

/// What came of an answer.
struct Decided {
    scaled: Scaled,
    /// The target within the deployment's bounds.
    wanted: u32,
    /// The target the machine has room for.
    target: Target,
}

/// What a loop remembers from one tick to the next.
struct Memory {
    next_tick: Timestamp,
    /// What the policy wanted when the machine had less room. To hold means to go on wanting it.
    short_of: Option<u32>,
    /// What was claimed of the machine last; none if nothing is.
    claimed: Option<(Demand, u32)>,
}

impl Memory {
    /// How many of `wanted` replicas the machine has room for.
    fn claim(&mut self, slots: &Slots, name: &DeploymentName, demand: Demand, wanted: u32) -> Room {
        if self.claimed == Some((demand, wanted)) && !slots.is_short() {
            return Room::of_slots(wanted);
        }
        self.claimed = Some((demand, wanted));
        slots.claim(name, demand, wanted)
    }

    /// The pool sleeps: others may have its share.
    fn release(&mut self, slots: &Slots, name: &DeploymentName) {
        self.short_of = None;
        if self.claimed.take().is_some() {
            slots.release(name);
        }
    }
}

async fn run(deployment: Arc<Deployment>, slots: Arc<Slots>, first: Timestamp) {
    let mut memory = Memory { next_tick: first, short_of: None, claimed: None };
    // On the heap: few policies are slow, and there may be thousands of loops.
    let mut asked: Option<Box<Asked>> = None;
    loop {
        let now = clock::now();
        if let Some(late) = asked.take_if(|asked| asked.until <= now) {
            let failure = Err(Failure::late(ANSWER_MAX));
            apply(&deployment, &slots, &mut memory, late.question, failure);
        }
        if deployment.takes_question() {
            memory.next_tick = memory.next_tick.min(now);
        }
        if now >= memory.next_tick && asked.is_none() {
            let interval = deployment.live().spec.scaling.interval;
            memory.next_tick = tick::after(memory.next_tick, now, interval);
            asked = ask(&deployment, &slots, &mut memory, now);
        }
        let retired = deployment.plan_retired();
        let wake = deployment.live().pool.plan(now);
        if deployment.is_finished() {
            slots.release(&deployment.name);
            return;
        }
        let tick = match &asked {
            Some(asked) => Some(asked.until),
            None if rests(&deployment, &memory) => None,
            None => Some(memory.next_tick),
        };
        let due = [wake, retired, tick].into_iter().flatten().min();
        let longest = match deployment.counts() {
            counts if counts.starting + counts.ready + counts.draining > 0 => PAUSE_MAX,
            _ => Duration::MAX,
        };
        let pause = due.map_or(longest, |due| due.since(now).max(PAUSE_MIN).min(longest));
        tokio::select! {
            answer = answered(&mut asked) => {
                let told = asked.take().expect("only an asked policy answers");
                apply(&deployment, &slots, &mut memory, told.question, answer);
            }
            () = sleep(pause) => {}
            () = deployment.attention.notified() => {}
        }
    }
}

/// Whether a tick would do nothing, until a request rings: the pool sleeps, has told the others so,
/// and has no workers to look after.
fn rests(deployment: &Deployment, memory: &Memory) -> bool {
    let live = deployment.live();
    memory.claimed.is_none() && live.workload.is_none() && live.pool.is_asleep()
}

async fn answered(asked: &mut Option<Box<Asked>>) -> Result<Scaled, Failure> {
    match asked {
        Some(asked) => asked.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn sleep(pause: Duration) {
    match pause {
        Duration::MAX => std::future::pending().await,
        pause => tokio::time::sleep(pause).await,
    }
}

/// Asks the live policy, and the one in the shadow. Most answer at once; the answer of one that is
/// slow or busy is waited for.
fn ask(
    deployment: &Arc<Deployment>,
    slots: &Slots,
    memory: &mut Memory,
    now: Timestamp,
) -> Option<Box<Asked>> {
    let question = question(deployment, slots, memory, now)?;
    if let Some(answer) = question.scaler.scale_here(&question.seen) {
        apply(deployment, slots, memory, question, answer);
        return None;
    }
    let (seen, asking) = (question.seen.clone(), Arc::clone(&question.scaler));
    let answer = Box::pin(async move { asking.scale(seen).await });
    Some(Box::new(Asked { question, until: now + ANSWER_MAX, answer }))
}

/// What the live policy is asked, unless the pool sleeps: then only a request can wake it, no answer
/// would count, and others may have its share of the machine.
fn question(
    deployment: &Arc<Deployment>,
    slots: &Slots,
    memory: &mut Memory,
    now: Timestamp,
) -> Option<Question> {
    if deployment.is_deleted() {
        return None;
    }
    let live = deployment.live();
    if live.workload.is_some() {
        deployment.crew.look();
    }
    if live.pool.is_asleep() {
        memory.release(slots, &deployment.name);
        return None;
    }
    let held = deployment.held();
    if let Some(held) = held {
        memory.claim(slots, &deployment.name, live.demand, held);
    }
    let scaler = Arc::clone(&deployment.scaling.lock().scaler);
    // With the replicas even if the live policy does not read them: the next one may.
    live.pool.close_idle_connections();
    let mut seen = live.pool.observe(true, now);
    if live.workload.is_some() {
        seen.work = deployment.work.look(&seen.replicas, now);
    }
    // Before the answer: whoever is made meanwhile must know what the live one knows.
    deployment.ring.lock().push(seen.clone());
    if let Some(shadow) = deployment.shadow() {
        shadow.ask(deployment, &seen);
    }
    // An operator decides; the past is kept for when the policy does again.
    held.is_none().then_some(Question { seen, scaler })
}

/// Makes a decision of an answer. When the policy wants to be asked again can bring the next tick
/// forward.
fn apply(
    deployment: &Deployment,
    slots: &Slots,
    memory: &mut Memory,
    question: Question,
    answer: Result<Scaled, Failure>,
) {
    let now = clock::now();
    let Question { seen, scaler } = question;
    let policy = {
        let scaling = deployment.scaling.lock();
        if !Arc::ptr_eq(&scaling.scaler, &scaler) {
            memory.next_tick = now; // Swapped meanwhile: the new policy is asked at once.
            return;
        }
        scaling.policy.clone()
    };
    let live = deployment.live();
    let decided = answer.map_err(|failure| failure.to_string()).and_then(|scaled| {
        let limits = live.pool.limits();
        let current = live.pool.counts().target.max(memory.short_of.unwrap_or(0));
        let wish = scaled.answer.wish;
        let unshared = target::decide(wish, current, limits.min, limits.max, Room::UNBOUNDED);
        let wanted = unshared.map_err(|_| not_finite(wish))?.replicas;
        let room = memory.claim(slots, &deployment.name, live.demand, wanted);
        let target = target::decide(wish, current, limits.min, limits.max, room);
        let target = target.map_err(|_| not_finite(wish))?;
        memory.short_of = (target.replicas < wanted).then_some(wanted);
        Ok(Decided { scaled, wanted, target })
    });
    match &decided {
        Ok(Decided { scaled, target, .. }) => {
            deployment.policy_counts.decisions.fetch_add(1, Relaxed);
            // What others wait for is given up even if it is busy.
            let shed = matches!(target.limited_by, Some(Limit::Slots | Limit::Devices));
            live.pool.set_target(target.replicas, &scaled.answer.remove_first, shed, now);
            if let Some(sooner) = scaled.answer.next_tick {
                // A policy that asks for less than a pause would keep a processor busy.
                memory.next_tick = memory.next_tick.min(sooner.max(now + PAUSE_MIN));
            }
        }
        Err(error) => {
            deployment.policy_counts.errors.fetch_add(1, Relaxed);
            tracing::warn!(deployment = %deployment.name, "policy failed, target stays: {error}");
        }
    }
    record(deployment, &Question { seen, scaler }, policy, decided);
}

fn not_finite(wish: Wish) -> String {
    match wish {
        Wish::Replicas(wanted) => format!("the policy answered {wanted}, which is not a number"),
        Wish::Hold => unreachable!("holding is always possible"),
    }
}

/// Writes the decision log and the policy's state.
fn record(
    deployment: &Deployment,
    question: &Question,
    policy: PolicyName,
    decided: Result<Decided, String>,
) {
    let held = deployment.live().pool.counts().target;
    let Question { seen, scaler } = question;
    {
        let mut scaling = deployment.scaling.lock();
        if Arc::ptr_eq(&scaling.scaler, scaler) {
            scaling.last_error = decided.as_ref().err().cloned();
        }
    }
    let base = api::Decision {
        at_ms: clock::unix_ms(),
        policy,
        digest: scaler.program().digest,
        wish: api::Wish::Hold,
        proposed: None,
        target: held,
        limited_by: None,
        reason: String::new(),
        error: None,
        took_us: 0,
        ready: seen.ready,
        starting: seen.starting,
        queued: seen.queued.into(),
        ongoing: seen.ongoing.into(),
        shadow: None,
    };
    let wanted = decided.as_ref().ok().map(|decided| decided.wanted);
    let decision = match decided {
        Ok(Decided { scaled, target, .. }) => api::Decision {
            wish: match scaled.answer.wish {
                Wish::Hold => api::Wish::Hold,
                Wish::Replicas(wanted) => api::Wish::Replicas(wanted),
            },
            proposed: target.proposed.map(|wanted| u32::try_from(wanted).unwrap_or(u32::MAX)),
            target: target.replicas,
            limited_by: target.limited_by.map(limited_by),
            reason: scaled.answer.reason,
            took_us: u64::try_from(scaled.took.as_micros()).unwrap_or(u64::MAX),
            ..base
        },
        Err(error) => api::Decision { error: Some(error), ..base },
    };
    deployment.push_decision(seen.now, wanted, decision);
}

fn limited_by(limit: target::LimitedBy) -> LimitedBy {
    match limit {
        target::LimitedBy::Min => LimitedBy::Min,
        target::LimitedBy::Max => LimitedBy::Max,
        target::LimitedBy::Slots => LimitedBy::Slots,
        target::LimitedBy::Devices => LimitedBy::Devices,
    }
}
