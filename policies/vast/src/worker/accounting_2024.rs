//! What the worker of 2024 counts and reports: its load is a rate.
//!
//! Source: `lib/metrics.py` and `lib/data_types.py` of `vast-ai/pyworker` at 910f6f2.

use serde_json::{Value, json};

use super::accounting::Totals;

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Accounting {
    totals: Totals,
    /// Performance of the last request in units per second.
    cur_perf: f64,
    max_perf: f64,
    /// Said once, in the first report after loading.
    load_time_s: Option<f64>,
    error_msg: String,
    working: Vec<Value>,
    numbers_seen: Vec<Value>,
}

impl Accounting {
    /// A request comes.
    pub fn start(&mut self, reqnum: Value, work: f64) {
        self.totals.received += work;
        for numbers in [&mut self.numbers_seen, &mut self.working] {
            if !numbers.contains(&reqnum) {
                numbers.push(reqnum.clone());
            }
        }
    }

    /// A request was answered after `took_s` seconds.
    pub fn end(&mut self, reqnum: &Value, work: f64, took_s: f64) {
        self.totals.served += work;
        self.cur_perf = work / took_s;
        self.working.retain(|other| other != reqnum);
    }

    /// A request failed.
    pub fn error(&mut self, reqnum: &Value, work: f64) {
        self.totals.errored += work;
        self.working.retain(|other| other != reqnum);
    }

    /// The caller of a request went away.
    pub fn cancel(&mut self, reqnum: &Value, work: f64) {
        self.totals.cancelled += work;
        self.working.retain(|other| other != reqnum);
    }

    /// The model is ready.
    pub fn load(&mut self, load_time_s: f64, max_perf: f64) {
        self.load_time_s = Some(load_time_s);
        self.max_perf = max_perf;
    }

    /// The model failed.
    pub fn fail(&mut self, message: &str) {
        self.totals = Totals::default();
        message.clone_into(&mut self.error_msg);
    }

    /// The status message `elapsed_s` seconds after the last one, which clears the counters whether
    /// it arrives or not. The disk is not modelled.
    pub fn report(&mut self, elapsed_s: f64) -> Value {
        let status = json!({
            "id": 7,
            "loadtime": self.load_time_s.take().unwrap_or(0.0),
            "cur_load": self.totals.new_load() / elapsed_s,
            "max_perf": self.max_perf,
            "cur_perf": self.cur_perf,
            "error_msg": self.error_msg,
            "num_requests_working": self.working.len(),
            "num_requests_recieved": self.numbers_seen.len(),
            "cur_capacity": 0,
            "max_capacity": 0,
            "url": "http://10.0.0.1:4000",
        });
        self.totals = Totals::default();
        status
    }
}
