//! Requests to a worker with a stub in the place of its model, in virtual time.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::small::handler;
use crate::worker::accounting::Outcome;
use crate::worker::desk::{Desk, Status};

/// Where the stub of the model answers.
const MODEL_ROUTE: &str = "/model";

/// Seconds that pass after a request was sent off or the held ones were let go.
const PAUSE_S: f64 = 0.05;

/// Seconds that pass after a client went away.
const DROP_PAUSE_S: f64 = 0.1;

/// A worker and what its clients do.
#[derive(Deserialize)]
pub(super) struct Steps {
    steps: Vec<Step>,
    #[serde(default)]
    handler: Map<String, Value>,
    #[serde(default = "max_sessions")]
    max_sessions: Option<i64>,
    #[serde(default = "unsecured")]
    unsecured: bool,
    #[serde(default)]
    max_perf: f64,
    /// Whether the answer has the worker's counters.
    #[serde(default)]
    counters: bool,
}

fn max_sessions() -> Option<i64> {
    Some(10)
}

fn unsecured() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Step {
    /// Sends a request and waits for the answer.
    Post(Call),
    /// Sends a request and goes on.
    Spawn(Call),
    /// Lets go what the model holds.
    Release,
    /// The client of a spawned request goes away.
    DropClient { name: String },
    /// Waits for all spawned requests.
    Join,
}

#[derive(Deserialize)]
struct Call {
    name: String,
    path: Option<String>,
    #[serde(default)]
    payload: Option<Value>,
    /// Fields of the authentication that differ from the usual ones.
    #[serde(default)]
    auth: Map<String, Value>,
    reqnum: Option<Value>,
    #[serde(default)]
    drop_auth: Vec<String>,
    #[serde(default)]
    drop: Vec<String>,
    session: Option<String>,
    /// The whole body: text as it is, anything else as JSON.
    raw: Option<Value>,
}

/// Where a request is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Behind others.
    Waiting,
    /// With the model until the held ones are let go.
    Held,
    /// With the model until then.
    Running { until_s: f64 },
    /// Answered.
    Answered(Status),
    /// Its client went away.
    Dropped,
}

struct Sent {
    /// Its number at the worker, and what it asks of the model. None for other routes.
    admitted: Option<(usize, Map<String, Value>)>,
    stage: Stage,
}

struct World {
    desk: Desk,
    route: String,
    now_s: f64,
    is_released: bool,
    sent: Vec<Sent>,
    model_saw: Vec<Value>,
    results: BTreeMap<String, Status>,
    spawned: BTreeMap<String, usize>,
    sessions: BTreeMap<String, Value>,
}

impl Steps {
    pub(super) fn answer(self) -> Result<Value, String> {
        let handler = handler(self.handler).map_err(|refused| refused.text)?;
        let route = handler.route.clone();
        let mut desk = Desk::new(handler, self.unsecured, self.max_sessions);
        desk.accounting.max_perf = self.max_perf;
        let mut world = World {
            desk,
            route,
            now_s: 0.0,
            is_released: false,
            sent: Vec::new(),
            model_saw: Vec::new(),
            results: BTreeMap::new(),
            spawned: BTreeMap::new(),
            sessions: BTreeMap::new(),
        };
        for step in self.steps {
            world.step(step)?;
        }
        let mut answer = json!({"status": world.results, "model_saw": world.model_saw});
        if self.counters {
            let totals = world.desk.accounting.totals;
            answer["counters"] = json!({
                "received": totals.received,
                "served": totals.served,
                "errored": totals.errored,
                "cancelled": totals.cancelled,
                "rejected": totals.rejected,
            });
            answer["working"] = world.desk.accounting.working().into();
        }
        Ok(answer)
    }
}

