//! The simulation: one thread that lets happen what comes next.

use crate::arrivals::Arrivals;
use crate::check::Book;
use crate::deployment::Deployment;
use crate::digest::Digest;
use crate::events::{Event, Events};
use crate::machine::Machine;
use crate::outcome::{DeploymentRun, Run};
use crate::requests::{Origin, RequestRef, Requests};
use crate::scaler::MadeScaler;
use crate::scenario::{DeploymentSpec, Error, Scenario};
use samovar_core::time::Timestamp;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

pub use crate::check::Violation;

/// Events between two calls of the progress callback.
const PROGRESS_EVERY: u64 = 1 << 14;

/// How far a simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time that has passed.
    pub virtual_now: Duration,
    /// Virtual time during which requests arrive; the tail comes after it.
    pub duration: Duration,
    /// Requests that have arrived.
    pub requests: u64,
}

/// What a simulation ended with.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What came out.
    pub run: Run,
    /// A hash of all that happened: equal for equal scenarios and policies.
    pub digest: u64,
    /// Events that happened.
    pub events: u64,
    /// Requests that arrived.
    pub requests: u64,
    /// Whether the progress callback ended it.
    pub is_cancelled: bool,
    /// What must not happen and did, if the simulation was checked; the first ones.
    pub violations: Vec<Violation>,
}

/// What follows from an event, once the pools have settled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Todo {
    /// Nobody waits for this call any more.
    Abandon(RequestRef),
    /// A call was answered.
    Returned { parent: RequestRef, call: u16, attempt: u16, is_done: bool },
}

/// One simulation of one scenario.
pub struct Simulation {
    pub(crate) scenario: Scenario,
    pub(crate) now: Timestamp,
    /// The last moment at which a request may arrive from outside.
    pub(crate) arrivals_end: Timestamp,
    pub(crate) events: Events,
    pub(crate) requests: Requests,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) machine: Machine,
    pub(crate) todo: VecDeque<Todo>,
    pub(crate) digest: Digest,
    pub(crate) book: Option<Box<Book>>,
    happened: u64,
    rows: u32,
}

/// Gives a deployment its policy.
pub type Scalers<'a> = &'a mut dyn FnMut(&DeploymentSpec) -> MadeScaler;

impl Simulation {
    /// Prepares a scenario. `scalers` is asked once per deployment, in the scenario's order.
    ///
    /// # Errors
    ///
    /// What is wrong with the scenario, or why there is no policy.
    pub fn new(scenario: Scenario, scalers: Scalers<'_>) -> Result<Self, Error> {
        scenario.validate()?;
        let mut names: Vec<&str> = scenario.deployments.iter().map(|d| d.name.as_str()).collect();
        names.sort_unstable();
        let rows = scenario.duration.as_nanos() / scenario.interval.as_nanos() + 2;
        let mut deployments = Vec::with_capacity(scenario.deployments.len());
        for spec in &scenario.deployments {
            let scaler = scalers(spec).map_err(|reason| Error::Policy {
                deployment: spec.name.clone(),
                policy: spec.scaling.policy.clone(),
                reason,
            })?;
            let rank = names.binary_search(&spec.name.as_str()).expect("all names are there");
            let spec = spec.clone();
            deployments.push(Deployment::new(spec, scaler, &scenario, rank, rows as usize));
        }
        Ok(Simulation {
            now: Timestamp::ZERO,
            arrivals_end: Timestamp::ZERO + scenario.duration,
            events: Events::default(),
            requests: Requests::default(),
            machine: Machine::new(&scenario.nodes, deployments.len()),
            deployments,
            todo: VecDeque::new(),
            digest: Digest::default(),
            book: None,
            happened: 0,
            rows: 0,
            scenario,
        })
    }

    /// Lets requests of a deployment come from here instead of an open loop in the scenario.
    ///
    /// # Errors
    ///
    /// If no deployment has this name.
    pub fn feed(&mut self, deployment: &str, arrivals: Box<dyn Arrivals>) -> Result<(), Error> {
        let mut deployments = self.deployments.iter_mut();
        let found = deployments.find(|other| other.spec.name == deployment);
        let found = found.ok_or_else(|| Error::NoDeployment { name: deployment.to_owned() })?;
        found.source = Some(arrivals);
        Ok(())
    }

    /// Watches that nothing happens that must not. The end is then put off until all pools have
    /// settled, so faults end with the arrivals if the scenario does not say when.
    pub fn check(&mut self) {
        self.scenario.faults.until.get_or_insert(self.scenario.duration);
        for deployment in &mut self.deployments {
            deployment.faults.end_at(self.scenario.faults.until);
        }
        self.book = Some(Box::new(Book::new(&self.scenario)));
    }

