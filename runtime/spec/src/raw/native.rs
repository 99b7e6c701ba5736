//! Processes, gangs and workers as they are written.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use utoipa::ToSchema;

use super::super::native::{
    DistributeSpec, FleetHook, FleetSpec, Listen, ProcessSpec, WorkerSpec, WorkloadSpec, kind_name,
};
use super::super::units::{Count, DurationText, SizeText};
use super::{optional_object, optional_word};

/// A command that serves HTTP/1.1, in place of a component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawProcess {
    /// A path, or a name that is looked for in `PATH`. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments. `{port}` stands for the port that `PORT` holds. Default: none.
    pub args: Vec<String>,
    /// The folder it runs in, an absolute path. Default: that of the server. (In a manifest:
    /// relative to the manifest, whose folder is the default.)
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cwd: Option<PathBuf>,
    /// `port`: it listens on the port in `PORT`. `socket`: on the Unix socket in `SOCKET`.
    /// Default: `port`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_word")]
    pub listen: Option<RawListen>,
    /// A path that answers below 400 when a replica can serve, and as long as it can. Default: any
    /// answer to `GET /` means ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Time between two questions to `health` of a ready replica. Default: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_interval: Option<DurationText>,
    /// The longest wait for an answer of `health`. Default: `5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_timeout: Option<DurationText>,
    /// Bad answers in a row after which a ready replica is replaced. Default: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_failures: Option<Count>,
    /// Accelerators of one replica, of each worker if it is a gang: a whole number, or a fraction
    /// of one. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<f64>,
    /// Resident memory of a replica with all its children; above it, it is ended. Default: no
    /// limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<SizeText>,
    /// From SIGTERM to SIGKILL. Default: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<DurationText>,
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawListen {
    /// On a port.
    Port,
    /// On a Unix socket.
    Socket,
}

/// Makes a replica a gang of processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawDistribute {
    /// Whose environment the processes get: `pytorch`, `jax`, `tensorflow`, `ray` or `spmd`.
    /// Default: `spmd`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Workers of the gang. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<Count>,
    /// Processes of each worker. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub procs: Option<Count>,
    /// With how many workers the gang starts if not all have found their accelerators in
    /// `quorum_timeout`. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum_workers: Option<Count>,
    /// How long to wait for all workers to find their accelerators. Default: `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum_timeout: Option<DurationText>,
}

/// Replicas report about themselves, by the protocol of Vast's workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawWorker {
    /// The protocol: `vast`, the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// How much work a request is.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "optional_object")]
    pub workload: Option<RawWorkload>,
    /// An external worker that is silent for longer is gone. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// Whether requests are signed and wrapped as today's worker package of Vast wants them.
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<bool>,
    /// Whether a process is ready when it reports that it is loaded, rather than when it answers
    /// HTTP. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports_ready: Option<bool>,
}

/// How much work a request is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawWorkload {
    /// A header that holds the number. Comes before `pointer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// A JSON pointer to the number in the body, like `/max_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What a request counts that says nothing usable. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<f64>,
}

/// Creates and destroys machines for external workers. Either `command` or `url`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawFleet {
    /// A command and its arguments; the request is JSON on its standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The folder it runs in. Default: as for a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cwd: Option<PathBuf>,
    /// A webhook, `http` or `https`; the request is its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A variable of the server's environment with the webhook's bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// The longest wait for one answer. Default: `1m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// Tries to create one machine. Default: 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Count>,
    /// Only say what would be called. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

fn duration(duration: std::time::Duration) -> Option<DurationText> {
    Some(DurationText(duration))
}

fn count(count: u32) -> Option<Count> {
    Some(Count(u64::from(count)))
}

impl From<&ProcessSpec> for RawProcess {
    fn from(spec: &ProcessSpec) -> Self {
        RawProcess {
            command: Some(spec.command.clone()),
            args: spec.args.clone(),
            cwd: spec.cwd.clone(),
            listen: Some(match spec.listen {
                Listen::Port => RawListen::Port,
                Listen::Socket => RawListen::Socket,
            }),
            health: spec.health.path.clone(),
            health_interval: duration(spec.health.interval),
            health_timeout: duration(spec.health.timeout),
            health_failures: count(spec.health.failures),
            gpus: spec.gpus.map(|share| share.as_f64()),
            memory: spec.memory.map(SizeText),
            grace: duration(spec.grace),
        }
    }
}

impl From<&DistributeSpec> for RawDistribute {
    fn from(spec: &DistributeSpec) -> Self {
        RawDistribute {
            kind: Some(kind_name(spec.kind).to_owned()),
            workers: count(spec.workers),
            procs: count(spec.procs),
            quorum_workers: count(spec.quorum_workers),
            quorum_timeout: duration(spec.quorum_timeout),
        }
    }
}

impl From<&WorkerSpec> for RawWorker {
    fn from(spec: &WorkerSpec) -> Self {
        let WorkloadSpec { header, pointer, default } = &spec.workload;
        RawWorker {
            protocol: Some("vast".to_owned()),
            workload: Some(RawWorkload {
                header: header.as_ref().map(ToString::to_string),
                pointer: pointer.clone(),
                default: Some(*default),
            }),
            timeout: duration(spec.timeout),
            envelope: Some(spec.envelope),
            reports_ready: Some(spec.reports_ready),
        }
    }
}

impl From<&FleetSpec> for RawFleet {
    fn from(spec: &FleetSpec) -> Self {
        let raw = RawFleet {
            timeout: duration(spec.timeout),
            attempts: count(spec.attempts),
            dry_run: Some(spec.dry_run),
            ..RawFleet::default()
        };
        match &spec.hook {
            FleetHook::Command { command, cwd } => {
                RawFleet { command: Some(command.clone()), cwd: cwd.clone(), ..raw }
            }
            FleetHook::Webhook { url, token_env } => {
                RawFleet { url: Some(url.clone()), token_env: token_env.clone(), ..raw }
            }
        }
    }
}
