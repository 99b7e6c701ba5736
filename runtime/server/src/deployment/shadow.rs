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
use samovar_core::target::{self, Wish};
use samovar_core::time::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

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
    is_apart: AtomicBool,
    compared: AtomicU64,
    more: AtomicU64,
    fewer: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
    last_error: Mutex<Option<String>>,
    /// An answer that came before that of the live policy, with its observation's time.
    early: Mutex<Option<(Timestamp, api::ShadowDecision)>>,
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
            is_apart: AtomicBool::new(false),
            compared: AtomicU64::new(0),
            more: AtomicU64::new(0),
            fewer: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            last_error: Mutex::default(),
            early: Mutex::default(),
        })
    }

    /// As in the admin API.
    pub fn to_api(&self) -> api::Shadow {
        api::Shadow {
            name: self.policy.clone(),
            digest: self.scaler.program().digest,
            config: self.config.clone(),
            since_ms: self.since_ms,
            replayed: self.replayed,
            compared: self.compared.load(Relaxed),
            more: self.more.load(Relaxed),
            fewer: self.fewer.load(Relaxed),
            failed: self.failed.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            last_error: self.last_error.lock().clone(),
        }
    }

    /// Asks about an observation beside the control loop. One that is still busy is left alone; it
    /// is told what it missed before its next question.
    pub fn ask(self: &Arc<Self>, deployment: &Arc<Deployment>, seen: &Observation) {
        if self.is_busy.swap(true, Relaxed) {
            self.skipped.fetch_add(1, Relaxed);
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
            let target = target::decide(wish, current, min, max, u32::MAX);
            let target = target.map_err(|_| "it answered what is not a number".to_owned())?;
            Ok((wish, target.replicas, scaled.answer.reason))
        });
        *self.last_error.lock() = decided.as_ref().err().cloned();
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
            Err(error) => {
                self.failed.fetch_add(1, Relaxed);
                api::ShadowDecision { error: Some(error), ..base }
            }
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
        self.compared.fetch_add(1, Relaxed);
        match shadow.cmp(&live) {
            std::cmp::Ordering::Greater => _ = self.more.fetch_add(1, Relaxed),
            std::cmp::Ordering::Less => _ = self.fewer.fetch_add(1, Relaxed),
            std::cmp::Ordering::Equal => {}
        }
        if self.is_apart.swap(decision.differs, Relaxed) != decision.differs {
            let text = match decision.differs {
                true => format!("shadow {} wants {shadow}, live wants {live}", self.policy),
                false => format!("shadow {} and live agree on {live}", self.policy),
            };
            deployment.log.push(None, LogStream::System, text);
        }
    }
}
