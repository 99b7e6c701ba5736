//! Replicas that are processes of this machine: what they are told, and how they start.

use super::crew::{Crew, Ordered, Parting};
use super::ledger::Held;
use super::replica::{NativeReplica, ReplicaBody, WorkerLink};
use crate::api;
use crate::clock;
use crate::logs::{DeploymentLog, LogStream};
use crate::spec::{DeploymentName, DistributeSpec, Listen, ProcessSpec, WorkerSpec};
use parking_lot::Mutex;
use samovar_core::gang::{self, Gang, Placement};
use samovar_core::replica::ReplicaId;
use samovar_core::time::Timestamp;
use samovar_native::{
    Asked, Endpoint, Failure, Keep, Lease, Liveness, MemberPlan, Output, ReadyWhen, Replica,
    ReplicaPlan, Stream,
};
use samovar_proxy::{Address as UpstreamAddress, Options, Upstream};
use samovar_workers::address::Address;
use samovar_workers::environment;
use samovar_workers::secret::Secret;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How soon a start is tried again for which the machine had no room.
const ROOM_RETRY: Duration = Duration::from_millis(200);
/// Tries to start a replica whose ports were taken meanwhile.
const PORTS_TRIED_MAX: u32 = 5;
/// What stands for the port in an argument.
const PORT_IN_ARGUMENT: &str = "{port}";

/// Why a replica did not start.
#[derive(Debug)]
pub enum StartError {
    /// There is no room for it now. Not its fault.
    NoRoom {
        /// What is missing.
        reason: String,
        /// How soon to try again.
        retry: Duration,
    },
    /// It failed.
    Failed(String),
    /// It is not wanted any more.
    GivenUp,
}

impl StartError {
    /// The machine has no room for now.
    pub fn no_room(reason: String) -> Self {
        StartError::NoRoom { reason, retry: ROOM_RETRY }
    }
}

/// How a pool makes processes.
pub struct ProcessSource {
    /// The server's.
    pub(super) native: Arc<super::Native>,
    pub(super) deployment: DeploymentName,
    pub(super) spec: ProcessSpec,
    pub(super) env: BTreeMap<String, String>,
    pub(super) start_timeout: Duration,
    pub(super) worker: Option<WorkerSpec>,
    pub(super) crew: Arc<Crew>,
    pub(super) envelopes: Option<Arc<super::Envelopes>>,
    pub(super) options: Options,
    pub(super) log: Arc<DeploymentLog>,
    /// Since when a gang waits for devices.
    pub(super) waiting: Mutex<Option<Timestamp>>,
    /// The processes of replicas that are not ready.
    pub(super) starting: Mutex<BTreeMap<ReplicaId, Pids>>,
}

/// Numbers of processes, as they are started.
type Pids = Arc<Mutex<Vec<u32>>>;

/// A replica that starts; forgotten when that has ended, however it ends.
struct Starting<'a> {
    source: &'a ProcessSource,
    id: ReplicaId,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.source.starting.lock().remove(&self.id);
    }
}

/// Why one attempt to start a replica failed.
enum Fault {
    /// Another program has a port that was free a moment ago.
    AddressTaken(String),
    Other(String),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure.kind() {
            "address_taken" => Fault::AddressTaken(failure.to_string()),
            _ => Fault::Other(failure.to_string()),
        }
    }
}

/// One process of a replica before it starts.
struct Member {
    lease: Lease,
    env: Vec<(String, String)>,
}

/// The processes of a replica before they start, the first one first.
struct Members {
    list: Vec<Member>,
    /// Further ports they use.
    leases: Vec<Lease>,
}

/// A replica that speaks the worker protocol.
struct Speaker {
    link: WorkerLink,
    ordered: Ordered,
    env: Vec<(String, String)>,
    /// The second port of the worker.
    lease: Lease,
}

impl ProcessSource {
    /// Starts a replica and waits until it is ready.
    pub async fn start(
        &self,
        id: ReplicaId,
        place: OwnedSemaphorePermit,
    ) -> Result<NativeReplica, StartError> {
        let devices = Arc::new(self.lease(id)?);
        // Also if this is given up: others get these when the processes are gone.
        let keep = Arc::new((Arc::clone(&devices), place, self.native.alive()));
        let pids = Arc::new(Mutex::default());
        let _starting = Starting { source: self, id };
        self.starting.lock().insert(id, Arc::clone(&pids));
        let output = Arc::new(Log { log: Arc::clone(&self.log), replica: id.0, pids });
        let mut tries = 1;
        loop {
            let keep = Keep::new(Arc::clone(&keep));
            match self.attempt(keep, Arc::clone(&output), &devices).await {
                Ok(replica) => return Ok(replica),
                // Somebody else took the port between looking and starting.
                Err(Fault::AddressTaken(_)) if tries < PORTS_TRIED_MAX => tries += 1,
                Err(Fault::AddressTaken(reason) | Fault::Other(reason)) => {
                    return Err(StartError::Failed(reason));
                }
            }
        }
    }

