//! `samovar build`: compile a Rust crate into a component.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use samovar_guest_build::{GuestBuild, Toolchain};

use super::failure::hinted;

const EXAMPLES: &str = "\
Examples:
  samovar build
  samovar build hello
  samovar deploy \"$(samovar build hello)\" --name hello

The path of the component goes to stdout, the rest to stderr. The first build may install the
standard library of the target wasm32-wasip2; what it tries, and why it fails, is printed.
Handlers in other languages are built with the tools of those languages.";

/// Compile a Rust crate into a component
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Build {
    /// Folder of the crate
    #[arg(default_value = ".")]
    dir: PathBuf,

    /// Cargo profile
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
}

impl Build {
    /// Finds a toolchain, builds, and prints the paths of the components.
    pub fn run(self) -> anyhow::Result<()> {
        let dir = self.dir.display();
        if !self.dir.join("Cargo.toml").is_file() {
            return Err(hinted(
                format!("there is no Cargo.toml in {dir}"),
                "name the folder of a crate; `samovar new handler DIR` makes one",
            ));
        }
        let mut log = |line: &str| {
            // When stderr is gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{line}");
        };
        let toolchain = Toolchain::find(&self.dir, &mut log).context("find a toolchain")?;
        let build = GuestBuild { profile: self.profile, ..GuestBuild::new(&self.dir) };
        for component in toolchain.build(&build)? {
            writeln!(io::stdout(), "{}", component.display())?;
        }
        Ok(())
    }
}
