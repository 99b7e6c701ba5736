//! The part of a spec that is about replicas which are not WebAssembly: processes that the server
//! starts, gangs of them, and workers that register themselves.

use super::Digest;
use samovar_core::device::Share;
use samovar_core::gang::Kind;
use samovar_core::replica::ReplicaKind;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What a replica of a deployment is.
#[derive(Debug, Clone, PartialEq)]
pub enum Runs {
    /// An instance of an uploaded component.
    Component(Digest),
    /// A process of this machine, or a gang of them.
    Process(Box<ProcessSpec>),
    /// A worker somewhere that registers itself.
    External,
}

impl Runs {
    /// Whether a replica is an instance of a component.
    pub fn is_guest(&self) -> bool {
        self.component().is_some()
    }

    /// What a replica is made of.
    pub fn kind(&self) -> ReplicaKind {
        match self {
            Runs::Component(_) => ReplicaKind::Wasm,
            Runs::Process(_) => ReplicaKind::Process,
            Runs::External => ReplicaKind::External,
        }
    }

    /// The component, if it is one.
    pub fn component(&self) -> Option<Digest> {
        match self {
            Runs::Component(digest) => Some(*digest),
            Runs::Process(_) | Runs::External => None,
        }
    }

    /// The process, if it is one.
    pub fn process(&self) -> Option<&ProcessSpec> {
        match self {
            Runs::Process(process) => Some(process),
            Runs::Component(_) | Runs::External => None,
        }
    }
}

/// A command that serves HTTP/1.1.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSpec {
    /// A path, or a name that is looked for in `PATH`.
    pub command: String,
    pub args: Vec<String>,
    /// An absolute path; the server's own folder if none.
    pub cwd: Option<PathBuf>,
    pub listen: Listen,
    pub health: HealthSpec,
    /// Accelerators of one replica, or of each worker of a gang; none if it needs none.
    pub gpus: Option<Share>,
    /// Resident bytes of all its processes together; none if there is no limit.
    pub memory: Option<u64>,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// Set if a replica is a gang.
    pub distribute: Option<DistributeSpec>,
}

impl ProcessSpec {
    /// Thousandths of accelerators without which a replica cannot start. A gang starts with its
    /// quorum if it must.
    pub fn device_units(&self) -> u64 {
        let workers = self.distribute.as_ref().map_or(1, |gang| gang.quorum_workers);
        self.gpus.map_or(0, |share| u64::from(share.thousandths())) * u64::from(workers)
    }
}

/// Where a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// On the port in `PORT`, on loopback.
    Port,
    /// On the Unix socket in `SOCKET`.
    Socket,
}

/// How a process is asked whether it is well.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthSpec {
    /// A path that answers with a status below 400. None: any answer to `GET /` will do, and only
    /// before it is ready.
    pub path: Option<String>,
    /// Time between two questions to a ready replica.
    pub interval: Duration,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// Bad answers in a row that end it.
    pub failures: u32,
}

/// What the processes of a gang can be run with.
pub const GANG_KINDS: [Kind; 5] =
    [Kind::Pytorch, Kind::Jax, Kind::Tensorflow, Kind::Ray, Kind::Spmd];

/// A kind of gang as it is written.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Pytorch => "pytorch",
        Kind::Jax => "jax",
        Kind::Tensorflow => "tensorflow",
        Kind::Ray => "ray",
        Kind::Spmd => "spmd",
    }
}

/// A replica that is a gang of processes.
#[derive(Debug, Clone, PartialEq)]
pub struct DistributeSpec {
    pub kind: Kind,
    /// Nodes; each has its own accelerators.
    pub workers: u32,
    /// Processes per worker.
    pub procs: u32,
    /// Workers that must have found a place when the time is over.
    pub quorum_workers: u32,
    /// How long to wait for all of them.
    pub quorum_timeout: Duration,
}

/// How workers report, and who may.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerSpec {
    /// How much work a request is.
    pub workload: WorkloadSpec,
    /// A worker that is silent for longer is gone.
    pub timeout: Duration,
    /// Whether requests are signed and put into the envelope that Vast's own worker wants.
    pub envelope: bool,
    /// Whether a replica is ready when it says so, rather than when its health path answers.
    pub reports_ready: bool,
}

/// Where the work of a request is written.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadSpec {
    /// A header.
    pub header: Option<http::HeaderName>,
    /// A JSON pointer into the body.
    pub pointer: Option<String>,
    /// What a request counts that says nothing.
    pub default: f64,
}

/// Who makes machines for external workers.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSpec {
    pub hook: FleetHook,
    /// The longest wait for one answer.
    pub timeout: Duration,
    /// Tries to create one machine.
    pub attempts: u32,
    /// Whether the hook is only told about, not called.
    pub dry_run: bool,
}

/// How the hook is called.
#[derive(Debug, Clone, PartialEq)]
pub enum FleetHook {
    /// The command, its arguments after it.
    Command { command: Vec<String>, cwd: Option<PathBuf> },
    /// A URL, and the variable of the server's environment that holds its token.
    Webhook { url: String, token_env: Option<String> },
}

impl fmt::Display for FleetHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FleetHook::Command { command, .. } => f.write_str(&command.join(" ")),
            FleetHook::Webhook { url, .. } => f.write_str(url),
        }
    }
}
