//! Whose process is it? A pure decision over one reading of the process table and what was known
//! before.
//!
//! A process belongs to a replica if it was known to, or if it is one of its members, or if it
//! carries a mark, or if it is in a session or a child of a process that does. What it does later
//! (take off its marks, leave its session, lose its parent) changes nothing, once it was seen. What
//! was never seen before it had done all of that is a child of the server by then, because the
//! server is the reaper of orphans: a *stray*.

use crate::table::{Identity, Process};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The replica with this number.
    Replica(u64),
    /// One of the replicas up to this number, nobody knows which.
    Stray { newest: u64 },
}

/// What the marks on a process say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It was started for this replica.
    Ours(u64),
    /// It was started for a replica of somebody else.
    Foreign,
    /// There is none, or it cannot be read.
    Missing,
}

/// What is known apart from the process table.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// The process that asks; it owns nothing of itself.
    pub(crate) own_pid: i32,
    pub(crate) own_session: i32,
    /// Members, not reaped yet, and the replicas they are of.
    pub(crate) members: HashMap<i32, u64>,
    /// Further children that somebody waits for.
    pub(crate) held: BTreeSet<i32>,
    /// The highest number of a replica so far.
    pub(crate) newest: u64,
    /// The replica, if there is exactly one.
    pub(crate) only: Option<u64>,
}

impl Ground {
    /// For a process that knows of no replicas yet.
    pub(crate) fn of(own: &Process) -> Ground {
        let (own_pid, own_session) = (own.identity.pid, own.session);
        Ground { own_pid, own_session, ..Ground::default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    start: u64,
    owner: Option<Owner>,
    is_foreign: bool,
}

/// The memory from one reading to the next.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    known: HashMap<i32, Known>,
}

impl Owners {
    /// Takes note of a process before it is seen.
    pub(crate) fn remember(&mut self, identity: Identity, owner: Owner) {
        let known = Known { start: identity.start, owner: Some(owner), is_foreign: false };
        self.known.insert(identity.pid, known);
    }

    /// Forgets who is not in the table any more.
    pub(crate) fn prune(&mut self, table: &[Process]) {
        let alive: HashSet<Identity> = table.iter().map(|process| process.identity).collect();
        self.known.retain(|pid, known| alive.contains(&Identity { pid: *pid, start: known.start }));
    }

    /// How many processes are remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Everybody who is remembered to belong to somebody.
    pub(crate) fn owned(&self) -> impl Iterator<Item = Identity> {
        let owned = self.known.iter().filter(|(_, known)| known.owner.is_some());
        owned.map(|(pid, known)| Identity { pid: *pid, start: known.start })
    }

    /// Everybody who belongs to somebody here, in the order of `table`, and whether that is news.
    /// `mark_of` is asked once for every process that was not there before.
    pub(crate) fn assign<'a>(
        &mut self,
        table: &'a [Process],
        ground: &Ground,
        mut mark_of: impl FnMut(&Process) -> Mark,
    ) -> Vec<Owned<'a>> {
        let mut owners: Vec<Option<Owner>> = Vec::with_capacity(table.len());
        let mut is_foreign = vec![false; table.len()];
        for (index, process) in table.iter().enumerate() {
            let mark = match self.before(process) {
                Some(Known { owner: Some(Owner::Replica(number)), .. }) => Mark::Ours(number),
                Some(Known { is_foreign: true, .. }) => Mark::Foreign,
                Some(Known { owner: None, .. }) => Mark::Missing,
                // A stray may get its mark yet, when it calls exec.
                Some(Known { owner: Some(Owner::Stray { .. }), .. }) | None => {
                    direct(process, ground, &mut mark_of)
                }
            };
            is_foreign[index] = mark == Mark::Foreign;
            owners.push(match mark {
                Mark::Ours(number) => Some(Owner::Replica(number)),
                Mark::Foreign | Mark::Missing => None,
            });
        }
        spread(table, ground, &mut owners);
        let mut owned = Vec::new();
        for (index, process) in table.iter().enumerate() {
            let before = self.before(process).and_then(|known| known.owner);
            let owner = owners[index].or_else(|| {
                let is_stray = is_adopted(process, ground) && !is_foreign[index];
                let new = || match ground.only {
                    Some(number) => Owner::Replica(number),
                    None => Owner::Stray { newest: ground.newest },
                };
                is_stray.then(|| before.unwrap_or_else(new))
            });
            // A child of ours may be on its way to becoming a member: nothing is known for good.
            if owner.is_some() || process.parent != ground.own_pid {
                let start = process.identity.start;
                let known = Known { start, owner, is_foreign: is_foreign[index] };
                self.known.insert(process.identity.pid, known);
            }
            if let Some(owner) = owner {
                owned.push(Owned { process, owner, is_new: before.is_none() });
            }
        }
        owned
    }

    fn before(&self, process: &Process) -> Option<Known> {
        let known = self.known.get(&process.identity.pid).copied();
        known.filter(|known| known.start == process.identity.start)
    }
}

/// A process and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned<'a> {
    pub(crate) process: &'a Process,
    pub(crate) owner: Owner,
    /// It was not known to have one before.
    pub(crate) is_new: bool,
}

impl Owned<'_> {
    pub(crate) fn is_of_replica(&self) -> bool {
        matches!(self.owner, Owner::Replica(_))
    }
}

/// Whether this is an orphan that came to us: our replicas live in sessions of their own, and a
/// child that the server started for itself is in the server's.
pub(crate) fn is_adopted(process: &Process, ground: &Ground) -> bool {
    process.parent == ground.own_pid
        && process.session != ground.own_session
        && !ground.held.contains(&process.identity.pid)
}

fn direct(process: &Process, ground: &Ground, mark_of: &mut impl FnMut(&Process) -> Mark) -> Mark {
    let pid = process.identity.pid;
    if pid == ground.own_pid {
        return Mark::Missing;
    }
    match ground.members.get(&pid) {
        Some(number) => Mark::Ours(*number),
        None if ground.held.contains(&pid) => Mark::Missing,
        None => mark_of(process),
    }
}

/// Gives sessions and children the owner of those they come from, until nothing changes.
fn spread(table: &[Process], ground: &Ground, owners: &mut [Option<Owner>]) {
    let mut sessions: HashMap<i32, Owner> = HashMap::new();
    let mut parents: HashMap<i32, Owner> = HashMap::new();
    let mut is_changing = true;
    while is_changing {
        is_changing = false;
        for (process, owner) in table.iter().zip(owners.iter_mut()) {
            let pid = process.identity.pid;
            let is_exempt = pid == ground.own_pid || ground.held.contains(&pid);
            if owner.is_none() && !is_exempt {
                let found = sessions.get(&process.session).or_else(|| parents.get(&process.parent));
                *owner = found.copied();
            }
            let Some(owner) = *owner else { continue };
            if parents.insert(pid, owner).is_none() {
                is_changing = true;
                if process.session != ground.own_session && process.session != 0 {
                    sessions.entry(process.session).or_insert(owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
