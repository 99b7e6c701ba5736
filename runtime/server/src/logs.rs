//! What guests print and what happens to their replicas, per deployment, the last lines of it.

use crate::clock;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// Lines kept per deployment. Older ones are forgotten.
const LINES_MAX: usize = 2000;
/// Bytes kept of one line; a longer one is cut into several.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Shorter values are not hidden: they are in half of all words, and can be guessed anyway.
const HIDDEN_BYTES_MIN: usize = 4;
/// Bytes a guest may write in one call.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// A line that makes the host panic, when fault injection is switched on.
const PANIC_LINE: &str = "samovar-fault: panic-host";

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// Samovar itself.
    System,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Position in the log, counted from 0.
    pub number: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// The replica that printed it; none for lines about the whole deployment.
    pub replica: Option<u64>,
    /// Where it comes from.
    pub stream: LogStream,
    /// The text without its line end.
    pub text: String,
}

/// The log of one deployment. It outlives revisions.
#[derive(Debug)]
pub struct DeploymentLog {
    lines: Mutex<VecDeque<Line>>,
    /// What must not be in any line.
    hidden: ArcSwap<Vec<String>>,
    /// The number of the next line.
    next: watch::Sender<u64>,
}

impl Default for DeploymentLog {
    fn default() -> Self {
        DeploymentLog {
            lines: Mutex::default(),
            hidden: ArcSwap::default(),
            next: watch::Sender::new(0),
        }
    }
}

impl DeploymentLog {
    /// Hides these values from now on, beside those hidden before: replicas of older revisions may
    /// still print theirs.
    pub fn hide<'a>(&self, values: impl IntoIterator<Item = &'a String>) {
        let mut hidden = Vec::clone(&self.hidden.load());
        for value in values {
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= HIDDEN_BYTES_MIN);
            hidden.extend(lines.map(str::to_owned));
        }
        // Longer ones first: one may be part of another.
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        hidden.dedup();
        self.hidden.store(Arc::new(hidden));
    }

    /// A text without what is hidden.
    pub fn clean(&self, text: String) -> String {
        let hidden = self.hidden.load();
        let hide = |text: String, value: &String| match text.contains(value.as_str()) {
            true => text.replace(value.as_str(), "[secret]"),
            false => text,
        };
        hidden.iter().fold(text, hide)
    }

    /// Adds a text, line by line.
    pub fn push_text(&self, replica: Option<u64>, stream: LogStream, text: &str) {
        text.lines().for_each(|line| self.push(replica, stream, line.to_owned()));
    }

    /// Adds a line.
    pub fn push(&self, replica: Option<u64>, stream: LogStream, text: String) {
        let text = self.clean(text);
        let mut lines = self.lines.lock();
        let number = *self.next.borrow();
        lines.push_back(Line { number, at_ms: clock::unix_ms(), replica, stream, text });
        if lines.len() > LINES_MAX {
            lines.pop_front();
        }
        self.next.send_replace(number + 1);
    }

    /// The lines from `number` on that are still kept, at most the last `limit` of them.
    pub fn since(&self, number: u64, limit: usize) -> Vec<Line> {
        let lines = self.lines.lock();
        let first = lines.partition_point(|line| line.number < number);
        let first = first.max(lines.len().saturating_sub(limit));
        lines.iter().skip(first).cloned().collect()
    }

    /// Tells when lines are added.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }
}

/// Takes what one replica prints.
#[derive(Clone)]
pub struct GuestOutput {
    /// Where the lines go.
    pub log: Arc<DeploymentLog>,
    /// The replica; none for a trial.
    pub replica: Option<u64>,
    /// Whether a certain line makes the host panic; for tests of what happens then.
    pub fault_injection: bool,
}

impl GuestOutput {
    /// One of the guest's streams.
    pub fn stream(&self, stream: LogStream) -> GuestStream {
        GuestStream { output: self.clone(), stream, partial: Arc::default() }
    }
}

/// Cuts a guest's stream into lines. All copies write to the same one.
#[derive(Clone)]
pub struct GuestStream {
    output: GuestOutput,
    stream: LogStream,
    partial: Arc<Mutex<Vec<u8>>>,
}

impl GuestStream {
    fn write(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock();
        for &byte in bytes {
            if byte != b'\n' {
                partial.push(byte);
            }
            if byte == b'\n' || partial.len() >= LINE_BYTES_MAX {
                let text = String::from_utf8_lossy(&partial).into_owned();
                partial.clear();
                assert!(
                    !(self.output.fault_injection && text == PANIC_LINE),
                    "injected fault: a guest asked the host to panic"
                );
                self.output.log.push(self.output.replica, self.stream, text);
            }
        }
    }
}

impl Drop for GuestStream {
    /// The last line may have no line end.
    fn drop(&mut self) {
        if Arc::strong_count(&self.partial) == 1 {
            let partial = std::mem::take(&mut *self.partial.lock());
            if !partial.is_empty() {
                let text = String::from_utf8_lossy(&partial).into_owned();
                self.output.log.push(self.output.replica, self.stream, text);
            }
        }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(WRITE_BYTES_MAX);
        self.write(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for GuestStream {
    fn write(&mut self, bytes: bytes::Bytes) -> Result<(), StreamError> {
        GuestStream::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}
