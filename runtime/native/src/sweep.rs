//! Ends processes that no server looks after any more: of a server that is gone, by its keeper or
//! by the next server.

use crate::owners::{Ground, Mark, Owners};
use crate::table::{self, Identity};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

const ROUND_MIN: Duration = Duration::from_millis(1);
const ROUND_MAX: Duration = Duration::from_millis(50);
/// One reading may miss who forks and ends while it is made.
const CLEAN_READINGS: u32 = 3;

/// A process that an earlier server left behind, and that was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// What is to be ended.
pub(crate) struct Sweep<F> {
    owners: Owners,
    mark_of: F,
}

impl<F: Fn(i32) -> Mark> Sweep<F> {
    /// Everybody in `owners`, everybody with a mark of ours, and whoever belongs to them.
    pub(crate) fn new(owners: Owners, mark_of: F) -> Sweep<F> {
        Sweep { owners, mark_of }
    }

    /// Kills until nobody is found three times in a row, for at most `time`. Answers who was found.
    ///
    /// # Errors
    ///
    /// If the process table cannot be read, or somebody would not go.
    pub(crate) fn run(mut self, time: Duration) -> io::Result<Vec<Leftover>> {
        let began = Instant::now();
        let mut found: BTreeMap<Identity, String> = BTreeMap::new();
        let (mut clean_readings, mut round) = (0, ROUND_MIN);
        loop {
            let doomed = self.doomed()?;
            clean_readings = if doomed.is_empty() { clean_readings + 1 } else { 0 };
            if clean_readings == CLEAN_READINGS {
                let leftover = |(identity, command): (Identity, String)| Leftover {
                    pid: identity.pid,
                    command,
                };
                return Ok(found.into_iter().map(leftover).collect());
            }
            for identity in &doomed {
                found.entry(*identity).or_insert_with(|| table::command_line(identity.pid));
                identity.send(Signal::KILL);
            }
            if !doomed.is_empty() && Instant::now() - began > time {
                let pids: Vec<i32> = doomed.iter().map(|identity| identity.pid).collect();
                let text = format!("processes {pids:?} do not end after SIGKILL");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            pause(round);
            round = (round * 2).min(ROUND_MAX);
        }
    }

    fn doomed(&mut self) -> io::Result<Vec<Identity>> {
        let table = table::read_all()?;
        let mut ground = Ground::of(&table::own()?);
        ground.held = crate::spawn::held().clone();
        let mark_of = &self.mark_of;
        let owned = self.owners.assign(&table, &ground, |process| mark_of(process.identity.pid));
        // Strays are those of the replicas of this process, if it has any.
        let doomed = owned.iter().filter(|owned| owned.is_of_replica() && !owned.process.is_zombie);
        Ok(doomed.map(|owned| owned.process.identity).collect())
    }
}

/// Waits, on a thread of our own that has nothing better to do.
pub(crate) fn pause(time: Duration) {
    std::thread::park_timeout(time);
}
