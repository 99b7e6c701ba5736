//! The policy decides like the original.
//!
//! `ray.json` was recorded by running the decision code of Ray 2.9.3, 2.47.1 and 2.60.0 with a fake
//! clock. A vector names its era, which becomes part of the question.

use ray_serve::RayServe;
use samovar_sdk::Conformance;
use serde_json::Value;

/// Equal as JSON values: numbers as floats, and of objects only the fields that are expected.
fn agrees(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected
            .iter()
            .all(|(key, value)| got.get(key).is_some_and(|other| agrees(value, other))),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(one, other)| agrees(one, other))
        }
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        _ => expected == got,
    }
}

fn failures(file: &str) -> Vec<String> {
    let file: Value = serde_json::from_str(file).unwrap();
    let mut failures = Vec::new();
    for vector in file["vectors"].as_array().unwrap() {
        let mut question = vector["request"].clone();
        question["era"] = vector["era"].clone();
        let got = RayServe::answer(&question.to_string());
        let agreed = got.as_ref().is_ok_and(|got| {
            agrees(&vector["expected"], &serde_json::from_str(got).expect("answers are JSON"))
        });
        if !agreed {
            failures
                .push(format!("{}: expected {}, got {got:?}", vector["id"], vector["expected"]));
        }
    }
    failures
}

#[test]
fn recorded_vectors_are_answered_like_the_original() {
    let failures = failures(include_str!("ray.json"));
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
