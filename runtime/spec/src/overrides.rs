//! Settings of one call, in place of those of its deployment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::raw::{RawLimits, RawSpec, object, optional_word};
use super::serving::Reuse;
use super::units::{DurationText, SizeText};
use super::{DeploymentSpec, SpecError, read_json};

/// The root that errors name.
const ROOT: &str = "override";

/// What one call asks for, as in the header `samovar-override`. As in Flyte, limits and
/// environment of a call need an instance of their own: `reuse` must be `off` in the same call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// `off`: the call gets a fresh instance, which serves nothing else. Default: as deployed.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word")]
    pub reuse: Option<Reuse>,
    /// Environment variables beside those of the deployment, or in place of them.
    pub env: BTreeMap<String, String>,
    /// Limits in place of the deployment's.
    #[serde(deserialize_with = "object")]
    pub limits: LimitOverrides,
}

/// Limits of one call. What is left out is as deployed; the bounds are those of a spec.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverrides {
    /// Linear memory of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<SizeText>,
    /// From the dispatch of the request to the head of its response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<DurationText>,
    /// The longest silence of the response's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<DurationText>,
    /// Time the handler may compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time: Option<DurationText>,
    /// Time the instance may take to become ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<DurationText>,
    /// All headers of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<SizeText>,
    /// Body of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<SizeText>,
}

impl Overrides {
    /// Reads overrides from JSON. Errors name the setting below `override`.
    ///
    /// # Errors
    ///
    /// When `json` is not JSON, has an unknown key, or a value of the wrong type.
    pub fn from_json(json: &[u8]) -> Result<Overrides, SpecError> {
        read_json(json, ROOT)
    }

    /// The spec that the call runs with.
    ///
    /// # Errors
    ///
    /// When the deployment has no components; when an environment or limits are given without
    /// `reuse` off, in the call or the deployment; when `reuse` is on, but off in the deployment;
    /// when a value would not be allowed in a spec.
    pub fn apply(&self, spec: &DeploymentSpec) -> Result<DeploymentSpec, SpecError> {
        self.overridden(spec).map_err(|error| error.below(ROOT))
    }

    fn overridden(&self, spec: &DeploymentSpec) -> Result<DeploymentSpec, SpecError> {
        if *self == Overrides::default() {
            return Ok(spec.clone());
        }
        if !spec.runs.is_guest() {
            let problem = "is for components only: a process is not started for one call";
            return Err(SpecError::invalid("", problem));
        }
        let reuse = self.reuse.unwrap_or(spec.reuse);
        if reuse == Reuse::On && spec.reuse == Reuse::Off {
            let problem = "cannot be `on`: instances of this deployment never serve twice";
            return Err(SpecError::invalid("reuse", problem));
        }
        if reuse == Reuse::On {
            self.refuse_for_shared()?;
            return Ok(spec.clone());
        }
        if let Some(name) = self.env.keys().find(|name| spec.secrets.contains_key(*name)) {
            let problem = "is a secret of the deployment, which a call cannot change";
            return Err(SpecError::invalid(format!("env.{name}"), problem));
        }
        self.alone(spec)
    }

    /// An instance that others use, now or later, cannot be changed for one call.
    fn refuse_for_shared(&self) -> Result<(), SpecError> {
        let given =
            [("env", !self.env.is_empty()), ("limits", self.limits != LimitOverrides::default())];
        let Some((field, _)) = given.into_iter().find(|(_, is_given)| *is_given) else {
            return Ok(());
        };
        let problem = "cannot be changed for one call while instances are reused";
        Err(SpecError::invalid(field, problem)
            .with_hint("add \"reuse\": \"off\", for an instance of its own"))
    }

    /// `spec` with these settings, for one instance that serves once.
    fn alone(&self, spec: &DeploymentSpec) -> Result<DeploymentSpec, SpecError> {
        let once = DeploymentSpec {
            reuse: Reuse::Off,
            concurrency: 1,
            max_requests: 0,
            batching: None,
            ..spec.clone()
        };
        let mut raw = RawSpec::from(&once);
        let given = self.limits.clone();
        let RawLimits { memory, request_timeout, stall_timeout, cpu_time, start_timeout, .. } =
            &mut raw.limits;
        *memory = given.memory.or(*memory);
        *request_timeout = given.request_timeout.or(*request_timeout);
        *stall_timeout = given.stall_timeout.or(*stall_timeout);
        *cpu_time = given.cpu_time.or(*cpu_time);
        *start_timeout = given.start_timeout.or(*start_timeout);
        let RawLimits { response_headers, response_body, .. } = &mut raw.limits;
        *response_headers = given.response_headers.or(*response_headers);
        *response_body = given.response_body.or(*response_body);
        raw.env.extend(self.env.clone());
        raw.check_full()
    }
}
