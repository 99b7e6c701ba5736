//! Rules of the source that no compiler checks. ARCHITECTURE.md says why they are there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// A file has one idea.
const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files below `folder`, with their text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let parts = ["runtime", "guest-sdk", "policies", "plugins", "tests", "benches", "xtask"];
    parts.iter().flat_map(|part| sources(&root().join(part))).collect()
}

/// The code of a file up to its tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let own = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    own.filter(|line| !line.trim_start().starts_with("//"))
}

#[track_caller]
fn assert_absent(folder: &str, words: &[&str], reason: &str) {
    let files = sources(&root().join(folder));
    assert!(!files.is_empty(), "{folder} has sources");
    for (path, text) in files.iter().filter(|(path, _)| !path.to_str().unwrap().contains("test")) {
        for line in code(text) {
            for word in words {
                assert!(!line.contains(word), "{}: `{word}`: {reason}: {line}", path.display());
            }
        }
    }
}

#[test]
fn core_has_no_dependencies() {
    let manifest = fs::read_to_string(root().join("runtime/core/Cargo.toml")).unwrap();
    let start = manifest.find("[dependencies]").expect("the section is there, to be seen empty");
    let section = &manifest[start + "[dependencies]".len()..];
    let section = section.split("\n[").next().unwrap();
    assert_eq!(section.trim(), "", "the core only decides; it needs nothing but std");
}

#[test]
fn core_is_deterministic_and_does_no_io() {
    let words = [
        "Instant::",
        "SystemTime",
        "HashMap",
        "HashSet",
        "std::fs",
        "std::io",
        "std::net",
        "std::thread",
        "std::env",
        "async ",
        ".await",
        "println!",
        "rand::",
    ];
    assert_absent("runtime/core/src", &words, "the core has no clock, no chance and no I/O");
}

#[test]
fn only_the_clock_reads_the_clock() {
    for (path, text) in sources(&root().join("runtime/server/src")) {
        if path.ends_with("clock.rs") {
            continue;
        }
        for line in code(&text) {
            let reads =
                ["std::time::Instant", "SystemTime::now"].iter().any(|word| line.contains(word));
            assert!(!reads, "{}: time comes from clock.rs: {line}", path.display());
        }
    }
}

#[test]
fn the_store_knows_no_webassembly_and_policies_know_no_http() {
    assert_absent("runtime/server/src/store", &["wasmtime", "crate::wasm", "axum"], "adapter");
    let http = ["hyper", "axum", "crate::ingress", "crate::dispatch"];
    assert_absent("runtime/server/src/policy", &http, "adapter");
    assert_absent(
        "runtime/server/src/dispatch",
        &["crate::store", "crate::control", "axum"],
        "edge",
    );
    assert_absent("runtime/server/src/calls", &["crate::store", "hyper", "axum"], "edge");
}

#[test]
fn files_are_short() {
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_is_left_undone() {
    // Written apart, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    for (path, text) in all_sources() {
        for mark in marks {
            assert!(!text.contains(mark), "{} has a {mark}", path.display());
        }
    }
}
