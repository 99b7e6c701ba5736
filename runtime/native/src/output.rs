//! What the processes write: cut into lines, handed on within limits, the rest counted.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) mod read;

/// A longer line is cut into several.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// What is handed on per second and replica.
const LINES_MAX: u32 = 1000;
const BYTES_MAX: usize = 1 << 20;
const WINDOW: Duration = Duration::from_secs(1);
/// What is read per second and replica. A replica that writes more waits for us, and not we for
/// it.
const READ_BYTES_PER_SECOND: u32 = 16 << 20;
/// As much is read at once before the pace matters.
const READ_BURST: Duration = Duration::from_millis(20);

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// Takes what a replica writes. Called from tasks that read for the replica, so it should be
/// quick.
pub trait Output: Send + Sync {
    /// A line without its end. What is not UTF-8 was replaced.
    fn line(&self, rank: u32, stream: Stream, text: &str);

    /// Something that we have to say about the replica.
    fn note(&self, text: &str);

    /// A member runs, and is not ready yet. Nothing needs to be done about it.
    fn started(&self, _rank: u32, _pid: i32) {}
}

/// What all readers of a replica share.
pub(crate) struct Tap {
    output: Arc<dyn Output>,
    limits: Mutex<(Gate, Pace)>,
    /// By rank and stream: what was written last.
    last_lines: Mutex<Vec<[String; 2]>>,
}

impl Tap {
    pub(crate) fn new(output: Arc<dyn Output>, members: usize, now: Instant) -> Tap {
        let gate = Gate { opened_at: now, lines: 0, bytes: 0, left_out: 0 };
        let last_lines = Mutex::new(vec![Default::default(); members]);
        Tap { output, limits: Mutex::new((gate, Pace { free_at: now })), last_lines }
    }

    pub(crate) fn note(&self, text: &str) {
        self.output.note(text);
    }

    pub(crate) fn started(&self, rank: u32, pid: i32) {
        self.output.started(rank, pid);
    }

    /// What a member wrote last, preferably to stderr.
    pub(crate) fn last_line(&self, rank: u32) -> Option<String> {
        let last_lines = self.last_lines.lock();
        let [stdout, stderr] = &last_lines[rank as usize];
        [stderr, stdout].into_iter().find(|line| !line.is_empty()).cloned()
    }

    fn line(&self, rank: u32, stream: Stream, line: &[u8], now: Instant) {
        self.tell_left_out(now);
        if self.limits.lock().0.admits(line.len()) {
            self.output.line(rank, stream, &String::from_utf8_lossy(line));
        }
    }

    fn keep_last(&self, rank: u32, stream: Stream, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        self.last_lines.lock()[rank as usize][stream as usize] = text.trim().to_owned();
    }

    /// If a second is over in which lines were left out, says so.
    fn tell_left_out(&self, now: Instant) {
        let left_out = self.limits.lock().0.roll(now);
        self.note_left_out(left_out);
    }

    fn note_left_out(&self, count: u64) {
        match count {
            0 => {}
            1 => self.output.note("1 line left out"),
            count => self.output.note(&format!("{} lines left out", thousands(count))),
        }
    }

    /// When there will be something to tell.
    fn tells_at(&self) -> Option<Instant> {
        let gate = &self.limits.lock().0;
        (gate.left_out > 0).then(|| gate.opened_at + WINDOW)
    }

    /// Nothing more comes from one of the readers.
    fn finish(&self) {
        let left_out = std::mem::take(&mut self.limits.lock().0.left_out);
        self.note_left_out(left_out);
    }

    fn pace(&self, bytes: usize, now: Instant) -> Duration {
        self.limits.lock().1.take(bytes, now)
    }
}

/// Lets so many lines and bytes through in a second and counts the rest.
#[derive(Debug)]
struct Gate {
    opened_at: Instant,
    lines: u32,
    bytes: usize,
    left_out: u64,
}

impl Gate {
    /// Begins a new second if it is time; answers what was left out in the last one.
    fn roll(&mut self, now: Instant) -> u64 {
        if now < self.opened_at + WINDOW {
            return 0;
        }
        let left_out = self.left_out;
        *self = Gate { opened_at: now, lines: 0, bytes: 0, left_out: 0 };
        left_out
    }

