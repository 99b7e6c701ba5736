//! The processes of one replica, from the first start until nothing is left.

use crate::failure::{Failure, signal_name};
use crate::output::{Stream, Tap, read};
use crate::plan::{Endpoint, MemberPlan};
use crate::spawn::{self, Exit, Started};
use crate::warden::Warden;
use crate::{launch, table};
use futures::stream::{FuturesUnordered, StreamExt as _};
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the last words of a process are waited for, if another holds its output open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between two looks whether those that were asked to end have ended.
const LOOK_MIN: Duration = Duration::from_millis(5);
const LOOK_MAX: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Group {
    warden: Arc<Warden>,
    number: u64,
    members: Vec<Member>,
    tap: Arc<Tap>,
    readers: TaskTracker,
    /// Nothing is left, or nobody waits for it any more.
    over: CancellationToken,
    memory_max: Option<u64>,
    ended: OnceCell<()>,
}

struct Member {
    pid: i32,
    endpoint: Endpoint,
    started_at: Instant,
    exit: watch::Receiver<Option<Exit>>,
    /// Both its streams are read to their end.
    read: CancellationToken,
}

impl Group {
    pub(crate) fn new(
        warden: &Arc<Warden>,
        number: u64,
        tap: Tap,
        memory_max: Option<u64>,
    ) -> Group {
        Group {
            warden: Arc::clone(warden),
            number,
            members: Vec::new(),
            tap: Arc::new(tap),
            readers: TaskTracker::new(),
            over: CancellationToken::new(),
            memory_max,
            ended: OnceCell::new(),
        }
    }

    /// Starts the next member.
    pub(crate) async fn add(&mut self, plan: MemberPlan) -> Result<(), Failure> {
        let endpoint = plan.endpoint.clone();
        launch::check_address(&endpoint).await?;
        let launch = launch::prepare(plan, &self.warden.marker, self.number);
        let what = launch::Attempt::of(&launch);
        let started = self.warden.launch(self.number, launch).await;
        let started = started.map_err(|error| what.why_not(&error))?;
        let member = self.follow(started, endpoint);
        let rank = u32::try_from(self.members.len()).expect("a gang has fewer members");
        self.tap.started(rank, member.pid);
        self.members.push(member);
        Ok(())
    }

    fn follow(&self, started: Started, endpoint: Endpoint) -> Member {
        let rank = u32::try_from(self.members.len()).expect("a gang has fewer members");
        let (exit_seen, exit) = watch::channel(None);
        tokio::spawn(watch_exit(started.pidfd, exit_seen));
        let read = CancellationToken::new();
        let finished = read.clone().drop_guard();
        let (tap, over) = (Arc::clone(&self.tap), self.over.clone());
        let (stdout, stderr) = (started.stdout, started.stderr);
        self.readers.spawn(async move {
            let stream = |pipe: Option<OwnedFd>, stream| {
                let (tap, over) = (Arc::clone(&tap), over.clone());
                async move {
                    if let Some(pipe) = pipe {
                        read::stream(pipe, (rank, stream), tap, over).await;
                    }
                }
            };
            let stdout = stream(stdout.map(OwnedFd::from), Stream::Stdout);
            let stderr = stream(stderr.map(OwnedFd::from), Stream::Stderr);
            tokio::join!(stdout, stderr);
            drop(finished);
        });
        Member { pid: started.identity.pid, endpoint, started_at: Instant::now(), exit, read }
    }

    /// Returns when something went wrong by itself: a member ended, or memory ran out.
    pub(crate) async fn trouble(&self) -> Failure {
        let exits: FuturesUnordered<_> =
            (0..self.members.len()).map(|rank| self.exited(rank)).collect();
        tokio::select! {
            failure = first(exits) => failure,
            failure = self.memory_exceeded() => failure,
        }
    }

    async fn exited(&self, rank: usize) -> Failure {
        let member = &self.members[rank];
        let exit = wait_exit(member).await;
        // What the process wrote is in the pipe, but another one may hold the pipe open.
        _ = timeout(LAST_WORDS, member.read.cancelled()).await;
        let number = u32::try_from(rank).expect("a gang has fewer members");
        let last_line = self.tap.last_line(number);
        let oom_before = self.warden.census.latest().oom_kills;
        let was_oom = oom_before.zip(table::kernel_oom_kills()).is_some_and(|(old, new)| new > old);
        let failure = judge_exit(exit, member.started_at.elapsed(), last_line, was_oom);
        failure.of_rank(number, self.members.len())
    }