impl World {
    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Post(call) => {
                let sent = self.send(&call, self.results.len() + self.spawned.len());
                let status = self.wait_for(sent)?.ok_or("nobody drops a posted request")?;
                self.results.insert(call.name, status);
            }
            Step::Spawn(call) => {
                let is_new = !self.spawned.contains_key(&call.name);
                let number = self.results.len() + self.spawned.len() + usize::from(is_new);
                let sent = self.send(&call, number);
                self.spawned.insert(call.name, sent);
                self.run_until(self.now_s + PAUSE_S);
            }
            Step::Release => {
                self.is_released = true;
                for index in 0..self.sent.len() {
                    if self.sent[index].stage == Stage::Held {
                        self.let_go(index);
                    }
                }
                self.run_until(self.now_s + PAUSE_S);
            }
            Step::DropClient { name } => {
                let index = *self.spawned.get(&name).ok_or("no such request was spawned")?;
                if !matches!(self.sent[index].stage, Stage::Answered(_) | Stage::Dropped) {
                    self.end(index, Outcome::Cancelled, Stage::Dropped);
                }
                self.run_until(self.now_s + DROP_PAUSE_S);
            }
            Step::Join => {
                for (name, sent) in self.spawned.clone() {
                    if let Some(status) = self.wait_for(sent)? {
                        self.results.insert(name, status);
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands a request to the worker.
    fn send(&mut self, call: &Call, number: usize) -> usize {
        let body = self.body(call, number);
        let path = call.path.as_deref().unwrap_or(MODEL_ROUTE);
        let refused = |status| Sent { admitted: None, stage: Stage::Answered(status) };
        let sent = match path {
            path if path == self.route => match self.desk.admit(body.as_ref()) {
                Ok(admitted) => Sent { admitted: Some(admitted), stage: Stage::Waiting },
                Err(status) => refused(status),
            },
            "/session/create" => match self.desk.open_session(body.as_ref()) {
                Ok(session) => {
                    self.sessions.insert(call.name.clone(), session);
                    refused(201)
                }
                Err(status) => refused(status),
            },
            "/session/end" | "/session/get" => refused(self.desk.ask_session(body.as_ref(), 400)),
            "/session/health" => refused(self.desk.ask_session(body.as_ref(), 200)),
            _ => refused(404),
        };
        self.sent.push(sent);
        self.start_next();
        self.sent.len() - 1
    }

    /// The body as the worker reads it; none if it is not JSON.
    fn body(&self, call: &Call, number: usize) -> Option<Value> {
        match &call.raw {
            Some(Value::String(text)) => return serde_json::from_str(text).ok(),
            Some(raw) => return Some(raw.clone()),
            None => {}
        }
        let mut auth = json!({
            "cost": "1", "endpoint": "e", "request_idx": 1, "signature": "", "url": "u",
            "reqnum": call.reqnum.clone().unwrap_or_else(|| number.into()),
        });
        for (field, value) in &call.auth {
            auth[field] = value.clone();
        }
        if let Some(fields) = auth.as_object_mut() {
            fields.retain(|field, _| !call.drop_auth.contains(field));
        }
        let payload = call.payload.clone().unwrap_or_else(|| json!({}));
        let mut body = json!({"auth_data": auth, "payload": payload});
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|field, _| !call.drop.contains(field));
        }
        if let Some(name) = &call.session {
            let known = self.sessions.get(name).cloned();
            body["session_id"] = known.unwrap_or_else(|| name.as_str().into());
        }
        Some(body)
    }

    /// Gives the model what need not wait any more, in order of arrival.
    fn start_next(&mut self) {
        for index in 0..self.sent.len() {
            let Sent { admitted: Some((request, payload)), stage: Stage::Waiting } =
                &self.sent[index]
            else {
                continue;
            };
            if !self.desk.may_run(*request) {
                continue;
            }
            if self.route == MODEL_ROUTE {
                self.model_saw.push(payload.get("tag").cloned().unwrap_or_default());
            }
            let holds = self.route == MODEL_ROUTE && is_set(payload.get("hold"));
            self.sent[index].stage = Stage::Held;
            if self.is_released || !holds {
                self.let_go(index);
            }
        }
    }

    fn let_go(&mut self, index: usize) {
        let payload = self.sent[index].admitted.as_ref().map(|(_, payload)| payload);
        let slow_s = payload.and_then(|payload| payload.get("slow")?.as_f64());
        let is_model = self.route == MODEL_ROUTE;
        let until_s = self.now_s + slow_s.filter(|_| is_model).unwrap_or(0.0);
        self.sent[index].stage = Stage::Running { until_s };
    }

    fn end(&mut self, index: usize, outcome: Outcome, stage: Stage) {
        if let Some((request, _)) = &self.sent[index].admitted {
            self.desk.end(*request, outcome);
        }
        self.sent[index].stage = stage;
        self.start_next();
    }

    /// The request that is answered next, and when.
    fn next_answer(&self) -> Option<(usize, f64)> {
        let running = self.sent.iter().enumerate().filter_map(|(index, sent)| match sent.stage {
            Stage::Running { until_s } => Some((index, until_s)),
            Stage::Waiting | Stage::Held | Stage::Answered(_) | Stage::Dropped => None,
        });
        running.min_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// Lets the model answer one request. Its status is passed on; any counts as served.
    fn answer_next(&mut self, index: usize, at_s: f64) {
        self.now_s = self.now_s.max(at_s);
        let payload = self.sent[index].admitted.as_ref().map(|(_, payload)| payload);
        let status = payload.and_then(|payload| payload.get("status")?.as_u64());
        let status = if self.route == MODEL_ROUTE { status.unwrap_or(200) } else { 404 };
        self.end(index, Outcome::Success, Stage::Answered(status as Status));
    }

    fn run_until(&mut self, until_s: f64) {
        while let Some((index, at_s)) = self.next_answer().filter(|(_, at_s)| *at_s <= until_s) {
            self.answer_next(index, at_s);
        }
        self.now_s = until_s;
    }

    /// Waits until a request is answered; none if its client went away.
    fn wait_for(&mut self, index: usize) -> Result<Option<Status>, String> {
        loop {
            match self.sent[index].stage {
                Stage::Answered(status) => return Ok(Some(status)),
                Stage::Dropped => return Ok(None),
                Stage::Waiting | Stage::Held | Stage::Running { .. } => {}
            }
            let (next, at_s) = self.next_answer().ok_or("a request is held and never let go")?;
            self.answer_next(next, at_s);
        }
    }
}

/// Whether Python takes the value for true.
fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => true,
    }
}
