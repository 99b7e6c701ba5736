//! What workers say: status reports of three generations, finished requests, and leaving.
//!
//! A report is `POST {REPORT_ADDR}/worker_status/`. The generations share most names and differ in
//! what they mean by them:
//!
//! | | `cur_load` | `loadtime` | token | counts requests |
//! | --- | --- | --- | --- | --- |
//! | [`Generation::Flask`] | units per second | in a message of its own | yes | upwards |
//! | the same, with `message` | a sum, if with `cur_capacity` | once loaded | yes | both ways |
//! | [`Generation::Aiohttp`] | units per second | once, then 0 | no | upwards |
//! | [`Generation::Today`] | units held now | 0 until loaded | yes | upwards |
//!
//! All figures are checked: finite, not negative, not above [`FIGURE_MAX`].

mod field;
mod finished;
mod parse;

use std::hash::{DefaultHasher, Hasher};

use serde::Deserialize;

use field::{Count, Figure, Id, Text};
pub use field::{FIGURE_MAX, ID_CHARS_MAX};
pub use finished::{FINISHED_BYTES_MAX, FINISHED_MAX, Finished, FinishedRequest, Leave, Outcome};
pub use parse::Malformed;

use crate::secret::Secret;

/// Most bytes of a report.
pub const REPORT_BYTES_MAX: usize = 64 << 10;

/// Most characters that are kept of an error's text.
pub const ERROR_CHARS_MAX: usize = 1000;

/// Longest time that a model can take to load, in seconds: 30 days.
pub const LOAD_TIME_S_MAX: f64 = 30.0 * 86_400.0;

const TOKEN_BYTES_MAX: usize = 256;
const URL_BYTES_MAX: usize = 512;
const VERSION_CHARS_MAX: usize = 64;

/// Which code the worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The first, from 2024: small messages, each about one thing.
    Flask,
    /// The second, from 2024: one message form, without a token.
    Aiohttp,
    /// Package `vastai`.
    Today,
}

/// Work that clients wanted done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Offered {
    /// Units per second, over the time since the last report.
    PerSecond(f64),
    /// Units since the last report that was delivered.
    SinceReport(f64),
}

/// A worker's work, in units.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Held now: being worked on or waiting inside the worker.
    pub held: Option<f64>,
    /// Wanted of it, without what was refused or given up.
    pub offered: Option<Offered>,
    /// Refused since the last delivered report.
    pub rejected: Option<f64>,
    /// Done since the last delivered report.
    pub served: Option<f64>,
}

/// What a report says about the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Still loading.
    Loading,
    /// Loaded. First-generation workers report work only once they are.
    Loaded,
    /// Nothing: only that the worker is there.
    Unsaid,
}

/// One status report, checked.
#[derive(Debug, Clone)]
pub struct Report {
    /// The worker's name. Numbers and texts are the same: 7 and "7".
    pub worker: String,
    /// The token in the message, if it has one.
    pub token: Option<Secret>,
    /// Which code sent it.
    pub generation: Generation,
    /// Whether it is of the first generation's general worker, which reports at random times and
    /// takes failed requests out of its count.
    pub is_general: bool,
    /// What it says about the model.
    pub stage: Stage,
    /// Where the worker says it listens, unchecked; first-generation workers do not say.
    pub url: Option<String>,
    /// The port it listens on. A field of ours, for workers that know no address of theirs.
    pub port: Option<u16>,
    /// Seconds that loading took, if said and not 0.
    pub load_time_s: Option<f64>,
    /// Performance in units per second, by a benchmark.
    pub max_perf: Option<f64>,
    /// Its work, in the units that its generation means.
    pub load: Load,
    /// What went wrong, cut to [`ERROR_CHARS_MAX`] characters.
    pub error: Option<String>,
    /// Requests being worked on or waiting.
    pub working: Option<u64>,
    /// Requests since the process started.
    pub received: Option<u64>,
    /// Version of the worker's code.
    pub version: Option<String>,
    /// The same for the same bytes, to tell a message that comes twice.
    pub fingerprint: u64,
}

#[derive(Deserialize)]
struct Raw {
    id: Id,
    mtoken: Option<Text<TOKEN_BYTES_MAX>>,
    message: Option<Text<{ REPORT_BYTES_MAX }>>,
    version: Option<Text<{ REPORT_BYTES_MAX }>>,
    url: Option<Text<URL_BYTES_MAX>>,
    port: Option<Count>,
    loaded: Option<bool>,
    loadtime: Option<Figure>,
    max_perf: Option<Figure>,
    cur_load: Option<Figure>,
    new_load: Option<Figure>,
    rej_load: Option<Figure>,
    cur_perf: Option<Figure>,
    cur_capacity: Option<Figure>,
    error: Option<bool>,
    error_msg: Option<Text<{ REPORT_BYTES_MAX }>>,
    num_requests_working: Option<Count>,
    num_requests_recieved: Option<Count>,
}

