//! The policy and its models of the worker answer like the originals.
//!
//! Of `vast.json` most was recorded by running three generations of the worker with virtual clocks;
//! `D..` are the examples of the public documents.

use samovar_sdk::Conformance;
use serde_json::Value;
use vast::Vast;

/// Whether the answer has all that is expected. An answer may say more than the recorded one.
fn agrees(answer: &Value, expected: &Value) -> bool {
    match (answer, expected) {
        (Value::Object(answer), Value::Object(expected)) => {
            let refused = expected.get("ok") == Some(&Value::Bool(false));
            let compared = |key: &str| !refused || ["ok", "error_type"].contains(&key);
            expected.iter().all(|(key, value)| {
                !compared(key) || answer.get(key).is_some_and(|answer| agrees(answer, value))
            })
        }
        (Value::Array(answer), Value::Array(expected)) => {
            answer.len() == expected.len()
                && answer.iter().zip(expected).all(|(answer, expected)| agrees(answer, expected))
        }
        (Value::Number(answer), Value::Number(expected)) => answer.as_f64() == expected.as_f64(),
        (answer, expected) => answer == expected,
    }
}

#[test]
fn every_vector_is_answered() {
    let file: Value = serde_json::from_str(include_str!("vast.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 59, "vectors were lost");
    let mut failing = Vec::new();
    for vector in vectors {
        let answer = Vast::answer(&vector["request"].to_string());
        let agreed = answer.as_ref().is_ok_and(|answer| {
            agrees(&serde_json::from_str(answer).unwrap(), &vector["expected"])
        });
        if !agreed {
            failing.push(format!("{}: {answer:?}", vector["id"]));
        }
    }
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}

#[test]
fn unknown_modes_are_errors() {
    assert!(Vast::answer(r#"{"mode": "dance"}"#).is_err());
    assert!(Vast::answer("[]").is_err());
}
