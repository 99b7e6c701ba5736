//! Which road leads to a toolchain on this machine.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    Error, TARGET,
    distro::{self, Distro},
    environment::clean_command,
};

/// Set it to `installed`, `rustup` or `distribution` to allow that road only.
pub const ROAD_VARIABLE: &str = "SAMOVAR_GUEST_ROAD";

/// Longest a download by rustup may take. A machine without a network fails long before; this is
/// for networks that swallow packets.
const RUSTUP_WAIT_MAX: Duration = Duration::from_secs(240);

/// How a toolchain builds guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// The standard library of the target is installed.
    Installed,
    /// rustup installed it in this run.
    Rustup,
    /// The distribution's compiler builds the standard library from source.
    Distribution,
}

/// A toolchain that can build guests here and now.
#[derive(Debug, Clone)]
pub struct Toolchain {
    road: Road,
    distro: Option<Distro>,
}

impl Toolchain {
    /// Finds a toolchain for crates in `dir`, installing what is missing where it can.
    ///
    /// `dir` matters because a `rust-toolchain.toml` there picks the compiler. `log` gets one
    /// line per step that takes noticeable time; when all is in place it gets none. Road
    /// `rustup` changes the user's Rust toolchain, road `distribution` installs packages (as
    /// root or with a `sudo` that asks nothing) and fills a cache folder.
    ///
    /// # Errors
    ///
    /// [`Error::NoToolchain`] when no road worked, with the reason for each.
    /// [`Error::UnknownRoad`] when [`ROAD_VARIABLE`] has another value than the ones it knows.
    pub fn find(dir: &Path, log: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        let allowed = allowed_road()?;
        let may = |road| allowed.is_none_or(|only| only == road);
        let mut tried = Vec::new();
        if may(Road::Installed) || may(Road::Rustup) {
            match std_is_installed(dir) {
                Ok(()) => return Ok(Self { road: Road::Installed, distro: None }),
                Err(reason) => tried.push(format!("installed: {reason}")),
            }
        }
        if may(Road::Distribution)
            && let Ok(distro) = Distro::present(dir)
        {
            return Ok(Self { road: Road::Distribution, distro: Some(distro) });
        }
        if may(Road::Rustup) {
            log(&format!("rustup target add {TARGET}"));
            match add_with_rustup(dir).and_then(|()| std_is_installed(dir)) {
                Ok(()) => return Ok(Self { road: Road::Rustup, distro: None }),
                Err(reason) => tried.push(format!("rustup: {reason}")),
            }
        }
        if may(Road::Distribution) {
            log("installing guest toolchain packages of the distribution");
            match distro::set_up(log).and_then(|()| Distro::present(dir)) {
                Ok(distro) => return Ok(Self { road: Road::Distribution, distro: Some(distro) }),
                Err(reason) => tried.push(format!("distribution: {reason}")),
            }
        }
        Err(Error::NoToolchain { tried })
    }

    /// The road that was taken.
    pub fn road(&self) -> Road {
        self.road
    }

    /// Sets what a `cargo` command needs so that it builds with this toolchain.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when a folder's name cannot be part of `PATH`.
    pub fn apply(&self, cargo: &mut Command) -> Result<(), Error> {
        let Some(distro) = &self.distro else { return Ok(()) };
        cargo.env("PATH", path_with(&distro.linkers)?);
        cargo.env("RUSTC", &distro.rustc);
        // The distribution's compiler is a stable one; compiling `std` is an unstable feature.
        cargo.env("RUSTC_BOOTSTRAP", "1");
        cargo.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort");
        let libc = distro.libc.display();
        let flags = format!("-C link-self-contained=no -L native={libc}");
        cargo.env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", flags);
        Ok(())
    }
}

fn allowed_road() -> Result<Option<Road>, Error> {
    match env::var(ROAD_VARIABLE).as_deref() {
        Err(_) | Ok("") => Ok(None),
        Ok("installed") => Ok(Some(Road::Installed)),
        Ok("rustup") => Ok(Some(Road::Rustup)),
        Ok("distribution") => Ok(Some(Road::Distribution)),
        Ok(value) => Err(Error::UnknownRoad { value: value.to_owned() }),
    }
}

/// Asks the active compiler where the target's libraries would be, and looks there.
fn std_is_installed(dir: &Path) -> Result<(), String> {
    let libraries =
        PathBuf::from(ask_rustc(dir, &["--print", "target-libdir", "--target", TARGET])?);
    let entries = fs::read_dir(&libraries).map_err(|_| format!("no {}", libraries.display()))?;
    let is_std = |name: OsString| name.to_str().is_some_and(|name| name.starts_with("libstd-"));
    if entries.flatten().any(|entry| is_std(entry.file_name())) {
        return Ok(());
    }
    Err(format!("no standard library in {}", libraries.display()))
}

/// What the active compiler prints, as one line.
pub(crate) fn ask_rustc(dir: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut rustc = clean_command("rustc");
    rustc.current_dir(dir).args(arguments).stdin(Stdio::null());
    let output = rustc.output().map_err(|error| format!("cannot run rustc: {error}"))?;
    if !output.status.success() {
        return Err(last_line(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn add_with_rustup(dir: &Path) -> Result<(), String> {
    let mut rustup = clean_command("rustup");
    rustup.current_dir(dir).args(["target", "add", TARGET]).stdin(Stdio::null());
    rustup.env("RUSTUP_MAX_RETRIES", "1").stdout(Stdio::null()).stderr(Stdio::piped());
    let child = match rustup.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("rustup is not installed".into());
        }
        Err(error) => return Err(format!("cannot run rustup: {error}")),
    };
    end_in_time(child)
}

/// Waits until `child` has closed its standard error and ended, and ends it when late.
fn end_in_time(mut child: Child) -> Result<(), String> {
    let mut stderr = child.stderr.take().expect("stderr was asked for as a pipe");
    let (done, said) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        // A pipe that breaks ends the text just as well; the status below tells the rest.
        _ = stderr.read_to_end(&mut text);
        _ = done.send(text);
    });
    let text = said.recv_timeout(RUSTUP_WAIT_MAX);
    if text.is_err() {
        child.kill().map_err(|error| error.to_string())?;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    match text {
        Ok(_) if status.success() => Ok(()),
        Ok(text) => Err(last_line(&text)),
        Err(_) => Err(format!("no end after {} s", RUSTUP_WAIT_MAX.as_secs())),
    }
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.next_back().unwrap_or("it failed without a word").to_owned()
}

fn path_with(first: &Path) -> Result<OsString, Error> {
    let old = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_owned()).chain(env::split_paths(&old));
    env::join_paths(folders).map_err(|error| Error::File {
        path: first.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, error),
    })
}
