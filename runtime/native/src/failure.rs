//! Why a replica failed, in words for its owner.

use crate::plan::Endpoint;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why a replica did not start, or did not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no such program.
    #[error("{}", not_found(.program))]
    NotFound {
        /// As in the plan.
        program: String,
    },
    /// There is such a file, but it cannot be executed.
    #[error("command `{program}` cannot be executed: {why}")]
    NotExecutable {
        /// As in the plan.
        program: String,
        /// What the system says, or what is missing.
        why: String,
    },
    /// The working folder cannot be used.
    #[error("working folder `{}` {why}", .path.display())]
    BadFolder {
        /// As in the plan.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system could not start a process.
    #[error("cannot start `{program}`: {why}")]
    NotStarted {
        /// As in the plan.
        program: String,
        /// What the system says.
        why: String,
    },
    /// Before the start somebody else listened where the replica should.
    #[error("{endpoint} is in use by another process")]
    AddressTaken {
        /// As in the plan.
        endpoint: Endpoint,
    },
    /// A member ended by itself, with an exit code.
    #[error("exited with code {code} after {}{}", seconds(*.after), quoted(.last_line))]
    Exited {
        /// Its exit code.
        code: i32,
        /// From its start.
        after: Duration,
        /// What it wrote last: to stderr, or else to stdout.
        last_line: Option<String>,
    },
    /// A member was ended by a signal that did not come from us.
    #[error("was killed by {signal} after {}{}", seconds(*.after), quoted(.last_line))]
    Killed {
        /// Its name, `SIGSEGV`.
        signal: String,
        /// From its start.
        after: Duration,
        /// What it wrote last: to stderr, or else to stdout.
        last_line: Option<String>,
    },
    /// It used more memory than its limit.
    #[error("used {} of memory, its limit is {}", bytes(*.used), bytes(*.max))]
    OutOfMemory {
        /// Resident bytes of all its processes.
        used: u64,
        /// The limit in the plan.
        max: u64,
    },
    /// A member was killed by SIGKILL when the kernel ended processes for want of memory.
    #[error("was killed by the system, which ran out of memory, after {}", seconds(*.after))]
    KernelOutOfMemory {
        /// From its start.
        after: Duration,
    },
    /// It was not ready in time.
    #[error("not ready after {}: {hint}", seconds(*.after))]
    NotReady {
        /// The time-out.
        after: Duration,
        /// What the last question found.
        hint: String,
    },
    /// What it says is not HTTP.
    #[error("{endpoint} speaks no HTTP: {said}")]
    SpeaksNoHttp {
        /// Where it was asked.
        endpoint: Endpoint,
        /// What came instead of an answer.
        said: String,
    },
    /// It was not ready in time, and listens somewhere else.
    #[error("nothing listens on {endpoint}, but it listens on {}", list(.listens))]
    ListensElsewhere {
        /// Where it should.
        endpoint: Endpoint,
        /// Where it does.
        listens: Vec<SocketAddr>,
    },
    /// It was ready and does not answer well any more.
    #[error("unhealthy: {what}")]
    Unhealthy {
        /// What the last question found, and how often.
        what: String,
    },
    /// The failure of one member of a gang, and so of all of them.
    #[error("rank {rank}: {failure}")]
    Member {
        /// Whose failure came first.
        rank: u32,
        /// What it was.
        failure: Box<Failure>,
    },
}

impl Failure {
    /// A stable name of the kind, for APIs and metrics; that of the member for a gang.
    pub fn kind(&self) -> &'static str {
        match self {
            Failure::NotFound { .. } => "not_found",
            Failure::NotExecutable { .. } => "not_executable",
            Failure::BadFolder { .. } => "bad_folder",
            Failure::NotStarted { .. } => "not_started",
            Failure::AddressTaken { .. } => "address_taken",
            Failure::Exited { .. } => "exited",
            Failure::Killed { .. } => "killed",
            Failure::OutOfMemory { .. } => "out_of_memory",
            Failure::KernelOutOfMemory { .. } => "kernel_out_of_memory",
            Failure::NotReady { .. } => "not_ready",
            Failure::SpeaksNoHttp { .. } => "speaks_no_http",
            Failure::ListensElsewhere { .. } => "listens_elsewhere",
            Failure::Unhealthy { .. } => "unhealthy",
            Failure::Member { failure, .. } => failure.kind(),
        }
    }

    /// The same, as a member of a gang of `size`.
    pub(crate) fn of_rank(self, rank: u32, size: usize) -> Failure {
        if size == 1 { self } else { Failure::Member { rank, failure: Box::new(self) } }
    }
}

fn not_found(program: &str) -> String {
    if program.contains('/') {
        format!("command `{program}` does not exist")
    } else {
        format!("command `{program}` not found in PATH")
    }
}

fn quoted(line: &Option<String>) -> String {
    line.as_ref().map(|line| format!("; its last words: {line}")).unwrap_or_default()
}

/// A duration as one would say it.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", time.as_secs_f64()),
        60_000..3_600_000 => format!("{} min", time.as_secs() / 60),
        _ => format!("{:.1} h", time.as_secs_f64() / 3600.0),
    }
}

fn bytes(count: u64) -> String {
    format!("{:.1} MiB", count as f64 / f64::from(1 << 20))
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(", ")
}

/// The name of a signal.
pub(crate) fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_what_and_how_much() {
        let last_line = Some("ModuleNotFoundError: No module named 'torch'".to_owned());
        let exited = Failure::Exited { code: 1, after: Duration::from_millis(120), last_line };
        let text = "exited with code 1 after 120 ms; its last words: ModuleNotFoundError: No \
                    module named 'torch'";
        assert_eq!(exited.to_string(), text);
        assert_eq!(exited.clone().of_rank(0, 1), exited);
        let member = exited.of_rank(3, 4);
        assert_eq!(member.to_string(), format!("rank 3: {text}"));
        assert_eq!(member.kind(), "exited");
        let memory = Failure::OutOfMemory { used: 3 << 19, max: 1 << 20 };
        assert_eq!(memory.to_string(), "used 1.5 MiB of memory, its limit is 1.0 MiB");
        let killed =
            Failure::Killed { signal: signal_name(11), after: Duration::MAX, last_line: None };
        assert!(killed.to_string().starts_with("was killed by SIGSEGV after "));
        assert_eq!(signal_name(40), "signal 40");
        assert_eq!(seconds(Duration::from_millis(2345)), "2.3 s");
        assert_eq!(seconds(Duration::from_secs(150)), "2 min");
        let elsewhere = Failure::ListensElsewhere {
            endpoint: Endpoint::Tcp("127.0.0.1:1".parse().unwrap()),
            listens: vec!["0.0.0.0:8000".parse().unwrap()],
        };
        let text = "nothing listens on 127.0.0.1:1, but it listens on 0.0.0.0:8000";
        assert_eq!(elsewhere.to_string(), text);
        let lost = Failure::NotFound { program: "./x".into() };
        assert_eq!(lost.to_string(), "command `./x` does not exist");
    }
}
