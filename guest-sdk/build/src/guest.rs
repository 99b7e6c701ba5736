//! One build of guest crates.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{Error, TARGET, Toolchain, artifacts, environment};

/// What to build, and how.
#[derive(Debug, Clone)]
pub struct GuestBuild {
    /// The folder of the crate's or workspace's `Cargo.toml`.
    pub manifest_dir: PathBuf,
    /// Members of the workspace to build; empty means the crate of `manifest_dir` alone.
    pub packages: Vec<String>,
    /// Cargo profile. Default `release`; the guests of Samovar's own workspace use `guest`.
    pub profile: String,
    /// Where compiled things go. Default: cargo's own choice. Give guests a folder of their own
    /// when the host's crates share the workspace, so that neither build waits for the other.
    pub target_dir: Option<PathBuf>,
    /// Whether `Cargo.lock` must be complete already. Default false.
    pub locked: bool,
}

impl GuestBuild {
    /// A release build of the crate in `manifest_dir`.
    pub fn new(manifest_dir: impl Into<PathBuf>) -> Self {
        Self {
            manifest_dir: manifest_dir.into(),
            packages: Vec::new(),
            profile: "release".into(),
            target_dir: None,
            locked: false,
        }
    }
}

impl Toolchain {
    /// Builds guests and answers the paths of their components, in the order they were finished.
    ///
    /// cargo's progress and diagnostics go to standard error. A crate that is up to date is not
    /// compiled again, and its component is named all the same. Components of dependencies that
    /// are guests themselves are named too.
    ///
    /// # Errors
    ///
    /// [`Error::Build`] when cargo fails, [`Error::NoComponent`] when it succeeds without making
    /// any component, [`Error::Run`] and [`Error::File`] when cargo cannot be run at all.
    pub fn build(&self, guest: &GuestBuild) -> Result<Vec<PathBuf>, Error> {
        let run = |source| Error::Run { program: "cargo build".into(), source };
        let mut child = self.cargo_build(guest)?.spawn().map_err(run)?;
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let mut components: Vec<PathBuf> = Vec::new();
        for line in BufReader::new(stdout).lines() {
            components.extend(artifacts::components_in(&line.map_err(run)?));
        }
        let status = child.wait().map_err(run)?;
        let manifest_dir = guest.manifest_dir.clone();
        if !status.success() {
            return Err(Error::Build { manifest_dir, status: status.to_string() });
        }
        if components.is_empty() {
            return Err(Error::NoComponent { manifest_dir });
        }
        Ok(components)
    }

    fn cargo_build(&self, guest: &GuestBuild) -> Result<std::process::Command, Error> {
        let mut cargo = environment::cargo();
        cargo.current_dir(&guest.manifest_dir);
        cargo.args(["build", "--message-format=json-render-diagnostics", "--target", TARGET]);
        cargo.args(["--profile", &guest.profile]);
        if let Some(dir) = &guest.target_dir {
            // cargo starts in the crate's folder, the path was meant from ours.
            cargo.arg("--target-dir").arg(absolute(dir)?);
        }
        for package in &guest.packages {
            cargo.args(["--package", package]);
        }
        if guest.locked {
            cargo.arg("--locked");
        }
        self.apply(&mut cargo)?;
        cargo.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(cargo)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
