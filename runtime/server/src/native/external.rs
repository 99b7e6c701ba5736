//! Workers elsewhere that a pool orders: the fleet hook makes a machine, whose worker then joins.

use super::crew::{Crew, Ordered, Parting, upstream_address};
use super::process::StartError;
use super::replica::{NativeReplica, ReplicaBody, WorkerLink};
use crate::api;
use crate::logs::{DeploymentLog, LogStream};
use crate::spec::{DeploymentName, FleetHook, FleetSpec};
use samovar_core::replica::ReplicaId;
use samovar_fleet::{Action, Fleet, Hook, Request, Secret, Settings, Token, Webhook};
use samovar_proxy::{Options, Upstream};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How soon it is looked again whether a worker has joined.
const JOIN_RETRY: Duration = Duration::from_secs(1);
/// How soon a dry run is repeated.
const REHEARSAL_RETRY: Duration = Duration::from_secs(60);

/// How a pool gets workers from elsewhere.
pub struct ExternalSource {
    /// The server's.
    pub(super) native: Arc<super::Native>,
    pub(super) deployment: DeploymentName,
    pub(super) crew: Arc<Crew>,
    pub(super) log: Arc<DeploymentLog>,
    /// None: workers come by themselves or not at all.
    pub(super) fleet: Option<Arc<Fleet>>,
    pub(super) dry_run: bool,
    pub(super) envelopes: Option<Arc<super::Envelopes>>,
    pub(super) options: Options,
    pub(super) start_timeout: Duration,
}

/// A machine that was rented, and has to be given back.
pub struct Rented {
    fleet: Arc<Fleet>,
    request: Request,
    log: Arc<DeploymentLog>,
    replica: u64,
    alive: TaskTrackerToken,
}

/// The hook of a deployment.
///
/// # Errors
///
/// What in its settings cannot be used.
pub fn fleet(spec: &FleetSpec) -> Result<Fleet, String> {
    let hook = match &spec.hook {
        FleetHook::Command { command, cwd } => {
            let mut words = command.iter().cloned();
            let program = words.next().unwrap_or_default();
            Hook::Command { program, args: words.collect(), cwd: cwd.clone() }
        }
        FleetHook::Webhook { url, token_env } => Hook::Webhook(Webhook {
            url: url.clone(),
            bearer: token_env.clone().map(Secret::Env),
            ..Webhook::default()
        }),
    };
    let settings = Settings {
        timeout: spec.timeout,
        attempts: spec.attempts,
        dry_run: spec.dry_run,
        ..Settings::new(hook)
    };
    Fleet::new(settings).map_err(|error| error.to_string())
}

impl ExternalSource {
    /// Asks for a machine and waits until its worker has joined and is loaded.
    pub async fn start(&self, replica: ReplicaId) -> Result<NativeReplica, StartError> {
        let Some(fleet) = &self.fleet else {
            let reason = "no worker has joined, and there is no `fleet` to make one".to_owned();
            return Err(StartError::NoRoom { reason, retry: JOIN_RETRY });
        };
        let id = self.native.next_worker().to_string();
        let request = self.request(replica, &id);
        if self.dry_run {
            return Err(self.rehearse(fleet, &request, replica).await);
        }
        let Some(ordered) = self.crew.expect(&id) else {
            return Err(StartError::Failed("the deployment takes no workers".to_owned()));
        };
        let link = WorkerLink::new(&self.crew, &id, &ordered.trouble, Parting::GivenBack);
        // From here on the machine is given back, whatever happens, even if this is given up.
        let rented = Rented {
            fleet: Arc::clone(fleet),
            request: Request {
                action: Action::Destroy,
                reason: format!("replica {} is not wanted any more", replica.0),
                ..request.clone()
            },
            log: Arc::clone(&self.log),
            replica: replica.0,
            alive: self.native.alive(),
        };
        let mut order = Order { rented: Some(rented), link: Some(link) };
        self.note(replica, &format!("fleet: asks for worker {id}"));
        let answer = fleet.call(&request).await;
        let answer = answer.map_err(|error| StartError::Failed(format!("fleet: {error}")))?;
        if let Some(note) = &answer.note {
            self.note(replica, &format!("fleet: {note}"));
        }
        order.note_machine(answer.machine);
        self.until_loaded(&ordered).await?;
        let Some(address) = self.crew.address(&id) else {
            return Err(StartError::Failed(format!("worker {id} left before it served")));
        };
        let upstream = Upstream::new(upstream_address(&address), self.options.clone());
        let (rented, link) = order.taken();
        let body = ReplicaBody::Rented(rented);
        Ok(NativeReplica::new(upstream, self.envelopes.clone(), Some(link), body))
    }

