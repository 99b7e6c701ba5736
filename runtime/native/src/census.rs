//! Who exists: the list of replicas and what their processes were last seen to use. One thread,
//! in [`clerk`], reads the process table for all of them, ends the processes of those that are
//! condemned, and reaps; everybody else writes wishes here and reads snapshots.

use crate::plan::Keep;
use crate::ports::Lease;
use crate::spawn::Started;
use crate::table::{Identity, Process};
use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) mod clerk;

/// What the processes of one replica use, all descendants included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, summed over the processes; pages they share count once for each.
    pub resident_bytes: u64,
    /// Time on processors since the start, of ended processes too.
    pub cpu_time: Duration,
    /// Processes that run.
    pub processes: usize,
    /// Their numbers, ascending.
    pub pids: Vec<i32>,
}

/// One reading of the process table, as far as it concerns replicas.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Wishes up to this one were made before the reading began.
    generation: u64,
    seen: HashMap<u64, Seen>,
    /// Replicas that are not gone.
    existing: BTreeSet<u64>,
    /// Condemned replicas that could not be ended in good time.
    stuck: BTreeSet<u64>,
    /// The kernel's count of processes it killed for want of memory, at least a second ago.
    pub(crate) oom_kills: Option<u64>,
}

/// One replica in a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) usage: Usage,
    /// Without zombies.
    pub(crate) running: Vec<Process>,
    /// What it uses, if that is more than it may.
    pub(crate) over_memory: Option<u64>,
}

impl Snapshot {
    pub(crate) fn of(&self, replica: u64) -> Option<&Seen> {
        self.seen.get(&replica)
    }
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    newest: u64,
    /// Counts the wishes for a new reading.
    requested: u64,
    /// Somebody was condemned since the clerk last looked.
    is_urgent: bool,
    is_stopping: bool,
}

/// A replica from before its first process until after its last.
#[derive(Debug, Default)]
struct Entry {
    /// Leaders of their sessions. They are not reaped before the end, so their numbers are safe.
    members: Vec<Identity>,
    /// Members on their way.
    starting: u32,
    /// Since when it is to be ended by force.
    condemned: Option<Instant>,
    is_stuck: bool,
    memory_max: Option<u64>,
    cpu: CpuBook,
    /// Readings without anybody that are still needed to believe it: a reading is not a moment,
    /// and who forked and ended while it was made may have been missed.
    doubts: u32,
    /// Given back when this is dropped.
    _leases: Vec<Lease>,
    _keep: Keep,
}

/// Adds up processor time over processes that come and go.
#[derive(Debug, Default)]
struct CpuBook {
    running: HashMap<Identity, u64>,
    ended_ticks: u64,
}

impl CpuBook {
    /// The sum, given the ticks of everybody who is there now.
    fn update(&mut self, now: HashMap<Identity, u64>) -> u64 {
        let gone = self.running.iter().filter(|(identity, _)| !now.contains_key(identity));
        self.ended_ticks += gone.map(|(_, ticks)| ticks).sum::<u64>();
        self.running = now;
        self.ended_ticks + self.running.values().sum::<u64>()
    }
}

/// The list, shared between the clerk and everybody else.
#[derive(Debug, Default)]
pub(crate) struct Census {
    state: Mutex<State>,
    wake: Condvar,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl Census {
    /// A new replica, without processes yet.
    pub(crate) fn register(&self, memory_max: Option<u64>, leases: Vec<Lease>, keep: Keep) -> u64 {
        let mut state = self.state.lock();
        state.newest += 1;
        let number = state.newest;
        let entry = Entry { memory_max, _leases: leases, _keep: keep, ..Entry::default() };
        state.entries.insert(number, entry);
        self.wake.notify_one();
        number
    }

    /// Announces a member; `false` if the replica is to end.
    pub(crate) fn begin_start(&self, replica: u64) -> bool {
        let mut state = self.state.lock();
        let entry = state.entries.get_mut(&replica).filter(|entry| entry.condemned.is_none());
        entry.is_some_and(|entry| {
            entry.starting += 1;
            true
        })
    }

    /// The announced member was started, or not.
    pub(crate) fn finish_start(&self, replica: u64, started: Option<&Started>) {
        let mut state = self.state.lock();
        let entry = state.entries.get_mut(&replica).expect("it stays while a member is announced");
        entry.starting -= 1;
        let Some(started) = started else { return };
        entry.members.push(started.identity);
        if entry.condemned.is_some() {
            signal_groups(entry, Signal::KILL);
            state.is_urgent = true;
            self.wake.notify_one();
        }
    }

    /// Sends a signal to the process groups of the members.
    pub(crate) fn signal(&self, replica: u64, signal: Signal) {
        if let Some(entry) = self.state.lock().entries.get(&replica) {
            signal_groups(entry, signal);
        }
    }

    /// Ends a replica by force, now and until nothing of it is left. Answers what to wait for.
    pub(crate) fn condemn(&self, replica: u64) -> u64 {
        let mut state = self.state.lock();
        if let Some(entry) = state.entries.get_mut(&replica) {
            entry.condemned.get_or_insert_with(Instant::now);
            signal_groups(entry, Signal::KILL);
            state.is_urgent = true;
        }
        state.requested += 1;
        self.wake.notify_one();
        state.requested
    }

    /// The last reading.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Told at every reading.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// A reading that begins after this call; callers at the same time share one.
    pub(crate) async fn fresh(&self) -> Arc<Snapshot> {
        let wanted = {
            let mut state = self.state.lock();
            state.requested += 1;
            self.wake.notify_one();
            state.requested
        };
        self.reading(|snapshot| snapshot.generation >= wanted).await
    }

    /// Waits for the end of a condemned replica. `Err` has the processes that would not go.
    pub(crate) async fn gone(&self, replica: u64, wanted: u64) -> Result<(), Vec<i32>> {
        let is_over = |snapshot: &Snapshot| {
            snapshot.generation >= wanted
                && (!snapshot.existing.contains(&replica) || snapshot.stuck.contains(&replica))
        };
        let last = self.reading(is_over).await;
        if !last.existing.contains(&replica) {
            return Ok(());
        }
        Err(last.of(replica).map(|seen| seen.usage.pids.clone()).unwrap_or_default())
    }

    async fn reading(&self, is_wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.subscribe();
        let found = snapshots.wait_for(|snapshot| is_wanted(snapshot)).await;
        found.expect("the sender is in `self`").clone()
    }

    /// Lets the clerk end once nothing is left.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        for entry in state.entries.values_mut() {
            entry.condemned.get_or_insert_with(Instant::now);
            signal_groups(entry, Signal::KILL);
        }
        state.is_stopping = true;
        state.requested += 1;
        self.wake.notify_one();
    }
}

fn signal_groups(entry: &Entry, signal: Signal) {
    for leader in entry.members.iter().filter_map(|member| Pid::from_raw(member.pid)) {
        // Fails if all of the group have ended, which is as good.
        _ = rustix::process::kill_process_group(leader, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_never_shrinks() {
        let identity = |pid| Identity { pid, start: 1 };
        let mut book = CpuBook::default();
        assert_eq!(book.update(HashMap::from([(identity(1), 10), (identity(2), 5)])), 15);
        assert_eq!(book.update(HashMap::from([(identity(1), 12)])), 17);
        let reused = Identity { pid: 2, start: 9 };
        assert_eq!(book.update(HashMap::from([(identity(1), 12), (reused, 1)])), 18);
        assert_eq!(book.update(HashMap::new()), 18);
    }
}
