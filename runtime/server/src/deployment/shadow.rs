//! A policy that runs beside the live one: told the same, compared, never obeyed.
//!
//! The shadow sees what the live policy's decisions lead to, not what its own would have led to.
//! Where the two differ for long, its wishes say what it would do from here, not where it would be.

use super::Deployment;
use crate::api;
use crate::clock;
use crate::logs::LogStream;
use crate::policy::Scaler;
use crate::policy::host::{Failure, Scaled};
use crate::spec::PolicyName;
use parking_lot::Mutex;
use samovar_core::observation::Observation;
use samovar_core::target::{self, Room, Wish};
use samovar_core::time::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A policy in the shadow of a deployment's live one.
pub struct Shadow {
    /// Its name when it was chosen.
    pub policy: PolicyName,
    /// Its settings.
    pub config: Map<String, Value>,
    /// Its state, which goes on when it is promoted.
    pub scaler: Arc<Scaler>,
    /// Observations of the past it was fed.
    pub replayed: u64,
    since_ms: u64,
    is_busy: AtomicBool,
    tally: Mutex<Tally>,
    /// An answer that came before that of the live policy, with its observation's time.
    early: Mutex<Option<(Timestamp, api::ShadowDecision)>>,
}

/// What came of its ticks.
#[derive(Default)]
struct Tally {
    compared: u64,
    more: u64,
    fewer: u64,
    failed: u64,
    skipped: u64,
    last_error: Option<String>,
    /// Whether the two differed when they were last compared.
    is_apart: bool,
}

impl Shadow {
    /// A shadow that was fed `replayed` observations.
    pub fn new(
        policy: PolicyName,
        config: Map<String, Value>,
        scaler: Arc<Scaler>,
        replayed: u64,
    ) -> Arc<Self> {
        Arc::new(Shadow {
            policy,
            config,
            scaler,
            replayed,
            since_ms: clock::unix_ms(),
            is_busy: AtomicBool::new(false),
            tally: Mutex::default(),
            early: Mutex::default(),
        })
    }

    /// As in the admin API.
    pub fn to_api(&self) -> api::Shadow {
        let tally = self.tally.lock();
        api::Shadow {
            name: self.policy.clone(),
            digest: self.scaler.program().digest,
            config: self.config.clone(),
            since_ms: self.since_ms,
            replayed: self.replayed,
            compared: tally.compared,
            more: tally.more,
            fewer: tally.fewer,
            failed: tally.failed,
            skipped: tally.skipped,
            last_error: tally.last_error.clone(),
        }
    }

    /// Asks about an observation beside the control loop. One that is still busy is left alone; it
    /// is told what it missed before its next question.
    pub fn ask(self: &Arc<Self>, deployment: &Arc<Deployment>, seen: &Observation) {
        if self.is_busy.swap(true, Relaxed) {
            self.tally.lock().skipped += 1;
            return;
        }
        if let Some(answer) = self.scaler.scale_here(seen) {
            return self.answered(deployment, seen, answer);
        }
        let (shadow, deployment) = (Arc::clone(self), Arc::clone(deployment));
        let seen = seen.clone();
        tokio::spawn(async move {
            let answer = shadow.scaler.scale(seen.clone()).await;
            shadow.answered(&deployment, &seen, answer);
        });
    }

    fn answered(
        &self,
        deployment: &Deployment,
        seen: &Observation,
        answer: Result<Scaled, Failure>,
    ) {
        self.is_busy.store(false, Relaxed);
        let decision = self.decide(answer, (seen.target, seen.min, seen.max));
        deployment.note_shadow(self, seen.now, decision);
    }

    fn decide(
        &self,
        answer: Result<Scaled, Failure>,
        (current, min, max): (u32, u32, u32),
    ) -> api::ShadowDecision {
        let base = api::ShadowDecision {
            policy: self.policy.clone(),
            digest: self.scaler.program().digest,
            wish: api::Wish::Hold,
            target: None,
            differs: false,
            reason: String::new(),
            error: None,
        };
        let decided = answer.map_err(|failure| failure.to_string()).and_then(|scaled| {
            let wish = scaled.answer.wish;
            let target = target::decide(wish, current, min, max, Room::UNBOUNDED);
            let target = target.map_err(|_| "it answered what is not a number".to_owned())?;
            Ok((wish, target.replicas, scaled.answer.reason))
        });
        let mut tally = self.tally.lock();
        tally.last_error = decided.as_ref().err().cloned();
        tally.failed += u64::from(decided.is_err());
        drop(tally);
        match decided {
            Ok((wish, target, reason)) => api::ShadowDecision {
                wish: match wish {
                    Wish::Hold => api::Wish::Hold,
                    Wish::Replicas(wanted) => api::Wish::Replicas(wanted),
                },
                target: Some(target),
                reason,
                ..base
            },
            Err(error) => api::ShadowDecision { error: Some(error), ..base },
        }
    }

    /// Keeps an answer until the live policy's is there.
    pub(super) fn keep(&self, at: Timestamp, decision: api::ShadowDecision) {
        *self.early.lock() = Some((at, decision));
    }

    /// The answer to the observation of `at`, if it came early.
    pub(super) fn take(&self, at: Timestamp) -> Option<api::ShadowDecision> {
        self.early.lock().take_if(|(kept, _)| *kept == at).map(|(_, decision)| decision)
    }

    /// Compares an answer with the live policy's, counts, and says in the deployment's log when the
    /// two part or meet.
    pub(super) fn compare(
        &self,
        deployment: &Deployment,
        live: Option<u32>,
        decision: &mut api::ShadowDecision,
    ) {
        let (Some(live), Some(shadow)) = (live, decision.target) else { return };
        decision.differs = live != shadow;
        let parted = {
            let mut tally = self.tally.lock();
            tally.compared += 1;
            tally.more += u64::from(shadow > live);
            tally.fewer += u64::from(shadow < live);
            std::mem::replace(&mut tally.is_apart, decision.differs) != decision.differs
        };
        if parted {
            let text = match decision.differs {
                true => format!("shadow {} wants {shadow}, live wants {live}", self.policy),
                false => format!("shadow {} and live agree on {live}", self.policy),
            };
            deployment.log.push(None, LogStream::System, text);
        }
    }
}
