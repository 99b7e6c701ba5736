//! Batches as JSON: many bodies in one, and one answer taken apart again.

use crate::dispatch::{Failure, FailureCode};
use crate::spec::BatchShape;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An element that fails one request alone: `{"$error": {"status": 422, "message": "…"}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorElement {
    #[serde(rename = "$error")]
    error: ItemError,
}

/// Why one request fails.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct ItemError {
    /// From 400 to 599; 500 if it is left out.
    #[serde(default = "internal")]
    pub status: u16,
    /// What the client is told.
    #[serde(default)]
    pub message: String,
}

fn internal() -> u16 {
    500
}

/// One part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Element {
    /// The body of a response.
    Body(Bytes),
    /// The request fails.
    Error(ItemError),
}

/// Whether a body can be part of a batch.
///
/// # Errors
///
/// When it is not JSON.
pub fn check(body: &[u8]) -> Result<(), Failure> {
    serde_json::from_slice::<&RawValue>(body).map(drop).map_err(|error| {
        let message = format!("the body is not JSON, of which batches are made: {error}");
        Failure::new(FailureCode::BodyNotJson, message)
    })
}

/// The bodies as one. Each was [checked](check).
pub fn join<'a>(bodies: impl Iterator<Item = &'a Bytes> + Clone, shape: BatchShape) -> Bytes {
    let (before, after) = match shape {
        BatchShape::Array => ("[", "]"),
        BatchShape::Lightning => (r#"{"inputs":["#, "]}"),
    };
    let bytes: usize = bodies.clone().map(|body| body.len() + 1).sum();
    let mut joined = Vec::with_capacity(before.len() + bytes + after.len());
    joined.extend_from_slice(before.as_bytes());
    for (index, body) in bodies.enumerate() {
        if index > 0 {
            joined.push(b',');
        }
        joined.extend_from_slice(body);
    }
    joined.extend_from_slice(after.as_bytes());
    joined.into()
}

/// Takes an answer apart.
///
/// # Errors
///
/// When it has not the shape that was asked for.
pub fn split(answer: &[u8], shape: BatchShape) -> Result<Vec<Element>, String> {
    #[derive(Deserialize)]
    struct Outputs<'a> {
        #[serde(borrow)]
        outputs: Vec<&'a RawValue>,
    }
    let (parts, expected) = match shape {
        BatchShape::Array => (serde_json::from_slice::<Vec<&RawValue>>(answer), "a JSON array"),
        BatchShape::Lightning => {
            let outputs = serde_json::from_slice::<Outputs<'_>>(answer);
            (outputs.map(|outputs| outputs.outputs), r#"`{"outputs": […]}`"#)
        }
    };
    let parts = parts.map_err(|error| format!("the answer is not {expected}: {error}"))?;
    Ok(parts.into_iter().map(element).collect())
}

fn element(part: &RawValue) -> Element {
    let text = part.get();
    // Most are not, and need not be read for that.
    if text.starts_with('{')
        && text.contains("\"$error\"")
        && let Ok(ErrorElement { error }) = serde_json::from_str(text)
    {
        return Element::Error(error);
    }
    Element::Body(Bytes::copy_from_slice(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Element {
        Element::Body(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn bodies_are_joined_as_they_are() {
        let bodies = [r#"{"a": 1.50}"#, "null", "[1,2]"].map(Bytes::from);
        let joined = |shape| String::from_utf8(join(bodies.iter(), shape).to_vec()).unwrap();
        assert_eq!(joined(BatchShape::Array), r#"[{"a": 1.50},null,[1,2]]"#);
        assert_eq!(joined(BatchShape::Lightning), r#"{"inputs":[{"a": 1.50},null,[1,2]]}"#);
    }

    #[test]
    fn answers_are_taken_apart() {
        let parts = split(br#" [ {"b": 2.50}, "x,y" ,[3] ] "#, BatchShape::Array).unwrap();
        assert_eq!(parts, [body(r#"{"b": 2.50}"#), body(r#""x,y""#), body("[3]")]);
        let parts = split(br#"{"took": 3, "outputs": [1, 2]}"#, BatchShape::Lightning).unwrap();
        assert_eq!(parts, [body("1"), body("2")]);
    }

    #[test]
    fn one_fails_alone() {
        let answer = br#"[1, {"$error": {"status": 422, "message": "too dark"}}, {"$error": {}}]"#;
        let parts = split(answer, BatchShape::Array).unwrap();
        let error = |status, message: &str| {
            Element::Error(ItemError { status, message: message.to_owned() })
        };
        assert_eq!(parts, [body("1"), error(422, "too dark"), error(500, "")]);
        let other = br#"[{"$error": 3}, {"$error": {}, "more": 1}]"#;
        let parts = split(other, BatchShape::Array).unwrap();
        let whole = [body(r#"{"$error": 3}"#), body(r#"{"$error": {}, "more": 1}"#)];
        assert_eq!(parts, whole, "what only looks like it is an answer");
    }

    #[test]
    fn other_shapes_are_refused() {
        let refused = |text: &[u8], shape| split(text, shape).unwrap_err();
        assert!(refused(b"{}", BatchShape::Array).starts_with("the answer is not a JSON array"));
        assert!(refused(b"[1,2", BatchShape::Array).contains("EOF"));
        assert!(refused(b"[1]", BatchShape::Lightning).contains(r#"{"outputs": "#));
        assert!(check(b"[1, 2]").is_ok());
        for bad in [&b""[..], b"hello", b"{\"a\":", b"1 2", b"\xff"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
