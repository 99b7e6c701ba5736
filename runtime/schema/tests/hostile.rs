//! Schemas and bodies that are made to take long, or to end the process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread;

use samovar_schema::{Fault, Schema};
use serde_json::{Map, Value, json};

/// A stack as small as those of threads that serve requests.
const STACK_BYTES: usize = 2 << 20;

/// Checks on a small stack; a check that goes too deep ends the test.
fn check(schema: Value, body: String) -> Result<(), Vec<Fault>> {
    let run = move || Schema::compile(&schema).unwrap().check(body.as_bytes());
    thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap().join().unwrap()
}

fn assert_stopped(verdict: Result<(), Vec<Fault>>) {
    let faults = verdict.unwrap_err();
    assert!(faults[0].reason.starts_with("takes more than"), "{faults:?}");
    assert_eq!(faults.len(), 1);
}

/// `count` definitions, each made of two uses of the next.
fn doubling(count: usize, keyword: &str) -> Value {
    let mut definitions = Map::new();
    for step in 0..count {
        let next = json!({ "$ref": format!("#/$defs/{}", step + 1) });
        definitions.insert(step.to_string(), json!({ keyword: [next, next] }));
    }
    definitions.insert(count.to_string(), json!({ "type": "string" }));
    json!({ "$ref": "#/$defs/0", "$defs": definitions })
}

#[test]
fn exponential_schemas_are_stopped() {
    assert_stopped(check(doubling(60, "allOf"), r#""a""#.to_owned()));
    assert_stopped(check(doubling(60, "anyOf"), "1".to_owned()));
    assert_stopped(check(doubling(60, "oneOf"), r#""a""#.to_owned()));
    // Twenty levels are too many, ten are not.
    assert_stopped(check(doubling(20, "allOf"), r#""a""#.to_owned()));
    assert_eq!(check(doubling(10, "allOf"), r#""a""#.to_owned()), Ok(()));
}

#[test]
fn schemas_that_grow_with_the_depth_of_the_body_are_stopped() {
    let branches =
        |word: &str| json!({ word: [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}] });
    let body = |levels: usize| "[".repeat(levels) + "1" + &"]".repeat(levels);
    assert_stopped(check(branches("allOf"), body(60)));
    assert_eq!(check(branches("allOf"), body(8)), Ok(()));
    let mut fails = branches("anyOf");
    fails["not"] = json!({ "type": "integer" });
    assert_stopped(check(fails, body(60)));
}

#[test]
fn long_chains_of_references_do_not_exhaust_the_stack() {
    let mut definitions = Map::new();
    for step in 0..2000 {
        let next = json!({ "allOf": [{ "$ref": format!("#/$defs/{}", step + 1) }] });
        definitions.insert(step.to_string(), next);
    }
    definitions.insert("2000".to_owned(), json!(true));
    let schema = json!({ "$ref": "#/$defs/0", "$defs": definitions });
    let faults = check(schema, "1".to_owned()).unwrap_err();
    assert_eq!(faults[0].reason, "is nested too deeply to be checked with this schema");
}

#[test]
fn deep_bodies_of_recursive_schemas_fit_on_the_stack() {
    let schema = json!({"anyOf": [{"not": {"not": {"items": {"$ref": "#"}}}}]});
    assert_eq!(check(schema, "[".repeat(128) + &"]".repeat(128)), Ok(()));
}

#[test]
fn a_tree_is_checked_to_its_leaves() {
    let schema = json!({
        "type": "object", "required": ["value"], "additionalProperties": false,
        "properties": {
            "value": {"type": "integer"},
            "children": {"type": "array", "items": {"$ref": "#"}},
        },
    });
    let mut tree = json!({"value": "leaf"});
    for level in 0..40 {
        tree = json!({"value": level, "children": [{"value": 1}, tree]});
    }
    let faults = check(schema, tree.to_string()).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].pointer, "/children/1".repeat(40) + "/value");
    assert_eq!(faults[0].reason, "is a string, must be an integer");
}

#[test]
fn large_arrays_of_different_items_are_linear_work() {
    let items: Vec<Value> = (0..100_000).map(|index| json!({"id": index})).collect();
    let schema = json!({"type": "array", "uniqueItems": true, "items": {"type": "object"}});
    assert_eq!(check(schema.clone(), Value::from(items.clone()).to_string()), Ok(()));
    let twins = [items.as_slice(), &[json!({"id": 7})]].concat();
    let faults = check(schema, Value::from(twins).to_string()).unwrap_err();
    assert_eq!(faults[0].reason, "items 7 and 100000 are equal, all must differ");
}

#[test]
fn products_of_large_schemas_and_large_bodies_are_stopped() {
    let names: Vec<String> = (0..20_000).map(|index| index.to_string()).collect();
    let empty = format!("[{}{{}}]", "{},".repeat(100_000));
    assert_stopped(check(json!({"items": {"not": {"required": names}}}), empty));

    let patterns = (0..200).map(|index| (format!("^{index}[a-z]*$"), json!(true)));
    let members = (0..100_000).map(|index| (format!("{index}-"), json!(1)));
    let schema = json!({"patternProperties": Map::from_iter(patterns)});
    assert_stopped(check(schema, Value::from(Map::from_iter(members)).to_string()));

    let options: Vec<u64> = (0..30_000).collect();
    let others = format!("[{}\"a\"]", "\"a\",".repeat(100_000));
    assert_stopped(check(json!({"items": {"not": {"enum": options}}}), others));
}

#[test]
fn patterns_that_defeat_caches_are_stopped() {
    // Each byte of the text gives another state.
    let schema = json!({"items": {"pattern": "a[ab]{800}c"}});
    let letter = |n: u32| if n.count_ones().is_multiple_of(2) { 'a' } else { 'b' };
    let text: String = (0..4_000_000).map(letter).collect();
    assert_stopped(check(schema, json!([text]).to_string()));
    // A plain pattern and a text of this length are fine.
    let schema = json!({"items": {"pattern": "^[A-Za-z0-9+/]*=?$"}});
    assert_eq!(check(schema, json!(["a".repeat(8_000_000)]).to_string()), Ok(()));
}

#[test]
fn large_honest_bodies_are_checked_in_full() {
    let schema = json!({"type": "object", "properties": {
        "vectors": {"type": "array", "items": {
            "type": "array", "minItems": 768, "maxItems": 768, "items": {"type": "number"},
        }},
    }});
    let vector: Vec<f64> = (0..768).map(f64::from).collect();
    let mut vectors = vec![vector; 1000];
    vectors[999].pop();
    let faults = check(schema, json!({"vectors": vectors}).to_string()).unwrap_err();
    assert_eq!(faults[0].pointer, "/vectors/999");
    assert_eq!(faults[0].reason, "has 767 items, must have at least 768");
}
