//! Single replicas, accelerators, and how external workers join.

use samovar_core::replica;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::spec::DeploymentName;

/// What a replica is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaKind {
    /// An instance of a component.
    #[default]
    Wasm,
    /// A process of this machine, or a gang of them.
    Process,
    /// A worker that registered itself.
    External,
}

impl ReplicaKind {
    /// The word as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            ReplicaKind::Wasm => "wasm",
            ReplicaKind::Process => "process",
            ReplicaKind::External => "external",
        }
    }
}

impl From<replica::ReplicaKind> for ReplicaKind {
    fn from(kind: replica::ReplicaKind) -> ReplicaKind {
        match kind {
            replica::ReplicaKind::Wasm => ReplicaKind::Wasm,
            replica::ReplicaKind::Process => ReplicaKind::Process,
            replica::ReplicaKind::External => ReplicaKind::External,
        }
    }
}

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// Being made, or loading.
    #[default]
    Starting,
    /// Serves, or waits for requests.
    Ready,
    /// Finishes its requests and takes no more.
    Draining,
}

impl ReplicaState {
    /// The word as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            ReplicaState::Starting => "starting",
            ReplicaState::Ready => "ready",
            ReplicaState::Draining => "draining",
        }
    }
}

/// One replica.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Replica {
    /// Unique within its revision, never used again.
    pub id: u64,
    pub revision: u64,
    pub kind: ReplicaKind,
    pub state: ReplicaState,
    /// Requests it serves.
    pub ongoing: u32,
    /// Time since its start was ordered, in milliseconds.
    pub age_ms: u64,
    /// Where it is called; null for a component.
    pub address: Option<String>,
    /// Its processes, the first of a gang first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pids: Vec<u32>,
    /// Resident memory of its processes.
    pub memory_bytes: Option<u64>,
    /// Processor time of its processes since they started, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Accelerators it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<HeldDevice>,
    /// Work it is doing as it reports itself, in units per second.
    pub load: Option<f64>,
    /// Most work it can do, in units per second.
    pub max_perf: Option<f64>,
    /// What it is waiting for, or what is wrong.
    pub message: Option<String>,
}

/// What a replica holds of one accelerator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeldDevice {
    pub id: String,
    /// Part of the device: 1 is all of it.
    pub share: f64,
}

/// Why a replica ended by itself or did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaFailure {
    pub at_ms: u64,
    pub replica: u64,
    pub message: String,
}

/// Answer of `GET /v1/deployments/{name}/replicas`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaList {
    /// Ordered by revision and id.
    pub replicas: Vec<Replica>,
    /// The last failures of the live revision, newest last.
    pub failures: Vec<ReplicaFailure>,
}

/// Answer of `GET /v1/machine`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// Replicas the machine may hold.
    pub slots: u32,
    /// Those that are free.
    pub slots_free: u32,
    pub devices: Vec<Device>,
}

/// An accelerator of this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// What stands in `CUDA_VISIBLE_DEVICES`.
    pub id: String,
    pub name: String,
    pub memory_bytes: Option<u64>,
    pub memory_used_bytes: Option<u64>,
    /// Part of the last second in which it was busy, 0 to 1.
    pub utilization: Option<f64>,
    /// Part that is leased, 0 to 1.
    pub leased: f64,
    pub leases: Vec<DeviceLease>,
}

/// Who holds a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceLease {
    pub deployment: DeploymentName,
    pub replica: u64,
    /// Part of the device.
    pub share: f64,
}

/// Answer of `GET /v1/deployments/{name}/join`: what a worker needs to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Join {
    /// The variable `REPORT_ADDR` of the worker.
    pub report_addr: String,
    /// The variable `MASTER_TOKEN` of the worker. Whoever has it can join this deployment, and
    /// nothing else.
    pub token: String,
}
