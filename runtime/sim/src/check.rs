//! Watches from outside that nothing happens that must not.
//!
//! The book sees what an owner of a pool sees: requests going in and out, replicas that are
//! ordered, ready and gone, and decisions. From that alone it works out what must hold, and then
//! compares it with what the pool counts.

mod settle;
#[cfg(test)]
mod tests;

use crate::scenario::Scenario;
use crate::tally::Ended;
use samovar_core::limits::PoolLimits;
use samovar_core::pool::Counts;
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

/// Violations that are kept. The first ones tell the most.
const VIOLATIONS_MAX: usize = 16;

/// Something happened that must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed to see it again.
    pub seed: u64,
    /// When, in virtual time.
    pub at: Duration,
    /// The deployment.
    pub deployment: String,
    /// What was expected, and what was there instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { seed, at, deployment, what } = self;
        write!(f, "seed {seed}, {at:?}, deployment `{deployment}`: {what}")
    }
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Arrived,
    Waiting { since: Timestamp },
    Served(Lease),
}

/// What is known of a replica.
#[derive(Clone, Copy, Debug)]
struct Life {
    ordered: Timestamp,
    is_ready: bool,
    /// Since when it takes no more requests and does not count towards the maximum.
    leaving: Option<Timestamp>,
    /// When it began to have nothing to do.
    idle: Timestamp,
    serves: u32,
    given: u64,
}

/// What is known of one deployment.
struct Page {
    limits: PoolLimits,
    queue_timeout: Duration,
    replicas: BTreeMap<Lease, Life>,
    /// In the order they came; those that left are in `left` until their turn.
    waiting: VecDeque<u64>,
    left: BTreeSet<u64>,
    /// Starts that failed since the last one that did not.
    failures: u32,
    /// What was decided last.
    decided: Option<u32>,
    last_used: Timestamp,
    /// When the last replica became ready.
    last_started: Timestamp,
    was_asleep: bool,
}

/// What is known from outside.
pub(crate) struct Book {
    seed: u64,
    names: Vec<String>,
    pages: Vec<Page>,
    /// By number. A request that was answered is not there any more.
    requests: BTreeMap<u64, Place>,
    /// All jumps of the clock together; deadlines may be missed by that much.
    jumps: Duration,
    now: Timestamp,
    pub violations: Vec<Violation>,
}

impl Book {
    pub fn new(scenario: &Scenario) -> Self {
        let pages = scenario.deployments.iter().map(|spec| Page {
            limits: spec.limits(),
            queue_timeout: spec.queue.timeout,
            replicas: BTreeMap::new(),
            waiting: VecDeque::new(),
            left: BTreeSet::new(),
            failures: 0,
            decided: None,
            last_used: Timestamp::ZERO,
            last_started: Timestamp::ZERO,
            was_asleep: false,
        });
        Book {
            seed: scenario.seed,
            names: scenario.deployments.iter().map(|spec| spec.name.clone()).collect(),
            pages: pages.collect(),
            requests: BTreeMap::new(),
            jumps: scenario.faults.clock_jumps.iter().map(|jump| jump.by).sum(),
            now: Timestamp::ZERO,
            violations: Vec::new(),
        }
    }

