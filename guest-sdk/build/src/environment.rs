//! The environment of a nested cargo: the user's settings stay, the outer build's go.

use std::{env, ffi::OsStr, process::Command};

/// Variables of the family `CARGO_*` that are settings of the user and not of one build.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_RESOLVER_",
    "CARGO_TERM_",
    "CARGO_BUILD_JOBS",
];

/// Families that cargo sets for build scripts, or that steer a build for the host.
const DROPPED: [&str; 6] = ["CARGO_", "RUSTC", "RUSTDOC", "RUSTFLAGS", "CLIPPY_", "DEP_"];

/// Single variables of the same sort.
const DROPPED_EXACT: [&str; 9] = [
    "MAKEFLAGS",
    "MFLAGS",
    "TARGET",
    "HOST",
    "OUT_DIR",
    "NUM_JOBS",
    "OPT_LEVEL",
    "DEBUG",
    "PROFILE",
];

/// A command that sees the user's environment without the traces of an outer cargo.
///
/// `RUSTFLAGS` goes too: flags for the host's processor have no meaning for a guest.
pub(crate) fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(leaks) {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo to run: the one that runs us, or the first on the path.
pub(crate) fn cargo() -> Command {
    clean_command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn leaks(name: &str) -> bool {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    DROPPED_EXACT.contains(&name) || (starts(&DROPPED) && !starts(&KEPT))
}

#[cfg(test)]
mod tests {
    use super::leaks;

    #[test]
    fn settings_of_the_user_stay() {
        for name in ["PATH", "HOME", "CARGO_HOME", "CARGO_HTTP_PROXY", "RUSTUP_TOOLCHAIN"] {
            assert!(!leaks(name), "{name}");
        }
    }

    #[test]
    fn traces_of_an_outer_build_go() {
        let build = ["CARGO_ENCODED_RUSTFLAGS", "CARGO_MAKEFLAGS", "RUSTC_WRAPPER", "RUSTFLAGS"];
        let script = ["CARGO_PKG_NAME", "CARGO_CFG_UNIX", "TARGET", "OUT_DIR", "DEP_Z_ROOT"];
        for name in build.into_iter().chain(script) {
            assert!(leaks(name), "{name}");
        }
    }
}
