//! Replicas that are not WebAssembly: processes of this machine, and workers that report.
//!
//! | Module | What it does |
//! | --- | --- |
//! | `process` | starts processes and gangs with what they are told |
//! | `external` | has machines made and given back by the fleet hook |
//! | `crew` | follows the workers that report to a deployment |
//! | `ledger` | leases accelerators |
//! | `replica` | one of them: calls it, watches it, leaves nothing behind |

mod crew;
mod envelopes;
mod external;
mod identity;
mod ledger;
mod process;
mod replica;

use crate::OWN_PROGRAM;
use crate::api::{self, ApiError, ErrorCode};
use crate::clock;
use crate::deployment::{Deployment, Parts, Revision, Workload};
use crate::spec::{DeploymentName, DeploymentSpec, Runs, WorkloadSpec};
use anyhow::Context as _;
use dashmap::DashMap;
use identity::Identity;
use samovar_core::device::WHOLE;
use samovar_native::devices::{self, Device};
use samovar_native::{Warden, WardenOptions};
use samovar_proxy::Options;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use crew::{Crew, Terms};
pub use envelopes::Envelopes;
pub use external::ExternalSource;
use ledger::Ledger;
pub use process::{ProcessSource, StartError};
pub use replica::{NativeReplica, SendFault, told};

/// Bytes of a response's head beside its names and values.
const HEAD_BYTES_MORE: usize = 16 << 10;

/// What all native replicas of the server share.
pub struct Native {
    warden: Arc<Warden>,
    ledger: Arc<Ledger>,
    identity: Identity,
    /// URL under which workers reach the admin API.
    workers_url: String,
    /// Whether deployments may run processes.
    processes: bool,
    /// Workers with smaller numbers are of an earlier server.
    first_worker: u64,
    next_worker: AtomicU64,
    /// Who may report. Also deployments whose first replicas only start now.
    crews: DashMap<DeploymentName, Weak<Crew>>,
    /// Replicas whose processes or machines are not gone yet.
    alive: TaskTracker,
}

/// How a [`Native`] is set up.
pub struct Setup<'a> {
    /// The server's data folder.
    pub data: &'a Path,
    /// Accelerators as they are configured.
    pub devices: &'a str,
    /// Whether deployments may run processes.
    pub processes: bool,
    /// URL under which workers reach the admin API, without a `/` at the end.
    pub workers_url: String,
}

impl Native {
    /// Ends what an earlier server on this data folder left behind, and looks for accelerators.
    ///
    /// # Errors
    ///
    /// When the data folder or a process of the server's own cannot be used.
    pub async fn start(setup: Setup<'_>) -> anyhow::Result<Arc<Self>> {
        let identity = Identity::load(setup.data)?;
        let marker = identity.marker();
        let keeper = vec![OsString::from(OWN_PROGRAM), OsString::from("keep-processes")];
        let options = WardenOptions {
            sockets: std::env::temp_dir().join(format!("samovar-{}", &marker[..8])),
            marker,
            keeper: setup.processes.then_some(keeper),
        };
        let warden = Warden::start(options).context("prepare for processes")?;
        let leftovers = warden.end_leftovers().await.context("end processes left behind")?;
        for leftover in leftovers {
            tracing::warn!(pid = leftover.pid, "ended a leftover process: {}", leftover.command);
        }
        let list = devices::configured(setup.devices).map_err(anyhow::Error::msg)?;
        for Device { id, name, .. } in &list {
            tracing::info!("accelerator {id}: {name}");
        }
        // Workers turn their names into numbers, and outlive a server.
        let first_worker = clock::unix_ms();
        Ok(Arc::new(Native {
            warden,
            ledger: Ledger::new(list),
            identity,
            workers_url: setup.workers_url,
            processes: setup.processes,
            first_worker,
            next_worker: AtomicU64::new(first_worker),
            crews: DashMap::new(),
            alive: TaskTracker::new(),
        }))
    }

