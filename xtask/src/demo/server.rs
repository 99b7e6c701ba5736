//! `samovar up` as a child process, and the command line as a user types it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    ui,
    workspace::{Workspace, run},
};

/// A server that drains for longer than this hangs.
const STOP_MAX: Duration = Duration::from_secs(40);
const LOG_LINES_SHOWN: usize = 30;

pub struct Server {
    program: PathBuf,
    child: Child,
    log: PathBuf,
    pub data_plane: String,
    pub admin: String,
    /// Kept open, or the server would be told that nobody listens.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts the server on free ports with an empty data folder, and waits until it is ready.
    pub fn start(workspace: &Workspace, folder: &Path) -> Result<Self> {
        let (data, log) = (folder.join("data"), folder.join("samovar.log"));
        if data.exists() {
            fs::remove_dir_all(&data).context("empty the data folder of the last run")?;
        }
        let program = workspace.samovar();
        let mut command = Command::new(&program);
        command.args(["up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]);
        command.arg(&data).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log).context("make the log file")?);
        println!("    $ samovar up --listen 127.0.0.1:0 --admin 127.0.0.1:0 --data ...");
        let mut child = command.spawn().with_context(|| format!("run {}", program.display()))?;
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let mut stdout = BufReader::new(stdout).lines();
        let addresses = addresses(&mut stdout);
        let (data_plane, admin) = match addresses {
            Ok(addresses) => addresses,
            Err(error) => {
                _ = child.kill(); // It may have ended by itself; either way it is gone.
                _ = child.wait();
                print_log(&log);
                return Err(error);
            }
        };
        Ok(Self { program, child, log, data_plane, admin, _stdout: stdout })
    }

    /// Runs `samovar args`, shown to the reader together with what it prints.
    pub fn cli(&self, args: &[&str]) -> Result<()> {
        println!("    $ samovar {}", shown(args));
        run(&mut self.command(args))
    }

    /// Runs `samovar args` and shows the last `lines` that it prints.
    pub fn cli_end(&self, args: &[&str], lines: usize) -> Result<()> {
        println!("    $ samovar {} | tail -n {lines}", shown(args));
        let text = self.output(args)?;
        print_end(&text, lines);
        Ok(())
    }

    /// Runs `samovar args` beside a line of progress and shows nothing.
    pub fn cli_quietly(&self, args: &[&str]) -> Result<()> {
        self.output(args).map(drop)
    }

    fn output(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output().context("run samovar")?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("samovar {} ended with {}: {}", shown(args), output.status, text.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks the server to stop as an operator does and waits until it has.
    pub fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        run(Command::new("kill").args(["-TERM", &pid]))?;
        let end = ui::now() + STOP_MAX;
        while ui::now() < end {
            if let Some(status) = self.child.try_wait().context("wait for samovar")? {
                ensure!(status.success(), "samovar ended with {status}");
                return Ok(());
            }
            ui::pause(Duration::from_millis(50));
        }
        bail!("samovar did not end within {} s after SIGTERM", STOP_MAX.as_secs())
    }

    pub fn print_log(&self) {
        print_log(&self.log);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("SAMOVAR_ADMIN_URL", &self.admin).stdin(Stdio::null());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a proper stop both do nothing; after a failure nothing may be left behind.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Reads the two addresses up to the line that says ready.
fn addresses(
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
) -> Result<(String, String)> {
    let (mut data_plane, mut admin) = (None, None);
    for line in lines {
        let line = line.context("read what samovar prints")?;
        println!("    {line}");
        match line.rsplit_once(' ') {
            Some((name, url)) if name.trim() == "data plane" => data_plane = Some(url.to_owned()),
            Some((name, url)) if name.trim() == "admin API" => admin = Some(url.to_owned()),
            _ if line.trim() == "ready" => break,
            _ => {}
        }
    }
    data_plane.zip(admin).context("samovar up ended or printed no addresses")
}

/// The arguments as they would be typed: files by their name.
fn shown(args: &[&str]) -> String {
    let short = |arg: &&str| match arg.rsplit_once('/') {
        Some((_, name)) if name.ends_with(".wasm") => name.to_owned(),
        _ => (*arg).to_owned(),
    };
    args.iter().map(short).collect::<Vec<_>>().join(" ")
}

fn print_log(log: &Path) {
    println!("    the end of {}:", log.display());
    print_end(&fs::read_to_string(log).unwrap_or_default(), LOG_LINES_SHOWN);
}

fn print_end(text: &str, count: usize) {
    let lines: Vec<_> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(count)..] {
        println!("    | {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_up_to_ready() {
        let text = "data plane  http://127.0.0.1:1\nadmin API   http://127.0.0.1:2\nready\nmore";
        let mut lines = text.lines().map(|line| Ok(line.to_owned()));
        let expected = ("http://127.0.0.1:1".to_owned(), "http://127.0.0.1:2".to_owned());
        assert_eq!(addresses(&mut lines).unwrap(), expected);
        assert_eq!(lines.count(), 1);
        assert!(addresses(&mut std::iter::empty()).is_err());
    }
}
