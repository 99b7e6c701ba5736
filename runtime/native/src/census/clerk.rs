//! The thread that reads the process table, ends what is condemned, reaps and publishes.

use super::{Census, Entry, Seen, Snapshot, State, Usage, signal_groups};
use crate::keeper::Watched;
use crate::marker::Marker;
use crate::owners::{Ground, Owned, Owner, Owners, is_adopted};
use crate::spawn;
use crate::table::{self, Identity, Process};
use rustix::process::Signal;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often the table is read while replicas run.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same, while one of them has a memory limit.
const INTERVAL_LIMITED: Duration = Duration::from_millis(250);
/// Reading takes at most one part in this many of a processor, unless somebody waits for it.
const SHARE: u32 = 20;
/// Between two rounds of ending what is condemned.
const ROUND_MIN: Duration = Duration::from_millis(2);
const ROUND_MAX: Duration = Duration::from_millis(64);
/// After this long nobody waits for a condemned replica any more; the rounds go on at leisure.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// In the sense of nice(2).
const PRIORITY: i32 = -10;
/// Readings in a row that find nobody, besides the first, where others than members were seen.
const DOUBTS: u32 = 2;
/// How far back the count of processes killed by the kernel is looked at.
const OOM_WINDOW: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Clerk {
    census: Arc<Census>,
    marker: Marker,
    keeper: Watched,
    owners: Owners,
    ground: Ground,
    /// No replica may live any more.
    is_final: bool,
    served: u64,
    round: Duration,
    read_at: Instant,
    reading_took: Duration,
    has_strays: bool,
    oom: OomCount,
    page_bytes: u64,
    ticks_per_second: u64,
}

impl Clerk {
    pub(crate) fn new(
        census: Arc<Census>,
        marker: Marker,
        keeper: Watched,
        own: &Process,
    ) -> Clerk {
        Clerk {
            census,
            marker,
            keeper,
            owners: Owners::default(),
            ground: Ground::of(own),
            is_final: false,
            served: 0,
            round: ROUND_MIN,
            read_at: Instant::now(),
            reading_took: Duration::ZERO,
            has_strays: false,
            oom: OomCount::default(),
            page_bytes: rustix::param::page_size() as u64,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
        }
    }

    /// Works until the census is stopped and nothing is left, or would not go.
    pub(crate) fn run(mut self) {
        // Of this thread. Who forks on and on must not keep us from ending it; without the right
        // to this, it only takes longer.
        _ = rustix::process::setpriority_process(None, PRIORITY);
        let census = Arc::clone(&self.census);
        loop {
            self.keeper.tend(Instant::now(), &self.owners);
            let mut state = census.state.lock();
            if state.is_stopping && state.entries.values().all(|entry| entry.is_stuck) {
                let is_clean = state.entries.is_empty();
                drop(state);
                return self.keeper.leave(is_clean);
            }
            if std::mem::take(&mut state.is_urgent) {
                self.round = ROUND_MIN;
            }
            let now = Instant::now();
            let due = self.interval(&state).map(|interval| self.read_at + interval);
            if state.requested != self.served || due.is_some_and(|due| due <= now) {
                drop(state);
                self.read();
            } else {
                let pause = due.map_or(INTERVAL, |due| (due - now).min(INTERVAL));
                census.wake.wait_for(&mut state, pause);
            }
        }
    }

    /// Until the next reading that nobody asked for; `None` if there is nothing to see.
    fn interval(&self, state: &State) -> Option<Duration> {
        let mut entries = state.entries.values();
        if entries.clone().any(|entry| entry.condemned.is_some() && !entry.is_stuck) {
            return Some(self.round);
        }
        if state.entries.is_empty() && !self.has_strays {
            return None;
        }
        let is_limited = entries.any(|entry| entry.memory_max.is_some());
        let interval = if is_limited { INTERVAL_LIMITED } else { INTERVAL };
        Some(interval.max(self.reading_took * SHARE))
    }