impl Report {
    /// Reads the body of a report.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the first field that cannot be used.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let raw: Raw = parse::object(body, REPORT_BYTES_MAX)?;
        let figure = |figure: Option<Figure>| figure.map(|figure| figure.0);
        let load_time_s = figure(raw.loadtime);
        if load_time_s.is_some_and(|time_s| time_s > LOAD_TIME_S_MAX) {
            return Err(Malformed::field("loadtime", "is more than 30 days"));
        }
        let port = raw.port.map(|port| u16::try_from(port.0).ok().filter(|port| *port > 0));
        if port == Some(None) {
            return Err(Malformed::field("port", "must be between 1 and 65535"));
        }
        let generation = raw.generation();
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        Ok(Self {
            generation,
            is_general: generation == Generation::Flask && raw.message.is_some(),
            stage: raw.stage(generation),
            load_time_s: load_time_s.filter(|time_s| *time_s > 0.0),
            max_perf: figure(raw.max_perf),
            load: raw.load(generation),
            port: port.flatten(),
            error: raw.failure(),
            token: raw.mtoken.map(|token| Secret::new(token.0)),
            url: raw.url.map(|url| url.0).filter(|url| !url.is_empty()),
            working: raw.num_requests_working.map(|count| count.0),
            received: raw.num_requests_recieved.map(|count| count.0),
            version: raw.version.map(|version| printable(&version.0, VERSION_CHARS_MAX)),
            worker: raw.id.0,
            fingerprint: hasher.finish(),
        })
    }
}

impl Raw {
    fn generation(&self) -> Generation {
        if self.new_load.is_some() || self.rej_load.is_some() || self.version.is_some() {
            return Generation::Today;
        }
        let is_aiohttp = self.cur_capacity.is_some() && self.error_msg.is_some();
        match is_aiohttp && self.loadtime.is_some() && self.message.is_none() {
            true => Generation::Aiohttp,
            false => Generation::Flask,
        }
    }

    fn stage(&self, generation: Generation) -> Stage {
        let is_above_0 = |figure: Option<Figure>| figure.is_some_and(|figure| figure.0 > 0.0);
        let message = self.message.as_ref().map(|message| message.0.as_str());
        match generation {
            Generation::Flask if message == Some("loading update") => Stage::Loading,
            // The smallest worker can load in no time at all.
            Generation::Flask if self.loadtime.or(self.max_perf).is_some() => Stage::Loaded,
            Generation::Flask if self.loaded == Some(true) => Stage::Loaded,
            Generation::Flask if self.cur_load.is_some() => Stage::Loaded,
            Generation::Flask => Stage::Unsaid,
            Generation::Aiohttp if is_above_0(self.max_perf) => Stage::Loaded,
            Generation::Aiohttp | Generation::Today if is_above_0(self.loadtime) => Stage::Loaded,
            Generation::Aiohttp | Generation::Today => Stage::Loading,
        }
    }

    fn load(&self, generation: Generation) -> Load {
        let figure = |figure: Option<Figure>| figure.map(|figure| figure.0);
        let rate = figure(self.cur_load).map(Offered::PerSecond);
        match generation {
            Generation::Flask => {
                let is_sum = self.message.is_some() && self.cur_capacity.is_some();
                let sum = figure(self.cur_load).map(Offered::SinceReport);
                let offered = if is_sum { sum } else { rate };
                Load { held: figure(self.cur_capacity), offered, ..Load::default() }
            }
            Generation::Aiohttp => Load { offered: rate, ..Load::default() },
            Generation::Today => Load {
                held: figure(self.cur_load),
                offered: figure(self.new_load).map(Offered::SinceReport),
                rejected: figure(self.rej_load),
                served: figure(self.cur_perf),
            },
        }
    }

    fn failure(&self) -> Option<String> {
        let said = self.error_msg.as_ref().map(|text| printable(&text.0, ERROR_CHARS_MAX));
        let said = said.filter(|text| !text.is_empty());
        said.or((self.error == Some(true)).then(|| "the worker reports an error".into()))
    }
}

/// The first `max` characters, those that are not printable replaced by blanks.
fn printable(text: &str, max: usize) -> String {
    text.chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