    /// Runs it. `label` tells the outcome from others beside it. `progress` is called now and then
    /// and may end the simulation.
    pub fn run(
        mut self,
        label: &str,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Finished {
        self.plan_first();
        let is_cancelled = self.run_all(progress).is_break();
        self.finish_rows();
        self.outcome(label, is_cancelled)
    }

    fn run_all(
        &mut self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let end = self.arrivals_end;
        self.advance(end, progress, |_| false)?;
        self.now = self.now.max(end);
        let last = end + self.scenario.tail;
        self.advance(last, progress, |this| this.requests.len() == 0)?;
        if self.requests.len() > 0 {
            self.now = self.now.max(last);
        }
        self.settle(progress)
    }

    /// Lets happen what happens up to `last`, or until it `is_done`.
    pub(crate) fn advance(
        &mut self,
        last: Timestamp,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
        is_done: impl Fn(&Simulation) -> bool,
    ) -> ControlFlow<()> {
        while !is_done(self)
            && let Some((at, event)) = self.events.next(last.as_nanos())
        {
            self.step(at, event);
            if self.happened.is_multiple_of(PROGRESS_EVERY) {
                progress(Progress {
                    virtual_now: self.now.since(Timestamp::ZERO),
                    duration: self.scenario.duration,
                    requests: self.requests.made(),
                })?;
            }
        }
        ControlFlow::Continue(())
    }

    fn step(&mut self, at: u64, event: Event) {
        // After a jump of the clock, what came due meanwhile happens late.
        self.now = self.now.max(Timestamp::from_nanos(at));
        self.happened += 1;
        self.digest.event(self.now.as_nanos(), &event);
        match event {
            Event::Arrive(d) => self.arrive_next(d as usize),
            Event::User { deployment, user } => {
                self.arrive(deployment as usize, Origin::User(user), None);
            }
            Event::Worked(request) => self.worked(request),
            Event::Overdue(request) => self.overdue(request),
            Event::OldestServed(d) => self.expire_served(d as usize),
            Event::OldestWaiting(d) => self.expire_waiting(d as usize),
            Event::Recall { parent, call, attempt } => self.call(parent, call, attempt),
            Event::Started(replica) => self.started(replica),
            Event::StartFailed(replica) => self.start_failed(replica),
            Event::Crash(replica) => self.crash(replica),
            Event::Turn { deployment, generation } => self.turn_if(deployment as usize, generation),
            Event::Answered(d) => self.turn(d as usize),
            Event::Row => self.row(),
            Event::Jump(index) => self.jump(index as usize),
            Event::NodeLost(node) => self.lose_node(node),
            Event::NodeBack(node) => self.machine.set_up(node, true),
        }
        while let Some(todo) = self.todo.pop_front() {
            match todo {
                Todo::Abandon(request) => self.abandon(request),
                Todo::Returned { parent, call, attempt, is_done } => {
                    self.returned(parent, call, attempt, is_done);
                }
            }
        }
    }

    fn jump(&mut self, index: usize) {
        self.now = self.now + self.scenario.faults.clock_jumps[index].by;
    }

    /// Plans what the scenario says.
    fn plan_first(&mut self) {
        self.events.plan(crate::deployment::nanos(self.scenario.interval), Event::Row);
        for d in 0..self.deployments.len() {
            self.ring(d);
            self.plan_arrival(d);
            self.plan_users(d);
        }
        let at = |at: Duration| (Timestamp::ZERO + at).as_nanos();
        let faults = &self.scenario.faults;
        for (index, jump) in faults.clock_jumps.iter().enumerate() {
            self.events.plan(at(jump.at), Event::Jump(index as u32));
        }
        for failure in &faults.node_failures {
            let node = self.scenario.nodes.iter().position(|node| node.name == failure.node);
            let node = node.expect("names of nodes were checked") as u32;
            self.events.plan(at(failure.at), Event::NodeLost(node));
            self.events.plan(at(failure.at + failure.lasts), Event::NodeBack(node));
        }
    }

    fn plan_users(&mut self, d: usize) {
        let Some(crowd) = &self.deployments[d].crowd else { return };
        for (user, stay) in (0..).zip(&crowd.stays) {
            if stay.from <= self.arrivals_end {
                let event = Event::User { deployment: d as u32, user };
                self.events.plan(stay.from.as_nanos(), event);
            }
        }
    }

    fn row(&mut self) {
        self.rows += 1;
        let at = self.scenario.interval * self.rows;
        for deployment in &mut self.deployments {
            deployment.tally.row(at, deployment.pool.counts());
        }
        let next = Timestamp::ZERO + at + self.scenario.interval;
        self.events.plan(next.as_nanos(), Event::Row);
    }

    /// The last interval may be shorter than the others.
    fn finish_rows(&mut self) {
        let end = self.now.since(Timestamp::ZERO);
        for deployment in &mut self.deployments {
            if deployment.tally.last_row() < end {
                deployment.tally.row(end, deployment.pool.counts());
            }
            for replica in deployment.replicas.iter().flatten() {
                deployment.tally.gone(self.now.as_nanos() - replica.ordered.as_nanos());
            }
        }
        for request in self.requests.served() {
            let served = self.now.as_nanos() - request.assigned.as_nanos();
            self.deployments[request.deployment as usize].tally.busy += u128::from(served);
        }
    }

    fn outcome(self, label: &str, is_cancelled: bool) -> Finished {
        let deployments = self.deployments.into_iter().map(|deployment| {
            let (rows, summary) = deployment.tally.finish();
            let DeploymentSpec { name, scaling, .. } = deployment.spec;
            DeploymentRun { name, policy: scaling.policy, rows, summary }
        });
        Finished {
            run: Run {
                label: label.to_owned(),
                seed: self.scenario.seed,
                duration: self.now.since(Timestamp::ZERO),
                interval: self.scenario.interval,
                deployments: deployments.collect(),
            },
            digest: self.digest.value(),
            events: self.happened,
            requests: self.requests.made(),
            is_cancelled,
            violations: self.book.map(|book| book.violations).unwrap_or_default(),
        }
    }
}
