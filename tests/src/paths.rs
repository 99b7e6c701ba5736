//! Where the binary and the guests under test are.

use std::env;
use std::path::{Path, PathBuf};

/// The `samovar` under test: `SAMOVAR_BIN`, else `release/samovar` in the target folder.
///
/// # Panics
/// When there is none, saying how to build it.
pub fn samovar() -> PathBuf {
    if let Some(path) = env::var_os("SAMOVAR_BIN") {
        return PathBuf::from(path);
    }
    find("release/samovar").unwrap_or_else(|| {
        panic!("no release/samovar in the target folder: run `cargo build --release` first")
    })
}

/// The file of the guest called `name`, in `components/` of the target folder.
///
/// # Panics
/// When it has not been built, saying how to build it.
pub fn component(name: &str) -> PathBuf {
    let file = format!("components/{name}.wasm");
    find(&file).unwrap_or_else(|| {
        panic!("no {file} in the target folder: run `cargo xtask guests --all` first")
    })
}

/// The Python that has the packages of `tests/fixtures/vast/requirements.txt`:
/// `SAMOVAR_VAST_PYTHON`, else the one that `cargo xtask test` prepares in the target folder.
///
/// # Panics
/// When there is none, saying how to get it.
pub fn vast_python() -> PathBuf {
    if let Some(path) = env::var_os("SAMOVAR_VAST_PYTHON") {
        return PathBuf::from(path);
    }
    find("venv-vast/bin/python").unwrap_or_else(|| {
        panic!("no venv-vast in the target folder: run `cargo xtask venv` first")
    })
}

/// A file or folder of the tests, such as `fixtures/native/server.py`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The top of the source tree.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("this package is one folder below the workspace").to_path_buf()
}

/// The file at `file` in the target folder, if it is there.
pub fn find(file: &str) -> Option<PathBuf> {
    let own_target = workspace().join("target");
    let other_target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let folders = other_target.into_iter().chain([own_target]);
    folders.map(|folder| folder.join(file)).find(|path| path.is_file())
}
