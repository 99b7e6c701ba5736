//! What follows a failed attempt. Pure: times and counts come in, a decision goes out.

use std::time::Duration;

use crate::{
    failure::Failure,
    request::{Action, Request},
};

/// The exit code of a command that may go well later: `EX_TEMPFAIL` of `sysexits.h`.
pub const EXIT_TEMPORARY: i32 = 75;
/// Longest pause that the other side can ask for with `Retry-After`.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Pauses that double from `first` up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The pause after `attempt` (from 1): between half of the doubled pause and all of it, by a
    /// number that only depends on `key` and `attempt`. Workers that failed together, as when a
    /// provider was away, thus come back one by one, and a test can say when.
    pub fn wait(&self, key: &str, attempt: u32) -> Duration {
        let factor = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.max);
        let half = whole / 2;
        // 1024 steps are finer than anything that needs spreading.
        half + half * (hash(key, attempt) % 1025) / 1024
    }
}

/// FNV-1a (Fowler, Noll, Vo), folded to 32 bits: the same everywhere, unlike the standard hasher.
fn hash(key: &str, attempt: u32) -> u32 {
    let bytes = key.bytes().chain(attempt.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) as u32 ^ hash as u32
}

/// When a call is given up. See [`crate::Settings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub attempts: u32,
    pub backoff: Backoff,
    pub destroy_deadline: Duration,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same again after this time.
    Again(Duration),
    GiveUp,
}

/// What follows `failure` of `attempt` (from 1), when the first began `elapsed` ago.
///
/// A create or a list ends with a permanent failure or its last attempt. A destroy goes on after
/// both: somebody may repair the hook, and giving up early leaves a machine that costs money.
pub fn next(
    rules: &Rules,
    request: &Request,
    failure: &Failure,
    attempt: u32,
    elapsed: Duration,
) -> Next {
    let asked = failure.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
    let wait = rules.backoff.wait(&request.key, attempt).max(asked);
    let goes_on = match request.action {
        Action::Create | Action::List => failure.is_temporary() && attempt < rules.attempts,
        Action::Destroy => elapsed.saturating_add(wait) <= rules.destroy_deadline,
    };
    if goes_on { Next::Again(wait) } else { Next::GiveUp }
}

/// Whether an HTTP status says that the same request may go well later.
pub fn is_temporary_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// The pause in a `Retry-After` header: seconds, or a date that is compared with the answer's own
/// `Date`, so that the clocks of the two sides do not matter. `None` for anything else.
pub fn retry_after(header: Option<&str>, date: Option<&str>) -> Option<Duration> {
    let header = header?.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(header).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Token;

    const RULES: Rules = Rules {
        attempts: 3,
        backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) },
        destroy_deadline: Duration::from_secs(3600),
    };

    fn request(action: Action) -> Request {
        Request {
            action,
            key: "k".to_owned(),
            deployment: "d".to_owned(),
            worker_id: "w".to_owned(),
            token: Token(String::new()),
            report_addr: String::new(),
            devices: 0.0,
            reason: String::new(),
            machine: None,
        }
    }

    fn status(status: u16, retry_after: Option<u64>) -> Failure {
        let retry_after = retry_after.map(Duration::from_secs);
        Failure::Status { status, line: String::new(), retry_after }
    }

    #[test]
    fn pauses_double_up_to_their_limit() {
        for attempt in 1..200 {
            let whole = Duration::from_secs(1 << (attempt - 1).min(6)).min(RULES.backoff.max);
            let wait = RULES.backoff.wait("k", attempt);
            assert!(wait >= whole / 2 && wait <= whole, "attempt {attempt}: {wait:?}");
        }
        assert!(RULES.backoff.wait("k", u32::MAX) <= RULES.backoff.max);
    }

    #[test]
    fn pauses_depend_on_the_key_alone() {
        let wait = |key: &str| RULES.backoff.wait(key, 3);
        assert_eq!(wait("a"), wait("a"));
        let mut waits: Vec<_> = (0..100).map(|n| wait(&format!("replica-{n}"))).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 80, "only {} different pauses", waits.len());
        assert!(waits[99.min(waits.len() - 1)] - waits[0] > Duration::from_secs(1));
    }

    #[test]
    fn a_create_ends_with_its_attempts() {
        let create = request(Action::Create);
        let next = |failure, attempt| next(&RULES, &create, &failure, attempt, Duration::ZERO);
        assert!(matches!(next(status(503, None), 1), Next::Again(_)));
        assert!(matches!(next(status(503, None), 2), Next::Again(_)));
        assert_eq!(next(status(503, None), 3), Next::GiveUp);
        assert_eq!(next(status(404, None), 1), Next::GiveUp);
    }

    #[test]
    fn a_destroy_ends_with_its_deadline_only() {
        let destroy = request(Action::Destroy);
        let at = |seconds, code| {
            next(&RULES, &destroy, &status(code, None), 50, Duration::from_secs(seconds))
        };
        assert!(matches!(at(3500, 503), Next::Again(_)));
        assert!(matches!(at(3500, 404), Next::Again(_)));
        assert_eq!(at(3590, 503), Next::GiveUp);
        assert_eq!(at(u64::MAX, 503), Next::GiveUp);
    }

    #[test]
    fn the_other_side_may_ask_for_a_longer_pause_and_not_for_any() {
        let create = request(Action::Create);
        let wait = |after| next(&RULES, &create, &status(429, after), 1, Duration::ZERO);
        assert_eq!(wait(Some(7)), Next::Again(Duration::from_secs(7)));
        assert_eq!(wait(Some(0)), wait(None));
        assert_eq!(wait(Some(u64::MAX)), Next::Again(RETRY_AFTER_MAX));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let after = |header, date| retry_after(Some(header), date);
        assert_eq!(after(" 120 ", None), Some(Duration::from_secs(120)));
        let later = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(after(later, date), Some(Duration::from_secs(10)));
        assert_eq!(after(later, None), None);
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT", date), Some(Duration::ZERO));
        for bad in ["", "-1", "soon", "1.5", "99999999999999999999"] {
            assert_eq!(after(bad, date), None, "{bad}");
        }
        assert_eq!(retry_after(None, date), None);
    }
}
