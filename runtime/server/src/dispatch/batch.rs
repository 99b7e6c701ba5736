//! Requests that go to a replica together.
//!
//! A request is read whole, waits in the pool, leaves with others and gets its own part of the
//! answer. The batch is served by a task of its own: none of its clients may end it for the others.

mod guest;
mod json;
mod native;

use super::{
    ADMISSIONS_MAX, Dispatch, Failure, FailureCode, Handled, Inbound, REPLICAS_TRIED_MAX,
    ResponseBody, UNREACHABLE_PAUSE, refused, unless_stuck, waited_too_long, work,
};
use crate::calls::{Registry, Running};
use crate::clock;
use crate::deployment::{Deployment, Recording, RequestLimits, Revision};
use crate::spec::BatchingSpec;
use crate::warm_pool::{Granted, Ticketed, WarmPool, Work};
use bytes::Bytes;
use http::{Request, Response};
use samovar_core::calls::{CallId, Place};
use samovar_core::pool::{Health, Member, Outcome, Refusal};
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What one request of a batch is answered with.
type Answer = Result<Response<ResponseBody>, Failure>;
/// Those of a batch, in the order of its requests; or why the batch as a whole has none.
type Answers = Result<Vec<Answer>, Broken>;

/// A request that waits for its batch.
pub struct Item {
    head: http::request::Parts,
    body: Bytes,
    /// Who calls, if that is another deployment.
    call: Option<CallId>,
    recording: Option<Recording>,
    /// Replicas that could not be reached with it.
    tried: u32,
    answer: oneshot::Sender<Told>,
}

/// What becomes of an item.
enum Told {
    Answer(Answer),
    Refused(Refusal),
}

impl Item {
    /// The call it is, if another deployment makes it.
    pub fn call(&self) -> Option<CallId> {
        self.call
    }

    /// The pool will not serve it.
    pub fn refuse(self, refusal: Refusal) {
        _ = self.answer.send(Told::Refused(refusal));
    }

    fn tell(self, answer: Answer) {
        // Nobody waits any more if the client left.
        _ = self.answer.send(Told::Answer(answer));
    }
}

/// Why a whole batch has no answers, and what may be done about it.
struct Broken {
    failure: Failure,
    again: Again,
    health: Health,
}

/// Whether requests of a broken batch are served again, each alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// It would end the same way.
    No,
    /// Yes, if the deployment wants that: the handler may have acted on them.
    IfWanted,
    /// Yes: nothing was sent.
    Unsent,
}

/// Serves the batches of one revision.
pub struct Batches {
    registry: Arc<Registry>,
    /// The deployment's name, if its handler can call others.
    caller: Option<Arc<str>>,
    spec: BatchingSpec,
    limits: RequestLimits,
}

impl Batches {
    /// For the batches of a deployment; `caller` is its name, if its handler can call others.
    pub fn new(
        registry: &Arc<Registry>,
        caller: Option<Arc<str>>,
        spec: BatchingSpec,
        limits: RequestLimits,
    ) -> Self {
        Batches { registry: Arc::clone(registry), caller, spec, limits }
    }

    /// A batch gets a place, some of it by calls. What it is known as, if its handler can call
    /// others.
    pub fn start(&self, calls: &[CallId], place: Place) -> Option<Arc<Running>> {
        let name = self.caller.as_ref()?;
        let until = clock::now() + self.limits.request_timeout;
        Some(Running::start_batch(&self.registry, name, place, calls, until))
    }

    /// Serves a batch with the replica it was given.
    pub async fn serve(
        self: Arc<Self>,
        pool: Arc<WarmPool>,
        granted: Granted,
        members: Vec<Member<Box<Item>>>,
        running: Option<Arc<Running>>,
    ) {
        let Granted { lease, work, cut } = granted;
        let (mut members, gone): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| !member.waiter.answer.is_closed());
        let cancelled = gone.iter().map(|member| (member.arrived, Outcome::Cancelled));
        let mut ends: Vec<_> = cancelled.collect();
        if members.is_empty() {
            let instance = match work {
                Work::Sync(instance) => Some(instance),
                Work::Async(_) | Work::Native(_) => None,
            };
            pool.finish_batch(lease, instance, &ends, Vec::new(), Health::Sound);
            return;
        }
        let recordings = members.iter_mut().filter_map(|member| member.waiter.recording.as_mut());
        recordings.for_each(Recording::granted);
        let items: Vec<&Item> = members.iter().map(|member| &*member.waiter).collect();
        let served = async {
            match work {
                Work::Sync(instance) => guest::serve(&self, instance, &items, &running).await,
                Work::Native(replica) => {
                    let answers = native::serve(&self, &replica, &items, running.as_deref()).await;
                    if let Err(broken) = &answers {
                        broken.settle(&pool, lease, replica.is_lost()).await;
                    }
                    (answers, None)
                }
                Work::Async(_) => unreachable!("pools of batches hold batch handlers"),
            }
        };
        let (answers, instance) = tokio::select! {
            served = served => served,
            () = cut.cancelled() => (Err(Broken::cut()), None),
        };
        if let Some(running) = &running {
            running.end();
        }
        let (mut health, mut again, mut told) = (Health::Sound, Vec::new(), Vec::new());
        match answers {
            Ok(answers) => {
                for (member, answer) in members.into_iter().zip(answers) {
                    let outcome = if answer.is_ok() { Outcome::Completed } else { Outcome::Failed };
                    ends.push((member.arrived, outcome));
                    told.push((member.waiter, answer));
                }
            }
            Err(broken) => {
                health = broken.health;
                pool.note(lease, &broken.failure.to_string());
                let is_alone = members.len() == 1;
                for mut member in members {
                    if self.is_served_again(broken.again, is_alone, &mut member.waiter) {
                        again.push(member);
                    } else {
                        ends.push((member.arrived, Outcome::Failed));
                        told.push((member.waiter, Err(broken.failure.clone())));
                    }
                }
            }
        }
        pool.finish_batch(lease, instance, &ends, again, health);
        told.into_iter().for_each(|(item, answer)| item.tell(answer));
    }
}

