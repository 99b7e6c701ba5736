//! The control loop of one deployment: look, ask the policy, act.
//!
//! Each deployment has a loop of its own, so that none waits for another. Nothing waits for a slow
//! policy either: while it thinks, time-outs of the pool are still kept, and its late answer counts
//! for the next tick.

use crate::api::{self, LimitedBy};
use crate::clock;
use crate::deployment::Deployment;
use crate::policy::host::{Failure, Scaled};
use crate::slots::Slots;
use samovar_core::observation::Observation;
use samovar_core::target::{self, Target, Wish};
use samovar_core::tick::{self, ANSWER_MAX, PAUSE_MAX, PAUSE_MIN};
use samovar_core::time::Timestamp;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A question to a policy that is under way, with what it was told.
struct Asked {
    seen: Observation,
    scaler: Arc<crate::policy::Scaler>,
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

/// Runs until the deployment is deleted and drained.
pub async fn run(deployment: Arc<Deployment>, slots: Arc<Slots>) {
    let mut next_tick = clock::now();
    let mut asked: Option<Asked> = None;
    loop {
        let now = clock::now();
        if let Some(told) = asked.take_if(|asked| asked.until <= now) {
            apply(&deployment, &slots, told, Err(Failure::late(ANSWER_MAX)));
        }
        if now >= next_tick && asked.is_none() {
            asked = ask(&deployment, &slots, now);
            next_tick = tick::after(next_tick, now, deployment.live().spec.scaling.interval);
        }
        let retired = deployment.plan_retired();
        let wake = deployment.live().pool.plan(now);
        if deployment.is_finished() {
            slots.release(&deployment.name);
            return;
        }
        let tick = asked.as_ref().map_or(next_tick, |asked| asked.until);
        let due = [wake, retired, Some(tick)].into_iter().flatten().min();
        let longest = match deployment.counts() {
            counts if counts.starting + counts.ready + counts.draining > 0 => PAUSE_MAX,
            _ => Duration::MAX,
        };
        let pause = due.map_or(longest, |due| due.since(now).max(PAUSE_MIN).min(longest));
        tokio::select! {
            answer = answered(&mut asked) => {
                let told = asked.take().expect("only an asked policy answers");
                if let Some(sooner) = apply(&deployment, &slots, told, answer) {
                    // A policy that asks for less than a pause would keep a processor busy.
                    next_tick = next_tick.min(sooner.max(clock::now() + PAUSE_MIN));
                }
            }
            () = sleep(pause) => {}
            () = deployment.attention.notified() => {}
        }
    }
}

async fn answered(asked: &mut Option<Asked>) -> Result<Scaled, Failure> {
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

/// Asks the live policy, unless the pool sleeps: then only a request can wake it, no answer would
/// count, and others may have its share of the machine.
fn ask(deployment: &Arc<Deployment>, slots: &Slots, now: Timestamp) -> Option<Asked> {
    if deployment.is_deleted() {
        return None;
    }
    let live = deployment.live();
    if live.pool.is_asleep() {
        slots.release(&deployment.name);
        return None;
    }
    let scaler = Arc::clone(&deployment.scaling.lock().scaler);
    // With the replicas even if the live policy does not read them: the next one may.
    let seen = live.pool.observe(true, now);
    // Before the answer: whoever is made meanwhile must know what the live one knows.
    deployment.ring.lock().push(seen.clone());
    if let Some(shadow) = deployment.shadow() {
        shadow.ask(deployment, &seen);
    }
    let question = seen.clone();
    let asking = Arc::clone(&scaler);
    let answer = Box::pin(async move { asking.scale(question).await });
    Some(Asked { seen, scaler, until: now + ANSWER_MAX, answer })
}

/// Makes a decision of an answer. Answers when the policy wants to be asked again, if it said: that
/// can bring the next tick forward.
fn apply(
    deployment: &Deployment,
    slots: &Slots,
    told: Asked,
    answer: Result<Scaled, Failure>,
) -> Option<Timestamp> {
    let now = clock::now();
    let Asked { seen, scaler, .. } = told;
    {
        let scaling = deployment.scaling.lock();
        if !Arc::ptr_eq(&scaling.scaler, &scaler) {
            return Some(now); // Swapped meanwhile: the new policy is asked at once.
        }
    }
    let live = deployment.live();
    let decided = answer.map_err(|failure| failure.to_string()).and_then(|scaled| {
        let limits = live.pool.limits();
        let current = live.pool.counts().target;
        let wish = scaled.answer.wish;
        let unshared = target::decide(wish, current, limits.min, limits.max, u32::MAX);
        let unshared = unshared.map_err(|_| not_finite(wish))?;
        let share = slots.claim(&deployment.name, unshared.replicas);
        let target = target::decide(wish, current, limits.min, limits.max, share);
        Ok(Decided {
            scaled,
            wanted: unshared.replicas,
            target: target.map_err(|_| not_finite(wish))?,
        })
    });
    let mut next = None;
    match &decided {
        Ok(Decided { scaled, target, .. }) => {
            deployment.policy_counts.decisions.fetch_add(1, Relaxed);
            live.pool.set_target(target.replicas, &scaled.answer.remove_first, now);
            next = scaled.answer.next_tick;
        }
        Err(error) => {
            deployment.policy_counts.errors.fetch_add(1, Relaxed);
            tracing::warn!(deployment = %deployment.name, "policy failed, target stays: {error}");
        }
    }
    record(deployment, &seen, decided);
    next
}

fn not_finite(wish: Wish) -> String {
    match wish {
        Wish::Replicas(wanted) => format!("the policy answered {wanted}, which is not a number"),
        Wish::Hold => unreachable!("holding is always possible"),
    }
}

/// Writes the decision log and the policy's state.
fn record(deployment: &Deployment, seen: &Observation, decided: Result<Decided, String>) {
    let held = deployment.live().pool.counts().target;
    let mut scaling = deployment.scaling.lock();
    scaling.last_error = decided.as_ref().err().cloned();
    let base = api::Decision {
        at_ms: clock::unix_ms(),
        policy: scaling.policy.clone(),
        digest: scaling.digest(),
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
    drop(scaling);
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
    }
}