    /// How many accelerators there are.
    pub fn device_count(&self) -> usize {
        self.ledger.count()
    }

    fn warden(&self) -> &Arc<Warden> {
        &self.warden
    }

    fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    fn next_worker(&self) -> u64 {
        self.next_worker.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps the server from stopping until it is dropped.
    fn alive(&self) -> TaskTrackerToken {
        self.alive.token()
    }

    /// Waits until no process and no rented machine is left.
    pub async fn ended(&self) {
        self.alive.close();
        self.alive.wait().await;
    }

    /// The workers of a deployment, if any may report to it.
    pub fn crew(&self, deployment: &DeploymentName) -> Option<Arc<Crew>> {
        let crew = self.crews.get(deployment)?.upgrade();
        if crew.is_none() {
            self.crews.remove_if(deployment, |_, crew| crew.strong_count() == 0);
        }
        crew
    }

    /// Where the workers of a deployment report.
    fn report_address(&self, deployment: &DeploymentName) -> String {
        format!("{}/workers/{deployment}", self.workers_url)
    }

    /// What a worker needs to join a deployment.
    pub fn join(&self, deployment: &DeploymentName) -> api::Join {
        api::Join {
            report_addr: self.report_address(deployment),
            token: self.identity.join_token(deployment).reveal().to_owned(),
        }
    }

    /// The key with which workers check signed requests, as PEM.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn public_key(&self) -> Result<String, String> {
        Ok(self.identity.signer()?.public_pem().to_owned())
    }

    /// Signs the address of a worker, as its requests must bring it.
    fn sign(&self, address: &samovar_workers::address::Address) -> Result<String, String> {
        Ok(self.identity.signer()?.sign(address))
    }

    /// How many accelerators are leased, parts of one included.
    pub fn leased(&self) -> f64 {
        self.ledger.leased()
    }

    /// The accelerators and who holds them. Asks the driver, which may take a while.
    pub fn devices(&self) -> Vec<api::Device> {
        self.ledger.describe()
    }

    /// Refuses what this machine can never run.
    ///
    /// # Errors
    ///
    /// `invalid-field`.
    pub fn check(&self, spec: &DeploymentSpec) -> Result<(), ApiError> {
        let refuse = |field: &str, problem: String, hint: &str| {
            let error = ApiError::new(ErrorCode::InvalidField, problem).with_field(field);
            Err(error.with_hint(hint))
        };
        if let Some(fleet) = &spec.fleet
            && let Err(problem) = external::fleet(fleet)
        {
            return Err(ApiError::new(ErrorCode::InvalidField, problem).with_field("spec.fleet"));
        }
        let Runs::Process(process) = &spec.runs else { return Ok(()) };
        if !self.processes {
            let problem = "this server runs no processes".to_owned();
            return refuse("spec.process", problem, "it was started with `--processes false`");
        }
        if let Err(failure) = samovar_native::check(&process.command, process.cwd.as_deref()) {
            return refuse("spec.process", failure.to_string(), "nothing was started");
        }
        let (wanted, count) = (process.device_units(), self.ledger.count());
        if wanted > count as u64 * u64::from(WHOLE) {
            let wanted = wanted as f64 / f64::from(WHOLE);
            let problem = format!("a replica needs {wanted} accelerators, the machine has {count}");
            return refuse("spec.process.gpus", problem, "`samovar machine` shows what there is");
        }
        Ok(())
    }

