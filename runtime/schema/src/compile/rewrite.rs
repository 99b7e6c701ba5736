//! The schema as others get to see it: all references are pointers from its root, so that it means
//! the same inside of another document.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::draft::Draft;
use crate::node::{Node, NodeId};

/// What a pointer in a reference has to write as `%xx`.
const FRAGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'$').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The schema with local references, and the places of those.
pub(super) fn local(
    schema: &Value,
    draft: Draft,
    nodes: &[Node],
    targets: &[(NodeId, &'static str, String)],
) -> (Value, Vec<String>) {
    let mut document = schema.clone();
    let mut places = Vec::with_capacity(targets.len());
    for node in nodes {
        if let Some(Value::Object(map)) = document.pointer_mut(&node.pointer) {
            forget_names(map, draft);
        }
    }
    for (from, _, target) in targets {
        let pointer = &nodes[*from].pointer;
        let Some(Value::Object(map)) = document.pointer_mut(pointer) else {
            unreachable!("only objects have references");
        };
        let reference = format!("#{}", utf8_percent_encode(target, FRAGMENT));
        if !map.contains_key("$ref") {
            map.insert("$ref".to_owned(), reference.into());
            places.push(pointer.clone());
        } else if let Value::Array(all) = map.entry("allOf").or_insert_with(|| json!([])) {
            places.push(format!("{pointer}/allOf/{}", all.len()));
            all.push(json!({ "$ref": reference }));
        }
    }
    (document, places)
}

fn forget_names(map: &mut Map<String, Value>, draft: Draft) {
    let names = ["$ref", "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor"];
    for name in names.into_iter().chain(["$recursiveAnchor", draft.id_keyword()]) {
        map.remove(name);
    }
}

/// Changes all references of a document that [`local`] made so that they are right when the
/// document is found at `prefix` inside of another.
pub(crate) fn moved(document: &Value, references: &[String], prefix: &str) -> Value {
    let mut moved = document.clone();
    for place in references {
        if let Some(Value::String(reference)) =
            moved.pointer_mut(place).and_then(|schema| schema.get_mut("$ref"))
        {
            *reference = format!("#{prefix}{}", &reference[1..]);
        }
    }
    moved
}
