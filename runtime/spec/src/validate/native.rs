//! Checks what a spec says about processes, gangs and workers.

use super::{DAY, DURATION_MAX, HALF_A_MINUTE, MIB, MILLISECOND, TIB, component};
use super::{absolute, duration, in_range, size, web};
use crate::error::SpecError;
use crate::native::{
    DistributeSpec, FleetHook, FleetSpec, GANG_KINDS, HealthSpec, Listen, ProcessSpec, Runs,
    WorkerSpec, WorkloadSpec, kind_name,
};
use crate::raw::{RawDistribute, RawFleet, RawListen, RawProcess, RawSpec, RawWorker, RawWorkload};
use crate::units::Count;
use samovar_core::device::Share;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A gang is one machine's; more processes than this are a typing error.
const GANG_MAX: u64 = 1024;
/// Arguments are copied into every process.
const ARGS_BYTES_MAX: usize = 64 * 1024;
/// Work that a float still counts exactly.
const WORK_MAX: f64 = 9e15;
/// Time that loading a large model may take.
pub(super) const DEFAULT_PROCESS_START: Duration = Duration::from_secs(10 * 60);

/// What the replicas are.
pub(super) fn runs(spec: &mut RawSpec) -> Result<Runs, SpecError> {
    let written = [("component", spec.component.is_some()), ("process", spec.process.is_some())];
    if written.iter().all(|(_, is_there)| *is_there) {
        let problem = "cannot stand beside `component`: a replica is the one or the other";
        return Err(SpecError::invalid("process", problem));
    }
    let distribute = spec.distribute.take();
    if let Some(process) = spec.process.take() {
        let distribute = distribute.map(gang).transpose().map_err(|e| e.below("distribute"))?;
        let process = self::process(process, distribute).map_err(|e| e.below("process"))?;
        return Ok(Runs::Process(Box::new(process)));
    }
    if distribute.is_some() {
        return Err(SpecError::invalid("distribute", "is for a `process` only"));
    }
    if spec.component.is_none() && spec.worker.is_some() {
        return Ok(Runs::External);
    }
    Ok(Runs::Component(component(spec.component.as_deref())?))
}

fn process(
    written: RawProcess,
    distribute: Option<DistributeSpec>,
) -> Result<ProcessSpec, SpecError> {
    let command = written.command.filter(|command| !command.is_empty());
    let Some(command) = command else {
        return Err(SpecError::invalid("command", "is missing")
            .with_hint("name a program like \"python3\"; its arguments go into `args`"));
    };
    let texts = std::iter::once(&command).chain(&written.args);
    if texts.clone().any(|text| text.contains('\0')) {
        return Err(SpecError::invalid("args", "have a NUL character, which no argument can have"));
    }
    let bytes: usize = texts.map(String::len).sum();
    if bytes > ARGS_BYTES_MAX {
        let problem = format!("are {bytes} bytes in all, at most {ARGS_BYTES_MAX} are allowed");
        return Err(SpecError::invalid("args", problem));
    }
    let bounds = (MILLISECOND, DAY);
    let ten_seconds = Duration::from_secs(10);
    let health = HealthSpec {
        path: written.health.map(health_path).transpose()?,
        interval: duration("health_interval", written.health_interval, ten_seconds, bounds)?,
        timeout: duration(
            "health_timeout",
            written.health_timeout,
            Duration::from_secs(5),
            bounds,
        )?,
        failures: in_range(
            "health_failures",
            written.health_failures.map_or(3, |count| count.0),
            (1, 1000),
        )?,
    };
    let memory = written.memory.map(|memory| size("memory", Some(memory), 0, (MIB, TIB)));
    Ok(ProcessSpec {
        command,
        args: written.args,
        cwd: folder(written.cwd)?,
        listen: match written.listen {
            Some(RawListen::Socket) => Listen::Socket,
            Some(RawListen::Port) | None => Listen::Port,
        },
        health,
        gpus: gpus(written.gpus)?,
        memory: memory.transpose()?,
        grace: duration("grace", written.grace, ten_seconds, (Duration::ZERO, DAY))?,
        distribute,
    })
}

fn gpus(written: Option<f64>) -> Result<Option<Share>, SpecError> {
    match written {
        None => Ok(None),
        Some(0.0) => Ok(None),
        Some(gpus) => Share::from_f64(gpus)
            .map(Some)
            .map_err(|problem| SpecError::invalid("gpus", problem.to_string())),
    }
}

fn health_path(path: String) -> Result<String, SpecError> {
    let is_path = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    if is_path {
        return Ok(path);
    }
    let shown: String = path.chars().take(100).collect();
    let problem = format!("`{shown}` is not a path; write one like `/health`");
    Err(SpecError::invalid("health", problem))
}

fn folder(cwd: Option<PathBuf>) -> Result<Option<PathBuf>, SpecError> {
    cwd.map(|cwd| absolute("cwd", cwd)).transpose()
}