    fn admits(&mut self, bytes: usize) -> bool {
        let is_admitted = self.lines < LINES_MAX && self.bytes + bytes <= BYTES_MAX;
        if is_admitted {
            self.lines += 1;
            self.bytes += bytes;
        } else {
            self.left_out += 1;
        }
        is_admitted
    }
}

/// A leaky bucket over what is read.
#[derive(Debug)]
struct Pace {
    free_at: Instant,
}

impl Pace {
    /// How long to wait after these bytes.
    fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        let cost = Duration::from_secs_f64(bytes as f64 / f64::from(READ_BYTES_PER_SECOND));
        self.free_at = self.free_at.max(now) + cost;
        let ahead = self.free_at - now;
        if ahead > READ_BURST { ahead } else { Duration::ZERO }
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of a line, without an end so far.
    rest: Vec<u8>,
}

impl Lines {
    /// Calls `each` with every line that is complete now.
    fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end], &mut each);
            each(shown(&self.rest));
            self.rest.clear();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut each);
    }

    fn extend(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        self.rest.extend_from_slice(bytes);
        let mut start = 0;
        while self.rest.len() - start > LINE_BYTES_MAX {
            let end = char_end(&self.rest, start + LINE_BYTES_MAX);
            each(shown(&self.rest[start..end]));
            start = end;
        }
        self.rest.drain(..start);
    }

    /// The last line, if it has no end.
    fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            each(shown(&self.rest));
            self.rest.clear();
        }
    }
}

/// The end of the last whole character before `end`, if there are such.
fn char_end(bytes: &[u8], end: usize) -> usize {
    let is_inside = |at: &usize| bytes[*at] & 0b1100_0000 == 0b1000_0000;
    (end - 3..=end).rev().find(|at| !is_inside(at)).unwrap_or(end)
}

/// What a terminal would show of a line: progress bars write over themselves.
fn shown(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b'\r').rfind(|part| !part.is_empty()).unwrap_or_default()
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut each = |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.push(chunk, &mut each);
        }
        lines.finish(&mut each);
        found
    }

    #[test]
    fn lines_do_not_depend_on_how_they_arrive() {
        assert_eq!(cut(&[b"one\ntwo\r\n\nthr", b"ee"]), ["one", "two", "", "three"]);
        assert_eq!(cut(&[b"o", b"ne\n", b""]), ["one"]);
        assert_eq!(cut(&[b"load 1%\rload 2%", b"\rload 3%\r\n"]), ["load 3%"]);
        assert_eq!(cut(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "ä".repeat(LINE_BYTES_MAX);
        let found = cut(&[b"x".as_slice(), long.as_bytes()]);
        assert!(found.iter().all(|line| line.len() <= LINE_BYTES_MAX));
        assert_eq!(found.concat(), format!("x{long}"));
        assert_eq!(cut(&[[b'a'; LINE_BYTES_MAX].as_slice(), b"\n"]).len(), 1);
    }

    #[test]
    fn gate_counts_what_it_leaves_out_and_opens_again() {
        let start = Instant::now();
        let mut gate = Gate { opened_at: start, lines: 0, bytes: 0, left_out: 0 };
        let admitted = (0..5000).filter(|_| gate.admits(10)).count();
        assert_eq!(admitted, 1000);
        assert_eq!(gate.roll(start + WINDOW / 2), 0);
        assert_eq!(gate.roll(start + WINDOW), 4000);
        assert!(gate.admits(BYTES_MAX) && !gate.admits(1));
        assert_eq!(gate.roll(start + 2 * WINDOW), 1);
    }

    #[test]
    fn reading_is_held_to_its_pace() {
        let start = Instant::now();
        let mut pace = Pace { free_at: start };
        assert_eq!(pace.take(1024, start), Duration::ZERO);
        let mut now = start;
        for _ in 0..160 {
            now += pace.take(1 << 20, now);
        }
        let took = (now - start).as_secs_f64();
        assert!((9.5..10.5).contains(&took), "160 MiB at 16 MiB/s took {took} s");
        assert_eq!(pace.take(1024, now + Duration::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(12_345), "12,345");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
