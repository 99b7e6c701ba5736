//! Builds the guests into `target/components/<name>.wasm`.
//!
//! Guests in Rust are the workspace's `cdylib` packages. A guest in another language is a folder in
//! `plugins/` or `policies/examples/` with a `build.sh`, which is called with the file to make.
//! Nothing is built again that has not changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use anyhow::{Context, Result, anyhow, ensure};
use samovar_guest_build::{GuestBuild, Toolchain};

use crate::{
    ui,
    workspace::{Member, Workspace, run, works},
};

/// Programs that a `build.sh` may call, how to ask whether they work, and what brings them.
const TOOLS: [(&str, &[&str], &str); 2] = [
    ("npm", &["--version"], "npm"),
    // Some distributions split Python so that it runs but makes no virtual environments.
    ("python3", &["-c", "import ensurepip, venv"], "python3-venv"),
];

/// Where guests in other languages are.
const SCRIPT_FOLDERS: [&str; 2] = ["plugins", "policies/examples"];

/// Interfaces that such guests read besides their own files.
const SHARED_FOLDERS: [&str; 2] = ["plugins/wit", "guest-sdk/wit"];

/// Which guests to build. Those in Rust are always built together: in another selection they could
/// share other features of a dependency and become other components.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Rust,
    AllLanguages,
}

/// Where the component of the guest called `name` is put.
pub fn path(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("components").join(format!("{name}.wasm"))
}

pub fn build(workspace: &Workspace, wanted: Wanted) -> Result<()> {
    fs::create_dir_all(workspace.target.join("components")).context("make target/components")?;
    ui::step("guests in Rust", || build_rust(workspace))?;
    if wanted == Wanted::AllLanguages {
        for (name, script) in &scripts(workspace)? {
            ui::step(&format!("guest {name}"), || build_script(workspace, name, script))?;
        }
    }
    Ok(())
}

fn build_rust(workspace: &Workspace) -> Result<()> {
    let toolchain = Toolchain::find(&workspace.root, &mut |line| println!("    {line}"))?;
    let mut build = GuestBuild::new(&workspace.root);
    build.packages = workspace.guests().map(|guest| guest.package.clone()).collect();
    build.profile = "guest".into();
    build.target_dir = Some(workspace.target.join("guests"));
    let made = toolchain.build(&build)?;
    for guest in workspace.guests() {
        let name = name(workspace, guest);
        let file = format!("{}.wasm", guest.package.replace('-', "_"));
        let component = made
            .iter()
            .find(|path| path.file_name().is_some_and(|made| *made == *file))
            .ok_or_else(|| anyhow!("building package {} made no {file}", guest.package))?;
        let to = path(workspace, &name);
        if fs::read(component).ok() != fs::read(&to).ok() {
            fs::copy(component, &to).with_context(|| format!("write {}", to.display()))?;
            println!("    {name}.wasm, {} KiB", fs::metadata(&to)?.len() / 1024);
        }
    }
    Ok(())
}

/// The folder's name; behaviour guests of the tests are told apart from samples.
fn name(workspace: &Workspace, guest: &Member) -> String {
    let folder = guest.folder.file_name().unwrap_or_default().to_string_lossy();
    if guest.folder.starts_with(workspace.root.join("tests/fixtures")) {
        format!("fixture-{folder}")
    } else {
        folder.into_owned()
    }
}

/// Guests in other languages: name and `build.sh`, by name.
fn scripts(workspace: &Workspace) -> Result<Vec<(String, PathBuf)>> {
    let mut scripts = Vec::new();
    for folder in SCRIPT_FOLDERS.map(|folder| workspace.root.join(folder)) {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        let found = entries
            .flatten()
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            .map(|(name, folder)| (name, folder.join("build.sh")));
        scripts.extend(found.filter(|(_, script)| script.is_file()));
    }
    scripts.sort();
    Ok(scripts)
}

fn build_script(workspace: &Workspace, name: &str, script: &Path) -> Result<()> {
    let to = path(workspace, name);
    let folder = script.parent().expect("a script lies in a folder");
    let made = fs::metadata(&to).and_then(|file| file.modified()).ok();
    let shared = SHARED_FOLDERS.map(|shared| newest(&workspace.root.join(shared)));
    let source = shared.into_iter().max().flatten().max(newest(folder));
    if source < made {
        println!("    unchanged");
        return Ok(());
    }
    let text = fs::read_to_string(script).with_context(|| format!("read {}", script.display()))?;
    for (program, test, package) in TOOLS {
        if text.contains(program) && !works(program, test) {
            install(package)?;
        }
    }
    run(Command::new("bash").arg(script).arg(&to).current_dir(folder).stdin(Stdio::null()))?;
    ensure!(to.is_file(), "{} made no {}", script.display(), to.display());
    Ok(())
}

/// When the newest source below `folder` was changed. Folders that package managers fill are not
/// sources.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let kind = entry.file_type().ok()?;
        match name.as_str() {
            "node_modules" | "__pycache__" | "target" => None,
            _ if name.starts_with('.') => None,
            _ if kind.is_dir() => newest(&entry.path()),
            _ => entry.metadata().ok()?.modified().ok(),
        }
    });
    times.max()
}

/// Installs a package of the system, where it is Debian or like it.
pub fn install(package: &str) -> Result<()> {
    println!("    installing {package}");
    let apt = |args: &[&str]| {
        run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])
        .and_then(|()| apt(&["install", "-y", "-qq", "--no-install-recommends", package]))
        .with_context(|| format!("install {package}; install it by hand and try again"))
}
