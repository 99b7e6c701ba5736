//! Starts one process as the leader of a session of its own, and tells how it ended. All unsafe
//! code of this crate is here.

use crate::table::{self, Identity};
use crate::tag::Tag;
use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's out-of-memory killer takes replicas before the server.
const OOM_SCORE_STEP: i32 = 100;
const OOM_SCORE_MAX: i32 = 1000;

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// The whole environment; later entries win.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: Option<PathBuf>,
    /// The mark of its replica, if it is a member.
    pub(crate) tag: Option<Tag>,
}

/// A process that was started. Nothing happens when this is dropped; whoever gets it sees to it
/// that the process ends and is reaped.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) identity: Identity,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

/// Children that this crate waits for itself, of the whole process. Everybody who reaps orphans
/// looks here first, and while it is locked no child of this crate can be started or reaped.
pub(crate) fn held() -> MutexGuard<'static, BTreeSet<i32>> {
    static HELD: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
    HELD.lock()
}

/// Starts a member of a replica: output piped, no input, ended by the kernel when the calling
/// thread ends.
pub(crate) fn member(launch: &Launch) -> io::Result<Started> {
    let mut command = prepare(launch);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    before_exec(&mut command, Some(Signal::KILL), launch.tag);
    start(&mut command)
}

/// Starts the keeper: with this input, without output, and it outlives us.
pub(crate) fn keeper(launch: &Launch, input: PipeReader) -> io::Result<Started> {
    let mut command = prepare(launch);
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
    before_exec(&mut command, None, None);
    start(&mut command)
}

fn prepare(launch: &Launch) -> Command {
    let mut command = Command::new(&launch.program);
    command.args(&launch.args).env_clear();
    command.envs(launch.env.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &launch.cwd {
        command.current_dir(folder);
    }
    command
}

fn start(command: &mut Command) -> io::Result<Started> {
    // Until the child is in the set, nobody may take it for an orphan.
    let mut held = held();
    let mut child = command.spawn()?;
    match describe(&mut child) {
        Ok(started) => {
            held.insert(started.identity.pid);
            Ok(started)
        }
        Err(error) => {
            _ = child.kill();
            _ = child.wait();
            Err(error)
        }
    }
}

fn describe(child: &mut Child) -> io::Result<Started> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let identity = Identity::of(pid).ok_or_else(|| io::Error::other("/proc is not mounted"))?;
    let raw = Pid::from_raw(pid).ok_or_else(|| io::Error::other("a child has no number"))?;
    let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    Ok(Started { identity, pidfd, stdout, stderr })
}

#[expect(unsafe_code, reason = "sessions and signals are set between fork and exec")]
fn before_exec(command: &mut Command, with_parent: Option<Signal>, tag: Option<Tag>) {
    let parent = rustix::process::getpid();
    let oom_score = std::fs::read_to_string("/proc/self/oom_score_adj")
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok())
        .map(|score| score.saturating_add(OOM_SCORE_STEP).min(OOM_SCORE_MAX).to_string());
    let in_child = move || {
        rustix::process::setsid()?;
        rustix::process::set_parent_process_death_signal(with_parent)?;
        if with_parent.is_some() && rustix::process::getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH.into()); // It ended before we asked to be told.
        }
        if let Some(tag) = tag {
            tag.wear();
        }
        reset_signals();
        keep_no_descriptors();
        if let Some(score) = oom_score.as_ref().filter(|_| with_parent.is_some()) {
            write_oom_score(score.as_bytes());
        }
        Ok(())
    };
    // SAFETY: only system calls that may be made after fork, and no memory is allocated.
    unsafe { command.pre_exec(in_child) };
}

/// The server ignores some signals and blocks others, which exec would hand on.
#[expect(unsafe_code, reason = "there are no safe calls for this")]
fn reset_signals() {
    // SAFETY: the action is larger than the kernel's, the set is initialised before it is read, and
    // no handler is installed.
    unsafe {
        for signal in 1..=64 {
            // By the system call, because the C library keeps two signals for itself. Zeros are
            // the default action, and the call fails for those that cannot have another.
            let default = [0_u64; 8];
            let none = std::ptr::null_mut::<libc::c_void>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Marks everything but the standard streams to be closed by exec. An old kernel cannot; then only
/// what somebody opened without that mark is handed on.
#[expect(unsafe_code, reason = "there is no safe call for this")]
fn keep_no_descriptors() {
    // SAFETY: nothing is closed here, only at exec.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

#[expect(unsafe_code, reason = "std::fs allocates, which is not allowed between fork and exec")]
fn write_oom_score(score: &[u8]) {
    let path = c"/proc/self/oom_score_adj".as_ptr();
    // SAFETY: the path ends in a zero byte and the slice is as long as it says.
    unsafe {
        let file = libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, score.as_ptr().cast(), score.len());
            libc::close(file);
        }
    }
}

/// Makes this process deaf to polite requests to end, for the keeper: it goes by its input.
#[expect(unsafe_code, reason = "there is no safe call to ignore a signal")]
pub(crate) fn ignore_polite_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

/// How the child ended, without reaping it: until it is reaped, nobody else gets its number.
/// `None` while it runs.
pub(crate) fn peek(pidfd: &OwnedFd) -> io::Result<Option<Exit>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)?;
    Ok(status.and_then(|status| {
        let code = status.exit_status().map(Exit::Code);
        code.or_else(|| status.terminating_signal().map(Exit::Signal))
    }))
}

/// Makes the end of a process something to wait for.
#[expect(unsafe_code, reason = "tokio cannot know that the descriptor stays the same")]
pub(crate) fn waitable(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open, and always the same, until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

/// Reaps a child if it has ended. One that was already reaped counts as reaped.
pub(crate) fn reap(pid: i32) -> bool {
    let Some(raw) = Pid::from_raw(pid) else { return true };
    let mut held = held();
    let is_reaped = !matches!(rustix::process::waitpid(Some(raw), WaitOptions::NOHANG), Ok(None));
    if is_reaped {
        held.remove(&pid);
    }
    is_reaped
}

/// Reaps an orphan that ended, unless it is a child that somebody here waits for.
pub(crate) fn reap_orphan(identity: Identity) {
    let held = held();
    let is_same = table::read(identity.pid).is_some_and(|now| now.identity == identity);
    let raw = Pid::from_raw(identity.pid).filter(|_| is_same && !held.contains(&identity.pid));
    if raw.is_some() {
        _ = rustix::process::waitpid(raw, WaitOptions::NOHANG);
    }
}
