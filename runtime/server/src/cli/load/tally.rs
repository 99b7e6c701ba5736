//! What became of requests, counted while they come back.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use samovar_core::time::Timestamp;
use samovar_sim::arrivals::Arrival;
use samovar_sim::quantiles::Durations;
use samovar_sim::trace::TraceWriter;

/// Different errors that are told apart; a server that makes up new ones cannot fill the memory.
const KINDS_MAX: usize = 100;

/// Where arrivals are recorded.
pub type Tape = TraceWriter<Box<dyn Write + Send>>;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered. The code is that of a samovar server that had to answer itself.
    Answer { status: StatusCode, code: Option<String> },
    /// It was not, for this reason.
    Error(String),
}

/// How a request is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered, with a status below 500.
    Answered,
    /// It failed.
    Failed,
    /// It got no replica.
    Rejected,
}

/// Counts of a stretch of time.
#[derive(Default)]
pub struct Counts {
    pub arrived: u64,
    pub answered: u64,
    pub failed: u64,
    pub rejected: u64,
    /// Those of the rejected ones that waited too long.
    pub timed_out: u64,
    /// From when requests were due to the end of their answer, of those that were answered.
    pub latency: Durations,
}

/// All that is known of a run.
#[derive(Default)]
pub struct Totals {
    pub counts: Counts,
    pub longest: Duration,
    /// How often each status came, with the code of the server itself.
    pub statuses: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
    /// Requests that were due while all connections were in use.
    pub waited: u64,
    /// How long after they were due requests were noticed to be.
    pub lateness: Durations,
}

/// Counts requests from many tasks.
pub struct Tally {
    /// What the deployment is called on the tape.
    name: String,
    inner: Mutex<Inner>,
}

struct Inner {
    totals: Totals,
    /// Since [`Tally::turn`] was last called.
    recent: Counts,
    tape: Option<Tape>,
    tape_error: Option<io::Error>,
}

impl Outcome {
    /// How it is counted.
    pub fn fate(&self) -> Fate {
        match self {
            Outcome::Answer { code: Some(code), .. } => match code.as_str() {
                "queue-full" | "queue-timeout" | "start-failed" | "shutting-down"
                | "no-deployment" => Fate::Rejected,
                _ => Fate::Failed,
            },
            Outcome::Answer { status, code: None } if status.is_server_error() => Fate::Failed,
            Outcome::Answer { .. } => Fate::Answered,
            Outcome::Error(_) => Fate::Failed,
        }
    }
}

impl Counts {
    /// Requests that are still under way.
    pub fn open(&self) -> u64 {
        self.arrived - self.answered - self.failed - self.rejected
    }

    fn note(&mut self, outcome: &Outcome, latency: Duration) {
        match outcome.fate() {
            Fate::Answered => {
                self.answered += 1;
                self.latency.record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
            }
            Fate::Failed => self.failed += 1,
            Fate::Rejected => self.rejected += 1,
        }
        let timed_out = |code: &String| code == "queue-timeout";
        if matches!(outcome, Outcome::Answer { code: Some(code), .. } if timed_out(code)) {
            self.timed_out += 1;
        }
    }
}

impl Tally {
    /// Nothing counted yet. Arrivals are recorded on `tape` under `name`.
    pub fn new(name: String, tape: Option<Tape>) -> Tally {
        let totals = Totals::default();
        let inner = Inner { totals, recent: Counts::default(), tape, tape_error: None };
        Tally { name, inner: Mutex::new(inner) }
    }

    /// A request is due. `at`, the time since the start, is asked for under the lock, so that times
    /// on the tape never go back.
    pub fn arrived(&self, at: impl FnOnce() -> Duration) -> Duration {
        let inner = &mut *self.inner.lock();
        let at = at();
        inner.totals.counts.arrived += 1;
        inner.recent.arrived += 1;
        if let Some(tape) = &mut inner.tape {
            let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            let arrival = Arrival { at: Timestamp::from_nanos(nanos), service_nanos: None };
            if let Err(error) = tape.record(&self.name, &arrival) {
                inner.tape_error.get_or_insert(error);
            }
        }
        at
    }

    /// A request was noticed to be due so long after it was.
    pub fn late(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.inner.lock().totals.lateness.record(nanos);
    }

    /// A request found no connection free.
    pub fn waited(&self) {
        self.inner.lock().totals.waited += 1;
    }

