//! A replica: started, watched, ended.

use crate::failure::Failure;
use crate::group::Group;
use crate::listening;
use crate::output::{Output, Tap};
use crate::plan::{self, Endpoint, Liveness, ReadyWhen, ReplicaPlan};
use crate::probe::Answer;
use crate::ready::{self, Asked, Asking};
use crate::warden::Warden;
use futures::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// A replica that never served is not given longer to end than this.
const GRACE_UNREADY_MAX: Duration = Duration::from_secs(2);
/// When a start that takes long is first spoken of; from then on twice as long each time.
const NOTE_FIRST: Duration = Duration::from_secs(10);

/// Processes that serve as one. It works until [`Replica::end`] is called or [`Replica::failed`]
/// resolves; in both cases all its processes are ended. If it is dropped before, they are killed at
/// once and cleaned up in the background.
pub struct Replica {
    group: Arc<Group>,
    endpoint: Endpoint,
    grace: Duration,
    failure: watch::Receiver<Option<Failure>>,
    ending: CancellationToken,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Replica {
    /// Starts all members and waits until the replica is ready. If this future is dropped, what was
    /// started is killed and cleaned up in the background.
    ///
    /// # Errors
    ///
    /// Why it did not start. Nothing of it is left then.
    ///
    /// # Panics
    ///
    /// If the plan has no members.
    pub async fn start(
        warden: &Arc<Warden>,
        mut plan: ReplicaPlan,
        output: Arc<dyn Output>,
    ) -> Result<Replica, Failure> {
        assert!(!plan.members.is_empty(), "a replica has at least one process");
        let members = std::mem::take(&mut plan.members);
        let asked = asked(&members, plan.asked);
        let endpoint = members[0].endpoint.clone();
        let (leases, keep) = (std::mem::take(&mut plan.leases), std::mem::take(&mut plan.keep));
        let number = warden.census.register(plan.memory_max, leases, keep);
        let tap = Tap::new(output, members.len(), Instant::now());
        let mut group = Group::new(warden, number, tap, plan.memory_max);
        let size = members.len();
        let mut result = Ok(());
        for (rank, member) in (0..).zip(members) {
            result = group.add(member).await.map_err(|failure| failure.of_rank(rank, size));
            if result.is_err() {
                break;
            }
        }
        if result.is_ok() {
            result = become_ready(&group, &plan, &asked, size).await;
        }
        if let Err(failure) = result {
            group.end(plan.grace.min(GRACE_UNREADY_MAX)).await;
            return Err(failure);
        }
        let group = Arc::new(group);
        let ending = CancellationToken::new();
        let (failed, failure) = watch::channel(None);
        let watched = Watched { group: Arc::clone(&group), size, asked, liveness: plan.liveness };
        tokio::spawn(watched.run(plan.grace, ending.clone(), failed));
        Ok(Replica { group, endpoint, grace: plan.grace, failure, ending })
    }

    /// Where requests go: the endpoint of rank 0.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Resolves when the replica has failed by itself: a member ended, memory, liveness. By then
    /// its processes are being ended as in [`Replica::end`]. Never resolves for one that was ended.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.failure.clone();
        let found = failure.wait_for(Option::is_some).await.map(|failure| failure.clone());
        match found {
            Ok(Some(failure)) => failure,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// What all its processes used when they were last looked at, at most about a second ago.
    pub fn usage(&self) -> crate::Usage {
        self.group.usage()
    }

    /// Sends SIGTERM to all processes, and SIGKILL to those left after the grace. Returns when
    /// nothing is left, or, with a note in the output, after some seconds of killing in vain.
    pub async fn end(&self) {
        self.ending.cancel();
        self.group.end(self.grace).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.ending.cancel();
        self.group.condemn();
    }
}

fn asked(members: &[plan::MemberPlan], who: plan::Asked) -> Vec<Asked> {
    let count = match who {
        plan::Asked::RankZero => 1,
        plan::Asked::All => members.len(),
    };
    let asked = (0..).zip(members).take(count);
    asked.map(|(rank, member)| Asked { rank, endpoint: member.endpoint.clone() }).collect()
}

async fn become_ready(
    group: &Group,
    plan: &ReplicaPlan,
    asked: &[Asked],
    size: usize,
) -> Result<(), Failure> {
    let asking = Asking::new(&plan.ready, asked);
    tokio::select! {
        biased;
        failure = group.trouble() => Err(failure),
        result = asking.wait() => result.map_err(|(rank, failure)| failure.of_rank(rank, size)),
        () = sleep(plan.start_timeout) => Err(late(group, &asking, plan, size).await),
        () = speak_of_it(group, &asking, &plan.ready) => Ok(()),
    }
}

/// Why the replica is not ready in time.
async fn late(group: &Group, asking: &Asking<'_>, plan: &ReplicaPlan, size: usize) -> Failure {
    let (member, last) = asking.missing().expect("if nobody were missing, it would be ready");
    let elsewhere = elsewhere(group, &member, last.as_ref(), &plan.ready).await;
    let failure =
        elsewhere.unwrap_or_else(|| asking.judge(&member, last.as_ref(), plan.start_timeout));
    failure.of_rank(member.rank, size)
}

/// Says now and then what a slow start waits for. Never returns.
async fn speak_of_it(group: &Group, asking: &Asking<'_>, ready: &ReadyWhen) {
    let mut after = Duration::ZERO;
    let mut pause = NOTE_FIRST;
    loop {
        sleep(pause).await;
        after += pause;
        pause = after;
        if let Some((member, last)) = asking.missing() {
            let elsewhere = elsewhere(group, &member, last.as_ref(), ready).await;
            let hint = asking.hint(&member, last.as_ref());
            group.tap().note(&ready::waiting_note(after, &hint, elsewhere.as_ref()));
        }
    }
}

/// If nobody listens where the member should, but it does elsewhere.
async fn elsewhere(
    group: &Group,
    member: &Asked,
    last: Option<&Answer>,
    ready: &ReadyWhen,
) -> Option<Failure> {
    if matches!(ready, ReadyWhen::Told(_)) || !matches!(last, Some(Answer::Nobody)) {
        return None;
    }
    let pids = group.pids_of(member.rank).await;
    let found = tokio::task::spawn_blocking(move || listening::addresses(&pids)).await;
    let is_expected =
        |address: &SocketAddr| group.endpoints().any(|e| *e == Endpoint::Tcp(*address));
    let mut listens = found.unwrap_or_default();
    listens.retain(|address| !is_expected(address));
    let endpoint = member.endpoint.clone();
    (!listens.is_empty()).then_some(Failure::ListensElsewhere { endpoint, listens })
}

/// A ready replica, until it fails or is ended.
struct Watched {
    group: Arc<Group>,
    size: usize,
    asked: Vec<Asked>,
    liveness: Option<Liveness>,
}

impl Watched {
    async fn run(
        self,
        grace: Duration,
        ending: CancellationToken,
        failed: watch::Sender<Option<Failure>>,
    ) {
        let failure = tokio::select! {
            biased;
            () = ending.cancelled() => return,
            failure = self.group.trouble() => failure,
            failure = self.unhealthy() => failure,
        };
        failed.send_replace(Some(failure));
        self.group.end(grace).await;
    }

    async fn unhealthy(&self) -> Failure {
        let Some(liveness) = &self.liveness else { return std::future::pending().await };
        let asked = self.asked.iter().cloned();
        let members = asked.map(|member| Box::pin(ready::unhealthy(member, liveness)));
        let ((rank, failure), _, _) = future::select_all(members).await;
        failure.of_rank(rank, self.size)
    }
}
