//! What `docs/policies.md` shows is what is there, and works.

#[path = "docs/calm.rs"]
mod calm;

use samovar_sdk::{Policy, parse_config};

fn calm() -> calm::Calm {
    calm::Calm::new(parse_config(r#"{"requests_per_replica": 2}"#).unwrap()).unwrap()
}

include!("docs/calm_tests.rs");

const DOCUMENTED: &str = include_str!("../../docs/policies.md");

/// The code without its head and its tests.
fn shown(source: &str) -> &str {
    let start = source.find("use ").unwrap();
    source[start..].split("\n#[cfg(test)]").next().unwrap()
}

#[track_caller]
fn assert_shown(source: &str) {
    let code = shown(source);
    assert!(DOCUMENTED.contains(code), "docs/policies.md should show:\n{code}");
}

#[test]
fn examples_are_shown_as_they_are() {
    assert_shown(include_str!("../../policies/examples/custom-scale/src/lib.rs"));
    assert_shown(include_str!("../../policies/examples/queue-depth/src/lib.rs"));
    assert_shown(include_str!("docs/calm.rs"));
    assert_shown(include_str!("docs/calm_tests.rs"));
}

#[test]
fn building_blocks_are_all_listed() {
    for line in include_str!("../src/blocks.rs").lines() {
        let Some(names) = line.strip_prefix("pub use ").and_then(|line| line.split("::").nth(1))
        else {
            continue;
        };
        for name in names.split(|char: char| !char.is_alphanumeric() && char != '_') {
            assert!(name.is_empty() || DOCUMENTED.contains(&format!("`{name}`")), "{name}");
        }
    }
}
