//! `samovar policy-vectors` and `samovar policy-answer`: another system's recorded answers against
//! the policy that copies it.
//!
//! The policy is asked as the server has it: the built-in component, in its sandbox.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use wasmtime::component::Component;

use super::policy_bench::builtin;
use crate::policy::{PolicyHost, Port};
use crate::wasm::engine;

/// Compare a built-in policy with recorded answers of the system it copies
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct PolicyVectors {
    /// The system that gave the answers
    #[arg(long)]
    system: System,
    /// JSON file with the vectors
    file: PathBuf,
}

/// Answer questions in the format of a system's vectors, one JSON object per line
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct PolicyAnswer {
    /// The system to answer for
    #[arg(long)]
    system: System,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum System {
    Ray,
    Lightning,
    Knative,
    Kubetorch,
    Flyte,
    Vast,
}

impl System {
    /// The policy that copies it.
    fn policy(self) -> &'static str {
        match self {
            System::Ray => "ray-serve",
            System::Lightning => "lightning",
            // Kubetorch sits on Knative's autoscaler, so one policy is both.
            System::Knative | System::Kubetorch => "kubetorch",
            System::Flyte => "flyte",
            System::Vast => "vast",
        }
    }

    fn port(self) -> anyhow::Result<Port> {
        let host = PolicyHost::new(engine::policies()?)?;
        let component = Component::new(host.engine(), builtin(self.policy())?.wasm)?;
        Ok(host.port(&component)?)
    }
}

impl PolicyVectors {
    /// Prints the vectors that fail and a closing line; fails if any does.
    pub fn run(self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("read {}", self.file.display()))?;
        let file: Value = serde_json::from_str(&text).context("read the vectors")?;
        let vectors = file.get("vectors").unwrap_or(&file);
        let vectors = vectors.as_array().context("the file has no list `vectors`")?;
        let mut port = self.system.port()?;
        let (mut passed, mut failed) = (0, 0);
        let mut out = std::io::stdout().lock();
        for vector in vectors {
            let expected = &vector["expected"];
            let (is_right, got) = match port.answer(&question(vector).to_string()) {
                Ok(answer) => {
                    let got: Value = serde_json::from_str(&answer)
                        .with_context(|| format!("{}: the answer is not JSON", vector["id"]))?;
                    (agrees(expected, &got), got.to_string())
                }
                Err(error) => (false, format!("no answer: {error:#}")),
            };
            if is_right {
                passed += 1;
                continue;
            }
            failed += 1;
            let id = vector["id"].as_str().unwrap_or("without an id");
            writeln!(out, "{id}: expected {expected}, got {got}")?;
        }
        writeln!(out, "{passed} passed, {failed} failed")?;
        if failed > 0 {
            bail!("{failed} vectors are answered differently");
        }
        Ok(())
    }
}

impl PolicyAnswer {
    /// Answers until the input ends.
    pub fn run(self) -> anyhow::Result<()> {
        let mut port = self.system.port()?;
        let mut out = std::io::stdout().lock();
        for line in std::io::stdin().lock().lines() {
            let line = line.context("read a question")?;
            let answer = match port.answer(&line) {
                Ok(answer) => format!(r#"{{"ok":{answer}}}"#),
                Err(error) => json!({ "error": format!("{error:#}") }).to_string(),
            };
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
        Ok(())
    }
}

/// What the original was asked. A system with several eras tells them apart outside of the request.
fn question(vector: &Value) -> Value {
    let mut request = vector["request"].clone();
    if let (Some(fields), Some(era)) = (request.as_object_mut(), vector.get("era")) {
        fields.entry("era").or_insert_with(|| era.clone());
    }
    request
}

/// Whether an answer is the expected one. In objects, only what is expected counts: an answer may
/// say more. Of a refusal only its kind counts, the words are our own.
fn agrees(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let is_refusal = expected.get("ok") == Some(&Value::Bool(false));
            expected
                .iter()
                .filter(|(key, _)| !is_refusal || matches!(key.as_str(), "ok" | "error_type"))
                .all(|(key, value)| got.get(key).is_some_and(|got| agrees(value, got)))
        }
        (Value::Array(expected), Value::Array(got)) => {
            let all = expected.iter().zip(got);
            expected.len() == got.len() && all.into_iter().all(|(e, g)| agrees(e, g))
        }
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        (expected, got) => expected == got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_may_say_more_but_not_less_or_other() {
        let expected = json!({ "a": 1, "b": [1.0, { "c": null }] });
        assert!(agrees(&expected, &json!({ "a": 1.0, "b": [1, { "c": null, "d": 2 }], "e": 0 })));
        assert!(!agrees(&expected, &json!({ "a": 1, "b": [1, { "d": 2 }] })));
        assert!(!agrees(&expected, &json!({ "a": 1, "b": [1] })));
        assert!(!agrees(&expected, &json!({ "a": 1.1, "b": [1, { "c": null }] })));
        assert!(!agrees(&json!(true), &json!("true")));
    }

    #[test]
    fn a_refusal_is_known_by_its_kind() {
        let expected = json!({ "ok": false, "error_type": "ValueError", "error": "their words" });
        assert!(agrees(&expected, &json!({ "ok": false, "error_type": "ValueError" })));
        assert!(!agrees(&expected, &json!({ "ok": false, "error_type": "TypeError" })));
        assert!(!agrees(&expected, &json!({ "ok": true, "error_type": "ValueError" })));
    }

    #[test]
    fn the_era_is_a_part_of_the_question() {
        let vector = json!({ "era": "mid", "request": { "mode": "trace" } });
        assert_eq!(question(&vector), json!({ "mode": "trace", "era": "mid" }));
        let vector = json!({ "era": "mid", "request": { "mode": "trace", "era": "legacy" } });
        assert_eq!(question(&vector)["era"], "legacy");
    }
}
