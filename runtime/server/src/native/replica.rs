//! One native replica: how it is called, how it is doing, and that nothing of it stays behind.

use super::crew::{Crew, Figures, Parting};
use super::ledger::Held;
use crate::api;
use http::{Request, Response};
use samovar_native::{Replica as Processes, Usage};
use samovar_proxy::{Answer, SendFailure, Upstream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::WasiBody;

/// Connections in a row that fail before a replica counts as lost.
const UNREACHABLE_MAX: u32 = 3;

/// A process, a gang of them, or a worker elsewhere. Dropping it ends its processes, or gives its
/// machine back.
pub struct NativeReplica {
    upstream: Arc<Upstream<WasiBody>>,
    envelope: Option<Arc<super::Envelopes>>,
    /// Its name in the worker protocol, if it speaks that.
    worker: Option<WorkerLink>,
    /// Connections in a row that failed.
    unreachable: AtomicU32,
    /// Cancelled when the replica is not wanted any more.
    ending: CancellationToken,
    /// Set until it is dropped.
    body: Option<ReplicaBody>,
    runtime: Handle,
}

/// What has to be ended.
pub enum ReplicaBody {
    /// Processes of this machine.
    Processes {
        /// They.
        processes: Arc<Processes>,
        /// Their devices, free again when the processes are gone.
        devices: Arc<Held>,
    },
    /// A worker that nobody here started.
    Joined,
    /// A worker on a rented machine.
    Rented(super::external::Rented),
}

/// A replica's place among the workers that report.
pub struct WorkerLink {
    /// Where it reports.
    pub crew: Arc<Crew>,
    /// Its name there.
    pub id: String,
    /// What ended it, when it says so or falls silent.
    pub trouble: Arc<Trouble>,
    /// What is made of it when this is dropped.
    parting: Parting,
}

impl WorkerLink {
    /// The worker `id` of a crew. When this is dropped, they part.
    pub fn new(crew: &Arc<Crew>, id: &str, trouble: &Arc<Trouble>, parting: Parting) -> Self {
        let (crew, trouble) = (Arc::clone(crew), Arc::clone(trouble));
        WorkerLink { crew, id: id.to_owned(), trouble, parting }
    }
}

impl Drop for WorkerLink {
    fn drop(&mut self) {
        self.crew.forget(&self.id, &self.trouble, self.parting);
    }
}

/// Why a worker failed, told once.
#[derive(Default)]
pub struct Trouble {
    token: CancellationToken,
    reason: parking_lot::Mutex<Option<String>>,
}

impl Trouble {
    /// The worker failed for this reason. Only the first one counts.
    pub fn raise(&self, reason: &str) {
        self.reason.lock().get_or_insert_with(|| reason.to_owned());
        self.token.cancel();
    }

    /// Waits until the worker fails.
    pub async fn raised(&self) -> String {
        self.token.cancelled().await;
        self.reason.lock().clone().unwrap_or_default()
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendFault {
    /// No connection. Nothing was sent.
    #[error("{message}")]
    Unreachable {
        /// What was tried.
        message: String,
        /// The request as it came.
        unsent: Option<Box<Request<WasiBody>>>,
    },
    /// The connection ended before the answer.
    #[error("{0}")]
    Closed(String),
    /// What came is not the answer of an HTTP server.
    #[error("{0}")]
    BadAnswer(String),
    /// The head of the answer is larger than allowed.
    #[error("{0}")]
    HeadTooLarge(String),
    /// The request's own body broke off.
    #[error("{0}")]
    RequestBody(String),
    /// The request cannot be put into the envelope that the worker wants.
    #[error("{0}")]
    Envelope(String),
}

impl NativeReplica {
    /// A replica that is ready.
    pub fn new(
        upstream: Arc<Upstream<WasiBody>>,
        envelope: Option<Arc<super::Envelopes>>,
        worker: Option<WorkerLink>,
        body: ReplicaBody,
    ) -> Self {
        NativeReplica {
            upstream,
            envelope,
            worker,
            unreachable: AtomicU32::new(0),
            ending: CancellationToken::new(),
            body: Some(body),
            runtime: Handle::current(),
        }
    }

    /// Calls `tell` with the reason if the replica fails by itself.
    pub fn on_failure(&self, tell: impl FnOnce(String) + Send + 'static) {
        let processes = match &self.body {
            Some(ReplicaBody::Processes { processes, .. }) => Some(Arc::clone(processes)),
            _ => None,
        };
        let trouble = self.worker.as_ref().map(|worker| Arc::clone(&worker.trouble));
        let ending = self.ending.clone();
        self.runtime.spawn(async move {
            let failed = async {
                match &processes {
                    Some(processes) => processes.failed().await.to_string(),
                    None => std::future::pending().await,
                }
            };
            let raised = async {
                match &trouble {
                    Some(trouble) => trouble.raised().await,
                    None => std::future::pending().await,
                }
            };
            let reason = tokio::select! {
                reason = failed => reason,
                reason = raised => reason,
                () = ending.cancelled() => return,
            };
            tell(reason);
        });
    }

    /// Sends a request, in its envelope if the replica wants one.
    pub async fn send(
        &self,
        request: Request<WasiBody>,
    ) -> Result<Response<Answer<WasiBody>>, SendFault> {
        let request = match &self.envelope {
            Some(envelopes) => envelopes.wrap(request, &self.upstream).await?,
            None => request,
        };
        match self.upstream.send(request).await {
            Ok(response) => {
                // Written only where it changes: all requests share it.
                if self.unreachable.load(Ordering::Relaxed) != 0 {
                    self.unreachable.store(0, Ordering::Relaxed);
                }
                Ok(response)
            }
            Err(error) => {
                let message = told(&error);
                Err(match error.failure {
                    SendFailure::Connect { .. } | SendFailure::ConnectTimeout { .. } => {
                        let more = if is_gone(&error.failure) { UNREACHABLE_MAX } else { 1 };
                        self.unreachable.fetch_add(more, Ordering::Relaxed);
                        SendFault::Unreachable { message, unsent: error.request }
                    }
                    SendFailure::ClosedBeforeAnswer { .. } => SendFault::Closed(message),
                    SendFailure::NotHttp { .. } => SendFault::BadAnswer(message),
                    SendFailure::HeadTooLarge { .. } => SendFault::HeadTooLarge(message),
                    SendFailure::RequestBody { .. } | SendFailure::Tunnel => {
                        SendFault::RequestBody(message)
                    }
                })
            }
        }
    }

    /// Closes connections that were idle for too long.
    pub fn close_idle_connections(&self) {
        self.upstream.sweep();
    }

    /// Whether so many connections failed in a row that it has to be replaced.
    pub fn is_lost(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed) >= UNREACHABLE_MAX
    }

    /// What it last said about itself.
    pub fn report(&self) -> Option<Figures> {
        let worker = self.worker.as_ref()?;
        worker.crew.figures(&worker.id)
    }

    /// Fills in what is known of it.
    pub fn describe(&self, mut replica: api::Replica) -> api::Replica {
        replica.address = Some(self.upstream.address().to_string());
        match &self.body {
            Some(ReplicaBody::Processes { processes, devices, .. }) => {
                describe_usage(&mut replica, &processes.usage());
                replica.devices = devices.describe();
            }
            Some(ReplicaBody::Rented(rented)) => replica.message = Some(rented.describe()),
            Some(ReplicaBody::Joined) | None => {}
        }
        if let Some(figures) = self.report() {
            replica.load = figures.load;
            replica.max_perf = figures.max_perf;
            replica.message = figures.message.or(replica.message);
        }
        replica
    }
}

/// Fills in what its processes use.
fn describe_usage(replica: &mut api::Replica, usage: &Usage) {
    replica.pids = usage.pids.iter().map(|pid| pid.unsigned_abs()).collect();
    replica.memory_bytes = Some(usage.resident_bytes);
    replica.cpu_ms = Some(u64::try_from(usage.cpu_time.as_millis()).unwrap_or(u64::MAX));
}

impl Drop for NativeReplica {
    fn drop(&mut self) {
        self.ending.cancel();
        self.upstream.close();
        let is_lost = self.is_lost();
        if let Some(worker) = &mut self.worker
            && worker.parting == Parting::Done
            && is_lost
        {
            worker.parting = Parting::Lost;
        }
        match self.body.take() {
            Some(ReplicaBody::Processes { processes, .. }) => {
                self.runtime.spawn(async move { processes.end().await });
            }
            Some(ReplicaBody::Rented(rented)) => rented.give_back(&self.runtime),
            Some(ReplicaBody::Joined) | None => {}
        }
    }
}

/// Whether nobody listens there, rather than somebody who is busy.
fn is_gone(failure: &SendFailure) -> bool {
    use std::io::ErrorKind;
    match failure {
        SendFailure::Connect { source, .. } => {
            matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
        }
        _ => false,
    }
}

/// An error with its causes, in one line.
pub fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes: Vec<String> = anyhow::Chain::new(error).map(ToString::to_string).collect();
    causes.join(": ")
}
