//! The process table as `/proc` shows it. This reads and parses; who owns a process is decided in
//! [`crate::owners`].

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::fs;
use std::io;

/// How often the list of processes is read in one reading.
const PASSES_MAX: usize = 4;

/// One process, as one line of `/proc/<pid>/stat` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) identity: Identity,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) is_zombie: bool,
    /// Time on a processor, in clock ticks, without that of its children.
    pub(crate) cpu_ticks: u64,
    pub(crate) resident_pages: u64,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Field 22 of `stat`: clock ticks from the start of the machine to that of the process.
    pub(crate) start: u64,
}

impl Identity {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Identity> {
        Some(read(pid)?.identity)
    }

    /// Sends a signal to this process and to no other; whether it was there to be sent to. The
    /// descriptor pins the process, so the start time that is read after opening it is that of the
    /// process the signal goes to.
    pub(crate) fn send(self, signal: Signal) -> bool {
        let Some(pid) = Pid::from_raw(self.pid) else { return false };
        let Ok(pinned) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        Identity::of(self.pid) == Some(self) && pidfd_send_signal(&pinned, signal).is_ok()
    }
}

/// All processes there are. Not a moment in time: processes come and go while it is read. Who
/// starts a successor and ends before we get to it would be missed again and again, so when
/// somebody on the list was not there any more, the list is read once more for who is new.
pub(crate) fn read_all() -> io::Result<Vec<Process>> {
    let mut processes = Vec::with_capacity(256);
    let mut listed = HashSet::with_capacity(256);
    for _ in 0..PASSES_MAX {
        let before = listed.len() - processes.len();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let pid: Option<i32> = name.to_str().and_then(|name| name.parse().ok());
            let new = pid.filter(|pid| listed.insert(*pid));
            processes.extend(new.and_then(read));
        }
        if listed.len() - processes.len() == before {
            break;
        }
    }
    Ok(processes)
}

/// This process.
pub(crate) fn own() -> io::Result<Process> {
    let own = read(rustix::process::getpid().as_raw_nonzero().get());
    own.ok_or_else(|| io::Error::other("/proc is not mounted, or hides processes"))
}

/// One process, unless it is gone.
pub(crate) fn read(pid: i32) -> Option<Process> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &[u8]) -> Option<Process> {
    // The name in parentheses may hold anything, parentheses and line ends too.
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let pid_end = stat.iter().position(|byte| *byte == b' ')?;
    let pid = std::str::from_utf8(&stat[..pid_end]).ok()?.parse().ok()?;
    let rest = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // `fields[0]` is field 3 of proc_pid_stat(5).
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let id = |field: usize| fields.get(field - 3)?.parse::<i32>().ok();
    Some(Process {
        identity: Identity { pid, start: number(22)? },
        parent: id(4)?,
        group: id(5)?,
        session: id(6)?,
        is_zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        resident_pages: number(24)?,
    })
}

/// The value of an environment variable as the process was given it, if we may read it.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let entry = environment.split(|byte| *byte == 0).find_map(|entry| {
        entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
    })?;
    Some(String::from_utf8_lossy(entry).into_owned())
}

/// The command line for people to read; the name if there is none.
pub(crate) fn command_line(pid: i32) -> String {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = text
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    if words.is_empty() {
        return fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().into();
    }
    words.join(" ")
}

/// Resident bytes with shared pages divided among those who share them.
pub(crate) fn proportional_bytes(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// How many processes the kernel has killed for want of memory since the machine started.
pub(crate) fn kernel_oom_kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = b"42 (a) b (c) S 7 42 40 0 -1 4194304 1 2 3 4 50 6 8 9 20 0 1 0 1234 99 777 18";
        let expected = Process {
            identity: Identity { pid: 42, start: 1234 },
            parent: 7,
            group: 42,
            session: 40,
            is_zombie: false,
            cpu_ticks: 56,
            resident_pages: 777,
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse(b"42 (cut) S 7"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_process_with_the_same_number_but_another_start_is_left_alone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let identity = Identity::of(pid).unwrap();
        let earlier = Identity { start: identity.start - 1, ..identity };
        assert!(!earlier.send(Signal::KILL), "that process is gone, its number was given again");
        assert!(child.try_wait().unwrap().is_none());
        assert!(identity.send(Signal::KILL));
        assert!(!child.wait().unwrap().success());
        assert!(!identity.send(Signal::KILL), "nobody is there any more");
    }

    #[test]
    fn own_process_is_in_the_table() {
        let own = i32::try_from(std::process::id()).unwrap();
        let all = read_all().unwrap();
        let found = all.iter().find(|process| process.identity.pid == own).unwrap();
        assert!(found.resident_pages > 0 && !found.is_zombie);
        assert!(command_line(own).contains("samovar_native"));
        assert!(proportional_bytes(own).unwrap() > 0);
        assert!(variable(own, "PATH").is_some());
        assert_eq!(variable(own, "PAT"), None, "a name is compared as a whole");
    }
}