    async fn attempt(
        &self,
        keep: Keep,
        output: Arc<Log>,
        devices: &Arc<Held>,
    ) -> Result<NativeReplica, Fault> {
        let no_port = |error| Fault::Other(format!("find a free port: {error}"));
        let mut members = self.members(devices).map_err(no_port)?;
        let first = &mut members.list[0];
        let mut speaker = self.speaker(first).map_err(Fault::Other)?;
        if let Some(speaker) = &mut speaker {
            // What the user says wins, so that every variable can be set otherwise.
            first.env.splice(0..0, std::mem::take(&mut speaker.env));
        }
        let address = upstream_address(first.lease.endpoint());
        let (link, ordered) = speaker.map_or((None, None), |speaker| {
            members.leases.push(speaker.lease);
            (Some(speaker.link), Some(speaker.ordered))
        });
        let plan = ReplicaPlan { keep, ..self.plan(members, ordered.as_ref()) };
        let started = Replica::start(self.native.warden(), plan, output);
        let processes = match &ordered {
            None => started.await?,
            Some(ordered) => tokio::select! {
                started = started => started?,
                reason = ordered.trouble.raised() => return Err(Fault::Other(reason)),
            },
        };
        let upstream = Upstream::new(address, self.options.clone());
        let body =
            ReplicaBody::Processes { processes: Arc::new(processes), devices: Arc::clone(devices) };
        Ok(NativeReplica::new(upstream, self.envelopes.clone(), link, body))
    }

    /// The devices of a replica: all it wants, or for a gang that waited long enough, those of its
    /// quorum.
    fn lease(&self, id: ReplicaId) -> Result<Held, StartError> {
        let ledger = self.native.ledger();
        let now = clock::now();
        let workers = match &self.spec.distribute {
            None => 1,
            Some(gang) => self.placed(gang, now)?,
        };
        match ledger.lease(&self.spec, workers, &self.deployment, id.0) {
            Some(held) => {
                *self.waiting.lock() = None;
                Ok(held)
            }
            None => Err(StartError::no_room(self.no_room(workers))),
        }
    }

    /// With how many workers a gang starts now.
    fn placed(&self, gang: &DistributeSpec, now: Timestamp) -> Result<u32, StartError> {
        let free = self.native.ledger().fits(&self.spec, gang.workers);
        let since = *self.waiting.lock().get_or_insert(now);
        let waited = now.since(since);
        let (workers, quorum) = (gang.workers, gang.quorum_workers);
        match gang::placed(workers, quorum, free, waited, gang.quorum_timeout) {
            Placement::Start(count) => {
                if count < workers {
                    let text = format!("the gang starts with {count} of {workers} workers");
                    self.log.push_text(None, LogStream::System, &text);
                }
                Ok(count)
            }
            Placement::Wait => Err(StartError::no_room(self.no_room(workers))),
            Placement::Fail => {
                *self.waiting.lock() = None; // The next attempt waits anew.
                Err(StartError::Failed(format!(
                    "{free} of {workers} workers found devices within {:?}, the quorum is {quorum}",
                    gang.quorum_timeout
                )))
            }
        }
    }

    fn no_room(&self, workers: u32) -> String {
        let ledger = self.native.ledger();
        let each = self.spec.gpus.map_or(0.0, |share| share.as_f64());
        let wanted = match workers {
            1 => format!("{each} accelerators"),
            workers => format!("{workers} x {each} accelerators"),
        };
        let (leased, count) = (ledger.leased(), ledger.count());
        format!("a replica needs {wanted}; {leased:.1} of {count} are leased")
    }

    /// The processes of a replica with what each is told.
    fn members(&self, devices: &Held) -> std::io::Result<Members> {
        let Some(gang) = &self.spec.distribute else {
            let only = self.member(devices, 0, Vec::new())?;
            return Ok(Members { list: vec![only], leases: Vec::new() });
        };
        let workers = devices.workers();
        let count = workers * gang.procs;
        let warden = self.native.warden();
        let leases = (0..=count).map(|_| warden.lease_port()).collect::<Result<Vec<_>, _>>()?;
        let ports: Vec<u16> = leases.iter().filter_map(Lease::port).collect();
        let (coordinator, ports) = ports.split_first().expect("one more than processes");
        let addresses = vec![LOOPBACK.to_string(); workers as usize];
        let plan = Gang {
            kind: gang.kind,
            addresses: &addresses,
            procs: gang.procs,
            coordinator_port: *coordinator,
            process_ports: ports,
        };
        let mut list = Vec::new();
        for node in 0..workers {
            for local in 0..gang.procs {
                let env = gang::environment(&plan, node, local);
                list.push(self.member(devices, node as usize, env)?);
            }
        }
        Ok(Members { list, leases })
    }

