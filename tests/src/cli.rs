//! The `samovar` command line client, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::paths;
use crate::server::clear_environment;
use crate::wait::within;

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
        let mut command = Command::new(paths::samovar());
        command.args(args).current_dir(&self.folder);
        clear_environment(&mut command);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let output = command.kill_on_drop(true).output().await.expect("start samovar");
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
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
