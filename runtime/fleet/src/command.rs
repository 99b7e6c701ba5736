//! A hook that is a program.

use std::{os::unix::process::ExitStatusExt, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    time,
};

use crate::{ANSWER_BYTES_MAX, failure::Failure, request::Request};

/// How much of the end of the standard error is kept.
const ERROR_BYTES_MAX: usize = 4096;
/// Most characters of its last line that are shown.
const ERROR_CHARS_MAX: usize = 300;
/// How long output is waited for after the command has ended. What it wrote is there at once;
/// something that it left running may keep the pipe open for ever.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// Runs the command once and answers what it wrote to its standard output.
///
/// At the time-out, or when the future is dropped, its process group is killed. A command that ends
/// by itself may leave processes behind, such as the worker it started; these should not keep its
/// output open.
pub(crate) async fn run(
    program: &str,
    args: &[String],
    cwd: Option<&Path>,
    request: &Request,
    timeout: Duration,
) -> Result<Vec<u8>, Failure> {
    if let Some(folder) = cwd.filter(|folder| !folder.is_dir()) {
        return Err(Failure::Folder { folder: folder.to_owned() });
    }
    let mut command = Command::new(program);
    command.args(args).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(folder) = cwd {
        command.current_dir(folder);
    }
    for (name, value) in request.variables() {
        command.env(format!("SAMOVAR_FLEET_{name}"), value);
    }
    let child =
        command.spawn().map_err(|source| Failure::Start { program: program.to_owned(), source })?;
    let mut group = Group(child);
    let ended = time::timeout(timeout, group.finish(&request.json())).await;
    ended.unwrap_or(Err(Failure::TimedOut(timeout)))
}

/// A command that leads a process group.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // There is an id until somebody has waited for the leader: it cannot be another's.
        let pid = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // It may just have ended, with all its children.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Group {
    /// Waits for the command's end and gets its output.
    async fn finish(&mut self, input: &[u8]) -> Result<Vec<u8>, Failure> {
        let piped = "all three were asked for";
        let (stdin, stdout) = (self.0.stdin.take(), self.0.stdout.take());
        let (stdin, stdout) = (stdin.expect(piped), stdout.expect(piped));
        let stderr = self.0.stderr.take().expect(piped);
        let (mut output, mut error) = (Vec::new(), Vec::new());
        let status = {
            let mut talk = std::pin::pin!(async {
                tokio::join!(
                    feed(stdin, input),
                    keep_beginning(stdout, &mut output),
                    keep_end(stderr, &mut error),
                )
            });
            tokio::select! {
                status = self.0.wait() => {
                    // Without an end it is what there is so far.
                    let _ = time::timeout(OUTPUT_GRACE, talk).await;
                    status
                }
                _ = &mut talk => self.0.wait().await,
            }
        }
        .map_err(Failure::Pipe)?;
        if status.success() {
            return if output.len() > ANSWER_BYTES_MAX {
                Err(Failure::TooLarge)
            } else {
                Ok(output)
            };
        }
        let line = last_line(&error);
        Err(match status.code() {
            Some(code) => Failure::Exit { code, line },
            None => Failure::Signal { signal: status.signal().unwrap_or_default(), line },
        })
    }
}

/// A command need not read what it is told: the variables say the same.
async fn feed(mut stdin: ChildStdin, input: &[u8]) {
    let _ = stdin.write_all(input).await;
}

/// Reads to the end, so that the command can finish, and keeps one byte more than is allowed.
async fn keep_beginning(mut pipe: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let room = (ANSWER_BYTES_MAX + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

/// Reads to the end and keeps only that.
async fn keep_end(mut pipe: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        let surplus = kept.len().saturating_sub(ERROR_BYTES_MAX);
        kept.drain(..surplus);
    }
}

/// The last line with something on it, made fit to be shown.
fn last_line(error: &[u8]) -> String {
    let text = String::from_utf8_lossy(error);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_is_one_that_says_something() {
        assert_eq!(last_line(b""), "");
        assert_eq!(last_line(b"one\ntwo \n\n  \n"), "two");
        assert_eq!(last_line(b"a\x1b[31mred\xff"), "a[31mred\u{fffd}");
        assert_eq!(last_line(&[b'x'; 1000]).len(), ERROR_CHARS_MAX);
    }
}
