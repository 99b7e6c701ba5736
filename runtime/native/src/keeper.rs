//! The keeper: a process that waits for the end of the server, in whatever way it comes, and then
//! ends what the server has left.
//!
//! It reads from a pipe whose other end only the server holds. The first line is the server's
//! marker, every further one names a process that belongs to a replica, which matters for those
//! that have cleaned their environment. The end of the input is the end of the server.

use crate::marker::Marker;
use crate::owners::{Owner, Owners};
use crate::spawn::{self, Launch, Started};
use crate::sweep::{self, Sweep};
use crate::table::{self, Identity};
use std::ffi::OsString;
use std::io::{self, BufRead as _, PipeWriter, Write as _};
use std::time::Duration;
use tokio::time::Instant;

/// How long the keeper tries before it gives up on what does not end after SIGKILL.
const TRY_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it is there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to start it, doubled up to the second.
const RESTART_MIN: Duration = Duration::from_millis(500);
const RESTART_MAX: Duration = Duration::from_secs(60);
/// A keeper that lived this long was well.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// Above this many processes, those that have ended are forgotten.
const KNOWN_MAX: usize = 4096;

/// The whole life of the keeper; the server's hidden subcommand calls this and nothing else.
/// Returns when the server is gone and nothing of its replicas is left, or after a minute of
/// trying.
///
/// # Errors
///
/// If it was not started by a [`Warden`](crate::Warden), or `/proc` cannot be read.
pub fn run() -> io::Result<()> {
    spawn::ignore_polite_signals();
    let mut lines = io::stdin().lock().lines();
    let marker = lines.next().transpose()?.as_deref().and_then(Marker::from_line);
    let marker = marker.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the keeper is started by the server only")
    })?;
    let mut owners = Owners::default();
    let mut prune_at = KNOWN_MAX;
    for line in lines {
        let Ok(line) = line else { break };
        if let Some(identity) = parse(&line) {
            owners.remember(identity, Owner::Replica(0));
        }
        if owners.len() > prune_at {
            owners.prune(&table::read_all()?);
            prune_at = KNOWN_MAX.max(2 * owners.len());
        }
    }
    Sweep::new(owners, |pid| marker.of_this_server(pid)).run(TRY_MAX)?;
    Ok(())
}

fn to_line(identity: Identity) -> String {
    format!("{} {}\n", identity.pid, identity.start)
}

/// The inverse of [`to_line`].
fn parse(line: &str) -> Option<Identity> {
    let (pid, start) = line.split_once(' ')?;
    Some(Identity { pid: pid.parse().ok()?, start: start.parse().ok()? })
}

/// A line this short is written as a whole or not at all. If the pipe is full or closed, the mark
/// in the environment has to do.
fn write(input: &mut PipeWriter, line: &str) {
    _ = input.write(line.as_bytes());
}

/// The server's side: starts the keeper, tells it news, and starts another if it was killed.
pub(crate) struct Watched {
    marker: Marker,
    launch: Option<Launch>,
    running: Option<(Started, PipeWriter)>,
    started_at: Instant,
    look_at: Instant,
    delay: Duration,
}

impl Watched {
    /// Starts the keeper, if there is a command for it.
    pub(crate) fn start(marker: Marker, command: Option<Vec<OsString>>) -> io::Result<Watched> {
        let launch = command.and_then(|command| {
            let mut command = command.into_iter();
            let program = command.next()?;
            let env = std::env::vars_os().filter(|(name, _)| name != crate::marker::VARIABLE);
            Some(Launch {
                program,
                args: command.collect(),
                env: env.collect(),
                cwd: None,
                tag: None,
            })
        });
        let now = Instant::now();
        let mut watched = Watched {
            marker,
            launch,
            running: None,
            started_at: now,
            look_at: now,
            delay: RESTART_MIN,
        };
        watched.launch(now, &Owners::default())?;
        Ok(watched)
    }

    /// Whatever happens to us, a keeper that was started knows what we know: it is in the pipe
    /// before.
    fn launch(&mut self, now: Instant, owners: &Owners) -> io::Result<()> {
        let Some(launch) = &self.launch else { return Ok(()) };
        let (output, mut input) = io::pipe()?;
        // A keeper that does not read must not stop us.
        rustix::io::ioctl_fionbio(&input, true)?;
        write(&mut input, &self.marker.to_line());
        owners.owned().for_each(|identity| write(&mut input, &to_line(identity)));
        self.running = Some((spawn::keeper(launch, output)?, input));
        self.started_at = now;
        Ok(())
    }

    /// Sees to it that there is a keeper and that it knows everybody.
    pub(crate) fn tend(&mut self, now: Instant, owners: &Owners) {
        if self.launch.is_none() || now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        if let Some((running, _)) = &self.running {
            if matches!(spawn::peek(&running.pidfd), Ok(None)) {
                return;
            }
            spawn::reap(running.identity.pid);
            self.running = None;
            if now - self.started_at >= WELL_AFTER {
                self.delay = RESTART_MIN;
            } else {
                self.delay = (self.delay * 2).min(RESTART_MAX);
                self.look_at = now + self.delay;
                tracing::warn!("the keeper has ended; another one is started in {:?}", self.delay);
                return;
            }
        }
        if let Err(error) = self.launch(now, owners) {
            self.delay = (self.delay * 2).min(RESTART_MAX);
            self.look_at = now + self.delay;
            tracing::warn!(%error, "cannot start the keeper; next try in {:?}", self.delay);
        }
    }

    /// Tells the keeper of a process that belongs to a replica.
    pub(crate) fn tell(&mut self, identity: Identity) {
        if let Some((_, input)) = &mut self.running {
            write(input, &to_line(identity));
        }
    }

    /// The server ends in good order. If all is clean, so is the keeper's work.
    pub(crate) fn leave(mut self, is_clean: bool) {
        let Some((running, input)) = self.running.take() else { return };
        drop(input);
        if is_clean {
            running.identity.send(rustix::process::Signal::KILL);
            while !spawn::reap(running.identity.pid) {
                sweep::pause(Duration::from_millis(1));
            }
        }
    }
}
