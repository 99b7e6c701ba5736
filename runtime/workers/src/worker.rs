//! The state of one worker, as its reports tell it.
//!
//! ```text
//!              loaded              error
//!   Loading ───────────▶ Ready ───────────▶ Errored
//!      ▲  ▲                │                   │
//!      │  └── restarted ───┴───────────────────┤      from any: silent too long ▶ Gone,
//!      └───────────────────────────────────────┘      and the next report revives it
//! ```
//!
//! Messages have no sequence number and no time; the module `life` says what is taken for old.

mod life;
mod meter;

use std::collections::VecDeque;
use std::time::Duration;

use samovar_core::time::Timestamp;

use crate::message::{Generation, Offered, Report, Stage};
pub use life::Past;
use life::{Former, Life};
use meter::Meter;
pub use meter::{WINDOW_FIRST, WINDOW_MIN};

/// How many reports with work in them are remembered to tell those that come again.
const REMEMBERED: usize = 8;

/// How much longer the first generation's general worker may be silent. When idle it reports each
/// second with a chance of one in ten; at four times 35 s, one silence in two million is too long.
const RANDOM_SILENCE: u32 = 4;

/// Least performance that waiting is divided by, as the workers do it.
const PERF_MIN: f64 = 0.000_01;

/// How long silence is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until the first report of a worker that we start. Default 120 s: its interpreter and
    /// libraries load before it can say anything.
    pub first: Duration,
    /// Between two reports. Default 35 s: workers report every 10 s and try three times.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(120), silence: Duration::from_secs(35) }
    }
}

/// What a worker can do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its model is not loaded yet, or it has not reported yet.
    Loading,
    /// It takes requests.
    Ready,
    /// It failed and says why.
    Errored(String),
    /// It was silent for too long.
    Gone,
}

/// What a report changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Figures at most.
    Updated,
    /// It is ready for the first time since it began to load.
    Loaded,
    /// It was ready, and has another performance than before.
    Measured,
    /// It is errored.
    Failed,
    /// It is ready after an error or silence.
    Recovered,
    /// Another process answers to its name; it may have to load first.
    Restarted,
    /// The same report again. Nothing in it was counted a second time.
    Repeated,
}

/// How often something odd came; for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Reports that were taken up.
    pub reports: u64,
    /// Reports that came again with the same bytes.
    pub repeated: u64,
    /// Reports from the past, among them those that looked like a restart for a while.
    pub past: u64,
    /// New processes under the same name.
    pub restarts: u64,
    /// Further benchmark results of a process that had one.
    pub measured: u64,
}

/// One worker.
#[derive(Debug, Clone)]
pub struct Worker {
    patience: Patience,
    known_since: Timestamp,
    last_report: Option<Timestamp>,
    is_gone: bool,
    is_loaded: bool,
    error: Option<String>,
    generation: Option<Generation>,
    is_general: bool,
    version: Option<String>,
    load_time_s: Option<f64>,
    max_perf: Option<f64>,
    held: Option<f64>,
    working: Option<u64>,
    received: Option<u64>,
    offered: Meter,
    rejected: Meter,
    served: Meter,
    recent: VecDeque<u64>,
    former: Option<Former>,
    tally: Tally,
}

impl Worker {
    /// A worker that has not reported yet.
    pub fn new(patience: Patience, now: Timestamp) -> Self {
        Self {
            patience,
            known_since: now,
            last_report: None,
            is_gone: false,
            is_loaded: false,
            error: None,
            generation: None,
            is_general: false,
            version: None,
            load_time_s: None,
            max_perf: None,
            held: None,
            working: None,
            received: None,
            offered: Meter::new(),
            rejected: Meter::new(),
            served: Meter::new(),
            recent: VecDeque::new(),
            former: None,
            tally: Tally::default(),
        }
    }

    /// Takes up a report.
    ///
    /// # Errors
    ///
    /// [`Past`] if the report is older than what is known. Then only [`Tally::past`] changed.
    pub fn apply(&mut self, report: &Report, now: Timestamp) -> Result<Change, Past> {
        if self.is_repeated(report) {
            self.tally.repeated += 1;
            // What is said again is no sign of life of a worker that is gone.
            if !self.is_gone {
                self.last_report = Some(now);
            }
            return Ok(Change::Repeated);
        }
        let life = self.life(report).inspect_err(|_| self.tally.past += 1)?;
        let before = self.state();
        let perf_before = self.max_perf;
        self.is_gone = false;
        self.last_report = Some(now);
        self.tally.reports += 1;
        self.begin(&life, now);
        self.describe(report);
        self.count(report, now);
        let is_new = matches!(life, Life::New);
        let change = match (before, self.state()) {
            (_, State::Gone) => unreachable!("a worker that reports is not gone"),
            (State::Errored(_), State::Errored(_)) => Change::Updated,
            (_, State::Errored(_)) => Change::Failed,
            (State::Loading, State::Ready) => Change::Loaded,
            (State::Errored(_) | State::Gone, State::Ready) => Change::Recovered,
            (State::Loading, State::Loading) if !is_new => Change::Updated,
            (_, State::Loading) => Change::Restarted,
            (State::Ready, State::Ready) if is_new => Change::Restarted,
            (State::Ready, State::Ready) if perf_before != self.max_perf => Change::Measured,
            (State::Ready, State::Ready) => Change::Updated,
        };
        self.tally.restarts += u64::from(change == Change::Restarted);
        self.tally.measured += u64::from(change == Change::Measured);
        Ok(change)
    }

