//! How a hook is reached and how patient its caller is.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri, uri::Scheme};

use crate::retry::{Backoff, Rules};

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// A program, started anew for every attempt in a process group of its own. It has the server's
    /// environment, the request as JSON on its standard input and as `SAMOVAR_FLEET_*` variables.
    Command {
        /// A path, or a name that is looked up in `PATH`.
        program: String,
        args: Vec<String>,
        /// The server's own folder when there is none.
        cwd: Option<PathBuf>,
    },
    /// A URL that gets the request as JSON with `POST`.
    Webhook(Webhook),
}

/// Where a webhook is and what it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhook {
    /// Complete, http or https. Redirects are not followed.
    pub url: String,
    /// Sent with every request. No secrets: they may be shown in the status.
    pub headers: Vec<(String, String)>,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
    /// PEM file with the certificates to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where a secret is found. It is read again for every attempt, so that it can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// Name of an environment variable of the server.
    Env(String),
    /// Path of a file; white space around the secret is dropped.
    File(PathBuf),
}

/// One hook and the patience of its caller. [`Settings::new`] has the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub hook: Hook,
    /// Longest time one attempt may take.
    pub timeout: Duration,
    /// Most attempts of a create or a list.
    pub attempts: u32,
    pub backoff: Backoff,
    /// How long a destroy is tried. An attempt under way is finished.
    pub destroy_deadline: Duration,
    /// Requests are logged and answered, and the hook is never called.
    pub dry_run: bool,
}

/// Why settings cannot be used, as a sentence for the one who wrote them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub(crate) String);

impl Settings {
    /// `hook` with 60 s per attempt, 5 attempts, 1 to 60 s between them, and an hour for a destroy.
    pub fn new(hook: Hook) -> Self {
        Self {
            hook,
            timeout: Duration::from_secs(60),
            attempts: 5,
            backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) },
            destroy_deadline: Duration::from_secs(3600),
            dry_run: false,
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            attempts: self.attempts,
            backoff: self.backoff,
            destroy_deadline: self.destroy_deadline,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let refuse = |text: &str| Err(SettingsError(text.to_owned()));
        if self.attempts == 0 {
            return refuse("a fleet hook needs at least one attempt");
        }
        if self.timeout.is_zero() {
            return refuse("the time-out of a fleet hook must be more than zero");
        }
        if self.backoff.first.is_zero() || self.backoff.max < self.backoff.first {
            return refuse(
                "the pause of a fleet hook must be more than zero and at most its limit",
            );
        }
        match &self.hook {
            Hook::Command { program, .. } if program.is_empty() => {
                refuse("the command of a fleet hook is empty")
            }
            Hook::Command { .. } => Ok(()),
            Hook::Webhook(webhook) => webhook.parse().map(drop),
        }
    }
}

/// A webhook that can be called.
pub(crate) struct Target {
    pub uri: Uri,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Webhook {
    pub(crate) fn parse(&self) -> Result<Target, SettingsError> {
        let url = &self.url;
        let refuse = |why: &str| SettingsError(format!("the fleet hook's URL `{url}` {why}"));
        let uri: Uri = url.parse().map_err(|e| refuse(&format!("cannot be read: {e}")))?;
        if !matches!(uri.scheme(), Some(s) if *s == Scheme::HTTP || *s == Scheme::HTTPS) {
            return Err(refuse("starts with neither http:// nor https://"));
        }
        match uri.authority() {
            Some(host) if host.as_str().contains('@') => {
                return Err(SettingsError(
                    "the fleet hook's URL has a password in it; use a bearer token".to_owned(),
                ));
            }
            Some(host) if !host.host().is_empty() => {}
            Some(_) | None => return Err(refuse("names no host")),
        }
        let headers = self.headers.iter().map(header).collect::<Result<_, _>>()?;
        Ok(Target { uri, headers })
    }
}

fn header((name, value): &(String, String)) -> Result<(HeaderName, HeaderValue), SettingsError> {
    let no = |why: String| SettingsError(format!("the fleet hook's header `{name}` {why}"));
    let parsed: HeaderName =
        name.parse().map_err(|_| no("has a name that no header can have".to_owned()))?;
    let ours = ["content-type", "content-length", "host", "idempotency-key", "transfer-encoding"];
    if ours.contains(&parsed.as_str()) {
        return Err(no("is set by the server itself".to_owned()));
    }
    let value = value.parse().map_err(|_| no("has a value that no header can have".to_owned()))?;
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        let webhook = Webhook { url: url.to_owned(), ..Webhook::default() };
        Settings::new(Hook::Webhook(webhook)).check().unwrap_err().to_string()
    }

    #[test]
    fn urls_that_cannot_be_called_are_refused_with_the_reason() {
        assert!(refusal("ftp://a/").contains("neither http:// nor https://"));
        assert!(refusal("localhost:80").contains("neither http:// nor https://"));
        assert!(refusal("/path").contains("neither http:// nor https://"));
        assert!(refusal("http://").contains("cannot be read"));
        assert!(refusal("a b").contains("cannot be read"));
        let secret = refusal("https://user:pass@a/");
        assert!(secret.contains("bearer token") && !secret.contains("pass@"), "{secret}");
    }

    #[test]
    fn headers_are_checked_before_any_call() {
        let with = |name: &str, value: &str| {
            let headers = vec![(name.to_owned(), value.to_owned())];
            Webhook { url: "http://a/".to_owned(), headers, ..Webhook::default() }
        };
        assert!(with("X-Team", "7").parse().is_ok());
        for (name, value) in [("a b", "1"), ("x", "a\nb"), ("Idempotency-Key", "1")] {
            assert!(with(name, value).parse().is_err(), "{name}");
        }
    }

    #[test]
    fn patience_must_make_sense() {
        let command = Hook::Command { program: "true".to_owned(), args: Vec::new(), cwd: None };
        let fine = Settings::new(command);
        assert_eq!(fine.check(), Ok(()));
        assert!(Settings { attempts: 0, ..fine.clone() }.check().is_err());
        assert!(Settings { timeout: Duration::ZERO, ..fine.clone() }.check().is_err());
        let backoff = Backoff { first: Duration::from_secs(2), max: Duration::from_secs(1) };
        assert!(Settings { backoff, ..fine }.check().is_err());
    }
}
