//! The mark that stays on a process that cleans its environment: the limit on the time that it may
//! run with real-time priority without a pause (`RLIMIT_RTTIME`, microseconds).
//!
//! Every descendant inherits it, over exec and changes of user, and hardly a program sets it. The
//! values are some two hundred thousand years, so they limit nothing. The hard limit says which
//! data folder, the soft one, which may not be higher, which run of the server and which replica.

use crate::owners::Mark;
use rustix::process::{Resource, Rlimit};
use std::fs;

const HARD_KIND: u64 = 0x7E << 56;
const SOFT_KIND: u64 = 0x7D << 56;
const MARKER_BITS: u64 = (1 << 56) - 1;
const SERVER_BITS: u64 = (1 << 24) - 1;

/// Soft and hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    soft: u64,
    hard: u64,
}

impl Tag {
    pub(crate) fn new(marker: &str, server: &str, replica: u64) -> Tag {
        let server = (hash(server) & SERVER_BITS) << 32;
        let hard = HARD_KIND | (hash(marker) & MARKER_BITS);
        Tag { soft: SOFT_KIND | server | (replica & u64::from(u32::MAX)), hard }
    }

    /// That of another process.
    pub(crate) fn of(pid: i32) -> Option<Tag> {
        parse(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
    }

    /// Puts it on this process. A system call and nothing else, to be called after fork. Fails in
    /// a server that is a replica itself; then the environment has to do.
    pub(crate) fn wear(self) {
        let limit = Rlimit { current: Some(self.soft), maximum: Some(self.hard) };
        _ = rustix::process::setrlimit(Resource::Rttime, limit);
    }

    /// What it says to somebody who knows his own.
    pub(crate) fn judge(self, own: Tag, is_wanted: impl Fn(bool) -> bool) -> Mark {
        let is_same_server = (self.soft ^ own.soft) >> 32 == 0;
        if self.hard == own.hard && is_wanted(is_same_server) {
            return Mark::Ours(self.soft & u64::from(u32::MAX));
        }
        Mark::Foreign
    }
}

fn parse(limits: &str) -> Option<Tag> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    let mut values = line.split_ascii_whitespace().map(str::parse);
    let (soft, hard) = (values.next()?.ok()?, values.next()?.ok()?);
    let is_kind = |value: u64, kind: u64| value >> 56 == kind >> 56;
    (is_kind(soft, SOFT_KIND) && is_kind(hard, HARD_KIND)).then_some(Tag { soft, hard })
}

/// FNV-1a, which is the same in every build.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_read_as_it_was_written() {
        let own = Tag::new("data", "7.9", 3);
        assert!(own.soft <= own.hard);
        let text = |tag: Tag| {
            format!("Limit  Soft\nMax realtime timeout      {} {} us\n", tag.soft, tag.hard)
        };
        assert_eq!(parse(&text(own)), Some(own));
        assert_eq!(parse("Max realtime timeout unlimited unlimited us\n"), None);
        assert_eq!(parse("Max realtime timeout 1000 1000 us\n"), None);
        let here = |tag: Tag| tag.judge(own, |is_same| is_same);
        assert_eq!(here(Tag::new("data", "7.9", 8)), Mark::Ours(8));
        assert_eq!(here(Tag::new("data", "7.8", 8)), Mark::Foreign);
        assert_eq!(here(Tag::new("other", "7.9", 8)), Mark::Foreign);
        let earlier = |tag: Tag| tag.judge(own, |is_same| !is_same);
        assert_eq!(earlier(Tag::new("data", "7.8", 8)), Mark::Ours(8));
    }
}
