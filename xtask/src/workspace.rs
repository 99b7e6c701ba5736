//! Where things are in this repository, and cargo run on it.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    members: Vec<Member>,
}

/// A package of the workspace.
pub struct Member {
    pub package: String,
    pub folder: PathBuf,
    /// Compiled for WebAssembly, never for this machine.
    pub is_guest: bool,
}

impl Workspace {
    /// Asks cargo about the workspace this task belongs to.
    pub fn find() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut cargo = cargo(folder);
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]).stderr(Stdio::inherit());
        let output = cargo.output().context("run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata ended with {}", output.status);
        }
        let metadata = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
        Self::from_metadata(&metadata).context("cargo metadata has another shape than expected")
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let path = |value: &Value| value.as_str().map(PathBuf::from);
        let member = |package: &Value| {
            let kinds = package["targets"].as_array()?.iter().filter_map(|t| t["kind"].as_array());
            Some(Member {
                package: package["name"].as_str()?.to_owned(),
                folder: path(&package["manifest_path"])?.parent()?.to_owned(),
                is_guest: kinds.flatten().any(|kind| kind == "cdylib"),
            })
        };
        Some(Self {
            root: path(&metadata["workspace_root"])?,
            target: path(&metadata["target_directory"])?,
            members: metadata["packages"].as_array()?.iter().map(member).collect::<Option<_>>()?,
        })
    }

    pub fn guests(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_guest)
    }

    /// `--package NAME` for everything that is compiled for this machine. Every task uses the same
    /// selection: another one could turn on other features of a dependency and build it twice.
    fn host_packages(&self) -> Vec<String> {
        let hosts = self.members.iter().filter(|member| !member.is_guest);
        hosts.flat_map(|member| ["--package".to_owned(), member.package.clone()]).collect()
    }

    pub fn samovar(&self) -> PathBuf {
        self.target.join("release/samovar")
    }

    /// Runs `cargo task args` for all packages of this machine.
    pub fn cargo_hosts(&self, task: &[&str], last: &[&str]) -> Result<()> {
        let mut cargo = cargo(&self.root);
        cargo.args(task).args(self.host_packages()).args(last);
        run(&mut cargo)
    }

    /// Builds everything for this machine, the way all tasks do.
    pub fn build_hosts(&self) -> Result<()> {
        self.cargo_hosts(&["build", "--release"], &[])
    }
}

/// System tests wait more than they compute, so there may be more of them than cores.
const TEST_THREADS: &str = "4";

/// The cargo that runs this task.
pub fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).stdin(Stdio::null());
    if env::var_os("RUST_TEST_THREADS").is_none() {
        command.env("RUST_TEST_THREADS", TEST_THREADS);
    }
    command
}

/// Runs a command to its end; its output goes where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let name = name(command);
    let status = command.status().with_context(|| format!("run {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// Whether `program` is there and succeeds with `args`.
pub fn works(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The program and its first arguments, for messages.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<&OsStr> = [program].into_iter().chain(command.get_args().take(3)).collect();
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}
