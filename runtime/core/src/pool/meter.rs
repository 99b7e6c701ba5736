//! What a pool counts, for policies and for operators.

use crate::histogram::Histogram;
use crate::observation::Latency;
use crate::time::Timestamp;
use std::time::Duration;

/// How a served request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Completed,
    /// It trapped, ran into a limit or its answer broke off.
    Failed,
    /// Its client left.
    Cancelled,
}

/// Counts since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that arrived, refused ones included.
    pub arrived: u64,
    /// Requests that were answered.
    pub completed: u64,
    /// Requests that failed on a replica.
    pub failed: u64,
    /// Requests whose client left while they were served.
    pub cancelled: u64,
    /// Requests that got no replica.
    pub rejected: u64,
    /// Replicas that became ready, those that registered themselves included.
    pub replicas_started: u64,
    /// Replicas that could not start, or died by themselves.
    pub replicas_failed: u64,
}

/// A count and its integral over time.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Gauge {
    value: u32,
    /// Value times seconds since the last look.
    area: f64,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Meter {
    totals: Totals,
    /// `totals` at the last look.
    seen: Totals,
    queued: Gauge,
    ongoing: Gauge,
    /// Up to when the areas are counted.
    counted: Timestamp,
    looked: Option<Timestamp>,
    last_used: Option<Timestamp>,
    /// Requests that ended since the last look.
    recent: Histogram,
    /// All requests, for the metrics endpoint.
    all: Histogram,
}

/// The part of an observation that the meter knows.
#[derive(Debug)]
pub(super) struct Reading {
    pub since: Duration,
    pub queued_average: Option<f64>,
    pub ongoing_average: Option<f64>,
    pub counts: Totals,
    pub latency: Option<Latency>,
}

impl Meter {
    pub fn new(now: Timestamp) -> Self {
        Meter {
            totals: Totals::default(),
            seen: Totals::default(),
            queued: Gauge::default(),
            ongoing: Gauge::default(),
            counted: now,
            looked: None,
            last_used: None,
            recent: Histogram::default(),
            all: Histogram::default(),
        }
    }

    pub fn arrived(&mut self, now: Timestamp) {
        self.totals.arrived += 1;
        self.last_used = self.last_used.max(Some(now));
    }

    pub fn rejected(&mut self, now: Timestamp) {
        self.totals.rejected += 1;
        self.last_used = self.last_used.max(Some(now));
    }

    pub fn started(&mut self) {
        self.totals.replicas_started += 1;
    }

    pub fn replica_failed(&mut self) {
        self.totals.replicas_failed += 1;
    }

    pub fn assigned(&mut self, now: Timestamp) {
        self.advance(now);
        self.ongoing.value += 1;
    }

    /// A waiting request got a replica.
    pub fn woken(&mut self, queued: u32, now: Timestamp) {
        self.advance(now);
        self.queued.value = queued;
        self.ongoing.value += 1;
    }

    /// So many waiting requests got a replica together.
    pub fn sent(&mut self, requests: u32, queued: u32, now: Timestamp) {
        self.set_queued(queued, now);
        self.ongoing.value += requests;
    }

    /// So many requests that were served wait again.
    pub fn put_back(&mut self, requests: u32, queued: u32, now: Timestamp) {
        self.set_queued(queued, now);
        self.ongoing.value -= requests;
    }

    pub fn set_queued(&mut self, queued: u32, now: Timestamp) {
        self.advance(now);
        self.queued.value = queued;
    }

    pub fn finished(&mut self, arrived: Timestamp, outcome: Outcome, now: Timestamp) {
        self.advance(now);
        self.ongoing.value -= 1;
        self.last_used = self.last_used.max(Some(now));
        match outcome {
            Outcome::Completed => self.totals.completed += 1,
            Outcome::Failed => self.totals.failed += 1,
            Outcome::Cancelled => self.totals.cancelled += 1,
        }
        let took = now.since(arrived);
        self.recent.record(took);
        self.all.record(took);
    }

    pub fn ongoing(&self) -> u32 {
        self.ongoing.value
    }

    pub fn last_used(&self) -> Option<Timestamp> {
        self.last_used
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    pub fn latencies(&self) -> &Histogram {
        &self.all
    }

    /// What happened since the last look; the next look starts here.
    pub fn look(&mut self, now: Timestamp) -> Reading {
        self.advance(now);
        let since = self.looked.map_or(Duration::ZERO, |looked| now.since(looked));
        let seconds = since.as_secs_f64();
        let average = |gauge: &Gauge| (seconds > 0.0).then(|| gauge.area / seconds);
        let reading = Reading {
            since,
            queued_average: average(&self.queued),
            ongoing_average: average(&self.ongoing),
            counts: difference(&self.totals, &self.seen),
            latency: latency_of(&self.recent),
        };
        self.looked = Some(now);
        self.seen = self.totals;
        self.queued.area = 0.0;
        self.ongoing.area = 0.0;
        self.recent.clear();
        reading
    }

    fn advance(&mut self, now: Timestamp) {
        let seconds = now.since(self.counted).as_secs_f64();
        self.queued.area += f64::from(self.queued.value) * seconds;
        self.ongoing.area += f64::from(self.ongoing.value) * seconds;
        self.counted = self.counted.max(now);
    }
}

fn latency_of(recent: &Histogram) -> Option<Latency> {
    Some(Latency {
        p50_ms: recent.quantile_ms(0.5)?,
        p90_ms: recent.quantile_ms(0.9)?,
        p99_ms: recent.quantile_ms(0.99)?,
    })
}

fn difference(now: &Totals, before: &Totals) -> Totals {
    Totals {
        arrived: now.arrived - before.arrived,
        completed: now.completed - before.completed,
        failed: now.failed - before.failed,
        cancelled: now.cancelled - before.cancelled,
        rejected: now.rejected - before.rejected,
        replicas_started: now.replicas_started - before.replicas_started,
        replicas_failed: now.replicas_failed - before.replicas_failed,
    }
}
