//! Which requests today's worker admits, and in what order they run.
//!
//! Source: `Backend.__handle_request` and the session handlers of package `vastai` 1.9.1.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::accounting::{Accounting, Kind, Outcome, Request};
use super::handler::{self, Handler};

/// Fields that a request's authentication must have.
const AUTH_FIELDS: [&str; 6] = ["cost", "endpoint", "reqnum", "request_idx", "signature", "url"];

/// A status that is answered at once.
pub type Status = u16;

/// A worker's front desk. No key is loaded, so it believes either no signature or any.
#[derive(Debug)]
pub struct Desk {
    /// What it counts.
    pub accounting: Accounting,
    handler: Handler,
    is_unsecured: bool,
    /// None or 0: no limit.
    sessions_max: Option<i64>,
    sessions: usize,
    /// Requests that run or wait, in order of arrival, if only one may run.
    line: VecDeque<usize>,
}

impl Desk {
    /// A worker with one handler that has just started.
    pub fn new(handler: Handler, is_unsecured: bool, sessions_max: Option<i64>) -> Self {
        Self {
            accounting: Accounting::default(),
            handler,
            is_unsecured,
            sessions_max,
            sessions: 0,
            line: VecDeque::new(),
        }
    }

    /// Admits a request, and says what it asks of the model.
    ///
    /// # Errors
    ///
    /// The status it is refused with.
    pub fn admit(&mut self, body: Option<&Value>) -> Result<(usize, Map<String, Value>), Status> {
        let (auth, payload, session) = parts(body.ok_or(422_u16)?)?;
        let kind = match session {
            Value::Null => Kind::Single,
            Value::Array(_) | Value::Object(_) => return Err(500),
            id if self.has_session(&id) => Kind::InSession,
            _ => return Err(410),
        };
        let work = handler::work(self.handler.workload, &payload);
        let field = |name| auth.get(name).cloned().unwrap_or_default();
        let request = Request { idx: field("request_idx"), reqnum: field("reqnum"), work, kind };
        let request = self.accounting.add(request);
        let wait_time_s = self.accounting.wait_time_s();
        let waits_too_long = self.handler.max_queue_time.is_some_and(|max_s| wait_time_s > max_s);
        let refused = match (self.is_unsecured, waits_too_long) {
            (false, _) => Some(401),
            (true, true) => Some(429),
            (true, false) => None,
        };
        if let Some(status) = refused {
            self.accounting.end(request, Outcome::Rejected);
            return Err(status);
        }
        self.accounting.start(request);
        if !self.handler.allow_parallel_requests {
            self.line.push_back(request);
        }
        Ok((request, payload))
    }

    /// Whether an admitted request is not behind others.
    pub fn may_run(&self, request: usize) -> bool {
        self.line.front().is_none_or(|first| *first == request)
    }

    /// Ends an admitted request.
    pub fn end(&mut self, request: usize, outcome: Outcome) {
        self.line.retain(|other| *other != request);
        self.accounting.end(request, outcome);
    }

    /// Opens a session and answers with its name.
    ///
    /// # Errors
    ///
    /// The status it is refused with: 429 at the limit, 500 where the worker stumbles over a value
    /// of the wrong type.
    pub fn open_session(&mut self, body: Option<&Value>) -> Result<Value, Status> {
        let body = body.ok_or(422_u16)?.as_object().ok_or(500_u16)?;
        let auth = body.get("auth_data").and_then(Value::as_object).ok_or(500_u16)?;
        let field = |name| auth.get(name).cloned().unwrap_or_default();
        let cost = match field("cost") {
            Value::Number(cost) => cost.as_f64(),
            Value::Bool(yes) => Some(f64::from(u8::from(yes))),
            _ => None,
        };
        let session = |work| Request {
            idx: field("request_idx"),
            reqnum: field("reqnum"),
            work,
            kind: Kind::Session,
        };
        let limit = self.sessions_max.filter(|max| *max != 0);
        if limit.is_some_and(|max| self.sessions as i64 >= max) {
            let request = self.accounting.add(session(cost.ok_or(500_u16)?));
            self.accounting.end(request, Outcome::Rejected);
            return Err(429);
        }
        let payload = body.get("payload").and_then(Value::as_object).ok_or(500_u16)?;
        if payload.get("lifetime").is_some_and(|lifetime| !lifetime.is_number()) {
            return Err(500);
        }
        // It exists from here on, also if its cost then cannot be added up.
        self.sessions += 1;
        let request = self.accounting.add(session(cost.ok_or(500_u16)?));
        self.accounting.start(request);
        Ok(session_name(self.sessions))
    }

    /// The status of a question about a session, or of a request to end it. The caller never has
    /// the session's own authentication here, so known sessions are out of reach.
    pub fn ask_session(&self, body: Option<&Value>, unknown: Status) -> Status {
        let Some(body) = body else { return 422 };
        let Some(body) = body.as_object() else { return 500 };
        match body.get("session_id").unwrap_or(&Value::Null) {
            Value::String(id) if !id.is_empty() => match self.has_session(&id.as_str().into()) {
                true => 401,
                false => unknown,
            },
            Value::Number(number) if number.as_f64() != Some(0.0) => unknown,
            Value::Bool(true) => unknown,
            Value::Array(items) if !items.is_empty() => 500,
            Value::Object(fields) if !fields.is_empty() => 500,
            _ => 422,
        }
    }

    fn has_session(&self, id: &Value) -> bool {
        (1..=self.sessions).any(|session| session_name(session) == *id)
    }
}

fn session_name(session: usize) -> Value {
    format!("session {session} of this worker").into()
}

/// Authentication, payload and session of a request.
type Parts = (Map<String, Value>, Map<String, Value>, Value);

/// The parts of a request, or the status it is refused with. Fields of the wrong type are noticed
/// one after the other, so the first decides between 422 and 500.
fn parts(body: &Value) -> Result<Parts, Status> {
    let body = match body {
        Value::Object(fields) => fields,
        // Lists and most texts lack the fields. Numbers cannot be asked for any.
        Value::Array(_) => return Err(422),
        Value::String(text) if !text.contains("auth_data") && !text.contains("payload") => {
            return Err(422);
        }
        _ => return Err(500),
    };
    let auth = match body.get("auth_data") {
        None | Some(Value::Array(_) | Value::String(_)) => None,
        Some(Value::Object(auth)) => {
            AUTH_FIELDS.iter().all(|field| auth.contains_key(*field)).then_some(auth)
        }
        Some(_) => return Err(500),
    };
    let payload = body.get("payload").and_then(Value::as_object);
    let (Some(auth), Some(payload)) = (auth, payload) else { return Err(422) };
    Ok((auth.clone(), payload.clone(), body.get("session_id").cloned().unwrap_or_default()))
}
