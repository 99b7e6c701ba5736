//! CPU time of a process, and limits of this one.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

/// CPU time the process has used so far, all its threads together, in the program and in the
/// kernel. Exact to 10 ms.
pub fn cpu_time(pid: Pid) -> Result<Duration> {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    ticks(&stat).map(to_duration).with_context(|| format!("{path} has another shape: {stat}"))
}

/// User and system time of a line of `/proc/<pid>/stat`.
fn ticks(stat: &str) -> Option<u64> {
    // The second field is the name in parentheses and may hold anything, so count after its end.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// What so many ticks of the kernel's clock for CPU time are.
pub fn to_duration(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Lets this process have as many open files as it may: a connection is a file.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    _ = setrlimit(Resource::Nofile, all); // Best effort: opening too many says what is wrong.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_blanks_and_parentheses_is_skipped() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn own_time_can_be_read() {
        cpu_time(rustix::process::getpid()).unwrap();
    }
}
