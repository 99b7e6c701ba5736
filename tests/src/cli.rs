//! The `samovar` command line client, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::timeout;

use crate::paths;
use crate::server::clear_environment;
use crate::wait::{eventually, within};

/// Longest time to compile a guest from nothing, its standard library included.
const BUILD_DEADLINE: Duration = Duration::from_secs(600);

/// Runs client commands against one server.
pub struct Cli {
    folder: PathBuf,
    env: Vec<(String, String)>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Exit status; none if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command that is running. Dropping it kills it.
pub struct Ongoing {
    child: tokio::process::Child,
}

impl Ongoing {
    /// Waits until Ctrl-C would not just kill it: then it does what it was started for.
    pub async fn listens_to_interrupts(&self) {
        let status = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        eventually("the command waits for Ctrl-C", async || {
            let text = std::fs::read_to_string(&status).expect("the command runs");
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).expect("a mask of signals");
            let interrupt = 1 << (Signal::INT.as_raw() - 1);
            (caught & interrupt != 0).then_some(())
        })
        .await;
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        kill_process(self.pid(), Signal::INT).expect("the command runs");
    }

    /// Waits for its end.
    pub async fn ended(self) -> Output {
        let output = within("end a command", self.child.wait_with_output()).await;
        Output::from(output.expect("wait for a child"))
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).expect("the command runs")
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Cli {
    /// A client that runs in `folder` and talks to the admin API at `admin_url`.
    pub fn new(folder: &Path, admin_url: &str) -> Self {
        let env = vec![("SAMOVAR_ADMIN_URL".to_owned(), admin_url.to_owned())];
        Self { folder: folder.to_path_buf(), env }
    }

    /// The same client with one more environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The same client in another folder.
    pub fn inside(mut self, folder: &Path) -> Self {
        self.folder = folder.to_path_buf();
        self
    }

    /// Runs `samovar` with `args` to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        within(&format!("samovar {args:?}"), self.start(args)).await
    }

    async fn start(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().await.expect("start samovar");
        Output::from(output)
    }

    /// Starts a command that runs until it is interrupted, and goes on.
    pub fn spawn(&self, args: &[&str]) -> Ongoing {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ongoing { child: command.spawn().expect("start samovar") }
    }

    fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = Command::new(paths::samovar());
        command.args(args).current_dir(&self.folder);
        clear_environment(&mut command);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        command
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub async fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.code, Some(0), "samovar {args:?}: {output:?}");
        output.stdout
    }

    /// Runs a command with `--output json` that must succeed, and returns its JSON.
    pub async fn json(&self, args: &[&str]) -> Value {
        let printed = self.ok(&[args, &["--output", "json"]].concat()).await;
        match serde_json::from_str(&printed) {
            Ok(value) => value,
            Err(error) => panic!("samovar {args:?} printed no JSON ({error}): {printed}"),
        }
    }

    /// Like [`Cli::ok`], for commands that compile a guest and may take minutes.
    pub async fn slow(&self, args: &[&str]) -> String {
        let output = timeout(BUILD_DEADLINE, self.start(args)).await;
        let output = output.unwrap_or_else(|_| panic!("samovar {args:?} never ended"));
        assert_eq!(output.code, Some(0), "samovar {args:?}: {output:?}");
        output.stdout
    }

    /// Runs a command that must fail with the exit status `code`, and returns its complaint.
    pub async fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.code, Some(code), "samovar {args:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "a failure says why");
        assert!(!output.stderr.contains(" panicked at "), "{}", output.stderr);
        output.stderr
    }
}
