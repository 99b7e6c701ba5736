//! Messages about requests that ended, and about workers that leave.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

use super::field::{Figure, Id, Text};
use super::{Malformed, REPORT_BYTES_MAX, TOKEN_BYTES_MAX, parse};
use crate::secret::Secret;

/// Most bytes of a message about finished requests. A worker repeats what was not taken and adds to
/// it, so a small limit would stop it for good; this is enough for about 20000 requests.
pub const FINISHED_BYTES_MAX: usize = 4 << 20;

/// Most requests of such a message: more than fit if they have all fields, and so few that empty
/// ones do not fill the memory.
pub const FINISHED_MAX: usize = 50_000;

/// How a request ended, as the worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, also with an error status of the model.
    Success,
    /// The caller went away.
    Cancelled,
    /// The worker itself failed.
    Error,
    /// Never started.
    Rejected,
    /// A word that no known worker says.
    Other,
}

/// A request that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedRequest {
    /// The number it was sent with; `None` if it was sent with something else.
    pub number: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Seconds it waited inside the worker, if it was started.
    pub waited_s: Option<f64>,
    /// Seconds it was worked on, if it was started and ended.
    pub worked_s: Option<f64>,
}

/// Requests that ended: the body of `POST {REPORT_ADDR}/delete_requests/`, which only today's
/// workers send.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The worker's name.
    pub worker: String,
    /// The token in the message.
    pub token: Option<Secret>,
    /// The requests, in the order in which they ended.
    pub requests: Vec<FinishedRequest>,
}

#[derive(Deserialize)]
struct Raw {
    worker_id: Id,
    mtoken: Option<Text<TOKEN_BYTES_MAX>>,
    #[serde(deserialize_with = "requests")]
    requests: Vec<FinishedRequest>,
}

/// Reads the list of requests, at most [`FINISHED_MAX`].
fn requests<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<FinishedRequest>, D::Error> {
    from.deserialize_seq(Requests)
}

struct Requests;

impl<'de> Visitor<'de> for Requests {
    type Value = Vec<FinishedRequest>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut requests = Vec::new();
        while let Some(request) = items.next_element::<RawRequest>()? {
            if requests.len() == FINISHED_MAX {
                let text = format_args!("has more than {FINISHED_MAX} requests");
                return Err(A::Error::custom(text));
            }
            requests.push(request.checked());
        }
        Ok(requests)
    }
}

#[derive(Deserialize)]
struct RawRequest {
    #[serde(default)]
    request_idx: Value,
    status: Option<Text<64>>,
    entered_queue_at: Option<Figure>,
    work_started_at: Option<Figure>,
    work_completed_at: Option<Figure>,
}

impl Finished {
    /// Reads the body of a message about finished requests, at most [`FINISHED_BYTES_MAX`] long.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the first field that cannot be used.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let raw: Raw = parse::object(body, FINISHED_BYTES_MAX)?;
        Ok(Self {
            worker: raw.worker_id.0,
            token: raw.mtoken.map(|token| Secret::new(token.0)),
            requests: raw.requests,
        })
    }
}

impl RawRequest {
    fn checked(self) -> FinishedRequest {
        let outcome = match self.status.as_ref().map(|status| status.0.as_str()) {
            Some("Success") => Outcome::Success,
            Some("Cancelled") => Outcome::Cancelled,
            Some("Error") => Outcome::Error,
            Some("Rejected") => Outcome::Rejected,
            _ => Outcome::Other,
        };
        FinishedRequest {
            number: self.request_idx.as_u64(),
            outcome,
            waited_s: between(self.entered_queue_at, self.work_started_at),
            worked_s: between(self.work_started_at, self.work_completed_at),
        }
    }
}

/// Seconds between two times; a time of 0 never came, and clocks that were set back show nothing.
fn between(from: Option<Figure>, to: Option<Figure>) -> Option<f64> {
    let (from, to) = (from?.0, to?.0);
    (from > 0.0 && to >= from).then_some(to - from)
}

/// A worker says that it goes: `{"id": …, "mtoken": …}`. A message of ours, which unmodified
/// workers never send.
#[derive(Debug, Clone)]
pub struct Leave {
    /// The worker's name.
    pub worker: String,
    /// The token in the message.
    pub token: Option<Secret>,
}

#[derive(Deserialize)]
struct RawLeave {
    id: Id,
    mtoken: Option<Text<TOKEN_BYTES_MAX>>,
}

impl Leave {
    /// Reads the body of a message about leaving.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the first field that cannot be used.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let raw: RawLeave = parse::object(body, REPORT_BYTES_MAX)?;
        let token = raw.mtoken.map(|token| Secret::new(token.0));
        Ok(Self { worker: raw.id.0, token })
    }
}
