//! Policies as the rest of the server sees them.

use super::port::Port;
use super::sandbox::{self, Sandbox};
use super::worker::{Job, Worker};
use crate::api::{ApiError, ErrorCode, PolicyDescription};
use crate::clock;
use crate::spec::Digest;
use crate::wasm::component::unknown_import;
use parking_lot::Mutex;
use samovar_core::observation::Observation;
use samovar_core::ring::Ring;
use samovar_core::target::Answer;
use samovar_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Trap};

/// Makes programs out of compiled policies.
pub struct PolicyHost {
    engine: Engine,
    linker: Linker<Sandbox>,
}

/// Names one scaler of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScalerId(u64);

/// Instructions of the longest answer of a policy that is called in place: a few milliseconds. Not
/// the time it took, which on a busy machine says more about the machine.
const QUICK_FUEL_MAX: u64 = 5_000_000;
/// How long a policy that was slower is called on its own thread.
const SLOW_FOR: Duration = Duration::from_secs(10);

/// A policy that runs: one instance for any number of deployments, and a thread for what takes its
/// time. The thread ends with the last handle.
pub struct Program {
    /// The component it was made from.
    pub digest: Digest,
    /// What it says about itself.
    pub description: PolicyDescription,
    worker: Arc<Mutex<Worker>>,
    jobs: mpsc::Sender<Job>,
    next_id: AtomicU64,
    /// Until when it is called on its own thread, in nanoseconds on the clock.
    slow_until: AtomicU64,
}

/// A policy on the thread that calls it, for what has no server around it. It knows no past: a
/// scaler that traps starts anew.
pub struct Local {
    /// What it says about itself.
    pub description: PolicyDescription,
    worker: Worker,
    next_id: u64,
}

/// One deployment's state in a program.
pub struct Scaler {
    program: Arc<Program>,
    id: ScalerId,
}

/// A scaler was made and fed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Observations it was fed.
    pub observations: usize,
    /// Its answer to the last one.
    pub last: Option<Answer>,
}

/// An answer to one tick.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// The answer.
    pub answer: Answer,
    /// How long the policy took.
    pub took: Duration,
}

/// In which phase a policy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Create,
    Replay,
    Scale,
}

/// A policy did not answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    phase: Phase,
    message: String,
}

impl Failure {
    /// The policy refused its configuration.
    pub(super) fn refused(reason: &str) -> Self {
        Failure { phase: Phase::Create, message: format!("the policy refused: {reason}") }
    }

    /// The policy trapped or ran out of fuel in `what`. `printed` is what it wrote before.
    pub(super) fn trap(what: &str, error: &wasmtime::Error, printed: &str) -> Self {
        let phase = if what == "scale" { Phase::Scale } else { Phase::Create };
        let reason = match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => "used up its fuel: it loops or does too much".to_owned(),
            Some(trap) => format!("trapped: {trap}"),
            None => format!("failed: {}", error.root_cause()),
        };
        // Rust ends a panic's message with a note about backtraces, which do not exist there.
        let printed = printed.lines().rev().find(|line| !line.starts_with("note: "));
        let printed = printed.map(|line| format!(" ({line})")).unwrap_or_default();
        Failure { phase, message: format!("the policy {reason} in `{what}`{printed}") }
    }

    /// The policy has not answered for `waited`.
    pub fn late(waited: Duration) -> Self {
        let message = format!("the policy has not answered for {waited:?}");
        Failure { phase: Phase::Scale, message }
    }

    /// The policy answered NaN or infinity to an observation of the past.
    pub fn not_a_number() -> Self {
        let message = "the policy answered what is not a number".to_owned();
        Failure { phase: Phase::Replay, message }
    }

    /// The same failure, on an observation of the past.
    pub fn in_replay(self) -> Self {
        let message = format!("replaying the last observations: {}", self.message);
        Failure { phase: Phase::Replay, message }
    }

    pub(super) fn long_replay() -> Self {
        let message = "replaying the last observations takes too long".to_owned();
        Failure { phase: Phase::Replay, message }
    }

    pub(super) fn gone() -> Self {
        Failure { phase: Phase::Scale, message: "the policy's thread has ended".into() }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        let code = match failure.phase {
            Phase::Create => ErrorCode::PolicyCreateFailed,
            Phase::Replay | Phase::Scale => ErrorCode::PolicyReplayFailed,
        };
        ApiError::new(code, failure.message)
    }
}

impl PolicyHost {
    /// A host that runs policies in `engine`.
    ///
    /// # Errors
    ///
    /// When the host's own interfaces do not link.
    pub fn new(engine: Engine) -> anyhow::Result<Self> {
        Ok(PolicyHost { linker: sandbox::linker(&engine)?, engine })
    }

    /// The engine policies must be compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts a compiled port of another system's policy, to be asked what its original answers.
    ///
    /// # Errors
    ///
    /// When it is not such a port.
    pub fn port(&self, component: &Component) -> wasmtime::Result<Port> {
        Port::new(&self.linker.instantiate_pre(component)?)
    }

