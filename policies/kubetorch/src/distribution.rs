//! What distributed processes are told, and who supervises them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::options::Refusal;

/// The framework that processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framework {
    /// None.
    Spmd,
    /// PyTorch.
    Pytorch,
    /// JAX.
    Jax,
    /// TensorFlow.
    Tensorflow,
}

/// The place of one process among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// Addresses of the pods, the coordinator's first.
    pub ips: &'a [String],
    /// Index of the pod.
    pub node_rank: i64,
    /// Index of the process in its pod.
    pub local_rank: i64,
    /// Processes per pod.
    pub procs: i64,
}

/// The environment of a process (`serving/process_worker.py`, `serving/spmd/`).
///
/// `port` is that of the coordinator; none and 0 mean the framework's own. As in the original the
/// index for TensorFlow is the pod's, so several processes of a pod share one.
///
/// # Errors
///
/// `IndexError` when PyTorch or JAX has no pod to be the coordinator.
pub fn environment(
    framework: Framework,
    place: &Place<'_>,
    port: Option<i64>,
) -> Result<Map<String, Value>, Refusal> {
    let Place { ips, node_rank, local_rank, procs } = *place;
    let world = ips.len() as i64 * procs;
    let rank = node_rank * procs + local_rank;
    let port_or = |default: i64| port.filter(|&port| port != 0).unwrap_or(default);
    let coordinator =
        || ips.first().ok_or_else(|| Refusal::new("IndexError", "there is no pod to coordinate"));
    let mut environment = Map::new();
    let mut set = |name: &str, value: String| environment.insert(name.into(), value.into());
    set("WORLD_SIZE", world.to_string());
    set("RANK", rank.to_string());
    set("LOCAL_RANK", local_rank.to_string());
    set("NODE_RANK", node_rank.to_string());
    set("POD_IPS", ips.join(","));
    match framework {
        Framework::Spmd => {}
        Framework::Pytorch => {
            set("MASTER_ADDR", coordinator()?.clone());
            set("MASTER_PORT", port_or(12345).to_string());
        }
        Framework::Jax => {
            set("JAX_COORDINATOR_ADDRESS", format!("{}:{}", coordinator()?, port_or(1234)));
            set("JAX_PROCESS_ID", rank.to_string());
            set("JAX_NUM_PROCESSES", world.to_string());
            set("JAX_LOCAL_DEVICE_IDS", local_rank.to_string());
        }
        Framework::Tensorflow => {
            set("TF_CONFIG", tensorflow_config(place, port_or(2222)));
            set("TF_FORCE_GPU_ALLOW_GROWTH", "true".into());
            set("TF_GPU_THREAD_MODE", "gpu_private".into());
        }
    }
    Ok(environment)
}

/// With the spaces of Python's `json.dumps`.
fn tensorflow_config(place: &Place<'_>, port: i64) -> String {
    let workers = place.ips.iter().map(|ip| json!(format!("{ip}:{port}")).to_string());
    let workers = workers.collect::<Vec<_>>().join(", ");
    let index = place.node_rank;
    format!(
        "{{\"cluster\": {{\"worker\": [{workers}]}}, \
         \"task\": {{\"type\": \"worker\", \"index\": {index}}}}}"
    )
}

/// The supervisor that a type of distribution selects (`serving/supervisor_factory.py`).
///
/// # Errors
///
/// `ValueError` for other types.
pub fn supervisor(kind: Option<&str>) -> Result<&'static str, Refusal> {
    Ok(match kind {
        Some("local") => "ExecutionSupervisor",
        Some("ray") => "RayDistributed",
        Some("monarch") => "MonarchDistributed",
        None | Some("spmd" | "pytorch" | "jax" | "tensorflow" | "tf") => {
            "SPMDDistributedSupervisor"
        }
        Some(kind) => {
            let text = format!("Unsupported distribution type: {kind}");
            return Err(Refusal::new("ValueError", text));
        }
    })
}
