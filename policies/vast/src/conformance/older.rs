//! The two older generations of the worker.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::START_S;
use crate::worker::accounting_2024::Accounting;
use crate::worker::hello::Hello;
use crate::worker::signature::{Replays, SIGNED_FIELDS_2024};
use crate::worker::tokens::{Tokens, tokens};

/// What happens to the smallest worker.
#[derive(Deserialize)]
pub(super) struct HelloSteps {
    steps: Vec<HelloStep>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum HelloStep {
    Call {
        path: String,
        #[serde(default = "post")]
        method: String,
        #[serde(default)]
        json: Value,
    },
    Interval,
    Error {
        msg: String,
    },
}

fn post() -> String {
    "POST".into()
}

impl HelloSteps {
    pub(super) fn answer(self) -> Value {
        let (mut worker, mut statuses) = (Hello::default(), Vec::new());
        for step in self.steps {
            match step {
                HelloStep::Call { path, method, json } => {
                    statuses.push(worker.call(&method.to_uppercase(), &path, &json));
                }
                HelloStep::Interval => worker.report(),
                HelloStep::Error { msg } => worker.fail(&msg),
            }
        }
        json!({"http": statuses, "messages": worker.messages()})
    }
}

/// Requests with good signatures, by number.
#[derive(Deserialize)]
pub(super) struct FlaskSignatures {
    reqnums: Vec<i64>,
}

impl FlaskSignatures {
    pub(super) fn answer(self) -> Value {
        let mut replays = Replays::new(0);
        // Nothing but the number differs, so it stands for the whole message.
        let accepted = self.reqnums.into_iter().map(|reqnum| replays.accept(reqnum, reqnum));
        let accepted: Vec<_> = accepted.collect();
        // A request that lacks a signed field goes to the model without those it has.
        let mut unsigned: Map<String, Value> = Map::new();
        unsigned.insert("inputs".into(), "hi".into());
        unsigned.insert("cost".into(), "1".into());
        unsigned.retain(|field, _| !SIGNED_FIELDS_2024.contains(&field.as_str()));
        let left_over: Vec<_> = unsigned.keys().collect();
        json!({"accepted": accepted, "unsigned": null, "left_over": left_over})
    }
}

/// Requests with good signatures, by the fields that differ from the usual ones.
#[derive(Deserialize)]
pub(super) struct Signatures2024 {
    checks: Vec<Map<String, Value>>,
}

impl Signatures2024 {
    pub(super) fn answer(self) -> Value {
        let mut replays = Replays::new(-1);
        let accepted = self.checks.into_iter().map(|check| {
            let usual = json!({"cost": "1", "endpoint": "e", "reqnum": 1, "url": "u"});
            let mut message = usual.as_object().cloned().unwrap_or_default();
            message.extend(check);
            let reqnum = message.get("reqnum").and_then(Value::as_i64).unwrap_or_default();
            replays.accept(reqnum, message)
        });
        let accepted: Vec<_> = accepted.collect();
        json!({"signed_fields_in_order": SIGNED_FIELDS_2024, "accepted": accepted})
    }
}

/// What happens to a worker that generates text.
#[derive(Deserialize)]
pub(super) struct TokenSteps {
    steps: Vec<TokenStep>,
}

#[derive(Deserialize)]
struct TokenStep {
    #[serde(rename = "do")]
    what: TokenEvent,
    /// Length of the prompt.
    #[serde(default)]
    chars: u64,
    /// Tokens to generate.
    #[serde(default)]
    new: f64,
    /// Status of a failure.
    code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TokenEvent {
    Start,
    Finish,
    Error,
    Report,
}

impl TokenSteps {
    pub(super) fn answer(self) -> Value {
        let (mut worker, mut reports) = (Tokens::default(), Vec::new());
        for step in self.steps {
            let tokens = tokens(step.chars, step.new);
            match step.what {
                TokenEvent::Start => worker.start(tokens),
                TokenEvent::Finish => worker.finish(tokens),
                TokenEvent::Error => worker.error(tokens, step.code),
                TokenEvent::Report => reports.push(worker.report()),
            }
        }
        reports.into()
    }
}

/// What happens to a worker of 2024.
#[derive(Deserialize)]
pub(super) struct Events2024 {
    events: Vec<Event2024>,
    /// Whether the answer ends with where the last message went.
    #[serde(default)]
    target: bool,
}

#[derive(Deserialize)]
struct Event2024 {
    /// Seconds since the start; none if no time has passed.
    t: Option<f64>,
    #[serde(flatten)]
    what: What2024,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum What2024 {
    Start {
        work: f64,
        id: Value,
    },
    End {
        work: f64,
        took: f64,
        id: Value,
    },
    Error {
        work: f64,
        id: Value,
    },
    Cancel {
        work: f64,
        id: Value,
    },
    Loaded {
        max_perf: f64,
    },
    ModelError {
        msg: String,
    },
    Report,
    /// Only time passes.
    #[serde(other)]
    Other,
}

impl Events2024 {
    pub(super) fn answer(self) -> Result<Value, String> {
        let (mut worker, mut answers) = (Accounting::default(), Vec::new());
        let (mut now_s, mut last_report_s) = (START_S, START_S);
        for Event2024 { t, what } in self.events {
            now_s = START_S + t.unwrap_or(now_s - START_S);
            match what {
                What2024::Start { work, id } => worker.start(id, work),
                What2024::End { took: 0.0, .. } => return Err("a request took no time".into()),
                What2024::End { work, took, id } => worker.end(&id, work, took),
                What2024::Error { work, id } => worker.error(&id, work),
                What2024::Cancel { work, id } => worker.cancel(&id, work),
                What2024::Loaded { max_perf } => worker.load(now_s - START_S, max_perf),
                What2024::ModelError { msg } => worker.fail(&msg),
                What2024::Report if now_s == last_report_s => {
                    return Err("no time has passed since the last report".into());
                }
                What2024::Report => {
                    answers.push(worker.report(now_s - last_report_s));
                    last_report_s = now_s;
                }
                What2024::Other => {}
            }
        }
        if self.target {
            // The time-out of a message is one second.
            answers.push(json!(["http://control/worker_status/", 1]));
        }
        Ok(answers.into())
    }
}