    /// Prepares for the figures of that process.
    fn begin(&mut self, life: &Life, now: Timestamp) {
        match life {
            Life::Same => return,
            Life::New => {
                let named = self.load_time_s.zip(self.received);
                // A second false start must not make the first one the process before.
                self.former = named
                    .map(|(load_time_s, received)| Former { load_time_s, received })
                    .or(self.former);
                self.received = None;
            }
            Life::Former(former) => {
                self.tally.past += 1;
                self.received = Some(former.received);
                self.former = None;
            }
        }
        self.is_loaded = false;
        self.error = None;
        self.load_time_s = None;
        self.max_perf = None;
        self.held = None;
        self.working = None;
        for meter in [&mut self.offered, &mut self.rejected, &mut self.served] {
            meter.restart(now);
        }
    }

    /// Takes up what the worker is.
    fn describe(&mut self, report: &Report) {
        let announces = report.load_time_s.is_some() || report.max_perf.is_some();
        match report.generation {
            Generation::Flask => {
                self.is_general |= report.is_general;
                // Its updates go on after an error as if nothing had happened.
                let begins = report.stage == Stage::Loading || announces && !report.is_general;
                if report.error.is_some() || begins {
                    self.error.clone_from(&report.error);
                }
                // A process that announces itself counts from 0.
                let is_other =
                    (report.load_time_s, report.max_perf) != (self.load_time_s, self.max_perf);
                if announces && report.received.is_none() && is_other {
                    self.received = None;
                }
            }
            Generation::Aiohttp | Generation::Today => self.error.clone_from(&report.error),
        }
        match report.stage {
            Stage::Loading => self.is_loaded = false,
            Stage::Loaded => self.is_loaded = true,
            Stage::Unsaid => {}
        }
        self.generation = Some(report.generation);
        self.version = report.version.clone().or(self.version.take());
        self.load_time_s = report.load_time_s.or(self.load_time_s);
        // While loading it is 0 and means nothing.
        let max_perf = report.max_perf.filter(|perf| *perf > 0.0 || self.is_loaded);
        self.max_perf = max_perf.or(self.max_perf);
    }

    /// Takes up what the worker did.
    fn count(&mut self, report: &Report, now: Timestamp) {
        let load = report.load;
        self.held = load.held.or(self.held);
        self.working = report.working.or(self.working);
        self.received = report.received.or(self.received);
        let offered = match load.offered {
            Some(Offered::SinceReport(units)) => {
                self.offered.add_sum(units, now);
                units
            }
            Some(Offered::PerSecond(per_s)) => {
                self.offered.set_rate(per_s, now);
                per_s
            }
            None => 0.0,
        };
        let sums = [(load.rejected, &mut self.rejected), (load.served, &mut self.served)];
        let mut has_work = offered > 0.0;
        for (units, meter) in sums {
            if let Some(units) = units {
                meter.add_sum(units, now);
                has_work |= units > 0.0;
            }
        }
        if has_work {
            if self.recent.len() == REMEMBERED {
                self.recent.pop_front();
            }
            self.recent.push_back(report.fingerprint);
        }
    }

    /// Notes that the worker was silent for too long, or left.
    pub fn end(&mut self) {
        self.is_gone = true;
        self.held = None;
        self.working = None;
        for meter in [&mut self.offered, &mut self.rejected, &mut self.served] {
            meter.stop();
        }
    }

    /// Whether it is silent for longer than tolerated, and not gone yet.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        !self.is_gone && now > self.due()
    }

    /// When its silence will have been too long, if nothing comes.
    pub fn due(&self) -> Timestamp {
        match self.last_report {
            None => self.known_since + self.patience.first,
            Some(last) if self.is_general => last + self.patience.silence * RANDOM_SILENCE,
            Some(last) => last + self.patience.silence,
        }
    }

    /// What it can do now.
    pub fn state(&self) -> State {
        match (&self.error, self.is_loaded) {
            _ if self.is_gone => State::Gone,
            (Some(message), _) => State::Errored(message.clone()),
            (None, true) => State::Ready,
            (None, false) => State::Loading,
        }
    }

    /// Whether it takes requests.
    pub fn is_ready(&self) -> bool {
        !self.is_gone && self.error.is_none() && self.is_loaded
    }

    /// When it reported last.
    pub fn last_report(&self) -> Option<Timestamp> {
        self.last_report
    }

    /// Which code it runs, once it has reported.
    pub fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// Version of its code, if it says.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Seconds that loading took, once it has.
    pub fn load_time_s(&self) -> Option<f64> {
        self.load_time_s
    }

    /// Performance in units per second, once it is known.
    pub fn max_perf(&self) -> Option<f64> {
        self.max_perf
    }

    /// Work held now, in units. Workers that report rates do not say.
    pub fn held(&self) -> Option<f64> {
        self.held
    }

    /// Requests being worked on or waiting, if it says.
    pub fn working(&self) -> Option<u64> {
        self.working
    }

    /// Requests since its process started, if it says.
    pub fn received(&self) -> Option<u64> {
        self.received
    }

    /// Work wanted of it in units per second, over its last interval.
    pub fn offered_per_s(&self) -> f64 {
        self.offered.per_s()
    }

    /// Work it refused in units per second, over its last interval.
    pub fn rejected_per_s(&self) -> f64 {
        self.rejected.per_s()
    }

    /// Work it did in units per second, over its last interval.
    pub fn served_per_s(&self) -> f64 {
        self.served.per_s()
    }

    /// Work offered, rejected and served since it is known, in units.
    pub fn totals(&self) -> [f64; 3] {
        [self.offered.total(), self.rejected.total(), self.served.total()]
    }

    /// Seconds that a new request would wait for the work held now, as the worker itself counts
    /// it, sessions aside. 0 for a worker that does not say what it holds.
    pub fn wait_s(&self) -> f64 {
        self.held.unwrap_or(0.0) / self.max_perf.unwrap_or(0.0).max(PERF_MIN)
    }

    /// How often something odd came.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}
