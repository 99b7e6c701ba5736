//! What to start, and what is expected of it.

use crate::ports::Lease;
use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A replica to start.
#[derive(Debug)]
pub struct ReplicaPlan {
    /// Its processes, rank 0 first: one for an ordinary replica, several for a gang.
    pub members: Vec<MemberPlan>,
    /// When it is ready.
    pub ready: ReadyWhen,
    /// Who of a gang is asked whether it is ready and alive.
    pub asked: Asked,
    /// Questions after it was ready; none if `None`.
    pub liveness: Option<Liveness>,
    /// How long it may take to be ready.
    pub start_timeout: Duration,
    /// From SIGTERM to SIGKILL; zero sends SIGKILL at once.
    pub grace: Duration,
    /// Resident bytes of all its processes together; no limit if `None`.
    pub memory_max: Option<u64>,
    /// Ports and socket files it uses; given back when nothing of it is left.
    pub leases: Vec<Lease>,
    /// What else must not be given to others before nothing of it is left.
    pub keep: Keep,
}

/// Anything at all, to be dropped when nothing of a replica is left.
#[derive(Default)]
pub struct Keep(Option<Box<dyn Any + Send + Sync>>);

impl Keep {
    /// Keeps `thing`.
    pub fn new(thing: impl Any + Send + Sync) -> Keep {
        Keep(Some(Box::new(thing)))
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keep").field(&self.0.is_some()).finish()
    }
}

/// One process of a replica.
#[derive(Debug, Clone)]
pub struct MemberPlan {
    /// A path, relative to `cwd`, or a name to be found in `PATH`.
    pub program: OsString,
    /// Its arguments, without the program.
    pub args: Vec<OsString>,
    /// Added to the server's own environment, from which everything that begins with `SAMOVAR_` is
    /// left out.
    pub env: Vec<(String, String)>,
    /// Its working folder; the server's if `None`.
    pub cwd: Option<PathBuf>,
    /// Where it is to listen. It must be told so by `args` or `env`.
    pub endpoint: Endpoint,
}

/// Where a member listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => address.fmt(f),
            Endpoint::Unix(path) => path.display().fmt(f),
        }
    }
}

/// When a replica is ready.
#[derive(Debug, Clone)]
pub enum ReadyWhen {
    /// `GET path` is answered with a status of 200 to 399.
    Healthy {
        /// With a leading slash.
        path: String,
    },
    /// `GET /` is answered with any status.
    Answers,
    /// Somebody else says so, by cancelling the token; nothing is asked.
    Told(CancellationToken),
}

/// Who of a gang is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asked {
    /// Only the member that takes requests.
    #[default]
    RankZero,
    /// Each at its own endpoint.
    All,
}

/// How to notice that a replica has stopped working.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// `GET` of this path must be answered with a status of 200 to 399.
    pub path: String,
    /// From one answer to the next question.
    pub interval: Duration,
    /// No answer for this long is a failure.
    pub timeout: Duration,
    /// This many failures in a row end the replica; zero counts as one.
    pub failures: u32,
}