    async fn memory_exceeded(&self) -> Failure {
        let Some(max) = self.memory_max else { return std::future::pending().await };
        let mut snapshots = self.warden.census.watch();
        loop {
            let seen = snapshots.borrow_and_update().clone();
            if let Some(used) = seen.of(self.number).and_then(|seen| seen.over_memory) {
                return Failure::OutOfMemory { used, max };
            }
            if snapshots.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Ends everything: SIGTERM, `grace`, SIGKILL, as long as anything is left. Calls at the same
    /// time do it together.
    pub(crate) async fn end(&self, grace: Duration) {
        self.ended.get_or_init(|| self.end_once(grace)).await;
    }

    async fn end_once(&self, grace: Duration) {
        if !grace.is_zero() && !self.members.is_empty() {
            // Whether they all went or not, the next step is the same.
            _ = timeout(grace, self.ask_to_end()).await;
        }
        let census = &self.warden.census;
        let wanted = census.condemn(self.number);
        if let Err(pids) = census.gone(self.number, wanted).await {
            self.tap.note(&format!("processes {pids:?} do not end after SIGKILL; still trying"));
        }
        self.over.cancel();
        self.readers.close();
        self.readers.wait().await;
    }

    /// Sends SIGTERM to everybody and waits until all have ended.
    async fn ask_to_end(&self) {
        let census = &self.warden.census;
        census.signal(self.number, Signal::TERM);
        census.signal(self.number, Signal::CONT); // Who is stopped could not obey.
        let seen = census.fresh().await;
        let groups: Vec<i32> = self.members.iter().map(|member| member.pid).collect();
        let running = seen.of(self.number).map(|seen| seen.running.as_slice()).unwrap_or_default();
        for process in running.iter().filter(|process| !groups.contains(&process.group)) {
            process.identity.send(Signal::TERM);
            process.identity.send(Signal::CONT);
        }
        for member in &self.members {
            wait_exit(member).await;
        }
        let mut pause = LOOK_MIN;
        while census.fresh().await.of(self.number).is_some_and(|seen| !seen.running.is_empty()) {
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    /// Ends everything by force, without waiting for it.
    pub(crate) fn condemn(&self) {
        self.warden.census.condemn(self.number);
        self.over.cancel();
    }

    pub(crate) fn usage(&self) -> crate::Usage {
        let seen = self.warden.census.latest();
        let mut usage = seen.of(self.number).map(|seen| seen.usage.clone()).unwrap_or_default();
        // Some may have started since it was looked at.
        usage.pids.extend(self.members.iter().map(|member| member.pid));
        usage.pids.sort_unstable();
        usage.pids.dedup();
        usage
    }

    /// Numbers of the processes of one member, as far as they can be told from those of others.
    pub(crate) async fn pids_of(&self, rank: u32) -> Vec<i32> {
        let seen = self.warden.census.fresh().await;
        let running = seen.of(self.number).map(|seen| seen.running.as_slice()).unwrap_or_default();
        let session = self.members[rank as usize].pid;
        let is_own = |session_of: i32| self.members.len() == 1 || session_of == session;
        let own = running.iter().filter(|process| is_own(process.session));
        own.map(|process| process.identity.pid).collect()
    }

    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.members.iter().map(|member| &member.endpoint)
    }

    pub(crate) fn tap(&self) -> &Tap {
        &self.tap
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended.initialized() {
            self.condemn();
        }
    }
}

/// Notices the end of a process; it stays a zombie.
async fn watch_exit(pidfd: OwnedFd, seen: watch::Sender<Option<Exit>>) {
    let Ok(pidfd) = spawn::waitable(pidfd) else { return };
    loop {
        let Ok(mut ready) = pidfd.readable().await else { return };
        match spawn::peek(pidfd.get_ref()) {
            Ok(Some(exit)) => {
                seen.send_replace(Some(exit));
                return;
            }
            Ok(None) => ready.clear_ready(),
            // It was reaped, which only happens after its replica was ended by force.
            Err(_) => return,
        }
    }
}

/// How the member ended, once it has.
async fn wait_exit(member: &Member) -> Exit {
    let mut exit = member.exit.clone();
    let found = exit.wait_for(Option::is_some).await.map(|exit| *exit);
    match found {
        Ok(Some(exit)) => exit,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

async fn first<F: Future<Output = Failure>>(mut list: FuturesUnordered<F>) -> Failure {
    match list.next().await {
        Some(failure) => failure,
        None => std::future::pending().await,
    }
}

fn judge_exit(
    exit: Exit,
    after: Duration,
    last_line: Option<String>,
    did_kernel_kill: bool,
) -> Failure {
    match exit {
        Exit::Code(code) => Failure::Exited { code, after, last_line },
        Exit::Signal(libc::SIGKILL) if did_kernel_kill => Failure::KernelOutOfMemory { after },
        Exit::Signal(number) => Failure::Killed { signal: signal_name(number), after, last_line },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_is_blamed_only_for_its_own_signal() {
        let after = Duration::from_secs(1);
        let kind = |exit, killed| judge_exit(exit, after, None, killed).kind();
        assert_eq!(kind(Exit::Signal(libc::SIGKILL), true), "kernel_out_of_memory");
        assert_eq!(kind(Exit::Signal(libc::SIGKILL), false), "killed");
        assert_eq!(kind(Exit::Signal(libc::SIGSEGV), true), "killed");
        assert_eq!(kind(Exit::Code(137), true), "exited");
    }
}
