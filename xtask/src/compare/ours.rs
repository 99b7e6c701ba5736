//! Our policy: `samovar policy-answer`, one question and one answer per line.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Answer;

/// A running `samovar policy-answer`. It ends when its input ends, which is when this is dropped.
pub struct Ours {
    child: Child,
    /// None only while dropping.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Ours {
    pub fn start(samovar: &Path, system: &str) -> Result<Self> {
        let mut command = Command::new(samovar);
        command.args(["policy-answer", "--system", system]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", samovar.display()))?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("asked for above"));
        Ok(Self { child, questions, answers })
    }

    /// One answer per question.
    pub fn ask(&mut self, questions: &[Value]) -> Result<Vec<Answer>> {
        let mut lines = String::new();
        for question in questions {
            lines.push_str(&question.to_string());
            lines.push('\n');
        }
        let Self { questions: Some(input), answers, .. } = self else { bail!("already closed") };
        thread::scope(|scope| {
            // Both pipes are small: without a second thread both sides could wait for each other.
            let writer = scope.spawn(|| {
                input.write_all(lines.as_bytes())?;
                input.flush()
            });
            let read = questions.iter().map(|_| read_answer(answers)).collect();
            let written = writer.join().expect("writing does not panic");
            written.context("ask samovar policy-answer").and(read)
        })
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.questions = None;
        _ = self.child.wait(); // Nothing it could still say matters.
    }
}

fn read_answer(answers: &mut impl BufRead) -> Result<Answer> {
    let mut line = String::new();
    if answers.read_line(&mut line).context("read an answer")? == 0 {
        bail!("samovar policy-answer ended before it had answered everything");
    }
    let mut answer: Value =
        serde_json::from_str(&line).with_context(|| format!("read the answer {line:?}"))?;
    if let Some(text) = answer["error"].as_str() {
        return Ok(Answer::Failed(text.to_owned()));
    }
    match answer.get_mut("ok") {
        Some(given) => Ok(Answer::Given(given.take())),
        None => bail!("neither `ok` nor `error` in the answer {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_are_told_apart() {
        let mut lines = "{\"ok\": {\"total\": 3}}\n{\"error\": \"no such mode\"}\n".as_bytes();
        let given = read_answer(&mut lines).unwrap();
        assert_eq!(given.to_string(), r#"{"total":3}"#);
        assert_eq!(read_answer(&mut lines).unwrap().to_string(), "fails: no such mode");
        assert!(read_answer(&mut lines).is_err());
        assert!(read_answer(&mut "{}\n".as_bytes()).is_err());
    }
}
