//! Compiling uploads, in a process of its own.
//!
//! A component can be hostile to the compiler: small files that take gigabytes or hours, or that
//! make it overflow its stack. So `samovar compile-artifact` is started for each upload, watched,
//! and killed when it takes too long or too much. The server itself never compiles.

use super::engine::{self, Purpose};
use crate::OWN_PROGRAM;
use crate::api::{ApiError, ErrorCode};
use crate::store::is_full;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// How often the compiler's memory is looked at. It allocates about 1 GB/s at most, so it can pass
/// its limit by some 20 MB before it is stopped.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// Compilers at a time; each uses all cores.
const COMPILERS_MAX: usize = 2;
/// Bytes kept of a compiler's error.
const ERROR_BYTES_MAX: u64 = 16 << 10;
/// Exit code of a compiler that had no room for the code, `EX_CANTCREAT` of sysexits.
const EXIT_NO_ROOM: u8 = 73;

/// What one compilation may take.
#[derive(Clone, Copy, Debug)]
pub struct CompileLimits {
    /// Time from start to end.
    pub timeout: Duration,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
}

/// Starts compilers, a few at a time.
pub struct Compilers {
    limits: CompileLimits,
    places: tokio::sync::Semaphore,
}

impl Compilers {
    /// Compilers that are this very program.
    pub fn new(limits: CompileLimits) -> Self {
        Compilers { limits, places: tokio::sync::Semaphore::new(COMPILERS_MAX) }
    }

    /// Compiles the component in `wasm` for `purpose` into the file `code`.
    ///
    /// # Errors
    ///
    /// `compile-failed` with the compiler's message; `compile-limit` when it took too long or too
    /// much memory.
    pub async fn compile(
        &self,
        purpose: Purpose,
        wasm: &Path,
        code: &Path,
    ) -> Result<(), ApiError> {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let mut child = self.start(purpose, wasm, code).map_err(|error| {
            ApiError::new(ErrorCode::CompileFailed, format!("start the compiler: {error}"))
        })?;
        // `wait` closes it, which would end the compiler.
        let _alive = child.stdin.take();
        let mut stderr = child.stderr.take().expect("stderr is piped").take(ERROR_BYTES_MAX);
        let mut text = Vec::new();
        let watched = async {
            let reading = stderr.read_to_end(&mut text);
            let (ended, _) = tokio::join!(self.watch(&mut child), reading);
            ended
        };
        let ended = tokio::time::timeout(self.limits.timeout, watched).await;
        // Whatever happened, nothing of it stays behind.
        _ = child.start_kill();
        match ended {
            Ok(ended) => ended?,
            Err(_) => {
                let seconds = self.limits.timeout.as_secs_f64();
                return Err(limit_error(format!("compiling took longer than {seconds} s")));
            }
        }
        let status = child.wait().await.map_err(|error| {
            ApiError::new(ErrorCode::CompileFailed, format!("wait for the compiler: {error}"))
        })?;
        if status.success() {
            return Ok(());
        }
        if status.code() == Some(EXIT_NO_ROOM.into()) {
            let message = "no space left to write the compiled component";
            return Err(ApiError::new(ErrorCode::StorageFull, message));
        }
        let text = String::from_utf8_lossy(&text);
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let message = match text.trim() {
            "" => format!("the compiler ended with {status}"),
            text => text.to_owned(),
        };
        Err(ApiError::new(ErrorCode::CompileFailed, message))
    }

    #[expect(unsafe_code, reason = "what runs between fork and exec is two system calls")]
    fn start(&self, purpose: Purpose, wasm: &Path, code: &Path) -> std::io::Result<Child> {
        let mut command = Command::new(OWN_PROGRAM);
        command.arg("compile-artifact").args(["--for", purpose.as_str()]).arg(wasm).arg(code);
        command.env_clear().env("RUST_BACKTRACE", "0");
        // The compiler ends when its standard input does, which is when this process is gone.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        let cpu_seconds = self.limits.timeout.as_secs().saturating_mul(4).saturating_add(1);
        // SAFETY: only async-signal-safe system calls.
        unsafe {
            command.pre_exec(move || {
                let cpu = libc::rlimit { rlim_cur: cpu_seconds, rlim_max: cpu_seconds };
                libc::setrlimit(libc::RLIMIT_CPU, &cpu);
                libc::setpriority(libc::PRIO_PROCESS, 0, 10); // Serving goes first.
                Ok(())
            });
        }
        command.spawn()
    }

    /// Waits for the end, or for too much memory.
    async fn watch(&self, child: &mut Child) -> Result<(), ApiError> {
        let statm = child.id().map(|id| PathBuf::from(format!("/proc/{id}/statm")));
        loop {
            tokio::select! {
                _ = child.wait() => return Ok(()),
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
            }
            let resident = statm.as_deref().and_then(resident_bytes).unwrap_or(0);
            if resident > self.limits.memory_bytes {
                _ = child.start_kill();
                let mebibytes = self.limits.memory_bytes >> 20;
                return Err(limit_error(format!("compiling took more than {mebibytes} MiB")));
            }
        }
    }
}

fn limit_error(message: String) -> ApiError {
    ApiError::new(ErrorCode::CompileLimit, message)
        .with_hint("raise `up --compile-timeout` or `--compile-memory` if you trust the component")
}

fn resident_bytes(statm: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(statm).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// The hidden command: compiles `wasm` into `code`. Ends at once when standard input does: the
/// server that started it is gone then.
///
/// # Errors
///
/// When the component cannot be read or is not valid, or the code cannot be written.
pub fn run_compiler(purpose: Purpose, wasm: &Path, code: &Path) -> anyhow::Result<ExitCode> {
    use anyhow::Context as _;
    std::thread::Builder::new().name("parent".into()).spawn(|| {
        _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    })?;
    let engine = engine::compiler(purpose)?;
    let bytes = std::fs::read(wasm).context("read component")?;
    let compiled = engine.precompile_component(&bytes)?;
    match std::fs::write(code, compiled) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_full(&error) => Ok(ExitCode::from(EXIT_NO_ROOM)),
        Err(error) => Err(error).context("write compiled component"),
    }
}