    fn member(
        &self,
        devices: &Held,
        worker: usize,
        gang: Vec<(String, String)>,
    ) -> std::io::Result<Member> {
        let warden = self.native.warden();
        let text = |name: &str, value: String| (name.to_owned(), value);
        let mut env = vec![
            text("SAMOVAR_DEPLOYMENT", self.deployment.to_string()),
            // Without a lease none is seen: what is leased belongs to others.
            text("CUDA_VISIBLE_DEVICES", devices.visible(worker)),
            text("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ];
        let lease = match self.spec.listen {
            Listen::Port => warden.lease_port()?,
            Listen::Socket => warden.lease_socket()?,
        };
        match lease.endpoint() {
            Endpoint::Tcp(address) => {
                env.push(text("HOST", address.ip().to_string()));
                env.push(text("PORT", address.port().to_string()));
            }
            Endpoint::Unix(path) => env.push(text("SOCKET", path.display().to_string())),
        }
        env.extend(gang);
        env.extend(self.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(Member { lease, env })
    }

    /// Whether a replica is ready when it says so.
    fn says_itself(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.reports_ready)
    }

    /// What the first process needs to report, if it is to.
    fn speaker(&self, first: &Member) -> Result<Option<Speaker>, String> {
        let (Some(_), Some(port)) = (&self.worker, first.lease.port()) else { return Ok(None) };
        let number = self.native.next_worker();
        let id = number.to_string();
        let token = Secret::generate().map_err(|error| error.to_string())?;
        let address = Address::of(LOOPBACK, port);
        let Some(ordered) = self.crew.start(&id, &token, address.clone()) else {
            return Err("the deployment takes no workers".to_owned());
        };
        let lease = self.native.warden().lease_port();
        let lease = lease.map_err(|error| format!("find a free port: {error}"))?;
        let link = WorkerLink::new(&self.crew, &id, &ordered.trouble, Parting::Done);
        let report_addr = self.native.report_address(&self.deployment);
        let env = environment::variables(&environment::Start {
            id: number,
            token: &token,
            report_to: &report_addr,
            address: &address,
            session_port: lease.port().expect("it is the lease of a port"),
            is_unsecured: false,
        });
        Ok(Some(Speaker { link, ordered, env, lease }))
    }

    fn plan(&self, members: Members, ordered: Option<&Ordered>) -> ReplicaPlan {
        let health = &self.spec.health;
        let ready = match (ordered, &health.path) {
            (Some(ordered), _) if self.says_itself() => ReadyWhen::Told(ordered.loaded.clone()),
            (_, Some(path)) => ReadyWhen::Healthy { path: path.clone() },
            (_, None) => ReadyWhen::Answers,
        };
        let liveness = health.path.as_ref().map(|path| Liveness {
            path: path.clone(),
            interval: health.interval,
            timeout: health.timeout,
            failures: health.failures,
        });
        let mut leases = members.leases;
        let mut plans = Vec::new();
        for member in members.list {
            plans.push(self.member_plan(&member.lease, member.env));
            leases.push(member.lease);
        }
        ReplicaPlan {
            members: plans,
            ready,
            asked: Asked::RankZero,
            liveness,
            start_timeout: self.start_timeout,
            grace: self.spec.grace,
            memory_max: self.spec.memory,
            leases,
            keep: Keep::default(),
        }
    }

    fn member_plan(&self, lease: &Lease, env: Vec<(String, String)>) -> MemberPlan {
        let port = lease.port().map(|port| port.to_string()).unwrap_or_default();
        let args = self.spec.args.iter().map(|arg| arg.replace(PORT_IN_ARGUMENT, &port));
        MemberPlan {
            program: OsString::from(&self.spec.command),
            args: args.map(OsString::from).collect(),
            env,
            cwd: self.spec.cwd.clone(),
            endpoint: lease.endpoint().clone(),
        }
    }

    /// What is known of a replica that is not ready.
    pub fn describe_start(&self, id: ReplicaId, mut replica: api::Replica) -> api::Replica {
        if let Some(pids) = self.starting.lock().get(&id) {
            replica.pids.clone_from(&pids.lock());
        }
        let message = match &self.spec.health.path {
            _ if self.says_itself() => "loads: has not reported that it is loaded".to_owned(),
            Some(path) => format!("loads: {path} does not answer below 400 yet"),
            None => "loads: does not answer HTTP yet".to_owned(),
        };
        replica.message = Some(message);
        replica
    }
}

/// Where requests to an endpoint go.
fn upstream_address(endpoint: &Endpoint) -> UpstreamAddress {
    match endpoint {
        Endpoint::Tcp(address) => UpstreamAddress::Tcp(*address),
        Endpoint::Unix(path) => UpstreamAddress::Unix(path.clone()),
    }
}

/// Puts what processes print into the deployment's log.
struct Log {
    log: Arc<DeploymentLog>,
    replica: u64,
    pids: Pids,
}

impl Output for Log {
    fn line(&self, rank: u32, stream: Stream, text: &str) {
        let stream = match stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
        };
        let text = if rank == 0 { text.to_owned() } else { format!("[rank {rank}] {text}") };
        self.log.push(Some(self.replica), stream, text);
    }

    fn note(&self, text: &str) {
        self.log.push_text(Some(self.replica), LogStream::System, text);
    }

    fn started(&self, rank: u32, pid: i32) {
        let mut pids = self.pids.lock();
        if rank == 0 {
            pids.clear(); // Another attempt.
        }
        pids.push(pid.unsigned_abs());
    }
}
