//! The original: a script that reads requests from standard input and prints answers.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Answer;

/// How often the original may fail before it is called broken. A request that makes it fail costs
/// several starts.
const FAILURES_MAX: u32 = 20;

/// Runs the original, once per list of requests.
pub struct Original {
    pub python: PathBuf,
    pub script: PathBuf,
    failures: u32,
}

impl Original {
    pub fn new(python: PathBuf, script: PathBuf) -> Self {
        Self { python, script, failures: 0 }
    }

    /// One answer per request. Where the script fails, the list is halved until the request that
    /// makes it fail stands alone.
    pub fn ask(&mut self, requests: &[Value]) -> Result<Vec<Answer>> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let output = self.run(requests)?;
        if output.status.success() {
            let answers: Vec<Value> = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("read the answers of {}", self.script.display()))?;
            if answers.len() != requests.len() {
                bail!("{} requests, {} answers", requests.len(), answers.len());
            }
            return Ok(answers.into_iter().map(Answer::Given).collect());
        }
        if let [_] = requests {
            return self.failed(&output).map(|answer| vec![answer]);
        }
        let (first, second) = requests.split_at(requests.len() / 2);
        let mut answers = self.ask(first)?;
        answers.extend(self.ask(second)?);
        Ok(answers)
    }

    fn failed(&mut self, output: &Output) -> Result<Answer> {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        self.failures += 1;
        if self.failures > FAILURES_MAX {
            bail!("the original failed {FAILURES_MAX} times, the last time with: {last}");
        }
        Ok(Answer::Failed(last.to_owned()))
    }

    fn run(&self, requests: &[Value]) -> Result<Output> {
        let mut command = Command::new(&self.python);
        command.args(["-W", "ignore"]).arg(&self.script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| {
            format!("start {} with {}", self.script.display(), self.python.display())
        })?;
        let mut stdin = child.stdin.take().expect("asked for above");
        let text = serde_json::to_vec(requests)?;
        // A script that ends early leaves the rest unread; its status and its words say why.
        let writer = std::thread::spawn(move || _ = stdin.write_all(&text));
        let output = child.wait_with_output().context("wait for the original");
        writer.join().expect("writing does not panic");
        output
    }
}