fn gang(written: RawDistribute) -> Result<DistributeSpec, SpecError> {
    let word = match written.kind.as_deref() {
        Some("tf") => "tensorflow",
        Some(word) => word,
        None => "spmd",
    };
    let Some(kind) = GANG_KINDS.into_iter().find(|kind| kind_name(*kind) == word) else {
        let shown: String = word.chars().take(50).collect();
        let problem =
            format!("`{shown}` is not a kind of gang; use pytorch, jax, tensorflow, ray or spmd");
        return Err(SpecError::invalid("type", problem));
    };
    let Some(Count(workers)) = written.workers else {
        return Err(SpecError::invalid("workers", "is missing"));
    };
    let workers = in_range("workers", workers, (1, GANG_MAX))?;
    let procs = in_range("procs", written.procs.map_or(1, |count| count.0), (1, GANG_MAX))?;
    if u64::from(workers) * u64::from(procs) > GANG_MAX {
        let problem = format!("{workers} x {procs} processes are more than {GANG_MAX}");
        return Err(SpecError::invalid("procs", problem));
    }
    let all = u64::from(workers);
    let quorum = written.quorum_workers.map_or(all, |count| count.0);
    let five_minutes = Duration::from_secs(5 * 60);
    let timeout = written.quorum_timeout;
    Ok(DistributeSpec {
        kind,
        workers,
        procs,
        quorum_workers: in_range("quorum_workers", quorum, (1, all))?,
        quorum_timeout: duration(
            "quorum_timeout",
            timeout,
            five_minutes,
            (Duration::ZERO, DURATION_MAX),
        )?,
    })
}

/// How replicas report.
pub(super) fn worker(written: Option<RawWorker>) -> Result<Option<WorkerSpec>, SpecError> {
    let Some(written) = written else { return Ok(None) };
    if let Some(protocol) = written.protocol.filter(|protocol| protocol != "vast") {
        let problem = format!("`{protocol}` is not a protocol of workers; there is `vast`");
        return Err(SpecError::invalid("worker.protocol", problem));
    }
    let bounds = (Duration::from_secs(1), DAY);
    Ok(Some(WorkerSpec {
        workload: workload(written.workload.unwrap_or_default())
            .map_err(|error| error.below("worker.workload"))?,
        timeout: duration("worker.timeout", written.timeout, HALF_A_MINUTE, bounds)?,
        envelope: written.envelope.unwrap_or(false),
        reports_ready: written.reports_ready.unwrap_or(true),
    }))
}

fn workload(written: RawWorkload) -> Result<WorkloadSpec, SpecError> {
    let header = written.header.map(|name| {
        let parsed = name.parse::<http::HeaderName>();
        parsed.map_err(|_| SpecError::invalid("header", format!("`{name}` is not a header's name")))
    });
    if let Some(pointer) = &written.pointer
        && !pointer.starts_with('/')
    {
        let problem = format!("`{pointer}` is not a JSON pointer; write one like `/max_tokens`");
        return Err(SpecError::invalid("pointer", problem));
    }
    let default = written.default.unwrap_or(1.0);
    if !(0.0..=WORK_MAX).contains(&default) {
        let problem = format!("`{default}` is not allowed, use 0 to {WORK_MAX}");
        return Err(SpecError::invalid("default", problem));
    }
    Ok(WorkloadSpec { header: header.transpose()?, pointer: written.pointer, default })
}

/// Who makes machines. Only for workers that register themselves.
pub(super) fn fleet(
    written: Option<RawFleet>,
    runs: &Runs,
) -> Result<Option<FleetSpec>, SpecError> {
    let Some(written) = written else { return Ok(None) };
    if *runs != Runs::External {
        let problem = "is for external workers: `worker` without `process` and `component`";
        return Err(SpecError::invalid("fleet", problem));
    }
    let hook = match (written.command, written.url) {
        (Some(command), None) if command.first().is_some_and(|program| !program.is_empty()) => {
            let cwd = folder(written.cwd).map_err(|error| error.below("fleet"))?;
            FleetHook::Command { command, cwd }
        }
        (Some(_), None) => return Err(SpecError::invalid("fleet.command", "is empty")),
        (None, Some(url)) => {
            let url = web("fleet.url", url)?;
            FleetHook::Webhook { url, token_env: written.token_env }
        }
        (None, None) => {
            let problem = "needs a `command` or a `url`";
            return Err(SpecError::invalid("fleet", problem));
        }
        (Some(_), Some(_)) => {
            return Err(SpecError::invalid("fleet", "has a `command` and a `url`: use one"));
        }
    };
    let attempts = written.attempts.map_or(5, |count| count.0);
    let minute = Duration::from_secs(60);
    let bounds = (Duration::from_millis(100), Duration::from_secs(3600));
    Ok(Some(FleetSpec {
        hook,
        timeout: duration("fleet.timeout", written.timeout, minute, bounds)?,
        attempts: in_range("fleet.attempts", attempts, (1, 100))?,
        dry_run: written.dry_run.unwrap_or(false),
    }))
}

impl RawSpec {
    /// Makes the paths of a spec absolute, for one that was written in `base`. A process without a
    /// folder runs in `base`.
    pub fn anchor(&mut self, base: &Path) {
        if let Some(process) = &mut self.process {
            process.cwd = Some(base.join(process.cwd.take().unwrap_or_default()));
        }
        if let Some(fleet) = &mut self.fleet
            && fleet.command.is_some()
        {
            fleet.cwd = Some(base.join(fleet.cwd.take().unwrap_or_default()));
        }
        let ca_files = self.outbound.iter_mut().flat_map(|outbound| &mut outbound.ca_files);
        let secrets = self.secrets.values_mut().filter_map(|secret| secret.file.as_mut());
        for path in ca_files.chain(secrets) {
            *path = base.join(&*path);
        }
    }
}
