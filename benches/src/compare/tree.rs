//! What a process and all that it started use of the machine.
//!
//! Some servers are many processes. A process belongs to the tree when its parent does, and stays
//! in it when that parent ends before it. The CPU time of a process that has ended counts when its
//! parent waited for it, because the kernel adds it to the parent's. What nobody in the tree waited
//! for is lost; no server that is measured here ends processes under load.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process::to_duration;

/// A process, and all that descend from it.
#[derive(Debug)]
pub struct Tree {
    root: i32,
    /// All that were ever seen, with when they were started: a number of a process is used again.
    seen: HashMap<i32, u64>,
}

/// Memory of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub bytes: u64,
    /// Whether pages that processes share are shared out between them ("PSS"). Otherwise some are
    /// counted more than once.
    pub is_proportional: bool,
    pub processes: usize,
}

/// A line of `/proc/<pid>/stat`. Times are in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    pid: i32,
    is_alive: bool,
    parent: i32,
    /// In user and in kernel mode, of all threads.
    own: u64,
    /// Of children that it has waited for, and theirs.
    reaped: u64,
    started: u64,
}

impl Tree {
    /// The tree that grows from `root`.
    pub fn of(root: Pid) -> Self {
        Self { root: root.as_raw_nonzero().get(), seen: HashMap::new() }
    }

    /// CPU time so far, exact to 10 ms for each process.
    ///
    /// # Errors
    ///
    /// When the first process has gone.
    pub fn cpu_time(&mut self) -> Result<Duration> {
        let members = self.members();
        let root = members.iter().find(|stat| stat.pid == self.root && stat.is_alive);
        root.with_context(|| format!("process {} has gone", self.root))?;
        Ok(to_duration(members.iter().map(|stat| stat.own + stat.reaped).sum()))
    }

    /// What is resident now.
    pub fn memory(&mut self) -> Memory {
        let members = self.alive();
        let proportional: Option<u64> = members.iter().map(|pid| proportional_kib(*pid)).sum();
        let resident = || members.iter().filter_map(|pid| resident_kib(*pid)).sum();
        Memory {
            bytes: proportional.unwrap_or_else(resident) * 1024,
            is_proportional: proportional.is_some(),
            processes: members.len(),
        }
    }

    /// Asks the first process to end.
    pub fn terminate(&mut self) {
        if self.alive().contains(&self.root) {
            signal(self.root, Signal::TERM);
        }
    }

    /// Ends all of them now.
    pub fn kill(&mut self) {
        for pid in self.alive() {
            signal(pid, Signal::KILL);
        }
    }

    /// Those that have not ended.
    pub fn alive(&mut self) -> Vec<i32> {
        let members = self.members().into_iter();
        members.filter(|stat| stat.is_alive).map(|stat| stat.pid).collect()
    }

    fn members(&mut self) -> Vec<Stat> {
        let all = processes();
        if self.seen.is_empty() {
            let root = all.iter().find(|stat| stat.pid == self.root);
            self.seen.extend(root.map(|stat| (stat.pid, stat.started)));
        }
        let members = descendants(&all, &self.seen);
        self.seen.extend(members.iter().map(|stat| (stat.pid, stat.started)));
        members
    }
}

impl Memory {
    pub fn mib(self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20)
    }

    pub fn to_json(self) -> Value {
        json!({
            "bytes": self.bytes, "is_proportional": self.is_proportional,
            "processes": self.processes,
        })
    }
}

/// Those of `all` that are `known`, and all that descend from them.
fn descendants(all: &[Stat], known: &HashMap<i32, u64>) -> Vec<Stat> {
    let is_known = |stat: &&Stat| known.get(&stat.pid) == Some(&stat.started);
    let (mut members, mut rest): (Vec<&Stat>, Vec<&Stat>) = all.iter().partition(is_known);
    loop {
        let is_child = |stat: &&Stat| members.iter().any(|member| member.pid == stat.parent);
        let (children, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_child);
        if children.is_empty() {
            return members.into_iter().copied().collect();
        }
        members.extend(children);
        rest = others;
    }
}

/// All processes of the machine that can be seen.
fn processes() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stat = |entry: fs::DirEntry| {
        entry.file_name().to_str()?.parse::<i32>().ok()?;
        Stat::parse(&fs::read_to_string(entry.path().join("stat")).ok()?)
    };
    entries.filter_map(stat).collect()
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // The name in parentheses may hold anything, so count after its end.
        let (pid, rest) = line.split_once(' ')?;
        let fields: Vec<&str> = rest.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            is_alive: !matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            reaped: number(13)? + number(14)?,
            started: number(19)?,
        })
    }
}

/// The process's part of what is resident, where this may be read.
fn proportional_kib(pid: i32) -> Option<u64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

fn resident_kib(pid: i32) -> Option<u64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// The number in a line such as `Pss:   1234 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix(" kB")?.parse().ok()
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        _ = kill_process(pid, signal); // It may have ended in the meantime.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: i32, parent: i32, own: u64, reaped: u64) -> Stat {
        Stat { pid, is_alive: true, parent, own, reaped, started: u64::from(pid.unsigned_abs()) }
    }

    fn pids(all: &[Stat], known: &[(i32, u64)]) -> Vec<i32> {
        let found = descendants(all, &known.iter().copied().collect());
        let mut pids: Vec<i32> = found.iter().map(|stat| stat.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn lines_of_stat_are_read() {
        let line = "7 (a) b) S 3 2 3 4 5 6 7 8 9 10 250 50 20 5 20 0 1 0 99 0";
        let expected =
            Stat { pid: 7, is_alive: true, parent: 3, own: 300, reaped: 25, started: 99 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert!(!Stat::parse(&line.replace(" S ", " Z ")).unwrap().is_alive);
        assert_eq!(Stat::parse("nonsense"), None);
    }

    #[test]
    fn trees_hold_descendants_and_orphans() {
        let all = [stat(5, 4, 1, 0), stat(2, 1, 1, 0), stat(4, 2, 1, 0), stat(9, 1, 1, 0)];
        assert_eq!(pids(&all, &[(2, 2)]), [2, 4, 5]);
        // 4 has ended, so that 5 is the child of 1.
        let orphaned = [stat(5, 1, 1, 0), stat(2, 1, 1, 0), stat(9, 1, 1, 0)];
        assert_eq!(pids(&orphaned, &[(2, 2), (4, 4), (5, 5)]), [2, 5]);
        // A new process has the number of one that was seen.
        let reused = [Stat { started: 77, ..stat(5, 1, 1, 0) }, stat(2, 1, 1, 0)];
        assert_eq!(pids(&reused, &[(2, 2), (5, 5)]), [2]);
    }

    #[test]
    fn kibibytes_are_read() {
        let text = "Rss:    200 kB\nPss:   1234 kB\nPss_Anon: 5 kB\n";
        assert_eq!(kib(text, "Pss:"), Some(1234));
        assert_eq!(kib(text, "Swap:"), None);
    }

    #[test]
    fn children_count_before_and_after_they_have_ended() {
        let mut tree = Tree::of(rustix::process::getpid());
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id().cast_signed();
        assert!(tree.alive().contains(&pid));
        assert!(tree.memory().processes >= 2 && tree.memory().bytes > 0);
        let before = tree.cpu_time().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!tree.alive().contains(&pid));
        assert!(tree.cpu_time().unwrap() >= before);
    }
}
