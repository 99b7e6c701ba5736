//! Asking members whether they are ready, and later whether they still work.

use crate::failure::{Failure, seconds};
use crate::plan::{Endpoint, Liveness, ReadyWhen};
use crate::probe::{self, Answer};
use futures::future;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::sleep;

/// From one question to the next: short at first, because some are ready at once.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// A single question is given up after this long.
const ASK_MAX: Duration = Duration::from_secs(5);
/// So many answers in a row that are not HTTP settle it.
const GARBAGE_MAX: u32 = 3;

/// A member to ask.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) rank: u32,
    pub(crate) endpoint: Endpoint,
}

/// What is known while members are asked whether they are ready.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    ready: &'a ReadyWhen,
    members: &'a [Asked],
    /// By place in `members`.
    last: Mutex<Vec<Option<Answer>>>,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(ready: &'a ReadyWhen, members: &'a [Asked]) -> Asking<'a> {
        Asking { ready, members, last: Mutex::new(vec![None; members.len()]) }
    }

    /// Returns when all are ready.
    ///
    /// # Errors
    ///
    /// Who says what is not HTTP.
    pub(crate) async fn wait(&self) -> Result<(), (u32, Failure)> {
        if let ReadyWhen::Told(told) = self.ready {
            told.cancelled().await;
            return Ok(());
        }
        let members = (0..self.members.len()).map(|index| self.wait_for(index));
        future::try_join_all(members).await.map(|_| ())
    }

    async fn wait_for(&self, index: usize) -> Result<(), (u32, Failure)> {
        let member = &self.members[index];
        let mut pause = PAUSE_MIN;
        let mut garbage = 0;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            // If the time is over in the middle of the first question that somebody hears, that is
            // what there is to say.
            let connected = || {
                let mut last = self.last.lock();
                if matches!(last[index], None | Some(Answer::Nobody | Answer::Failed(_))) {
                    last[index] = Some(Answer::Silent(None));
                }
            };
            let answer = probe::ask(&member.endpoint, self.path(), ASK_MAX, connected).await;
            let is_ready = self.is_ready(&answer);
            garbage = if matches!(answer, Answer::Garbage(_)) { garbage + 1 } else { 0 };
            if garbage == GARBAGE_MAX {
                return Err((member.rank, self.judge(member, Some(&answer), Duration::ZERO)));
            }
            self.last.lock()[index] = Some(answer);
            if is_ready {
                return Ok(());
            }
        }
    }

    fn path(&self) -> &str {
        match self.ready {
            ReadyWhen::Healthy { path } => path,
            ReadyWhen::Answers | ReadyWhen::Told(_) => "/",
        }
    }

    fn is_ready(&self, answer: &Answer) -> bool {
        match self.ready {
            ReadyWhen::Healthy { .. } => answer.is_good(),
            ReadyWhen::Answers => answer.is_http(),
            ReadyWhen::Told(_) => false,
        }
    }

    /// Who is not ready, and what it answered last.
    pub(crate) fn missing(&self) -> Option<(Asked, Option<Answer>)> {
        let last = self.last.lock();
        let is_missing = |(_, answer): &(_, &Option<Answer>)| {
            !answer.as_ref().is_some_and(|answer| self.is_ready(answer))
        };
        let found = self.members.iter().zip(last.iter()).find(is_missing);
        found.map(|(member, answer)| (member.clone(), answer.clone()))
    }

    /// What a member is waited for, in words.
    pub(crate) fn hint(&self, member: &Asked, last: Option<&Answer>) -> String {
        match (self.ready, last) {
            (ReadyWhen::Told(_), _) => "nobody has reported it loaded".to_owned(),
            (_, Some(answer)) => answer.describe(&member.endpoint, self.path()),
            (_, None) => format!("{} has not been asked yet", member.endpoint),
        }
    }

    /// Why a member is not ready.
    pub(crate) fn judge(&self, member: &Asked, last: Option<&Answer>, after: Duration) -> Failure {
        let endpoint = member.endpoint.clone();
        match last {
            Some(Answer::Garbage(bytes)) => {
                Failure::SpeaksNoHttp { endpoint, said: format!("it {}", probe::said(bytes)) }
            }
            Some(Answer::Closed) => {
                let said = "it closes the connection without an answer".to_owned();
                Failure::SpeaksNoHttp { endpoint, said }
            }
            _ => Failure::NotReady { after, hint: self.hint(member, last) },
        }
    }
}

/// Returns when a member that was ready has failed too often in a row.
pub(crate) async fn unhealthy(member: Asked, liveness: &Liveness) -> (u32, Failure) {
    let mut failures = 0;
    loop {
        sleep(liveness.interval).await;
        let answer = probe::ask(&member.endpoint, &liveness.path, liveness.timeout, || {}).await;
        failures = if answer.is_good() { 0 } else { failures + 1 };
        if failures >= liveness.failures.max(1) {
            let what = answer.describe(&member.endpoint, &liveness.path);
            let what = match failures {
                1 => what,
                count => format!("{what}, {count} times in a row"),
            };
            return (member.rank, Failure::Unhealthy { what });
        }
    }
}

/// What to say about a member that takes long.
pub(crate) fn waiting_note(after: Duration, hint: &str, elsewhere: Option<&Failure>) -> String {
    let hint = elsewhere.map_or_else(|| hint.to_owned(), ToString::to_string);
    format!("not ready after {}: {hint}", seconds(after))
}
