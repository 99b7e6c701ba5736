//! What there is once per server: the thread that forks, the thread that counts and kills, the
//! keeper, and the ports.

use crate::census::Census;
use crate::census::clerk::Clerk;
use crate::keeper::Watched;
use crate::marker::Marker;
use crate::owners::Owners;
use crate::ports::{Lease, Ports};
use crate::spawn::{self, Launch, Started};
use crate::sweep::{Leftover, Sweep};
use crate::table;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long leftovers of an earlier server may take to end after SIGKILL.
const LEFTOVERS_MAX: Duration = Duration::from_secs(30);

/// What a [`Warden`] is made with.
#[derive(Debug, Clone)]
pub struct WardenOptions {
    /// Tells the processes of this server's replicas from those of others: unique for each data
    /// folder and the same after a restart. Letters, digits, `.`, `-` and `_`.
    pub marker: String,
    /// The command line of a process that calls [`keeper::run`](crate::keeper::run) and nothing
    /// else. Without it, what detached itself from its replica outlives a server that is killed,
    /// until the next one calls [`Warden::end_leftovers`].
    pub keeper: Option<Vec<OsString>>,
    /// A folder of this server alone for Unix sockets, made when it is needed. Its path should be
    /// short: that of a socket may have 107 bytes.
    pub sockets: PathBuf,
}

/// Starts the processes of all replicas of a server, and sees to it that none outlives it. One per
/// server. When it is dropped, after the last replica, all of them are gone or about to be.
#[derive(Debug)]
pub struct Warden {
    pub(crate) census: Arc<Census>,
    pub(crate) marker: Marker,
    ports: Arc<Ports>,
    jobs: mpsc::Sender<Job>,
}

/// A member to start, for the thread that forks.
#[derive(Debug)]
struct Job {
    replica: u64,
    launch: Launch,
    reply: oneshot::Sender<io::Result<Started>>,
}

impl Warden {
    /// Makes this process the one that orphans of its replicas come to, and starts the keeper and
    /// two threads.
    ///
    /// # Errors
    ///
    /// If the marker is not usable, `/proc` is not there, or a thread or the keeper cannot be
    /// started.
    pub fn start(options: WardenOptions) -> io::Result<Arc<Warden>> {
        let own = table::own()?;
        let marker = Marker::new(&options.marker, own.identity)?;
        // Any number turns it on.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let census = Arc::new(Census::default());
        let keeper = Watched::start(marker.clone(), options.keeper)?;
        let clerk = Clerk::new(Arc::clone(&census), marker.clone(), keeper, &own);
        std::thread::Builder::new().name("samovar-census".into()).spawn(move || clerk.run())?;
        // Members are ended by the kernel when the thread ends that forked them. So it is one that
        // ends with the last sender, which is in here.
        let (jobs, waiting) = mpsc::channel();
        let list = Arc::clone(&census);
        let forks = move || fork_all(&waiting, &list);
        let forker = std::thread::Builder::new().name("samovar-fork".into()).spawn(forks);
        if let Err(error) = forker {
            census.stop();
            return Err(error);
        }
        let ports = Arc::new(Ports::new(&options.sockets));
        Ok(Arc::new(Warden { census, marker, ports, jobs }))
    }

    /// Ends all processes that an earlier server with the same marker left behind, removes its
    /// sockets, and answers whom it found. Replicas of this server are not touched. To be called
    /// once, when no other server with this marker can be running.
    ///
    /// # Errors
    ///
    /// If the process table cannot be read, or a process does not end within half a minute.
    pub async fn end_leftovers(&self) -> io::Result<Vec<Leftover>> {
        let marker = self.marker.clone();
        let ports = Arc::clone(&self.ports);
        let work = move || {
            ports.remove_leftovers();
            Sweep::new(Owners::default(), |pid| marker.of_earlier_servers(pid)).run(LEFTOVERS_MAX)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// A free port on the loopback interface, which nobody else is given while the lease is held.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn lease_port(&self) -> io::Result<Lease> {
        self.ports.lease_port()
    }

    /// A path for a Unix socket, in a folder that only this user can enter. The file goes with the
    /// lease.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made, or the path is too long for a socket.
    pub fn lease_socket(&self) -> io::Result<Lease> {
        self.ports.lease_socket()
    }

    /// Starts a member on the thread for that.
    pub(crate) async fn launch(&self, replica: u64, launch: Launch) -> io::Result<Started> {
        let gone = || io::Error::new(io::ErrorKind::Interrupted, "the replica is being ended");
        if !self.census.begin_start(replica) {
            return Err(gone());
        }
        let (reply, started) = oneshot::channel();
        if self.jobs.send(Job { replica, launch, reply }).is_err() {
            self.census.finish_start(replica, None);
            return Err(gone());
        }
        started.await.map_err(|_| gone())?
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        self.census.stop();
    }
}

fn fork_all(jobs: &mpsc::Receiver<Job>, census: &Census) {
    for Job { replica, launch, reply } in jobs {
        let result = spawn::member(&launch);
        census.finish_start(replica, result.as_ref().ok());
        // Nobody listens if the start was given up; then the replica is condemned.
        _ = reply.send(result);
    }
}
