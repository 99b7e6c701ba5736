//! What a process holds and uses, as the kernel tells it.

use std::fmt;
use std::fs;

/// Bytes of a MiB.
pub const MIB: u64 = 1 << 20;

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub descriptors: usize,
    pub threads: usize,
    /// Memory that is resident.
    pub resident_bytes: u64,
}

impl Usage {
    /// Of the process `pid`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn of(pid: i32) -> Self {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.unwrap_or_else(|| panic!("no {name} in {status}"))
        };
        Usage {
            descriptors: open.count(),
            threads: field("Threads:") as usize,
            resident_bytes: field("VmRSS:") << 10,
        }
    }

    /// Whether there are no more descriptors and threads than in `other`, and at most a tenth and
    /// `spare_bytes` more memory.
    pub fn is_like(&self, other: &Usage, spare_bytes: u64) -> bool {
        let most = other.resident_bytes + other.resident_bytes / 10 + spare_bytes;
        self.descriptors <= other.descriptors
            && self.threads <= other.threads
            && self.resident_bytes <= most
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mib = self.resident_bytes as f64 / MIB as f64;
        let Usage { descriptors, threads, .. } = self;
        write!(f, "{descriptors} descriptors, {threads} threads, {mib:.1} MiB")
    }
}

/// CPU time that a process has used so far, in its program and in the kernel, in seconds. Exact to
/// about 10 ms.
///
/// # Panics
/// When it does not run.
pub fn cpu_seconds(pid: i32) -> f64 {
    const USER_AND_SYSTEM: std::ops::Range<usize> = 11..13;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(')').expect("the name is in parentheses");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = fields[USER_AND_SYSTEM].iter().map(|field| field.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_usage_can_be_read() {
        let own = std::process::id() as i32;
        let usage = Usage::of(own);
        assert!(usage.descriptors >= 3 && usage.threads >= 1, "{usage}");
        assert!(usage.resident_bytes > 64 << 10, "{usage}");
        assert!(cpu_seconds(own) >= 0.0);
    }

    #[test]
    fn more_of_anything_is_not_alike() {
        let usage = Usage { descriptors: 9, threads: 2, resident_bytes: 100 * MIB };
        assert!(usage.is_like(&usage, 0));
        assert!(Usage { resident_bytes: 114 * MIB, ..usage }.is_like(&usage, 4 * MIB));
        assert!(!Usage { resident_bytes: 115 * MIB, ..usage }.is_like(&usage, 4 * MIB));
        assert!(!Usage { descriptors: 10, ..usage }.is_like(&usage, MIB));
        assert!(!Usage { threads: 3, ..usage }.is_like(&usage, MIB));
    }
}
