//! The policy answers every recorded question like the original.
//!
//! `flyte.json` holds answers recorded by running Flyte 2.12.1 (ids F), and cases of the unit tests
//! of its back end, which is not Python (ids P).

use flyte::Flyte;
use samovar_sdk::Conformance;
use serde_json::Value;

#[test]
fn every_vector_is_answered_like_the_original() {
    let file: Value = serde_json::from_str(include_str!("flyte.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(!vectors.is_empty());
    let failures: Vec<String> = vectors.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

fn failure(vector: &Value) -> Option<String> {
    let answer = Flyte::answer(&vector["request"].to_string());
    let agrees = match &answer {
        Ok(answer) => agree(&vector["expected"], &serde_json::from_str(answer).unwrap()),
        Err(_) => false,
    };
    (!agrees).then(|| format!("{}: {answer:?}, expected {}", vector["id"], vector["expected"]))
}

/// Numbers agree as floats. Of an object only the expected fields must be there.
fn agree(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        (Value::Array(expected), Value::Array(got)) => {
            let pairs = || expected.iter().zip(got);
            expected.len() == got.len() && pairs().all(|(expected, got)| agree(expected, got))
        }
        (Value::Object(expected), Value::Object(got)) => {
            expected.iter().all(|(key, value)| got.get(key).is_some_and(|got| agree(value, got)))
        }
        (expected, got) => expected == got,
    }
}
