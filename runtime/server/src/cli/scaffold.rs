//! `samovar new`: write a small project to start from.

mod files;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::failure::hinted;
use crate::spec::DeploymentName;

const EXAMPLES: &str = "\
Examples:
  samovar new handler hello
  samovar new policy mine

The project is an ordinary Rust crate, named like its folder. A policy gets the source of the guest
SDK beside it, in the folder samovar-sdk, so that it builds without anything else.";

/// Write a small project to start from
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct New {
    /// What to write
    kind: Kind,

    /// Folder to make; it must not exist, or be empty
    dir: PathBuf,
}

/// What a project is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A handler of HTTP requests
    Handler,
    /// A scaling policy
    Policy,
}

impl New {
    /// Writes the project and prints what to do next.
    pub fn run(self) -> anyhow::Result<()> {
        let name = project_name(&self.dir)?;
        write_project(self.kind, &self.dir, &name)?;
        let dir = self.dir.display();
        let mut out = io::stdout();
        writeln!(out, "wrote {dir}")?;
        writeln!(out, "build it with `samovar build {dir}`; {dir}/README.md says more")?;
        Ok(())
    }
}

/// The name of the folder, if a crate and a deployment can be called that.
fn project_name(dir: &Path) -> anyhow::Result<DeploymentName> {
    // `new handler .` names the folder one is in.
    let absolute = std::path::absolute(dir).with_context(|| format!("find {}", dir.display()))?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy();
    match name.parse::<DeploymentName>() {
        Ok(parsed) if !parsed.as_str().starts_with(|first: char| first.is_ascii_digit()) => {
            Ok(parsed)
        }
        Ok(_) | Err(_) => Err(hinted(
            format!("a project cannot be called `{name}`"),
            "name the folder with a-z, 0-9 and `-` only, beginning with a letter",
        )),
    }
}

fn write_project(kind: Kind, dir: &Path, name: &DeploymentName) -> anyhow::Result<()> {
    let shown = dir.display();
    fs::create_dir_all(dir).with_context(|| format!("make the folder {shown}"))?;
    let mut entries = fs::read_dir(dir).with_context(|| format!("read the folder {shown}"))?;
    if entries.next().is_some() {
        bail!("{shown} is not empty");
    }
    let files = match kind {
        Kind::Handler => [files::COMMON, files::HANDLER].concat(),
        Kind::Policy => [files::COMMON, files::POLICY, files::SDK].concat(),
    };
    for (path, template) in files {
        let text = template
            .replace("{{name}}", name.as_str())
            .replace("{{crate}}", &name.as_str().replace('-', "_"));
        let path = dir.join(path);
        let folder = path.parent().expect("every file is inside the folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_have_all_files_and_no_placeholders() {
        for (kind, own) in [(Kind::Handler, "src/lib.rs"), (Kind::Policy, "samovar-sdk/Cargo.toml")]
        {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path().join("my-project");
            write_project(kind, &dir, &project_name(&dir).unwrap()).unwrap();
            for file in ["Cargo.toml", "src/lib.rs", "README.md", ".gitignore", own] {
                let text = fs::read_to_string(dir.join(file)).unwrap();
                assert!(!text.contains("{{"), "{file} has a placeholder");
            }
            let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
            assert!(manifest.contains("name = \"my-project\""));
            let again = write_project(kind, &dir, &"x".parse().unwrap()).unwrap_err();
            assert!(again.to_string().ends_with("is not empty"), "{again}");
        }
    }

    #[test]
    fn names_that_no_crate_can_have_are_refused() {
        for bad in ["My-Project", "9lives", "a_b", "-x", "/"] {
            assert!(project_name(Path::new(bad)).is_err(), "{bad} was accepted");
        }
        assert_eq!(project_name(Path::new("some/where/hello")).unwrap().as_str(), "hello");
    }
}