    /// Notes a violation unless `holds`.
    fn expect(&mut self, d: usize, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation {
                seed: self.seed,
                at: self.now.since(Timestamp::ZERO),
                deployment: self.names[d].clone(),
                what: what(),
            });
        }
    }

    /// A request arrives.
    pub fn arrived(&mut self, d: usize, number: u64, now: Timestamp) {
        self.now = now;
        self.pages[d].last_used = now;
        let before = self.requests.insert(number, Place::Arrived);
        self.expect(d, before.is_none(), || format!("request {number} arrives twice"));
    }

    /// It has to wait.
    pub fn queued(&mut self, d: usize, number: u64, now: Timestamp) {
        self.now = now;
        let before = self.requests.insert(number, Place::Waiting { since: now });
        self.expect(d, before == Some(Place::Arrived), || {
            format!("request {number} waits, after it was {before:?}")
        });
        let page = &mut self.pages[d];
        page.waiting.push_back(number);
        let (waiting, most) = (page.waiting.len() - page.left.len(), page.limits.queue_max);
        self.expect(d, waiting <= most as usize, || format!("{waiting} wait, at most {most} may"));
    }

    /// It gets a replica.
    pub fn assigned(&mut self, d: usize, number: u64, lease: Lease, now: Timestamp) {
        self.now = now;
        let before = self.requests.insert(number, Place::Served(lease));
        self.pages[d].forget_left();
        match before {
            Some(Place::Arrived) => {
                let waiting = self.pages[d].waiting.front().copied();
                self.expect(d, waiting.is_none(), || {
                    format!("request {number} is served before {waiting:?}, which waits longer")
                });
            }
            Some(Place::Waiting { since }) => {
                let first = self.pages[d].waiting.pop_front();
                self.expect(d, first == Some(number), || {
                    format!("request {number} is served, but {first:?} waits longer")
                });
                let waited = now.since(since);
                let longest = self.pages[d].queue_timeout + self.jumps;
                self.expect(d, waited <= longest, || {
                    format!("request {number} waited {waited:?}, at most {longest:?} are allowed")
                });
            }
            Some(Place::Served(_)) | None => {
                self.expect(d, false, || {
                    format!("request {number} is served, after it was {before:?}")
                });
            }
        }
        self.give(d, number, lease);
    }

    fn give(&mut self, d: usize, number: u64, lease: Lease) {
        let limits = &self.pages[d].limits;
        let (concurrency, most) = (limits.concurrency, limits.max_requests.unwrap_or(u64::MAX));
        let life = self.pages[d].replicas.get_mut(&lease).map(|life| {
            life.serves += 1;
            life.given += 1;
            *life
        });
        let Some(life) = life else {
            return self.expect(d, false, || {
                format!("request {number} is given to {lease:?}, which does not exist")
            });
        };
        self.expect(d, life.takes_requests(), || {
            format!("request {number} is given to {lease:?}, which takes none: {life:?}")
        });
        self.expect(d, life.serves <= concurrency && life.given <= most, || {
            format!(
                "{lease:?} serves more than it may ({concurrency} at once, {most} ever): {life:?}"
            )
        });
    }

    /// It is answered.
    pub fn ended(&mut self, d: usize, number: u64, ended: Ended, now: Timestamp) {
        self.now = now;
        self.pages[d].last_used = now;
        let before = self.requests.remove(&number);
        let fits = match (before, ended) {
            (Some(Place::Served(lease)), Ended::Completed | Ended::Failed) => {
                if let Some(life) = self.pages[d].replicas.get_mut(&lease) {
                    life.serves -= 1;
                    life.idle = now;
                }
                true
            }
            (Some(Place::Arrived), Ended::Rejected) => true,
            (Some(Place::Waiting { .. }), Ended::Rejected) => {
                self.pages[d].left.insert(number);
                true
            }
            (Some(Place::Waiting { since }), Ended::TimedOut) => {
                self.pages[d].left.insert(number);
                now.since(since) >= self.pages[d].queue_timeout
            }
            _ => false,
        };
        self.pages[d].forget_left();
        self.expect(d, fits, || format!("request {number} ends as {ended:?}, but was {before:?}"));
    }

    /// The pool orders a replica.
    pub fn ordered(&mut self, d: usize, lease: Lease, now: Timestamp) {
        self.now = now;
        let life =
            Life { ordered: now, is_ready: false, leaving: None, idle: now, serves: 0, given: 0 };
        let before = self.pages[d].replicas.insert(lease, life);
        self.expect(d, before.is_none(), || format!("{lease:?} is ordered twice"));
        let (active, most) = (self.pages[d].active(), self.pages[d].limits.max);
        self.expect(d, active <= most, || {
            format!("{active} replicas start or are ready, at most {most} may")
        });
        let slot = self.pages[d].replicas.keys().filter(|other| other.slot == lease.slot).count();
        self.expect(d, slot == 1, || format!("two replicas in slot {}", lease.slot));
    }

    /// A replica is ready.
    pub fn started(&mut self, d: usize, lease: Lease, now: Timestamp) {
        self.now = now;
        let page = &mut self.pages[d];
        page.failures = 0;
        page.last_started = now;
        if let Some(life) = page.replicas.get_mut(&lease) {
            life.is_ready = true;
            life.idle = now;
        }
    }

    /// A replica could not start.
    pub fn start_failed(&mut self, d: usize, lease: Lease, now: Timestamp) {
        self.now = now;
        let page = &mut self.pages[d];
        page.failures += 1;
        if let Some(life) = page.replicas.get_mut(&lease) {
            life.leaving.get_or_insert(now);
        }
    }

    /// A replica is said to serve no more.
    pub fn condemned(&mut self, d: usize, lease: Lease, now: Timestamp) {
        self.now = now;
        let page = &mut self.pages[d];
        if let Some(life) = page.replicas.get_mut(&lease) {
            page.failures += u32::from(!life.is_ready);
            life.leaving.get_or_insert(now);
        }
    }

    /// A replica is gone.
    pub fn gone(&mut self, d: usize, lease: Lease, now: Timestamp) {
        self.now = now;
        let known = self.pages[d].replicas.remove(&lease);
        self.expect(d, known.is_some(), || format!("{lease:?} is gone, but was not there"));
        let Some(life) = known.filter(|life| life.takes_requests()) else { return };
        let limits = &self.pages[d].limits;
        let may = self.now.since(life.idle) >= limits.scaledown_ttl
            || limits.max_requests.is_some_and(|most| life.given >= most)
            || !self.is_awake(d);
        let ttl = limits.scaledown_ttl;
        self.expect(d, may && life.serves == 0, || {
            format!("{lease:?} is removed before it was idle for {ttl:?}: {life:?}")
        });
    }

    /// The pool did what was due: replicas that are too old leave.
    pub fn planned(&mut self, d: usize, now: Timestamp) {
        self.now = now;
        let page = &mut self.pages[d];
        let Some(age) = page.limits.max_age else { return };
        for life in page.replicas.values_mut() {
            if life.is_ready && life.ordered + age <= now {
                life.leaving.get_or_insert(now);
            }
        }
    }

    /// A decision was made.
    pub fn decided(&mut self, d: usize, target: u32) {
        let most = self.pages[d].limits.max;
        self.expect(d, target <= most, || format!("the target is {target}, at most {most} may be"));
        self.pages[d].decided = Some(target);
    }

    /// Compares the pool's counts with what was seen, at the end of a turn of its control loop.
    pub fn audit(&mut self, d: usize, counts: Counts, is_asleep: bool, now: Timestamp) {
        self.now = now;
        let page = &self.pages[d];
        let lives = page.replicas.values();
        let leaving = lives.clone().filter(|life| life.leaving.is_some()).count();
        let ready = lives.clone().filter(|life| life.takes_requests()).count();
        let serving: u32 = lives.map(|life| life.serves).sum();
        let waiting = page.waiting.len() - page.left.len();
        let starting = page.replicas.len() - leaving - ready;
        let seen = [starting, ready, leaving, waiting, serving as usize];
        let said = [counts.starting, counts.ready, counts.draining, counts.queued, counts.ongoing];
        self.expect(d, seen == said.map(|count| count as usize), || {
            format!(
                "starting, ready, draining, queued and ongoing are {seen:?}, the pool says {said:?}"
            )
        });
        self.audit_waiting(d, waiting);
        self.audit_minimum(d);
        self.audit_drain(d);
        self.audit_sleep(d, is_asleep, counts.target);
    }

    /// Nobody waits beside a free place, nor without hope.
    fn audit_waiting(&mut self, d: usize, waiting: usize) {
        let page = &self.pages[d];
        let most = page.limits.max_requests.unwrap_or(u64::MAX);
        let free = page.replicas.iter().find(|(_, life)| {
            life.takes_requests() && life.serves < page.limits.concurrency && life.given < most
        });
        let free = free.map(|(lease, _)| *lease);
        let is_hopeless = page.active() == 0 && page.failures == 0;
        self.expect(d, waiting == 0 || free.is_none(), || {
            format!("{waiting} requests wait beside {free:?}, which has room")
        });
        self.expect(d, waiting == 0 || !is_hopeless, || {
            format!("{waiting} requests wait, and no replica starts")
        });
    }

    /// Replicas on their way out are gone in time.
    fn audit_drain(&mut self, d: usize) {
        let (page, now) = (&self.pages[d], self.now);
        let longest = page.limits.drain_timeout;
        let late = page.replicas.iter().find(|(_, life)| {
            life.is_ready && life.leaving.is_some_and(|since| since + longest <= now)
        });
        let late = late.map(|(lease, life)| (*lease, *life));
        self.expect(d, late.is_none(), || {
            format!("{late:?} is on its way out for more than {longest:?}")
        });
    }

    /// A pool that is awake holds its minimum, or what the machine has for it, unless replicas do
    /// not start.
    fn audit_minimum(&mut self, d: usize) {
        let page = &self.pages[d];
        let least = page.decided.unwrap_or(u32::MAX).min(page.limits.min);
        let active = page.active();
        let must = self.is_awake(d) && page.failures == 0;
        self.expect(d, !must || active >= least, || {
            format!("{active} replicas start or are ready, at least {least} must")
        });
    }

    /// Whether the pool was used so lately that it must not sleep.
    fn is_awake(&self, d: usize) -> bool {
        let page = &self.pages[d];
        page.limits.idle_ttl.is_none_or(|ttl| page.last_used + ttl > self.now)
    }

    fn audit_sleep(&mut self, d: usize, is_asleep: bool, target: u32) {
        let fell_asleep = is_asleep && !self.pages[d].was_asleep;
        self.pages[d].was_asleep = is_asleep;
        let may = !fell_asleep || !self.is_awake(d);
        let last_used = self.pages[d].last_used;
        self.expect(d, may, || format!("the pool falls asleep, but was used at {last_used:?}"));
        let active = self.pages[d].active();
        self.expect(d, !is_asleep || active == 0 && target == 0, || {
            format!("the pool sleeps with {active} replicas and target {target}")
        });
    }
}

impl Life {
    /// Whether requests may be given to it.
    fn takes_requests(&self) -> bool {
        self.is_ready && self.leaving.is_none()
    }
}

impl Page {
    /// Replicas that start or are ready.
    fn active(&self) -> u32 {
        self.replicas.values().filter(|life| life.leaving.is_none()).count() as u32
    }

    /// Requests at the head of the queue that left do not wait any more.
    fn forget_left(&mut self) {
        while self.waiting.front().is_some_and(|number| self.left.remove(number)) {
            self.waiting.pop_front();
        }
    }
}
