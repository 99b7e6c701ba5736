//! Which process a message is of, and whether it is from the past.
//!
//! Messages have no sequence number and no time. What there is instead:
//!
//! - Requests are counted upwards while a process lives. A lower count is from the past, unless the
//!   message also shows that a new process began: `loadtime` back at 0 or another one (today),
//!   `max_perf` back at 0 or `loadtime` said again (aiohttp).
//! - `loadtime` has all digits of a clock and stays the same while today's process lives, so it
//!   names the process. If the name of the process before a restart comes again with a count that
//!   is not lower, the restart never was: an old message of its loading had been repeated.
//! - Errors of the two later generations last until the process ends. The same process without
//!   its error is from the past.
//! - The bytes of the last reports with work in them: what comes again is counted once. This
//!   is also what an honest worker sends whose delivered report was not acknowledged.
//!
//! What cannot be seen: an old message without work and with the newest count, since idle workers
//! say the same every 10 s; an old message of loading, until the real process reports again (then
//! within 10 s it is found out); and messages of the first generation's general worker,
//! whose count goes down with every failed request. Someone who knows the token can
//! invent good messages anyway; tokens, not this, keep strangers out.

use super::Worker;
use crate::message::{Generation, Report, Stage};

/// A report that is older than what is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Past {
    /// It counts fewer requests than an earlier one of the same process.
    #[error("counts {said} requests after {known} in an earlier message of the same process")]
    Count {
        /// The count in the report.
        said: u64,
        /// The count that was known.
        known: u64,
    },
    /// It is of the process before the last restart.
    #[error("is of a process that another one of the same name has replaced")]
    Process,
    /// It has no error, which the same process had.
    #[error("has no error, but its process reported one and keeps it until it ends")]
    Error,
}

/// The process before the last restart, should it not have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Former {
    pub(super) load_time_s: f64,
    pub(super) received: u64,
}

/// Which process a report is of.
pub(super) enum Life {
    Same,
    New,
    Former(Former),
}

impl Worker {
    /// Whether a report with work in it came before.
    pub(super) fn is_repeated(&self, report: &Report) -> bool {
        let is_general = self.is_general || report.is_general;
        let has_same_count = report.received.is_some() && report.received == self.received;
        !is_general && has_same_count && self.recent.contains(&report.fingerprint)
    }

    /// Which process `report` is of.
    pub(super) fn life(&self, report: &Report) -> Result<Life, Past> {
        let (known, said) = (self.received.unwrap_or(0), report.received.unwrap_or(u64::MAX));
        let is_lower = said < known && self.received.is_some();
        let past = Past::Count { said, known };
        let lost_error = self.error.is_some() && report.error.is_none();
        let loads_again = self.is_loaded && report.stage == Stage::Loading;
        match report.generation {
            Generation::Flask if self.is_general || report.is_general => match loads_again {
                true => Ok(Life::New),
                false => Ok(Life::Same),
            },
            Generation::Flask if is_lower && !self.is_gone => Err(past),
            Generation::Flask if is_lower => Ok(Life::New),
            Generation::Flask => Ok(Life::Same),
            Generation::Aiohttp => {
                let begins = report.stage == Stage::Loading || report.load_time_s.is_some();
                let may_begin = begins || self.is_gone;
                match (is_lower, lost_error) {
                    (true, _) if !may_begin => Err(past),
                    (false, true) if !may_begin => Err(Past::Error),
                    (true, _) | (_, true) => Ok(Life::New),
                    (false, false) if loads_again && report.error.is_none() => Ok(Life::New),
                    (false, false) => Ok(Life::Same),
                }
            }
            Generation::Today => {
                let is_same =
                    report.load_time_s.is_some() && report.load_time_s == self.load_time_s;
                match self.former.filter(|former| report.load_time_s == Some(former.load_time_s)) {
                    _ if is_same && is_lower => Err(past),
                    _ if is_same && lost_error => Err(Past::Error),
                    _ if is_same => Ok(Life::Same),
                    Some(_) if self.load_time_s.is_some() => Err(Past::Process),
                    Some(former) if said < former.received => {
                        Err(Past::Count { said, known: former.received })
                    }
                    Some(former) => Ok(Life::Former(former)),
                    None if is_lower || lost_error || loads_again => Ok(Life::New),
                    None => Ok(Life::Same),
                }
            }
        }
    }
}
