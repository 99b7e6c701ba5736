//! Servers that run under callgrind, a tool of valgrind that counts instructions.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;
use samovar_tests::{Options, Samovar, paths};
use tempfile::TempDir;

use super::profile::Profile;
use crate::baselines::{Baseline, beside};

/// What valgrind says before it becomes another program.
const LAUNCHING: &str = "launcher launching ";
/// Threads with less than this part of the busiest one's work only tick and watch.
const IDLE_PART: f64 = 0.05;

/// Valgrind, as it is installed here.
pub struct Valgrind {
    pub version: String,
    /// The program that `valgrind --tool=callgrind` becomes.
    callgrind: PathBuf,
}

impl Valgrind {
    /// # Errors
    ///
    /// When it is not installed.
    pub fn find() -> Result<Self> {
        let mut command = Command::new("valgrind");
        let output = command.args(["-d", "--tool=callgrind", "--version"]).output();
        let output = output.context(
            "run valgrind, which counts the instructions; `apt-get install valgrind` installs it",
        )?;
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.trim().strip_prefix("valgrind-").context("read its version")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let callgrind = said.lines().find_map(|line| line.split_once(LAUNCHING));
        let (_, callgrind) = callgrind.context("find out where valgrind's tools are")?;
        Ok(Self { version: version.to_owned(), callgrind: callgrind.into() })
    }

    /// The bare hyper server.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn hyper(&self) -> Result<Counted<Baseline>> {
        let dumps = tempfile::tempdir().context("make a folder for callgrind")?;
        let program = beside("bare-hyper")?;
        let mut command = Command::new(&self.callgrind);
        command.args(arguments(dumps.path())).arg(&program);
        let launcher = compiler(&dumps, &self.callgrind, &program)?;
        command.envs(environment(&launcher));
        let server = Baseline::printing(&mut command)?;
        Ok(Counted { pid: server.pid(), server, dumps })
    }

    /// A server with nothing deployed. It may not start processes: valgrind lacks a system call
    /// that is for looking after them.
    ///
    /// # Errors
    ///
    /// When it is not ready in time.
    pub async fn samovar(&self) -> Result<Counted<Samovar>> {
        let dumps = tempfile::tempdir().context("make a folder for callgrind")?;
        let launcher = compiler(&dumps, &self.callgrind, &paths::samovar())?;
        let mut under = vec![self.callgrind.clone().into_os_string()];
        under.extend(arguments(dumps.path()));
        let args = ["--processes", "false", "--compile-timeout", "10m"].map(str::to_owned).into();
        let env = environment(&launcher).into();
        let options = Options { under, args, env, ..Options::default() };
        let server = Samovar::try_start(options).await;
        let server = server.map_err(|refused| anyhow::anyhow!("samovar: {}", refused.stderr))?;
        Ok(Counted { pid: server.pid(), server, dumps })
    }
}

/// Counting is off until it is asked for.
fn arguments(dumps: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(dumps.join("dump"));
    let fixed = [
        "-q",
        "--tool=callgrind",
        "--trace-children=yes",
        "--instr-atstart=no",
        "--separate-threads=yes",
    ];
    fixed.map(OsString::from).into_iter().chain([file]).collect()
}

/// One thread serves, so that no work moves between threads: it would depend on chance how much
/// they wake each other. The tool starts only if it is told how to start for children.
fn environment(launcher: &Path) -> [(String, String); 2] {
    let launcher = launcher.to_string_lossy().into_owned();
    [("TOKIO_WORKER_THREADS", "1".to_owned()), ("VALGRIND_LAUNCHER", launcher)]
        .map(|(name, value)| (name.to_owned(), value))
}

/// A program that valgrind starts in place of children of `program`.
///
/// The server compiles in a child, which is its own program by way of `/proc/self/exe`. In a
/// process under valgrind that is valgrind. The child must run under it as well: code is compiled
/// for the processor that it runs on, and valgrind's has fewer instructions.
fn compiler(folder: &TempDir, callgrind: &Path, program: &Path) -> Result<PathBuf> {
    let text = format!(
        "#!/bin/sh\n\
         while [ \"$1\" != /proc/self/exe ]; do shift; done\n\
         shift\n\
         VALGRIND_LAUNCHER=$0 exec {} -q --tool=callgrind --instr-atstart=no \\\n\
         --callgrind-out-file=/dev/null {} \"$@\"\n",
        quoted(callgrind)?,
        quoted(program)?,
    );
    let file = folder.path().join("child.sh");
    fs::write(&file, text).context("write a script for callgrind")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).context("make it a program")?;
    Ok(file)
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.contains('\''));
    text.map(|text| format!("'{text}'"))
        .with_context(|| format!("{} is no plain path", path.display()))
}

/// A server whose instructions can be counted.
pub struct Counted<S> {
    pub server: S,
    pid: Pid,
    dumps: TempDir,
}

impl<S> Counted<S> {
    /// From now on instructions are counted, which takes several times as long.
    ///
    /// # Errors
    ///
    /// When callgrind does not take the order, here and below.
    pub fn count(&self) -> Result<()> {
        self.order(&["instrumentation", "on"])
    }

    /// Forgets what was counted.
    pub fn zero(&self) -> Result<()> {
        self.order(&["zero"])
    }

    /// What was counted, of all threads that worked, and the instructions of the others.
    pub fn take(&self) -> Result<(Profile, u64)> {
        self.order(&["dump"])?;
        let mut threads = Vec::new();
        for entry in fs::read_dir(self.dumps.path()).context("list what callgrind wrote")? {
            let file = entry.context("list what callgrind wrote")?.path();
            if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dump.")) {
                let text = fs::read_to_string(&file).context("read what callgrind wrote")?;
                let profile = Profile::parse(&text).context("read what callgrind wrote")?;
                threads.push((profile.instructions(), profile));
                fs::remove_file(&file).context("remove what callgrind wrote")?;
            }
        }
        let busiest = threads.iter().map(|(instructions, _)| *instructions).max().unwrap_or(0);
        ensure!(busiest > 0, "callgrind counted nothing");
        let (mut all, mut elsewhere) = (Profile::default(), 0);
        for (instructions, profile) in threads {
            if instructions as f64 >= IDLE_PART * busiest as f64 {
                all.add(profile);
            } else {
                elsewhere += instructions;
            }
        }
        Ok((all, elsewhere))
    }

    fn order(&self, words: &[&str]) -> Result<()> {
        let mut vgdb = Command::new("vgdb");
        vgdb.arg(format!("--pid={}", self.pid.as_raw_nonzero())).args(words);
        let output = vgdb.stdin(Stdio::null()).output().context("run vgdb, a part of valgrind")?;
        if !output.status.success() {
            bail!("callgrind refused `{words:?}`: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