    /// Starts a compiled policy and asks what it is. Takes as long as the policy's first call.
    ///
    /// # Errors
    ///
    /// `unknown-import`, `wrong-world`, or `policy-create-failed` if it cannot even describe itself.
    pub fn start(&self, digest: Digest, component: &Component) -> Result<Arc<Program>, ApiError> {
        let (worker, description) = self.describe(component)?;
        let (jobs, receiver) = mpsc::channel();
        let name = format!("policy-{}", &digest.hex()[..8]);
        let thread = std::thread::Builder::new().name(name);
        let worker = Arc::new(Mutex::new(worker));
        let working = Arc::clone(&worker);
        thread.spawn(move || Worker::run(&working, receiver)).map_err(|error| {
            let message = format!("start a thread for the policy: {error}");
            ApiError::new(ErrorCode::PolicyCreateFailed, message)
        })?;
        let (next_id, slow_until) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Arc::new(Program { digest, description, worker, jobs, next_id, slow_until }))
    }

    /// Starts a compiled policy on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`PolicyHost::start`].
    pub fn local(&self, component: &Component) -> Result<Local, ApiError> {
        let (worker, description) = self.describe(component)?;
        Ok(Local { worker, description, next_id: 0 })
    }

    fn describe(&self, component: &Component) -> Result<(Worker, PolicyDescription), ApiError> {
        let pre = self.linker.instantiate_pre(component).map_err(|error| unknown_import(&error))?;
        super::bindings::PolicyPre::new(pre.clone()).map_err(|error| {
            let message = format!("the component does not fit samovar:policy: {error:#}");
            ApiError::new(ErrorCode::WrongWorld, message)
        })?;
        let mut worker = Worker::new(pre);
        let described = worker.describe()?;
        let description = PolicyDescription {
            name: described.name,
            version: described.version,
            config_schema: schema(&described.config_schema)?,
            needs_replicas: described.needs_replicas,
        };
        Ok((worker, description))
    }
}

/// A policy's schema of its configuration; empty means any object.
fn schema(text: &str) -> Result<serde_json::Value, ApiError> {
    if text.trim().is_empty() {
        return Ok(serde_json::Value::Object(serde_json::Map::new()));
    }
    serde_json::from_str(text).map_err(|error| {
        let message = format!("the policy's config-schema is not JSON: {error}");
        ApiError::new(ErrorCode::PolicyCreateFailed, message)
    })
}

impl Local {
    /// Makes a scaler.
    ///
    /// # Errors
    ///
    /// When the policy refuses the configuration, or fails on it.
    pub fn create(&mut self, config: &str) -> Result<ScalerId, Failure> {
        let id = ScalerId(self.next_id);
        self.next_id += 1;
        self.worker.create(id, config.to_owned(), Arc::default())?;
        Ok(id)
    }

    /// One tick.
    ///
    /// # Errors
    ///
    /// When the policy traps or loops. The next call starts it anew.
    pub fn scale(&mut self, id: ScalerId, seen: &Observation) -> Result<Scaled, Failure> {
        self.worker.scale(id, seen)
    }

    /// Forgets a scaler.
    pub fn forget(&mut self, id: ScalerId) {
        self.worker.forget(id);
    }

    /// Bytes of linear memory it holds, for all its scalers.
    pub fn memory_bytes(&self) -> usize {
        self.worker.memory_bytes()
    }
}

impl Scaler {
    /// Makes a scaler and feeds it what `ring` holds.
    ///
    /// # Errors
    ///
    /// When the policy refuses the configuration, or fails on it or on the past.
    pub async fn create(
        program: &Arc<Program>,
        config: String,
        ring: Arc<Mutex<Ring>>,
    ) -> Result<(Scaler, Replayed), Failure> {
        let id = ScalerId(program.next_id.fetch_add(1, Ordering::Relaxed));
        let scaler = Scaler { program: Arc::clone(program), id };
        let (reply, answer) = oneshot::channel();
        scaler.send(Job::Create { id, config, ring, reply })?;
        let replayed = answer.await.map_err(|_| Failure::gone())??;
        Ok((scaler, replayed))
    }

    /// One tick, on the calling thread. None if the policy is busy, was slow lately, has ever failed
    /// here or must be made first: then [`Scaler::scale`] asks it on its own thread.
    pub fn scale_here(&self, seen: &Observation) -> Option<Result<Scaled, Failure>> {
        let program = &self.program;
        if clock::now().as_nanos() < program.slow_until.load(Ordering::Relaxed) {
            return None;
        }
        let mut worker = program.worker.try_lock().filter(|worker| worker.is_made(self.id))?;
        let scaled = worker.scale(self.id, seen);
        let until = match &scaled {
            // It may have called something of WASI that waits, which can be done there only.
            Err(_) => Timestamp::MAX,
            Ok(_) if worker.fuel_of_last_call() > QUICK_FUEL_MAX => clock::now() + SLOW_FOR,
            Ok(_) => return Some(scaled),
        };
        program.slow_until.store(until.as_nanos(), Ordering::Relaxed);
        Some(scaled)
    }

    /// One tick, on the policy's own thread.
    ///
    /// # Errors
    ///
    /// When the policy traps, loops or is gone. The next call starts it anew.
    pub async fn scale(&self, seen: Observation) -> Result<Scaled, Failure> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Scale { id: self.id, seen: Box::new(seen), reply })?;
        answer.await.map_err(|_| Failure::gone())?
    }

    /// The policy it belongs to.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    fn send(&self, job: Job) -> Result<(), Failure> {
        self.program.jobs.send(job).map_err(|_| Failure::gone())
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // The thread may have ended; then there is nothing to forget.
        _ = self.send(Job::Forget(self.id));
    }
}
