//! Events of a worker's life, and the status messages they lead to.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{START_S, rounded};
use crate::worker::accounting::{Accounting, Kind, Outcome, Request};

/// What happens to one worker.
#[derive(Deserialize)]
pub(super) struct Events {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    /// Seconds since the start; none if no time has passed.
    t: Option<f64>,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum What {
    Start {
        id: Value,
        reqnum: Option<Value>,
        work: f64,
        #[serde(default)]
        is_session: bool,
    },
    Success {
        id: Value,
    },
    Cancel {
        id: Value,
    },
    Error {
        id: Value,
    },
    Reject {
        id: Value,
        work: f64,
    },
    Loaded {
        max_perf: f64,
    },
    ModelError {
        msg: String,
    },
    Report {
        #[serde(default)]
        server_down: bool,
    },
    WaitTime,
    Delete,
    Fields,
    Due,
    /// Only time passes.
    #[serde(other)]
    Other,
}

/// A worker and the server it reports to.
#[derive(Default)]
struct World {
    worker: Accounting,
    now_s: f64,
    last_report_s: f64,
    is_server_down: bool,
    /// Requests by the name the events have for them; the last one of a name counts.
    live: Vec<(Value, usize)>,
    last_message: Option<Value>,
    answers: Vec<Value>,
}

impl Events {
    pub(super) fn answer(self) -> Result<Value, String> {
        let mut world = World { now_s: START_S, ..World::default() };
        for Event { t, what } in self.events {
            world.now_s = START_S + t.unwrap_or(world.now_s - START_S);
            world.happen(what)?;
        }
        Ok(world.answers.into())
    }
}

impl World {
    fn happen(&mut self, what: What) -> Result<(), String> {
        let worker = &mut self.worker;
        match what {
            What::Start { id, reqnum, work, is_session } => {
                let kind = if is_session { Kind::Session } else { Kind::Single };
                let reqnum = reqnum.unwrap_or_else(|| id.clone());
                let request = worker.add(Request { idx: id.clone(), reqnum, work, kind });
                worker.start(request);
                self.live.push((id, request));
            }
            What::Success { id } => self.end(&id, Outcome::Success)?,
            What::Cancel { id } => self.end(&id, Outcome::Cancelled)?,
            What::Error { id } => self.end(&id, Outcome::Error)?,
            What::Reject { id, work } => {
                let request = Request { idx: id.clone(), reqnum: id, work, kind: Kind::Single };
                let request = worker.add(request);
                worker.end(request, Outcome::Rejected);
            }
            What::Loaded { max_perf } => worker.load(self.now_s - START_S, max_perf),
            What::ModelError { msg } => worker.fail(&msg),
            What::Report { server_down } => {
                self.is_server_down = server_down;
                let status = self.report();
                self.answers.push(status.unwrap_or_default());
            }
            What::WaitTime => {
                let wait_time_s = rounded(worker.wait_time_s(), 6);
                self.answers.push(json!({"wait_time": wait_time_s}));
            }
            What::Delete => {
                let finished = worker.finished();
                if finished.is_empty() || self.is_server_down {
                    self.answers.push(Value::Null);
                } else {
                    worker.forget_finished();
                    let message = json!({"worker_id": 7, "mtoken": "tok", "requests": []});
                    self.last_message = Some(message);
                    self.answers.push(finished.into());
                }
            }
            What::Fields => {
                self.report();
                let message = self.last_message.as_ref().and_then(Value::as_object);
                let names = message.ok_or("no message was posted yet")?.keys();
                self.answers.push(names.cloned().collect::<Vec<_>>().into());
            }
            What::Due => self.answers.push(json!({
                "update_pending": worker.is_update_due,
                "gap": rounded(self.now_s - self.last_report_s, 3),
                "loaded": worker.is_loaded,
            })),
            What::Other => {}
        }
        Ok(())
    }

    fn end(&mut self, id: &Value, outcome: Outcome) -> Result<(), String> {
        let named = self.live.iter().rev().find(|(name, _)| name == id);
        let (_, request) = named.ok_or_else(|| format!("request {id} was not started"))?;
        self.worker.end(*request, outcome);
        Ok(())
    }

    /// Posts the status. Counters are cleared only if it arrives.
    fn report(&mut self) -> Option<Value> {
        if self.is_server_down {
            return None;
        }
        let status = self.worker.status();
        self.worker.delivered();
        self.last_report_s = self.now_s;
        self.last_message = Some(status.clone());
        Some(status)
    }
}
