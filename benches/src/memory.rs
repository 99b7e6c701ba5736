//! Memory of a process, as the kernel counts it.

use std::{fmt, fs};

use anyhow::{Context, Result};
use rustix::process::Pid;
use serde_json::{Value, json};

/// What a process has in memory at one moment, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All pages of it, those that other processes have too included (RSS).
    pub resident_kib: u64,
    /// The same, a page that is mapped several times counted in parts (PSS).
    pub proportional_kib: u64,
    /// Pages that it has written to, which nobody else has.
    pub written_kib: u64,
}

impl Memory {
    /// Of the process `pid`, now.
    ///
    /// # Errors
    ///
    /// When it has gone, or belongs to somebody else.
    pub fn of(pid: Pid) -> Result<Self> {
        let path = format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Self::parse(&text).with_context(|| format!("{path} has another shape: {text}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().strip_suffix(" kB")?.parse().ok()
        };
        Some(Self {
            resident_kib: field("Rss:")?,
            proportional_kib: field("Pss:")?,
            written_kib: field("Private_Dirty:")?,
        })
    }

    pub fn resident_mib(&self) -> f64 {
        self.resident_kib as f64 / 1024.0
    }

    pub fn to_json(&self) -> Value {
        json!({
            "resident_kib": self.resident_kib, "proportional_kib": self.proportional_kib,
            "written_kib": self.written_kib,
        })
    }
}

/// As cells of a table, in MiB: resident, proportional, written.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        let Self { resident_kib, proportional_kib, written_kib } = *self;
        let (resident, proportional) = (mib(resident_kib), mib(proportional_kib));
        write!(f, "{resident:.1} | {proportional:.1} | {:.1}", mib(written_kib))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_whole_name() {
        let text = "55-7f ---p 00000000 00:00 0      [rollup]\nRss:           2048 kB\n\
                    Pss:            1024 kB\nPss_Dirty:       9 kB\nPrivate_Clean:  7 kB\n\
                    Private_Dirty:   512 kB\nSwapPss: 0 kB\n";
        let memory = Memory::parse(text).unwrap();
        let expected = Memory { resident_kib: 2048, proportional_kib: 1024, written_kib: 512 };
        assert_eq!(memory, expected);
        assert_eq!(memory.to_string(), "2.0 | 1.0 | 0.5");
        assert_eq!(Memory::parse("Rss: 1 kB\n"), None);
    }

    #[test]
    fn own_memory_can_be_read() {
        let memory = Memory::of(rustix::process::getpid()).unwrap();
        assert!(memory.resident_kib >= memory.proportional_kib, "{memory:?}");
        assert!(memory.resident_kib > memory.written_kib, "{memory:?}");
    }
}
