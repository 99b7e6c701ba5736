//! How an attempt can fail, and how a whole call did.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::{
    ANSWER_BYTES_MAX,
    request::{Action, Request},
    retry::{EXIT_TEMPORARY, is_temporary_status},
};

/// Why one attempt failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command is not there or may not be run.
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("the command's folder {} is not there", folder.display())]
    Folder { folder: PathBuf },
    /// `line` is the last one it wrote to its standard error, or empty.
    #[error("the command ended with exit code {code}{}", after_colon(line))]
    Exit { code: i32, line: String },
    #[error("the command was ended by signal {signal}{}", after_colon(line))]
    Signal { signal: i32, line: String },
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The connection could not be made or broke.
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// The other side's certificate is not to be trusted, or it does not speak TLS.
    #[error("no secure connection to {url}: {reason}")]
    Tls { url: String, reason: String },
    #[error("answered with status {status}{}", after_colon(line))]
    Status {
        status: u16,
        /// The beginning of the answer.
        line: String,
        /// How long the other side asks to wait.
        retry_after: Option<Duration>,
    },
    #[error("cannot read the bearer token: {0}")]
    Secret(String),
    /// It was carried out, and what came back cannot be understood.
    #[error("the hook's answer is not the JSON that is expected: {0}")]
    Answer(String),
    #[error("the hook's answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// The command's standard input or output broke.
    #[error("cannot talk to the command: {0}")]
    Pipe(io::Error),
}

impl Failure {
    /// Whether the same request may go well later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Exit { code, .. } => *code == EXIT_TEMPORARY,
            Self::Status { status, .. } => is_temporary_status(*status),
            // A signal is the memory killer or an operator; neither is an answer of the hook.
            Self::Signal { .. } | Self::TimedOut(_) | Self::Unreachable { .. } | Self::Pipe(_) => {
                true
            }
            Self::Start { .. }
            | Self::Folder { .. }
            | Self::Tls { .. }
            | Self::Secret(_)
            | Self::Answer(_)
            | Self::TooLarge => false,
        }
    }

    /// How long the other side asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn after_colon(line: &str) -> String {
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

/// Why a call was given up.
#[derive(Debug)]
pub struct FleetError {
    pub action: Action,
    pub deployment: String,
    pub worker_id: String,
    /// The machine that a destroy was about. It may still be there and cost money.
    pub machine: Option<String>,
    /// How many there were.
    pub attempts: u32,
    /// What the last one failed with.
    pub failure: Failure,
}

impl FleetError {
    pub(crate) fn new(request: &Request, attempts: u32, failure: Failure) -> Self {
        Self {
            action: request.action,
            deployment: request.deployment.clone(),
            worker_id: request.worker_id.clone(),
            machine: request.machine.clone(),
            attempts,
            failure,
        }
    }
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deployment, worker_id, attempts, failure, .. } = self;
        let tries = if *attempts == 1 { String::new() } else { format!(" in {attempts} attempts") };
        match (self.action, &self.machine) {
            (Action::Create, _) => {
                write!(f, "worker {worker_id} of {deployment} was not created{tries}")?;
            }
            (Action::Destroy, Some(machine)) => write!(
                f,
                "machine {machine} of worker {worker_id} of {deployment} was not destroyed{tries} \
                 and may still cost money"
            )?,
            (Action::Destroy, None) => write!(
                f,
                "what was made for worker {worker_id} of {deployment} was not destroyed{tries} and \
                 may still cost money"
            )?,
            (Action::List, _) => {
                write!(f, "the machines of {deployment} could not be listed{tries}")?;
            }
        }
        write!(f, ": {failure}")
    }
}

/// The text has the cause in it, so that it can be shown as it is.
impl std::error::Error for FleetError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> Failure {
        Failure::Exit { code, line: String::new() }
    }

    fn status(status: u16) -> Failure {
        Failure::Status { status, line: String::new(), retry_after: None }
    }

    #[test]
    fn only_what_passes_by_itself_is_temporary() {
        assert!(exit(75).is_temporary());
        for code in [1, 2, 64, 74, 76, 127, 255] {
            assert!(!exit(code).is_temporary(), "{code}");
        }
        for code in [408, 425, 429, 500, 502, 503, 599] {
            assert!(status(code).is_temporary(), "{code}");
        }
        for code in [301, 400, 401, 403, 404, 409, 410, 422] {
            assert!(!status(code).is_temporary(), "{code}");
        }
        assert!(Failure::TimedOut(Duration::from_secs(1)).is_temporary());
        assert!(Failure::Signal { signal: 9, line: String::new() }.is_temporary());
        assert!(!Failure::TooLarge.is_temporary());
    }

    #[test]
    fn an_undestroyed_machine_is_named() {
        let error = FleetError {
            action: Action::Destroy,
            deployment: "chat".to_owned(),
            worker_id: "7".to_owned(),
            machine: Some("i-1".to_owned()),
            attempts: 3,
            failure: Failure::Exit { code: 1, line: "no route".to_owned() },
        };
        assert_eq!(
            error.to_string(),
            "machine i-1 of worker 7 of chat was not destroyed in 3 attempts and may still cost \
             money: the command ended with exit code 1: no route",
        );
    }
}
