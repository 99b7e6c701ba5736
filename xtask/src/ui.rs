//! What a person sees while a task runs: steps with their time, and one line that changes in place.
//! Where nobody watches (no terminal), the changing line becomes few plain ones.

use std::{
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Between two plain lines of progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(2);

/// Runs one step of a task and says how long it took.
pub fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {name}");
    let started = now();
    let result = run();
    let verdict = if result.is_ok() { "done" } else { "FAILED" };
    println!("    {verdict} in {:.1} s: {name}", started.elapsed().as_secs_f64());
    result
}

/// The only place where tasks read the clock.
#[allow(clippy::disallowed_methods, reason = "tasks measure how long real things take")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits, because the other side is a process that is only seen by asking it again.
#[allow(clippy::disallowed_methods, reason = "tasks poll other processes from plain threads")]
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}

/// A line of progress.
pub struct Live {
    in_place: bool,
    last: Option<Instant>,
}

impl Live {
    pub fn new() -> Self {
        Self { in_place: io::stdout().is_terminal(), last: None }
    }

    pub fn show(&mut self, text: &str) {
        let now = now();
        if self.in_place {
            print!("\r\x1b[2K    {text}");
            _ = io::stdout().flush(); // A closed terminal must not stop the task.
        } else if self.last.is_none_or(|last| now - last >= PLAIN_INTERVAL) {
            println!("    {text}");
        } else {
            return;
        }
        self.last = Some(now);
    }

    /// Makes room for ordinary lines.
    pub fn clear(&mut self) {
        if self.in_place && self.last.is_some() {
            print!("\r\x1b[2K");
            _ = io::stdout().flush();
        }
    }
}
