//! The policy decides like the original.
//!
//! `ray.json` was recorded by running the decision code of Ray 2.9.3, 2.47.1 and 2.60.0 with a fake
//! clock; so was `ray-random.json`, whose questions were drawn at random. A vector names its era,
//! which becomes part of the question.

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

#[test]
fn random_questions_are_answered_like_the_original() {
    let failures = failures(include_str!("ray-random.json"));
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn questions_that_are_none_are_errors() {
    let error = |question: &str| RayServe::answer(question).unwrap_err();
    assert!(error("{}").contains("missing field `config`"));
    assert!(error(r#"{"mode": "dance"}"#).starts_with("mode `dance` is unknown"));
    let early = r#"{"mode": "app", "era": "2.9", "deployments": {}, "ticks": []}"#;
    assert_eq!(error(early), "mode `app` needs the modern era");
    assert!(error(r#"{"mode": "capacity", "era": "1.0"}"#).contains("unknown variant `1.0`"));
    let broken = r#"{"config": {"max_replicas": 0}, "ticks": []}"#;
    assert_eq!(error(broken), "`max_replicas` should be greater than 0, is 0");
}
