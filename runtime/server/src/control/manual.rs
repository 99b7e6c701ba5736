//! What operators do by hand: single replicas, their number, and questions to the policy.

use super::Control;
use crate::api::{self, ApiError, ErrorCode};
use crate::clock;
use crate::deployment::{Deployment, Revision};
use crate::spec::{DeploymentName, ReadyRule};
use samovar_core::pool::ManualError;
use samovar_core::replica::ReplicaId;
use samovar_core::tick::ANSWER_MAX;
use std::time::Duration;

/// How often an answer of the policy is looked for.
const POLL: Duration = Duration::from_millis(2);
/// How long to wait for a decision: the policy's time, and some for a busy machine.
const DECISION_MAX: Duration = ANSWER_MAX.saturating_add(Duration::from_secs(5));

impl Control {
    /// One replica.
    ///
    /// # Errors
    ///
    /// `not-found`.
    pub fn replica(&self, name: &DeploymentName, id: u64) -> Result<api::Replica, ApiError> {
        let deployment = self.deployment(name)?;
        let live = deployment.live().number;
        let mut replicas = deployment.replicas().replicas;
        // Ids count anew in each revision; of two the live one is meant.
        replicas.sort_by_key(|replica| replica.revision != live);
        let found = replicas.into_iter().find(|replica| replica.id == id);
        found.ok_or_else(|| no_replica(name, id))
    }

    /// Starts more replicas of the live revision.
    ///
    /// # Errors
    ///
    /// `not-found`, or `conflict` when there may be no more.
    pub async fn add_replicas(
        &self,
        name: &DeploymentName,
        count: u32,
    ) -> Result<api::ReplicasChanged, ApiError> {
        let add = |revision: &Revision| match revision.pool.add(count) {
            0 if count > 0 => {
                let most = revision.spec.replicas.max;
                let message =
                    format!("`{name}` has as many replicas as it may, replicas.max is {most}");
                Err(ApiError::new(ErrorCode::Conflict, message))
            }
            _ => Ok(()),
        };
        self.by_hand(name, add).await
    }

    /// Drains one replica, which is not replaced.
    ///
    /// # Errors
    ///
    /// `not-found`, or `conflict` when it starts, leaves already, or its pool is closed.
    pub async fn remove_replica(
        &self,
        name: &DeploymentName,
        id: u64,
    ) -> Result<api::ReplicasChanged, ApiError> {
        let remove = |revision: &Revision| revision.pool.remove_replica(ReplicaId(id));
        self.by_hand(name, |live| remove(live).map_err(|error| refused(name, id, error))).await
    }

    /// Drains one replica and starts its successor.
    ///
    /// # Errors
    ///
    /// `not-found`, or `conflict` when it starts, leaves already, or came by itself.
    pub async fn restart_replica(
        &self,
        name: &DeploymentName,
        id: u64,
    ) -> Result<api::ReplicasChanged, ApiError> {
        let restart = |revision: &Revision| revision.pool.restart(ReplicaId(id));
        self.by_hand(name, |live| restart(live).map_err(|error| refused(name, id, error))).await
    }

    /// Changes single replicas of the live revision, and stores what is held by that.
    async fn by_hand(
        &self,
        name: &DeploymentName,
        change: impl FnOnce(&Revision) -> Result<(), ApiError>,
    ) -> Result<api::ReplicasChanged, ApiError> {
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        change(&deployment.live())?;
        let held = deployment.live().pool.held();
        if deployment.set_held(held) != held {
            self.save(&deployment, deployment.shadow().as_deref()).await?;
        }
        Ok(changed(&deployment))
    }

    /// Holds the number of replicas, or gives it back to the policy.
    ///
    /// # Errors
    ///
    /// `not-found`, `invalid-field` above `replicas.max`, or a failure of the store.
    pub async fn hold(
        &self,
        name: &DeploymentName,
        count: Option<Held>,
    ) -> Result<api::ReplicasChanged, ApiError> {
        let _changing = self.change("deployment", name.as_str()).await;
        let deployment = self.deployment(name)?;
        let count = match count {
            Some(Held::At(count)) => Some(count),
            // A pool that sleeps wants none for now, which is not what is meant.
            Some(Held::AsItIs) => {
                Some(deployment.counts().target.max(deployment.live().spec.replicas.min))
            }
            None => None,
        };
        let most = deployment.live().spec.replicas.max;
        if let Some(count) = count.filter(|count| *count > most) {
            let message = format!("{count} is more than replicas.max, which is {most}");
            return Err(ApiError::new(ErrorCode::InvalidField, message).with_field("replicas"));
        }
        let before = deployment.set_held(count);
        if let Err(error) = self.save(&deployment, deployment.shadow().as_deref()).await {
            deployment.set_held(before);
            return Err(error);
        }
        deployment.live().pool.hold(count, clock::now());
        deployment.attention.notify_one();
        Ok(changed(&deployment))
    }