    /// Says what would be asked.
    async fn rehearse(&self, fleet: &Fleet, request: &Request, replica: ReplicaId) -> StartError {
        if let Ok(answer) = fleet.call(request).await
            && let Some(note) = answer.note
        {
            self.note(replica, &format!("fleet: {note}"));
        }
        let reason = "the fleet hook is on a dry run".to_owned();
        StartError::NoRoom { reason, retry: REHEARSAL_RETRY }
    }

    fn request(&self, replica: ReplicaId, id: &str) -> Request {
        let join = self.native.join(&self.deployment);
        Request {
            action: Action::Create,
            key: format!("{}-{id}", self.deployment),
            deployment: self.deployment.to_string(),
            worker_id: id.to_owned(),
            token: Token(join.token),
            report_addr: join.report_addr,
            devices: 0.0,
            reason: format!("replica {} is wanted", replica.0),
            machine: None,
        }
    }

    async fn until_loaded(&self, ordered: &Ordered) -> Result<(), StartError> {
        let longest = self.start_timeout;
        tokio::select! {
            () = ordered.loaded.cancelled() => Ok(()),
            reason = ordered.trouble.raised() => Err(StartError::Failed(reason)),
            () = tokio::time::sleep(longest) => Err(StartError::Failed(format!(
                "its worker did not join and load within {longest:?}"
            ))),
        }
    }

    fn note(&self, replica: ReplicaId, text: &str) {
        self.log.push_text(Some(replica.0), LogStream::System, text);
    }

    /// Gives machines back that an earlier server rented and, when it was killed, did not.
    pub fn sweep(&self) {
        let Some(fleet) = self.fleet.clone().filter(|_| !self.dry_run) else { return };
        let (log, first) = (Arc::clone(&self.log), self.native.first_worker);
        let list = Request {
            action: Action::List,
            key: format!("{}-list", self.deployment),
            reason: "the server was restarted".to_owned(),
            ..self.request(ReplicaId(0), "")
        };
        tokio::spawn(async move {
            let tell = |text: String| log.push_text(None, LogStream::System, &text);
            let found = match fleet.call(&list).await {
                Ok(answer) => answer.machines,
                Err(error) => return tell(format!("fleet: machines left over? {error}")),
            };
            for machine in found {
                let Some(key) = machine.key else { continue };
                let worker = key.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
                let Some(worker) = worker.filter(|worker: &u64| *worker < first) else { continue };
                let request = Request {
                    action: Action::Destroy,
                    worker_id: worker.to_string(),
                    machine: Some(machine.machine.clone()),
                    key,
                    ..list.clone()
                };
                match fleet.call(&request).await {
                    Ok(_) => tell(format!("fleet: gave machine {} back", machine.machine)),
                    Err(error) => tell(format!("fleet: {error}")),
                }
            }
        });
    }

    /// What is known of a replica that is not ready.
    pub fn describe_start(&self, _id: ReplicaId, replica: api::Replica) -> api::Replica {
        let message = match self.fleet {
            Some(_) => "waits for its machine, and for the worker there to load",
            None => "waits for a worker to join",
        };
        api::Replica { message: Some(message.to_owned()), ..replica }
    }
}

/// A machine under way. Dropped before it serves, it is given back.
struct Order {
    rented: Option<Rented>,
    link: Option<WorkerLink>,
}

impl Order {
    fn note_machine(&mut self, machine: Option<String>) {
        self.rented.as_mut().expect("it is there until it is taken").request.machine = machine;
    }

    fn taken(mut self) -> (Rented, WorkerLink) {
        let taken = (self.rented.take(), self.link.take());
        (
            taken.0.expect("it is there until it is taken"),
            taken.1.expect("it is there until it is taken"),
        )
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if let Some(rented) = self.rented.take() {
            rented.give_back(&Handle::current());
        }
    }
}

impl Rented {
    /// What is known of the machine.
    pub fn describe(&self) -> String {
        match &self.request.machine {
            Some(machine) => format!("machine {machine}"),
            None => "its machine has no name".to_owned(),
        }
    }

    /// Gives the machine back, however long that takes.
    pub fn give_back(self, runtime: &Handle) {
        runtime.spawn(async move {
            let told = match self.fleet.call(&self.request).await {
                Ok(_) => format!("fleet: gave worker {} back", self.request.worker_id),
                Err(error) => {
                    tracing::error!("fleet: {error}");
                    format!("fleet: {error}")
                }
            };
            self.log.push_text(Some(self.replica), LogStream::System, &told);
            drop(self.alive);
        });
    }
}
