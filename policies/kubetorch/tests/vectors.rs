//! The component answers like its originals.
//!
//! `kubetorch.json` was recorded by running `kubetorch` 0.5.1. `knative.json` was read from the
//! unit tests of knative/serving 98e5ef90, which is written in Go. `random.json` has questions with
//! random combinations of options, answered by `kubetorch` 0.5.1 and by a model of Knative.

use kubetorch::Kubetorch;
use samovar_sdk::Conformance;
use serde_json::Value;

/// Equal as far as `expected` goes: of objects only its fields count, and of a refusal its type.
fn agrees(expected: &Value, answer: &Value) -> bool {
    match (expected, answer) {
        (Value::Object(fields), Value::Object(_)) if fields.get("ok") == Some(&false.into()) => {
            let same = |key| fields.get(key) == answer.get(key);
            same("ok") && same("error_type")
        }
        (Value::Object(fields), Value::Object(answer)) => fields
            .iter()
            .all(|(key, expected)| answer.get(key).is_some_and(|answer| agrees(expected, answer))),
        (Value::Array(expected), Value::Array(answer)) => {
            expected.len() == answer.len()
                && expected.iter().zip(answer).all(|(expected, answer)| agrees(expected, answer))
        }
        (Value::Number(expected), Value::Number(answer)) => expected.as_f64() == answer.as_f64(),
        _ => expected == answer,
    }
}

fn check(file: &str, count: usize) {
    let file: Value = serde_json::from_str(file).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), count);
    let mut failed = Vec::new();
    for vector in vectors {
        let answer = Kubetorch::answer(&vector["request"].to_string());
        let value = answer.as_ref().map(|text| serde_json::from_str(text).unwrap());
        if !value.is_ok_and(|answer: Value| agrees(&vector["expected"], &answer)) {
            failed.push(format!("{}: {answer:?}, not {}", vector["id"], vector["expected"]));
        }
    }
    assert!(failed.is_empty(), "{} of {count} differ:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn options_and_distribution_are_those_of_kubetorch() {
    check(include_str!("kubetorch.json"), 34);
}

#[test]
fn decisions_are_those_of_knative() {
    check(include_str!("knative.json"), 93);
}

#[test]
fn combinations_of_options_are_answered_alike() {
    check(include_str!("random.json"), 108);
}

#[test]
fn unknown_modes_and_fields_are_refused() {
    for question in [
        "{}",
        "nonsense",
        r#"{"mode": "guess", "args": {}}"#,
        r#"{"mode": "target", "tarket": 1}"#,
        r#"{"mode": "autoscaler", "spec": {"tarket": 1}, "ticks": []}"#,
    ] {
        assert!(Kubetorch::answer(question).is_err(), "{question}");
    }
}