    /// Asks the policy now and waits for its decision.
    ///
    /// # Errors
    ///
    /// `not-found`, `conflict` while scaling is paused or the pool sleeps, or when there was no
    /// decision in time.
    pub async fn decide(&self, name: &DeploymentName) -> Result<api::Decision, ApiError> {
        let deployment = self.deployment(name)?;
        let conflict = |message: String, hint: &str| {
            Err(ApiError::new(ErrorCode::Conflict, message).with_hint(hint))
        };
        if deployment.held().is_some() {
            let message = format!("the scaling of `{name}` is paused, so no policy is asked");
            return conflict(message, "`samovar resume` lets the policy decide again");
        }
        if deployment.live().pool.is_asleep() {
            let message = format!("`{name}` sleeps after its idle_ttl until a request comes");
            return conflict(message, "call it, or add a replica");
        }
        let before = deployment.decision_count();
        deployment.ask_now();
        let decided = async {
            loop {
                tokio::time::sleep(POLL).await;
                if deployment.decision_count() != before
                    && let Some(decision) = deployment.decisions(1).pop()
                {
                    return decision;
                }
            }
        };
        match tokio::time::timeout(DECISION_MAX, decided).await {
            Ok(decision) => Ok(decision),
            Err(_) => {
                conflict(format!("no decision came within {DECISION_MAX:?}"), "`samovar decisions`")
            }
        }
    }

    /// Whether a deployment is ready by its own rule.
    ///
    /// # Errors
    ///
    /// `not-found`.
    pub fn readiness(&self, name: &DeploymentName) -> Result<api::Readiness, ApiError> {
        let deployment = self.deployment(name)?;
        let (live, counts) = (deployment.live(), deployment.counts());
        let rule = live.spec.ready;
        let wanted = match rule {
            ReadyRule::Any => 1,
            ReadyRule::Min => live.spec.replicas.min,
            ReadyRule::Target => counts.target,
            ReadyRule::Count(count) => count,
            // With none, the next request starts one.
            ReadyRule::Serving => counts.target.min(1),
        };
        let failing = live.pool.last_start_error().filter(|_| rule == ReadyRule::Serving);
        let reason = match failing {
            Some(error) if counts.ready == 0 => Some(format!("replicas do not start: {error}")),
            _ if counts.ready < wanted => {
                Some(format!("{} of {wanted} replicas are ready", counts.ready))
            }
            _ if deployment.held() == Some(0) => Some("held at no replicas".to_owned()),
            _ => None,
        };
        Ok(api::Readiness {
            ready: reason.is_none(),
            rule: rule.to_string(),
            reason,
            num_pending_requests: u64::from(counts.queued) + u64::from(counts.ongoing),
            num_pending_works: counts.starting,
            num_replicas: counts.ready + counts.starting,
        })
    }

    /// Sets the number of replicas as Ray Serve's external scaler does.
    ///
    /// # Errors
    ///
    /// `not-found` for another application or deployment, `external-scaler-off`.
    pub async fn scale_externally(
        &self,
        application: &str,
        deployment: &str,
        count: u32,
    ) -> Result<api::ReplicasChanged, ApiError> {
        let unknown = || {
            let message = format!("there is no deployment `{deployment}` in `{application}`");
            ApiError::new(ErrorCode::NotFound, message)
        };
        let name: DeploymentName = deployment.parse().map_err(|_| unknown())?;
        if application != RAY_APPLICATION && application != deployment {
            return Err(unknown());
        }
        let known = self.deployments.get(&name).ok_or_else(unknown)?;
        let off = |reason: &str| {
            let message = format!("`{name}` cannot be scaled from outside: {reason}");
            ApiError::new(ErrorCode::ExternalScalerOff, message)
        };
        if known.is_deleted() {
            return Err(off("it is being deleted"));
        }
        let live = known.live();
        if !live.spec.external_scaler {
            return Err(off("its spec does not say `external_scaler = true`"));
        }
        // Ray has no bounds for such deployments; here what is above the maximum stays there.
        let count = count.min(live.spec.replicas.max);
        self.hold(&name, Some(Held::At(count))).await
    }
}

/// Ray's name for the application of deployments that were given none.
const RAY_APPLICATION: &str = "default";

/// How many replicas to hold.
pub enum Held {
    /// So many.
    At(u32),
    /// As many as are wanted now.
    AsItIs,
}

fn changed(deployment: &Deployment) -> api::ReplicasChanged {
    let counts = deployment.counts();
    let (starting, ready, draining) = (counts.starting, counts.ready, counts.draining);
    api::ReplicasChanged {
        target: counts.target,
        held: deployment.held(),
        replicas: api::Replicas { starting, ready, draining },
    }
}

fn no_replica(name: &DeploymentName, id: u64) -> ApiError {
    let message = format!("`{name}` has no replica {id}");
    ApiError::new(ErrorCode::NotFound, message).with_hint("`samovar replicas` lists them")
}

fn refused(name: &DeploymentName, id: u64, error: ManualError) -> ApiError {
    match error {
        ManualError::Unknown => no_replica(name, id),
        error => {
            let message = format!("replica {id} of `{name}`: {error}");
            ApiError::new(ErrorCode::Conflict, message)
        }
    }
}
