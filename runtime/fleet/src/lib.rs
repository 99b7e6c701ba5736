//! The fleet hook: a command or webhook that creates and destroys external workers.
//!
//! The scheduler decides how many workers a deployment wants; who rents the machines is the
//! operator's own program. It is told with a [`Request`], as often as needed, and always with the
//! same key, so that a request it has already carried out is never carried out twice. What to do
//! after a failure is decided in [`retry`], apart from everything that waits or talks.
//!
//! This crate keeps no list of machines and starts nothing by itself.

mod command;
mod failure;
mod request;
pub mod retry;
mod settings;
mod webhook;

use std::{fmt, time::Duration};

use tokio::time::{Instant, sleep};

pub use self::{
    failure::{Failure, FleetError},
    request::{Action, Answer, Machine, Request, Token},
    settings::{Hook, Secret, Settings, SettingsError, Webhook},
};

/// Longest answer that is read, in bytes. An answer is an identifier and a remark.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The hook of one deployment. Cheap to share behind an `Arc`; calls do not wait for each other.
pub struct Fleet {
    settings: Settings,
    /// There is one when the hook is a webhook.
    client: Option<webhook::Client>,
}

/// One failed attempt that will be followed by another, for people to read.
#[derive(Debug)]
pub struct Setback<'a> {
    /// Attempts made so far, from 1.
    pub attempt: u32,
    /// How long until the next one.
    pub wait: Duration,
    pub failure: &'a Failure,
}

impl fmt::Display for Setback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wait = humantime::format_duration(Duration::from_millis(
            u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX),
        ));
        write!(f, "attempt {}: {}; again in {wait}", self.attempt, self.failure)
    }
}

impl Fleet {
    /// Checks `settings` and prepares what calls share. Nothing is called yet.
    ///
    /// # Errors
    ///
    /// A sentence about the setting that cannot be used: an address that is no http or https URL, a
    /// header that is none, no trusted certificates for https, zero attempts or time.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let client = match &settings.hook {
            Hook::Command { .. } => None,
            Hook::Webhook(webhook) => Some(webhook::Client::new(webhook)?),
        };
        Ok(Self { settings, client })
    }

    /// Calls the hook until it has carried out `request` or there is no sense in going on.
    ///
    /// A create or a list is given up after a permanent failure or [`Settings::attempts`]. A
    /// destroy goes on after any failure until [`Settings::destroy_deadline`] has passed, because a
    /// machine that is forgotten costs money for as long as nobody notices.
    ///
    /// After a failed create it is unknown whether there is a machine: the answer may have been
    /// lost. Destroy it with the same key and without a machine.
    ///
    /// Dropping the future kills the command with its process group, or closes the connection.
    ///
    /// # Errors
    ///
    /// What the last attempt failed with, how many there were, and the machine if it was known.
    pub async fn call(&self, request: &Request) -> Result<Answer, FleetError> {
        self.call_telling(request, |_| ()).await
    }

    /// Like [`Fleet::call`], and tells every failed attempt that another one follows.
    ///
    /// # Errors
    ///
    /// Those of [`Fleet::call`].
    pub async fn call_telling(
        &self,
        request: &Request,
        mut tell: impl FnMut(Setback<'_>) + Send,
    ) -> Result<Answer, FleetError> {
        if self.settings.dry_run {
            return Ok(rehearse(request));
        }
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let rules = self.settings.rules();
            match retry::next(&rules, request, &failure, attempt, started.elapsed()) {
                retry::Next::Again(wait) => {
                    let setback = Setback { attempt, wait, failure: &failure };
                    tracing::warn!(
                        action = %request.action, worker = request.worker_id,
                        machine = request.machine, "fleet hook: {setback}",
                    );
                    tell(setback);
                    sleep(wait).await;
                }
                retry::Next::GiveUp => return Err(FleetError::new(request, attempt, failure)),
            }
            attempt = attempt.saturating_add(1);
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Answer, Failure> {
        let timeout = self.settings.timeout;
        let body = match (&self.settings.hook, &self.client) {
            (Hook::Command { program, args, cwd }, _) => {
                command::run(program, args, cwd.as_deref(), request, timeout).await?
            }
            (Hook::Webhook(_), Some(client)) => client.post(request, timeout).await?,
            (Hook::Webhook(_), None) => unreachable!("`new` makes a client for every webhook"),
        };
        Answer::parse(&body).map_err(Failure::Answer)
    }
}

/// The answer of a dry run: says what would be asked and asks nothing.
fn rehearse(request: &Request) -> Answer {
    let note = format!("dry run: would {request}");
    tracing::info!("{note}");
    let machine = match request.action {
        Action::Create => Some(format!("dry-run-{}", request.key)),
        Action::Destroy | Action::List => None,
    };
    Answer { machine, machines: Vec::new(), note: Some(note) }
}
