//! The servers that Samovar is measured against, as child processes on free ports.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context, Result};
use rustix::process::Pid;
use samovar_tests::paths;
use serde_json::Value;

/// How `wasmtime serve` is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wasmtime {
    /// WASI 0.2, a fresh instance for each request.
    Default02,
    /// WASI 0.2, instances serve many requests.
    Reuse02,
    /// WASI 0.3, as it comes.
    Default03,
}

impl Wasmtime {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default02 => "wasmtime serve, WASI 0.2",
            Self::Reuse02 => "wasmtime serve, WASI 0.2, reuse",
            Self::Default03 => "wasmtime serve, WASI 0.3",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Default02 => &["-S", "cli"],
            Self::Reuse02 => &["-S", "cli", "--max-instance-reuse-count", "1000000"],
            Self::Default03 => &["-W", "component-model-async=y", "-S", "cli,p3"],
        }
    }
}

/// A running server. Dropping it kills the process.
pub struct Baseline {
    pub address: SocketAddr,
    child: Child,
}

impl Baseline {
    /// The bare hyper server, built beside this program.
    pub fn hyper() -> Result<Self> {
        Self::hyper_at(&beside("bare-hyper")?)
    }

    /// A proxy built beside this program, in front of `to`.
    pub fn proxy(name: &str, to: SocketAddr) -> Result<Self> {
        Self::proxy_at(&beside(name)?, to)
    }

    /// The proxy at `program`, in front of `to`.
    pub fn proxy_at(program: &Path, to: SocketAddr) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--to"]).arg(to.to_string());
        Self::printing(&mut command)
    }

    /// The bare hyper server at `program`.
    pub fn hyper_at(program: &Path) -> Result<Self> {
        Self::printing(&mut Command::new(program))
    }

    /// `wasmtime serve` of `component`.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or ends without saying where it listens.
    pub fn wasmtime(program: &Path, variant: Wasmtime, component: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(variant.flags()).arg(component);
        let mut child = spawn(command.stderr(Stdio::piped()))?;
        let output = child.stderr.take().expect("stderr was asked for as a pipe");
        Self::listening(child, output)
    }

    /// A server that prints where it listens, on standard output.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or ends without saying so.
    pub fn printing(command: &mut Command) -> Result<Self> {
        let mut child = spawn(command.stdout(Stdio::piped()))?;
        let output = child.stdout.take().expect("stdout was asked for as a pipe");
        Self::listening(child, output)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the line that names the address.
    fn listening(mut child: Child, output: impl Read + Send + 'static) -> Result<Self> {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let mut seen = String::new();
        let found = lines.by_ref().find_map(|line| {
            seen.push_str(&line);
            address(&line)
        });
        let Some(address) = found else {
            _ = child.kill(); // It has most likely ended by itself.
            _ = child.wait();
            anyhow::bail!("a server ended or did not say where it listens: {seen}");
        };
        thread::spawn(move || lines.for_each(drop)); // A full pipe would stop the server.
        Ok(Self { address, child })
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The `wasmtime` of `WASMTIME`, of `cargo xtask peers` or of the path, if there is one.
pub fn wasmtime() -> Option<PathBuf> {
    find("WASMTIME", "bin/wasmtime", "wasmtime", &["--version"])
}

/// A program that succeeds with the arguments `test`: the one that `variable` names, else the one
/// at `installed` in the folder of `cargo xtask peers`, else `name` on the path.
pub fn find(variable: &str, installed: &str, name: &str, test: &[&str]) -> Option<PathBuf> {
    let candidates = match env::var_os(variable) {
        Some(program) => vec![program.into()],
        None => {
            let installed = paths::find(&format!("peers/{installed}"));
            installed.into_iter().chain([name.into()]).collect()
        }
    };
    let works = |program: &PathBuf| {
        let mut command = Command::new(program);
        command.args(test).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    candidates.into_iter().find(works)
}

/// The program called `name` that was built with this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    Ok(env::current_exe().context("find this program")?.with_file_name(name))
}

fn spawn(command: &mut Command) -> Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    // Backtraces of errors that nobody reads would be measured too.
    command.env("RUST_BACKTRACE", "0").env_remove("PORT").stdin(Stdio::null());
    command.spawn().with_context(|| format!("run {name}"))
}

/// The address in a line such as `Serving HTTP on http://127.0.0.1:1234/`, or the port of loopback
/// in one of JSON.
fn address(line: &str) -> Option<SocketAddr> {
    if let Some((_, rest)) = line.split_once("http://") {
        return rest.split('/').next()?.trim().parse().ok();
    }
    let event: Value = serde_json::from_str(line).ok()?;
    let port = u16::try_from(event.get("port")?.as_u64()?).ok()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_found_in_a_line() {
        let expected = Some("127.0.0.1:1234".parse().unwrap());
        assert_eq!(address("Serving HTTP on http://127.0.0.1:1234/"), expected);
        assert_eq!(address("http://127.0.0.1:1234"), expected);
        assert_eq!(address("warning: something"), None);
        assert_eq!(address(r#"{"event":"listen","socket":"http","port":1234}"#), expected);
        assert_eq!(address(r#"{"event":"listen"}"#), None);
    }
}