    /// What makes the processes of a revision, which get its secrets beside its environment.
    pub fn process(
        self: &Arc<Self>,
        deployment: &DeploymentName,
        spec: &DeploymentSpec,
        secrets: BTreeMap<String, String>,
        parts: &Parts,
        workers: Option<&Terms>,
    ) -> ProcessSource {
        let Runs::Process(process) = &spec.runs else {
            unreachable!("the caller looked");
        };
        ProcessSource {
            native: Arc::clone(self),
            deployment: deployment.clone(),
            spec: (**process).clone(),
            env: spec.env.clone().into_iter().chain(secrets).collect(),
            start_timeout: spec.limits.start_timeout,
            worker: spec.worker.clone(),
            crew: Arc::clone(&parts.crew),
            envelopes: workers.and_then(|terms| terms.envelopes.clone()),
            options: options(spec),
            log: Arc::clone(&parts.log),
            waiting: parking_lot::Mutex::default(),
            starting: parking_lot::Mutex::default(),
        }
    }

    /// What has workers of a revision made.
    pub fn external(
        self: &Arc<Self>,
        deployment: &DeploymentName,
        spec: &DeploymentSpec,
        parts: &Parts,
        workers: Option<&Terms>,
    ) -> ExternalSource {
        let fleet = spec
            .fleet
            .as_ref()
            .map(|fleet| Arc::new(external::fleet(fleet).expect("its settings were checked")));
        ExternalSource {
            native: Arc::clone(self),
            deployment: deployment.clone(),
            crew: Arc::clone(&parts.crew),
            log: Arc::clone(&parts.log),
            fleet,
            dry_run: spec.fleet.as_ref().is_some_and(|fleet| fleet.dry_run),
            envelopes: workers.and_then(|terms| terms.envelopes.clone()),
            options: options(spec),
            start_timeout: spec.limits.start_timeout,
        }
    }

    /// How the workers of a revision are treated; none if none may report. Lets those report that
    /// the revision starts, even before it is live.
    pub fn terms(
        self: &Arc<Self>,
        deployment: &DeploymentName,
        spec: &DeploymentSpec,
        parts: &Parts,
    ) -> Option<Terms> {
        let worker = spec.worker.clone()?;
        let envelopes = worker.envelope.then(|| {
            Arc::new(Envelopes::new(Arc::clone(self), deployment, workload(&worker.workload)))
        });
        let terms = Terms {
            spec: worker,
            token: self.identity.join_token(deployment),
            envelopes,
            options: options(spec),
            log: Arc::clone(&parts.log),
        };
        if !parts.crew.is_open() {
            self.open_crew(deployment, &parts.crew, &terms);
        }
        Some(terms)
    }

    /// A revision did not become live. Its workers may not report if those of the live one may not.
    pub fn unsettle_crew(&self, deployment: &Deployment) {
        if deployment.live().workers.is_none() {
            self.close_crew(deployment);
        }
    }

    /// A revision is live: its workers are treated as it says, and those that joined are its own.
    pub fn settle_crew(&self, deployment: &Deployment, revision: &Revision) {
        match &revision.workers {
            Some(terms) => {
                self.open_crew(&deployment.name, &deployment.crew, terms);
                deployment.crew.attach(&revision.pool);
            }
            None => self.close_crew(deployment),
        }
    }

    fn open_crew(&self, deployment: &DeploymentName, crew: &Arc<Crew>, terms: &Terms) {
        crew.open(terms.clone());
        self.crews.insert(deployment.clone(), Arc::downgrade(crew));
    }

    fn close_crew(&self, deployment: &Deployment) {
        self.crews.remove(&deployment.name);
        deployment.crew.close();
    }
}

/// How connections to the replicas of a deployment are used.
fn options(spec: &DeploymentSpec) -> Options {
    // What separates headers is not counted in the limit, which is checked exactly later.
    let bytes = usize::try_from(spec.limits.response_headers).unwrap_or(usize::MAX);
    Options { head_bytes_max: bytes.saturating_add(HEAD_BYTES_MORE), ..Options::default() }
}

/// How the work of a request is measured.
pub fn workload(spec: &WorkloadSpec) -> Workload {
    let header = spec.header.as_ref().map(http::HeaderName::as_str);
    Workload::new(header, spec.pointer.as_deref(), spec.default)
        .expect("it was checked with the spec")
}
