//! Files below a data folder.

use std::fs;
use std::path::{Path, PathBuf};

/// Every regular file below `folder`; none when the folder does not exist.
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Changes one byte in the middle of each of `files`.
///
/// # Panics
/// When a file cannot be changed, or there is none.
pub fn flip_a_byte(files: &[PathBuf]) {
    assert!(!files.is_empty(), "nothing to corrupt");
    for file in files {
        let mut bytes = fs::read(file).expect("the file is readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        fs::write(file, bytes).expect("the file is writable");
    }
}
