//! What must happen in the end, once nothing goes wrong any more and nobody sends requests.

use super::Book;
use crate::engine::{Progress, Simulation};
use crate::scenario::DeploymentSpec;
use samovar_core::time::Timestamp;
use std::ops::ControlFlow;
use std::time::Duration;

/// The longest pause after starts that failed, with a second for the control loop.
const BACKOFF_MAX: Duration = Duration::from_secs(31);

impl Simulation {
    /// Lets a checked simulation go on until all is settled. Notes what is not by the time when it
    /// must be.
    pub(crate) fn settle(
        &mut self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.book.is_none() {
            return ControlFlow::Continue(());
        }
        let faults_end = self.scenario.faults.end();
        let begin = self.now.max(Timestamp::ZERO + faults_end);
        self.advance(begin, progress, |_| false)?;
        self.now = self.now.max(begin);
        let mut last = self.now;
        for spec in &self.scenario.deployments {
            last = last + longest(spec);
        }
        self.advance(last, progress, |this| this.unsettled().is_none())?;
        if let Some((d, what)) = self.unsettled()
            && let Some(book) = &mut self.book
        {
            let since = last.since(begin);
            book.now = last;
            book.expect(d, false, || format!("{what}, {since:?} after all faults and requests"));
        }
        self.compare_totals();
        ControlFlow::Continue(())
    }

    /// What is not yet as it must be in the end.
    fn unsettled(&self) -> Option<(usize, String)> {
        let book = self.book.as_ref()?;
        if let Some((number, place)) = book.requests.first_key_value() {
            return Some((0, format!("request {number} has no answer and is {place:?}")));
        }
        (0..self.deployments.len())
            .find_map(|d| self.unsettled_pool(book, d).map(|what| (d, what)))
            .or_else(|| self.overbooked())
    }

    fn unsettled_pool(&self, book: &Book, d: usize) -> Option<String> {
        let (page, deployment) = (&book.pages[d], &self.deployments[d]);
        let there = page.replicas.len() as u32;
        if page.limits.idle_ttl.is_some() {
            return (there > 0).then(|| format!("{there} replicas are left in an unused pool"));
        }
        let ready = page.replicas.values().filter(|life| life.takes_requests()).count();
        let target = deployment.pool.counts().target;
        let least = page.decided.map_or(0, |decided| decided.min(page.limits.min));
        let is_reached = ready as u32 == target && there == target;
        if is_reached && target >= least {
            return None;
        }
        Some(format!(
            "{ready} of {there} replicas are ready, the target is {target}, the least is {least}"
        ))
    }

    /// Whether deployments that are awake aim at more than the machine holds.
    fn overbooked(&self) -> Option<(usize, String)> {
        let total = self.machine.total()?;
        let targets = self.deployments.iter().map(|d| u64::from(d.pool.counts().target));
        let targets: u64 = targets.sum();
        (targets > u64::from(total))
            .then(|| (0, format!("targets sum up to {targets}, the machine holds {total}")))
    }

    /// What was counted here against what the pools counted.
    fn compare_totals(&mut self) {
        for d in 0..self.deployments.len() {
            let deployment = &self.deployments[d];
            let (totals, tally) = (deployment.pool.totals(), &deployment.tally);
            let ends = tally.ends;
            let seen = [
                ends.arrived,
                ends.completed,
                ends.failed,
                ends.rejected,
                tally.replicas_started,
                tally.replicas_failed,
            ];
            let said = [
                totals.arrived,
                totals.completed,
                totals.failed + totals.cancelled,
                totals.rejected,
                totals.replicas_started,
                totals.replicas_failed,
            ];
            if let Some(book) = &mut self.book {
                book.expect(d, seen == said, || {
                    format!(
                        "arrived, completed, failed, rejected, started and failed to start are \
                         {seen:?}, the pool says {said:?}"
                    )
                });
            }
        }
    }
}

/// How long one deployment may take to come to rest, others being at rest.
fn longest(spec: &DeploymentSpec) -> Duration {
    let requests = spec.queue.timeout + spec.request_timeout + spec.drain_timeout;
    let starts = (spec.start_timeout + BACKOFF_MAX) * 2;
    let idle = spec.idle_ttl.unwrap_or_default() * 2 + spec.scaledown_ttl;
    // A late answer and the ticks after it.
    requests + starts + idle + spec.scaling.interval * 4 + spec.max_age.unwrap_or_default() * 2
}
