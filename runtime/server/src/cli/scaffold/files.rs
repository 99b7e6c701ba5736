//! The files of new projects. `{{name}}` and `{{crate}}` in them are replaced.

/// The manifest of the SDK and its files, by their paths in the SDK.
macro_rules! sdk {
    ($($path:literal,)*) => {
        &[
            ("samovar-sdk/Cargo.toml", include_str!("../../../templates/policy/sdk.toml.template")),
            $((
                concat!("samovar-sdk/", $path),
                include_str!(concat!("../../../../../guest-sdk/", $path)),
            ),)*
        ]
    };
}

/// Paths inside the project, and contents.
type Files = &'static [(&'static str, &'static str)];

/// In every project.
pub const COMMON: Files = &[(".gitignore", "/target\n")];

/// In a handler.
pub const HANDLER: Files = &[
    ("Cargo.toml", include_str!("../../../templates/handler/Cargo.toml.template")),
    ("README.md", include_str!("../../../templates/handler/README.md")),
    ("src/lib.rs", include_str!("../../../templates/handler/lib.rs")),
];

/// In a policy.
pub const POLICY: Files = &[
    ("Cargo.toml", include_str!("../../../templates/policy/Cargo.toml.template")),
    ("README.md", include_str!("../../../templates/policy/README.md")),
    ("src/lib.rs", include_str!("../../../templates/policy/lib.rs")),
];

/// The guest SDK, which goes beside a policy. Its own `Cargo.toml` takes versions from our
/// workspace, so another one goes with it.
pub const SDK: Files = sdk![
    "src/adapter.rs",
    "src/batch.rs",
    "src/blocks.rs",
    "src/blocks/agreement.rs",
    "src/blocks/buckets.rs",
    "src/blocks/cooldown.rs",
    "src/blocks/ewma.rs",
    "src/blocks/series.rs",
    "src/blocks/sliding_max.rs",
    "src/config.rs",
    "src/decision.rs",
    "src/exports.rs",
    "src/handler.rs",
    "src/handler/exchange.rs",
    "src/harness.rs",
    "src/harness/csv.rs",
    "src/harness/host.rs",
    "src/harness/meter.rs",
    "src/harness/pool.rs",
    "src/harness/run.rs",
    "src/harness/trace.rs",
    "src/host.rs",
    "src/keyvalue.rs",
    "src/lib.rs",
    "src/lifecycle.rs",
    "src/logging.rs",
    "src/metrics.rs",
    "src/observation.rs",
    "src/parse_config.rs",
    "src/policy.rs",
    "src/simple.rs",
    "wit/handler/deps/config/config.wit",
    "wit/handler/deps/keyvalue/keyvalue.wit",
    "wit/handler/deps/logging/logging.wit",
    "wit/handler/handler.wit",
    "wit/policy.wit",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn sdk_is_complete() {
        let sdk = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-sdk"));
        let mut there = BTreeSet::from(["samovar-sdk/Cargo.toml".to_owned()]);
        let mut folders = vec![sdk.join("src"), sdk.join("wit")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let inside = path.strip_prefix(sdk).unwrap().display();
                there.insert(format!("samovar-sdk/{inside}"));
            }
        }
        let listed: BTreeSet<String> = SDK.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, there, "the files of the SDK, listed and there");
    }

    /// The dependencies of the two manifests must not drift apart.
    #[test]
    fn sdk_manifest_has_the_versions_of_the_workspace() {
        let read = |path: &str| {
            let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
            fs::read_to_string(path).unwrap().parse::<toml::Table>().unwrap()
        };
        let workspace = read("Cargo.toml");
        let versions = &workspace["workspace"]["dependencies"];
        let original = read("guest-sdk/Cargo.toml");
        let (_, written) = SDK.iter().find(|(path, _)| path.ends_with("Cargo.toml")).unwrap();
        let written: toml::Table = written.parse().unwrap();
        let names = |table: &toml::Table| -> BTreeSet<String> {
            let everywhere = table["dependencies"].as_table().unwrap().keys();
            let wasm = table["target"]["cfg(target_arch = \"wasm32\")"]["dependencies"].clone();
            everywhere.cloned().chain(wasm.as_table().unwrap().keys().cloned()).collect()
        };
        assert_eq!(names(&written), names(&original), "dependencies of the SDK");
        let version = |value: &toml::Value| match value {
            toml::Value::String(version) => version.clone(),
            table => table["version"].as_str().unwrap().to_owned(),
        };
        let wasm = &written["target"]["cfg(target_arch = \"wasm32\")"]["dependencies"];
        for name in names(&written) {
            let own = written["dependencies"].get(&name).or(wasm.get(&name)).unwrap();
            assert_eq!(version(own), version(&versions[&name]), "version of {name}");
        }
        assert_eq!(written["features"], original["features"]);
    }
}
