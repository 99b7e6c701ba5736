//! What a policy would have decided in the last minutes, beside what the live one says to them.

use super::Control;
use crate::api::{self, ApiError, ErrorCode, TestedAnswer};
use crate::clock;
use crate::policy::host::Failure;
use crate::policy::{Program, Scaler};
use crate::spec::{DeploymentName, Digest};
use crate::wasm::inspect::Kind;
use samovar_core::observation::Observation;
use samovar_core::ring::KEPT;
use samovar_core::target::{self, Room, Wish};
use samovar_core::time::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The time a trial may take. A policy that is slower would not keep up with its ticks.
const TRIAL_MAX: Duration = Duration::from_secs(20);

impl Control {
    /// Feeds a candidate and a copy of the live policy the deployment's recent past.
    ///
    /// # Errors
    ///
    /// `not-found`, `policy-create-failed` when the candidate refuses its settings, and
    /// `policy-replay-failed` when it fails on the past, as it then could not go live.
    pub async fn test_policy(
        &self,
        name: &DeploymentName,
        test: api::TestPolicy,
    ) -> Result<api::PolicyTest, ApiError> {
        let deployment = self.deployment(name)?;
        let candidate_digest = self.candidate(&test)?;
        let candidate = self.library.program(candidate_digest).await?;
        let (live, live_program) = {
            let scaling = deployment.scaling.lock();
            (scaling.to_api(), Arc::clone(scaling.scaler.program()))
        };
        let since_ms = deployment.history.lock().live().since_ms;
        let past = deployment.ring.lock().observations(|_| true);
        let config = Value::Object(test.config).to_string();
        let theirs = within(answers(&candidate, config, &past)).await?;
        let config = Value::Object(live.config.clone()).to_string();
        let ours = within(answers(&live_program, config, &past)).await?;
        let ticks: Vec<_> = past
            .iter()
            .zip(ours.into_iter().zip(theirs))
            .map(|(seen, (live, candidate))| tick(seen, live, candidate))
            .collect();
        let different = ticks.iter().filter(|tick| tick.live.target != tick.candidate.target);
        Ok(api::PolicyTest {
            candidate: candidate.description.name.clone(),
            candidate_digest,
            covers_ms: millis(covered(&past)),
            kept_ms: millis(KEPT),
            different: different.count() as u64,
            warnings: warnings(&past, since_ms),
            ticks,
            live,
        })
    }

    fn candidate(&self, test: &api::TestPolicy) -> Result<Digest, ApiError> {
        match (&test.policy, test.component) {
            (Some(policy), None) => self.policy_digest(policy),
            (None, Some(digest)) => {
                self.world(&digest, Kind::Policy).map_err(|error| error.with_field("component"))?;
                Ok(digest)
            }
            (Some(_), Some(_)) | (None, None) => {
                let message = "name the candidate by either `policy` or `component`";
                Err(ApiError::new(ErrorCode::InvalidField, message).with_field("policy"))
            }
        }
    }
}

async fn within<T>(trial: impl Future<Output = Result<T, Failure>>) -> Result<T, ApiError> {
    match tokio::time::timeout(TRIAL_MAX, trial).await {
        Ok(done) => Ok(done?),
        Err(_) => {
            let message = format!("the trial took longer than {TRIAL_MAX:?}");
            Err(ApiError::new(ErrorCode::PolicyReplayFailed, message))
        }
    }
}

/// What a new scaler answers to each observation.
async fn answers(
    program: &Arc<Program>,
    config: String,
    past: &[Observation],
) -> Result<Vec<TestedAnswer>, Failure> {
    let (scaler, _) = Scaler::create(program, config, Arc::default()).await?;
    let mut answers = Vec::with_capacity(past.len());
    for seen in past {
        let answer = scaler.scale(seen.clone()).await.map_err(Failure::in_replay)?.answer;
        let target = target::decide(answer.wish, seen.target, seen.min, seen.max, Room::UNBOUNDED);
        let target = target.map_err(|_| Failure::not_a_number())?.replicas;
        let wish = match answer.wish {
            Wish::Hold => api::Wish::Hold,
            Wish::Replicas(wanted) => api::Wish::Replicas(wanted),
        };
        answers.push(TestedAnswer { wish, target, reason: answer.reason });
    }
    Ok(answers)
}

fn tick(seen: &Observation, live: TestedAnswer, candidate: TestedAnswer) -> api::TestedTick {
    let ago = millis(clock::now().since(seen.now));
    api::TestedTick {
        at_ms: clock::unix_ms().saturating_sub(ago),
        ready: seen.ready,
        starting: seen.starting,
        queued: seen.queued.into(),
        ongoing: seen.ongoing.into(),
        target: seen.target,
        live,
        candidate,
    }
}

fn warnings(past: &[Observation], live_since_ms: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    let covered = covered(past);
    if past.is_empty() {
        warnings.push("there is no history yet: nothing could be compared".to_owned());
    } else if covered < KEPT.mul_f64(0.99) {
        warnings.push(format!(
            "the history covers {} of the {} that are kept: longer windows and delays were not full",
            short(covered),
            short(KEPT),
        ));
    }
    let live_for = Duration::from_millis(clock::unix_ms().saturating_sub(live_since_ms));
    if live_for < covered {
        warnings.push(format!(
            "the live policy is live for {}: before that, its column says what it would have decided",
            short(live_for),
        ));
    }
    warnings
}

fn covered(past: &[Observation]) -> Duration {
    let time = |seen: Option<&Observation>| seen.map_or(Timestamp::ZERO, |seen| seen.now);
    time(past.last()).since(time(past.first()))
}

/// A duration to the second.
fn short(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
