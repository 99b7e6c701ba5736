//! The distribution's packages as a guest toolchain.
//!
//! Debian's `rustc-web` comes with the source of its own standard library (`rust-web-src`), so
//! cargo can compile that library for the guest target. What is still missing is a libc, which
//! `wasi-libc` has, and the linkers, which every toolchain of rustup has.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{TARGET, environment::clean_command, toolchain::ask_rustc};

const SET_UP: &str = include_str!("distro.sh");
const RUSTC: &str = "/usr/bin/rustc";

/// The pieces, all of them present.
#[derive(Debug, Clone)]
pub(crate) struct Distro {
    /// The distribution's compiler.
    pub(crate) rustc: PathBuf,
    /// The folder with `libc.a` and `crt1-*.o` of the target.
    pub(crate) libc: PathBuf,
    /// The folder with `rust-lld` and `wasm-component-ld`.
    pub(crate) linkers: PathBuf,
}

impl Distro {
    /// The pieces, or the name of the first one that is missing. Installs nothing.
    pub(crate) fn present(dir: &Path) -> Result<Self, String> {
        let rustc = PathBuf::from(RUSTC);
        exists(&rustc)?;
        exists(Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml"))?;
        let system = Path::new("/usr/lib").join(TARGET);
        let cached = cache_dir()?.join("usr/lib").join(TARGET);
        let libc = if system.join("libc.a").exists() { system } else { cached };
        exists(&libc.join("libc.a"))?;
        Ok(Self { rustc, libc, linkers: linkers(dir)? })
    }
}

/// Installs the missing packages. Two processes that need them do it one after the other.
pub(crate) fn set_up(log: &mut dyn FnMut(&str)) -> Result<(), String> {
    let cache = cache_dir()?;
    fs::create_dir_all(&cache).map_err(|error| format!("make {}: {error}", cache.display()))?;
    let lock = File::create(cache.join("lock")).map_err(|error| format!("lock: {error}"))?;
    lock.lock().map_err(|error| format!("lock: {error}"))?; // Freed when `lock` is dropped.

    let mut shell = clean_command("sh");
    shell.args(["-s", "--"]).arg(&cache).arg(TARGET);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| format!("cannot run sh: {error}"))?;
    let mut stdin = child.stdin.take().expect("stdin was asked for as a pipe");
    stdin.write_all(SET_UP.as_bytes()).map_err(|error| format!("talk to sh: {error}"))?;
    drop(stdin);
    let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    let mut last = "the set-up script failed without a word".to_owned();
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        log(&line);
        last = line;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(last) }
}

/// Where the libc is kept between runs. It can be deleted at any time.
fn cache_dir() -> Result<PathBuf, String> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.ok_or("neither XDG_CACHE_HOME nor HOME is set")?.join("samovar/wasi-libc"))
}

/// The active toolchain's own tools folder, which must have both linkers.
fn linkers(dir: &Path) -> Result<PathBuf, String> {
    let libraries = PathBuf::from(ask_rustc(dir, &["--print", "target-libdir"])?);
    let tools = libraries.with_file_name("bin");
    exists(&tools.join("rust-lld"))?;
    exists(&tools.join("wasm-component-ld"))?;
    Ok(tools)
}

fn exists(path: &Path) -> Result<(), String> {
    if path.exists() { Ok(()) } else { Err(format!("no {}", path.display())) }
}