    /// One reading, and everything that follows from it.
    fn read(&mut self) {
        let began = Instant::now();
        self.begin();
        let table = table::read_all().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the process table");
            Vec::new()
        });
        self.take_ground();
        self.oom.update(began);
        let owned = self.owners.assign(&table, &self.ground, |process| {
            self.marker.of_this_server(process.identity.pid)
        });
        for news in owned.iter().filter(|owned| owned.is_new) {
            self.keeper.tell(news.process.identity);
        }
        reap_orphans(&table, &self.ground);
        let strays = self.judge(&owned);
        self.has_strays = strays.exist;
        self.settle(&owned, strays.are_condemned, began);
        if self.owners.len() > 2 * table.len() {
            self.owners.prune(&table);
        }
        let ended = Instant::now();
        (self.read_at, self.reading_took) = (ended, ended - began);
        self.round = (self.round * 2).min(ROUND_MAX);
    }

    /// Takes over the wishes that this reading will fulfil.
    fn begin(&mut self) {
        let state = self.census.state.lock();
        self.served = state.requested;
        self.is_final = state.is_stopping;
    }

    /// Takes over who is known, *after* the table was read: a child of ours that is in the table
    /// and not among those that are held is an orphan only if it was not just being started.
    fn take_ground(&mut self) {
        self.ground.held = spawn::held().clone();
        let state = self.census.state.lock();
        let members = state
            .entries
            .iter()
            .flat_map(|(number, entry)| entry.members.iter().map(|member| (member.pid, *number)));
        self.ground.members = members.collect();
        self.ground.newest = state.newest;
        let mut numbers = state.entries.keys().copied();
        self.ground.only = numbers.next().filter(|_| numbers.next().is_none());
    }

    /// Kills whatever belongs to a replica that is condemned or gone.
    fn judge(&self, owned: &[Owned<'_>]) -> Strays {
        let mut strays = Strays { exist: false, are_condemned: false };
        let mut doomed: Vec<Identity> = Vec::new();
        let state = self.census.state.lock();
        let lives = |entry: &Entry| entry.condemned.is_none() && !self.is_final;
        for Owned { process, owner, .. } in owned.iter().filter(|owned| !owned.process.is_zombie) {
            let is_doomed = match owner {
                Owner::Replica(number) => !state.entries.get(number).is_some_and(lives),
                Owner::Stray { newest } => {
                    let is_doomed = !state.entries.range(..=newest).any(|(_, entry)| lives(entry));
                    strays.exist = true;
                    strays.are_condemned |= is_doomed;
                    is_doomed
                }
            };
            if is_doomed {
                doomed.push(process.identity);
            }
        }
        for entry in state.entries.values().filter(|entry| !lives(entry)) {
            signal_groups(entry, Signal::KILL);
        }
        drop(state);
        for identity in doomed {
            identity.send(Signal::KILL);
        }
        strays
    }

    /// Writes down what was seen, removes replicas that are gone, and publishes.
    fn settle(&self, owned: &[Owned<'_>], do_strays_remain: bool, began: Instant) {
        let mut processes: HashMap<u64, Vec<&Process>> = HashMap::new();
        for owned in owned {
            if let Owner::Replica(number) = owned.owner {
                processes.entry(number).or_default().push(owned.process);
            }
        }
        let mut snapshot = Snapshot { generation: self.served, ..Snapshot::default() };
        snapshot.oom_kills = self.oom.earlier;
        let now = Instant::now();
        let mut buried: Vec<Entry> = Vec::new();
        let mut state = self.census.state.lock();
        state.entries.retain(|number, entry| {
            let list = processes.remove(number).unwrap_or_default();
            snapshot.seen.insert(*number, self.see(entry, &list));
            let Some(since) = entry.condemned else {
                snapshot.existing.insert(*number);
                return true;
            };
            // Before it was condemned, it may have started others behind our back.
            let is_seen = since < began && !do_strays_remain;
            if is_seen && self.try_bury(entry, &list) {
                buried.push(std::mem::take(entry));
                return false;
            }
            let is_late = now - since > STUCK_AFTER;
            if is_late && !std::mem::replace(&mut entry.is_stuck, true) {
                tracing::warn!(replica = number, "processes do not end after SIGKILL");
            }
            if entry.is_stuck {
                snapshot.stuck.insert(*number);
            }
            snapshot.existing.insert(*number);
            true
        });
        drop(state);
        // What they kept is free before they are said to be gone; who gets it may call us.
        drop(buried);
        self.census.snapshots.send_replace(Arc::new(snapshot));
    }

    fn see(&self, entry: &mut Entry, list: &[&Process]) -> Seen {
        let running = list.iter().filter(|process| !process.is_zombie);
        let running: Vec<Process> = running.map(|process| (*process).clone()).collect();
        let ticks = list.iter().map(|process| (process.identity, process.cpu_ticks)).collect();
        let ticks = entry.cpu.update(ticks);
        let resident = running.iter().map(|process| process.resident_pages * self.page_bytes);
        let mut pids: Vec<i32> = running.iter().map(|process| process.identity.pid).collect();
        pids.sort_unstable();
        let usage = Usage {
            resident_bytes: resident.sum(),
            cpu_time: Duration::from_millis(ticks.saturating_mul(1000) / self.ticks_per_second),
            processes: pids.len(),
            pids,
        };
        let over_memory = entry.memory_max.and_then(|max| over_memory(&usage, max));
        let is_company = |process: &&Process| !entry.members.contains(&process.identity);
        if list.iter().any(is_company) {
            entry.doubts = DOUBTS;
        }
        Seen { usage, running, over_memory }
    }

    /// Reaps the members of a condemned replica of which nothing else is left; whether it is gone.
    fn try_bury(&self, entry: &mut Entry, list: &[&Process]) -> bool {
        let is_left = |process: &&Process| {
            let is_member = entry.members.contains(&process.identity);
            !process.is_zombie || (!is_member && process.parent == self.ground.own_pid)
        };
        if entry.starting > 0 || list.iter().any(is_left) {
            return false;
        }
        if entry.doubts > 0 {
            entry.doubts -= 1;
            return false;
        }
        entry.members.retain(|member| !spawn::reap(member.pid));
        entry.members.is_empty()
    }
}

struct Strays {
    exist: bool,
    are_condemned: bool,
}

/// What the processes use, if it is more than `max`. Memory that they share would count several
/// times, so the exact sum, which takes the kernel a while, is asked for before it is held against
/// them.
fn over_memory(usage: &Usage, max: u64) -> Option<u64> {
    if usage.resident_bytes <= max {
        return None;
    }
    let exact: Option<u64> = usage.pids.iter().map(|pid| table::proportional_bytes(*pid)).sum();
    Some(exact.unwrap_or(usage.resident_bytes)).filter(|used| *used > max)
}

fn reap_orphans(table: &[Process], ground: &Ground) {
    for process in table.iter().filter(|process| process.is_zombie && is_adopted(process, ground)) {
        spawn::reap_orphan(process.identity);
    }
}

/// The kernel's count of processes killed for want of memory, now and a little earlier.
#[derive(Debug, Default)]
struct OomCount {
    read_at: Option<Instant>,
    latest: Option<u64>,
    earlier: Option<u64>,
}

impl OomCount {
    fn update(&mut self, now: Instant) {
        let age = self.read_at.map(|read_at| now - read_at);
        if age.is_some_and(|age| age < OOM_WINDOW) {
            return;
        }
        let count = table::kernel_oom_kills();
        // After a long time without replicas, what happened in it is not of interest.
        let is_old = age.is_none_or(|age| age > OOM_WINDOW * 10);
        self.earlier = if is_old { count } else { self.latest };
        self.latest = count;
        self.read_at = Some(now);
    }
}
