//! What today's worker counts and reports.
//!
//! Source: `Metrics` and `ModelMetrics` of package `vastai` 1.9.1.

use serde_json::{Value, json};

use super::wait_time_s;

/// One request, or a session, which counts like one.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What the finished request is called in reports.
    pub idx: Value,
    /// The number it is counted under. Two live ones with one number hide each other.
    pub reqnum: Value,
    /// Its work in units.
    pub work: f64,
    /// Which kind it is.
    pub kind: Kind,
}

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request of its own.
    Single,
    /// A session. It holds its work until it ends, and is left out of the waiting time.
    Session,
    /// A request inside a session. Its work counts, it itself does not.
    InSession,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, also with an error status of the model.
    Success,
    /// The caller went away. Counts as a success.
    Cancelled,
    /// The worker itself failed.
    Error,
    /// Never started.
    Rejected,
}

/// Work in units since the last delivered report.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Started.
    pub received: f64,
    /// Ended well.
    pub served: f64,
    /// Ended badly.
    pub errored: f64,
    /// Lost its caller.
    pub cancelled: f64,
    /// Refused.
    pub rejected: f64,
}

impl Totals {
    /// What reports call the new load: cancelled work was never offered.
    pub fn new_load(&self) -> f64 {
        (self.received - self.cancelled).max(0.0)
    }
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Accounting {
    /// Cleared by a delivered report.
    pub totals: Totals,
    /// Performance in units per second; 0 before the benchmark.
    pub max_perf: f64,
    /// Seconds the model took to load, once it has.
    pub load_time_s: Option<f64>,
    /// Whether the model has loaded or failed.
    pub is_loaded: bool,
    /// Whether something happened that is worth a report. A cancellation is not.
    pub is_update_due: bool,
    error_msg: String,
    requests: Vec<(Request, Option<Outcome>)>,
    /// By number, in the order in which the numbers came.
    working: Vec<(Value, usize)>,
    numbers_seen: Vec<Value>,
    finished: Vec<usize>,
}

impl Accounting {
    /// A request that is neither started nor refused yet; the answer names it from now on.
    pub fn add(&mut self, request: Request) -> usize {
        self.requests.push((request, None));
        self.requests.len() - 1
    }

    /// Counts a request's work as received.
    pub fn start(&mut self, request: usize) {
        let Request { work, kind, ref reqnum, .. } = self.requests[request].0;
        self.totals.received += work;
        self.is_update_due = true;
        if kind == Kind::InSession {
            return;
        }
        let reqnum = reqnum.clone();
        self.note_number(&reqnum);
        match self.working.iter_mut().find(|(other, _)| *other == reqnum) {
            Some((_, hidden)) => *hidden = request,
            None => self.working.push((reqnum, request)),
        }
    }

    /// Ends a request that was started, or refuses one that was not.
    pub fn end(&mut self, request: usize, outcome: Outcome) {
        let (Request { work, kind, ref reqnum, .. }, ref mut ended) = self.requests[request];
        *ended = Some(outcome);
        let reqnum = reqnum.clone();
        let counter = match outcome {
            Outcome::Success => &mut self.totals.served,
            Outcome::Cancelled => &mut self.totals.cancelled,
            Outcome::Error => &mut self.totals.errored,
            Outcome::Rejected => &mut self.totals.rejected,
        };
        *counter += work;
        self.is_update_due |= outcome != Outcome::Cancelled;
        if kind == Kind::InSession {
            return;
        }
        if outcome == Outcome::Rejected {
            self.note_number(&reqnum);
        } else {
            self.working.retain(|(other, _)| *other != reqnum);
        }
        self.finished.push(request);
    }

    fn note_number(&mut self, reqnum: &Value) {
        if !self.numbers_seen.contains(reqnum) {
            self.numbers_seen.push(reqnum.clone());
        }
    }

    /// Notes that the model is ready.
    pub fn load(&mut self, load_time_s: f64, max_perf: f64) {
        self.load_time_s = Some(load_time_s);
        self.is_loaded = true;
        self.max_perf = max_perf;
    }

    /// Notes that the model failed. The message stays for good, the counters start anew.
    pub fn fail(&mut self, message: &str) {
        self.totals = Totals::default();
        message.clone_into(&mut self.error_msg);
        self.is_loaded = true;
    }

    /// Requests and sessions being worked on.
    pub fn working(&self) -> usize {
        self.working.len()
    }

    /// Seconds a new request has to wait for the work that is held now, sessions left out.
    pub fn wait_time_s(&self) -> f64 {
        if self.working.is_empty() {
            return 0.0;
        }
        let requests = self.working.iter().map(|(_, request)| &self.requests[*request].0);
        let held = requests.filter(|request| request.kind != Kind::Session);
        wait_time_s(held.map(|request| request.work).sum(), self.max_perf)
    }

    /// The status message. The disk is not modelled.
    pub fn status(&self) -> Value {
        let working = || self.working.iter().map(|(_, request)| &self.requests[*request].0);
        json!({
            "id": 7,
            "mtoken": "tok",
            "version": "0",
            "url": "http://10.0.0.1:4000",
            "loadtime": self.load_time_s.unwrap_or(0.0),
            "cur_load": working().map(|request| request.work).sum::<f64>(),
            "new_load": self.totals.new_load(),
            "rej_load": self.totals.rejected,
            "cur_perf": self.totals.served,
            "max_perf": self.max_perf,
            "error_msg": self.error_msg,
            "num_requests_working": self.working.len(),
            "num_requests_recieved": self.numbers_seen.len(),
            "working_request_idxs": working().map(|request| &request.idx).collect::<Vec<_>>(),
            "cur_capacity": 0,
            "max_capacity": 0,
            "disk_usage": 0,
            "additional_disk_usage": 0,
        })
    }

    /// Notes that a status message arrived.
    pub fn delivered(&mut self) {
        self.totals = Totals::default();
        self.is_update_due = false;
    }

    /// The finished requests that were not reported yet, as name, success and status.
    pub fn finished(&self) -> Vec<Value> {
        let requests = self.finished.iter().map(|request| &self.requests[*request]);
        let rows = requests.map(|(request, outcome)| {
            let success = matches!(outcome, Some(Outcome::Success | Outcome::Cancelled));
            json!([request.idx, success, outcome.map(|outcome| format!("{outcome:?}"))])
        });
        rows.collect()
    }

    /// Notes that the finished requests were reported.
    pub fn forget_finished(&mut self) {
        self.finished.clear();
    }
}
