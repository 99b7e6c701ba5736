//! Python environments with the packages of others: those that system tests run unmodified, and
//! servers to measure.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{
    guests,
    workspace::{Workspace, run, works},
};

/// Which packages, in which versions.
const REQUIREMENTS: &str = "tests/fixtures/vast/requirements.txt";

/// Makes `venv-vast` in the target folder, unless it is there with these very packages.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    prepare_in(workspace, &workspace.target.join("venv-vast"), REQUIREMENTS)
}

/// Makes an environment in `folder` with the packages that the file `requirements` of this
/// repository names, unless it is there with these very packages.
pub fn prepare_in(workspace: &Workspace, folder: &Path, requirements: &str) -> Result<()> {
    let name = requirements;
    let requirements = workspace.root.join(requirements);
    let wanted = fs::read(&requirements).with_context(|| format!("read {name}"))?;
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
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run(pip.arg(&requirements)).with_context(|| format!("install {name}"))?;
    fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))
}