impl Batches {
    fn is_served_again(&self, again: Again, is_alone: bool, item: &mut Item) -> bool {
        match again {
            Again::No => false,
            Again::IfWanted => self.spec.retry_alone && !is_alone,
            Again::Unsent => {
                item.tried += 1;
                item.tried < REPLICAS_TRIED_MAX
            }
        }
    }
}

impl Broken {
    /// Waits for what becomes of a process or worker that broke a batch. One that dies may take
    /// connections until it is gone; in a moment that is noticed, and then it is not chosen again.
    async fn settle(&self, pool: &WarmPool, lease: Lease, is_lost: bool) {
        if is_lost {
            pool.crashed(lease, self.failure.to_string());
        }
        if self.again != Again::No {
            tokio::time::sleep(UNREACHABLE_PAUSE).await;
        }
    }

    fn cut() -> Self {
        let message = "the request was cut at the drain time-out";
        let failure = Failure::new(FailureCode::ShuttingDown, message);
        Broken { failure, again: Again::No, health: Health::Condemned }
    }

    /// As many answers as requests are needed to know which is whose.
    fn wrong_count(answers: usize, requests: usize) -> Self {
        let message = format!(
            "the batch of {requests} requests was answered {answers} times, so nobody can say which \
             answer is whose"
        );
        let failure = Failure::new(FailureCode::BatchAnswer, message);
        Broken { failure, again: Again::No, health: Health::Sound }
    }
}

impl Dispatch {
    /// Serves a request with others.
    pub(super) async fn serve_batched(
        &self,
        deployment: &Deployment,
        live: Arc<Revision>,
        inbound: Inbound,
    ) -> Result<Handled, Failure> {
        let (inbound, body) = inbound.read(&live).await?;
        if !live.is_guest() {
            json::check(&body)?;
        }
        let Inbound { request, arrived, recording, origin, .. } = inbound;
        let units = live.workload.as_ref().map(|workload| {
            let units = workload.units(request.headers(), Some(&body));
            work::Units::new(&deployment.work, units)
        });
        let (head, _) = request.into_parts();
        let (sender, receiver) = oneshot::channel();
        let call = origin.call.as_ref().map(crate::calls::Call::id);
        let item = Box::new(Item { head, body, call, recording, tried: 0, answer: sender });
        let (revision, ticket) = match enter(deployment, live, item, arrived).await? {
            Entered::To(revision, ticket) => (revision, ticket),
            Entered::Moved(item, newer) => {
                let Item { head, body, recording, .. } = *item;
                let request = Request::from_parts(head, super::body::full(body));
                let back = Inbound { request, overflow: None, arrived, recording, origin };
                return Ok(Handled::Moved(Box::new(back), newer));
            }
        };
        let longest = origin.rest(Duration::MAX);
        let waiting = told(&revision, ticket, receiver, longest);
        let answer = match unless_stuck(deployment, &revision, &origin, waiting).await? {
            Some(Told::Answer(answer)) => answer,
            Some(Told::Refused(refusal)) => Err(refused(deployment, &revision, refusal)),
            None => {
                let longest = revision.request_limits.queue_timeout.min(longest);
                Err(waited_too_long(deployment, longest))
            }
        };
        if let (Some(units), Ok(_)) = (units, &answer) {
            units.ended(Outcome::Completed);
        }
        answer.map(Handled::Answer)
    }
}

/// What became of an item that wanted to wait.
enum Entered {
    To(Arc<Revision>, Ticketed),
    /// This revision is live now, and serves requests one by one.
    Moved(Box<Item>, Arc<Revision>),
}

/// Puts an item into the queue of the revision that is live.
async fn enter(
    deployment: &Deployment,
    live: Arc<Revision>,
    item: Box<Item>,
    arrived: Timestamp,
) -> Result<Entered, Failure> {
    let (mut revision, mut item) = (live, item);
    for _ in 0..ADMISSIONS_MAX {
        match revision.pool.arrive_for_batch(item, arrived) {
            Ok(ticket) => return Ok(Entered::To(revision, ticket)),
            // A newer revision is live, or will be in a moment.
            Err((back, Refusal::Closed)) if !deployment.is_deleted() => {
                tokio::task::yield_now().await;
                (revision, item) = (deployment.live(), back);
                if !revision.is_batched() {
                    return Ok(Entered::Moved(item, revision));
                }
            }
            Err((_, refusal)) => return Err(refused(deployment, &revision, refusal)),
        }
    }
    Err(Failure::new(FailureCode::ShuttingDown, "the deployment is being replaced"))
}

/// Waits for what becomes of an item, at most for `longest`. None when it waited too long.
async fn told(
    revision: &Revision,
    ticket: Ticketed,
    mut receiver: oneshot::Receiver<Told>,
    longest: Duration,
) -> Option<Told> {
    let closed = || Told::Refused(Refusal::Closed);
    // One timer, for as long as most requests ever wait: each costs.
    let queued_max = revision.request_limits.queue_timeout.min(longest);
    match tokio::time::timeout(queued_max, &mut receiver).await {
        Ok(told) => Some(told.unwrap_or_else(|_| closed())),
        Err(_) if ticket.leave() => None,
        // Its batch is being served, which has a time-out of its own.
        Err(_) => {
            let told = tokio::time::timeout(longest.saturating_sub(queued_max), receiver).await;
            told.ok().map(|told| told.unwrap_or_else(|_| closed()))
        }
    }
}
