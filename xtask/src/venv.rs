//! The Python environment with the packages of others that system tests run unmodified.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use crate::{
    guests,
    workspace::{Workspace, run, works},
};

/// Which packages, in which versions.
const REQUIREMENTS: &str = "tests/fixtures/vast/requirements.txt";

/// Makes `venv-vast` in the target folder, unless it is there with these very packages.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let requirements = workspace.root.join(REQUIREMENTS);
    let wanted = fs::read(&requirements).with_context(|| format!("read {REQUIREMENTS}"))?;
    let folder = workspace.target.join("venv-vast");
    // Written last, so that it stands for a complete environment.
    let installed = folder.join("requirements.txt");
    if fs::read(&installed).ok().as_deref() == Some(&wanted) {
        println!("    unchanged");
        return Ok(());
    }
    // Some distributions split Python so that it runs but makes no virtual environments.
    if !works("python3", &["-c", "import ensurepip, venv"]) {
        guests::install("python3-venv")?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run(pip.arg(&requirements)).with_context(|| format!("install {REQUIREMENTS}"))?;
    fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))
}