    /// A request came to its end, so long after it was due.
    pub fn ended(&self, outcome: &Outcome, latency: Duration) {
        let inner = &mut *self.inner.lock();
        inner.recent.note(outcome, latency);
        let totals = &mut inner.totals;
        totals.counts.note(outcome, latency);
        match outcome {
            Outcome::Answer { status, code } => {
                let text = match code {
                    Some(code) => format!("{} {code}", status.as_u16()),
                    None => status.as_u16().to_string(),
                };
                count(&mut totals.statuses, text);
            }
            Outcome::Error(reason) => count(&mut totals.errors, reason.clone()),
        }
        if outcome.fate() == Fate::Answered {
            totals.longest = totals.longest.max(latency);
        }
    }

    /// What was counted since the last call, and requests that are under way now.
    pub fn turn(&self) -> (Counts, u64) {
        let inner = &mut *self.inner.lock();
        (std::mem::take(&mut inner.recent), inner.totals.counts.open())
    }

    /// Looks at what was counted so far.
    pub fn look<T>(&self, look: impl FnOnce(&Totals) -> T) -> T {
        look(&self.inner.lock().totals)
    }

    /// Writes out the tape.
    ///
    /// # Errors
    ///
    /// The first one of the tape.
    pub fn finish_tape(&self) -> io::Result<()> {
        let inner = &mut *self.inner.lock();
        if let Some(error) = inner.tape_error.take() {
            return Err(error);
        }
        match inner.tape.take() {
            Some(tape) => tape.finish()?.flush(),
            None => Ok(()),
        }
    }
}

fn count(kinds: &mut BTreeMap<String, u64>, kind: String) {
    let kind = match kinds.len() < KINDS_MAX || kinds.contains_key(&kind) {
        true => kind,
        false => "others".to_owned(),
    };
    *kinds.entry(kind).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: Option<&str>) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap();
        Outcome::Answer { status, code: code.map(str::to_owned) }
    }

    #[test]
    fn what_the_handler_says_is_an_answer_unless_it_failed() {
        for (outcome, fate) in [
            (answer(200, None), Fate::Answered),
            (answer(404, None), Fate::Answered),
            (answer(500, None), Fate::Failed),
            (answer(503, Some("queue-full")), Fate::Rejected),
            (answer(504, Some("queue-timeout")), Fate::Rejected),
            (answer(504, Some("request-timeout")), Fate::Failed),
            (answer(422, Some("input-schema")), Fate::Failed),
            (Outcome::Error("connection refused".into()), Fate::Failed),
        ] {
            assert_eq!(outcome.fate(), fate, "{outcome:?}");
        }
    }

    #[test]
    fn every_request_is_counted_once() {
        let tally = Tally::new("x".into(), None);
        for _ in 0..5 {
            tally.arrived(|| Duration::ZERO);
        }
        tally.ended(&answer(200, None), Duration::from_millis(20));
        tally.ended(&answer(200, None), Duration::from_millis(40));
        tally.ended(&answer(504, Some("queue-timeout")), Duration::from_secs(9));
        let (recent, open) = tally.turn();
        assert_eq!((recent.arrived, recent.answered, recent.rejected, open), (5, 2, 1, 2));
        tally.ended(&Outcome::Error("gone".into()), Duration::ZERO);
        let (recent, open) = tally.turn();
        assert_eq!((recent.arrived, recent.failed, open), (0, 1, 1));
        tally.look(|totals| {
            let Counts { arrived, answered, failed, rejected, timed_out, .. } = totals.counts;
            assert_eq!((arrived, answered, failed, rejected, timed_out), (5, 2, 1, 1, 1));
            // Of what was not answered nobody knows how long it would have taken.
            assert_eq!(totals.longest, Duration::from_millis(40));
            assert_eq!(totals.statuses["504 queue-timeout"], 1);
            assert_eq!(totals.errors["gone"], 1);
        });
    }

    #[test]
    fn errors_that_are_always_new_take_no_memory() {
        let tally = Tally::new("x".into(), None);
        for number in 0..1000 {
            tally.arrived(|| Duration::ZERO);
            tally.ended(&Outcome::Error(format!("error {number}")), Duration::ZERO);
        }
        let (kinds, others) = tally.look(|totals| (totals.errors.len(), totals.errors["others"]));
        assert_eq!((kinds, others), (KINDS_MAX + 1, 1000 - KINDS_MAX as u64));
    }
}
