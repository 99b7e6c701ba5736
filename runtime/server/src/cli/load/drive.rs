//! Sends requests when they are due: to a list of times, or as users who wait for answers.
//!
//! Where requests come from a list, each is due at its time whatever became of those before, and
//! its latency counts from then. A server that stalls cannot hide the requests that it kept from
//! being sent ("coordinated omission").

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use samovar_core::time::Timestamp;
use samovar_sim::arrivals::Arrivals;
use samovar_sim::crowd::{Crowd, Stay};
use samovar_sim::distribution::Distribution;
use samovar_sim::rng;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::options::Source;
use super::sender::Sender;
use super::tally::{Fate, Outcome, Tally};

/// How long the pacing thread sleeps without looking whether it should stop.
const NAP_MAX: Duration = Duration::from_millis(50);

/// A run as all its tasks see it.
pub struct Run {
    pub sender: Sender,
    pub tally: Tally,
    /// When it began.
    pub start: Instant,
    /// How long requests are sent.
    pub duration: Duration,
    /// How long after it is due a request is given up.
    pub timeout: Duration,
    /// Requests that may be under way at a time, where they come from a list.
    pub connections: usize,
    pub seed: u64,
    /// Set when no more requests are to be sent.
    pub stop: AtomicBool,
}

impl Run {
    /// No more requests are sent.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether requests that are due now are still sent.
    fn is_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && self.start.elapsed() < self.duration
    }

    /// Serves a request that is due at `due` since the start, and counts it.
    async fn serve(&self, due: Duration) -> Fate {
        let left = (due + self.timeout).saturating_sub(self.start.elapsed());
        let outcome = self.sender.send(left).await;
        self.note(&outcome, due)
    }

    fn note(&self, outcome: &Outcome, due: Duration) -> Fate {
        self.tally.ended(outcome, self.start.elapsed().saturating_sub(due));
        outcome.fate()
    }
}

/// Sends all requests and waits for their ends. Dropped, it gives up what is under way.
pub async fn drive(run: Arc<Run>, source: Source) {
    match source {
        Source::Open(arrivals) => {
            let (tell, told) = mpsc::unbounded_channel();
            let paced = Arc::clone(&run);
            // A thread of its own: the timers of the runtime are late by up to a millisecond.
            tokio::task::spawn_blocking(move || pace(&paced, arrivals, &tell));
            send_all(run, told).await;
        }
        Source::Users(crowd) => join(crowd_of(run, crowd)).await,
    }
}

/// Tells of each request at its time.
fn pace(run: &Run, mut arrivals: Box<dyn Arrivals + Send>, tell: &mpsc::UnboundedSender<Duration>) {
    while let Some(arrival) = arrivals.next() {
        let due = arrival.at.since(Timestamp::ZERO);
        if due >= run.duration {
            return;
        }
        let Some(late) = sleep_until(run, due) else { return };
        run.tally.arrived(|| due);
        run.tally.late(late);
        if tell.send(due).is_err() {
            return; // Nobody sends any more.
        }
    }
}

/// Sleeps until `due`. How late it woke up; none if the run was stopped.
fn sleep_until(run: &Run, due: Duration) -> Option<Duration> {
    loop {
        if run.stop.load(Ordering::Relaxed) {
            return None;
        }
        let now = run.start.elapsed();
        match due.checked_sub(now).filter(|left| !left.is_zero()) {
            Some(left) => std::thread::park_timeout(left.min(NAP_MAX)),
            None => return Some(now.saturating_sub(due)),
        }
    }
}

/// Sends requests in the order in which they are due, each as soon as a connection is free.
async fn send_all(run: Arc<Run>, mut told: mpsc::UnboundedReceiver<Duration>) {
    let places = Arc::new(Semaphore::new(run.connections));
    let mut under_way = JoinSet::new();
    while let Some(due) = told.recv().await {
        while under_way.try_join_next().is_some() {}
        if places.available_permits() == 0 {
            run.tally.waited();
        }
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        let run = Arc::clone(&run);
        under_way.spawn(async move {
            run.serve(due).await;
            drop(place);
        });
    }
    join(under_way).await;
}

async fn join(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// A task for each user that ever comes.
fn crowd_of(run: Arc<Run>, crowd: Crowd) -> JoinSet<()> {
    let mut users = JoinSet::new();
    for (number, stay) in crowd.stays.into_iter().enumerate() {
        let rng = rng::stream(run.seed, &number.to_string(), "think");
        let pauses = Pauses { think: crowd.think.clone(), after_failure: crowd.after_failure, rng };
        users.spawn(user(Arc::clone(&run), stay, pauses));
    }
    users
}

/// How long a user waits before the next request.
struct Pauses {
    think: Distribution,
    after_failure: Duration,
    rng: rng::Rng,
}

impl Pauses {
    fn after(&mut self, fate: Fate) -> Duration {
        let pause = self.think.sample(&mut self.rng);
        if fate == Fate::Answered { pause } else { pause.max(self.after_failure) }
    }
}

fn user(run: Arc<Run>, stay: Stay, mut pauses: Pauses) -> impl Future<Output = ()> {
    let since_start = |at: Timestamp| at.since(Timestamp::ZERO);
    let (from, until) = (since_start(stay.from), stay.until.map(since_start));
    async move {
        if from >= run.duration {
            return;
        }
        tokio::time::sleep_until(run.start + from).await;
        while run.is_on() && until.is_none_or(|until| run.start.elapsed() < until) {
            let due = run.tally.arrived(|| run.start.elapsed());
            let fate = run.serve(due).await;
            let pause = pauses.after(fate);
            if !pause.is_zero() {
                let left = run.duration.saturating_sub(run.start.elapsed());
                tokio::time::sleep(pause.min(left)).await;
            }
        }
    }
}
