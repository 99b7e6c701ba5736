//! Recorded verdicts of another implementation, and random input of any kind.
//!
//! The files in `vectors` were made of random schemas and bodies; what is valid was decided by the
//! crate `jsonschema` 0.60.2, which schemas are wrong by the meta-schema of 2020-12.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use samovar_schema::{FAULTS_MAX, Schema};
use serde_json::{Map, Value, json};

const VERDICTS: &str = include_str!("vectors/verdicts.json");
const REFUSED: &str = include_str!("vectors/refused.json");

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("the vectors are lists")
}

fn compile(schema: &Value) -> Schema {
    Schema::compile(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn assert_verdict(case: &Value, body: &Value, is_valid: bool) {
    let schema = &case["schema"];
    let own = compile(schema);
    let verdict = own.check(body.to_string().as_bytes());
    assert_eq!(verdict.is_ok(), is_valid, "{schema} {body} {verdict:?}");
    let faults = verdict.err().unwrap_or_default();
    assert!(faults.len() <= FAULTS_MAX);
    for fault in faults {
        assert!(body.pointer(&fault.pointer).is_some(), "{fault:?} of {body}");
        assert!(schema.pointer(&fault.schema_pointer).is_some(), "{fault:?} of {schema}");
    }
    // Inside of another document it means the same.
    let moved = compile(&json!({ "$ref": "#/a~1b", "a/b": own.moved("/a~1b") }));
    assert_eq!(moved.check_value(body, 0).is_ok(), is_valid, "moved: {schema} {body}");
}

#[test]
fn verdicts_are_those_of_another_implementation() {
    let cases: Value = serde_json::from_str(VERDICTS).expect("the vectors are JSON");
    assert!(list(&cases).len() > 600);
    for case in list(&cases) {
        list(&case["valid"]).iter().for_each(|body| assert_verdict(case, body, true));
        list(&case["invalid"]).iter().for_each(|body| assert_verdict(case, body, false));
    }
}

#[test]
fn what_the_meta_schema_refuses_is_refused() {
    let schemas: Value = serde_json::from_str(REFUSED).expect("the vectors are JSON");
    assert!(list(&schemas).len() > 500);
    for schema in list(&schemas) {
        assert!(Schema::compile(schema).is_err(), "{schema}");
    }
}

/// Small values from few words, so that schemas and bodies meet.
fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        select(vec![json!(0.5), json!(1.0), json!(-2.0), json!(1e6), json!(u64::MAX)]),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[abc]", inner, 0..4).prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

fn object(members: Vec<(&'static str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Any JSON, with keywords among its names.
fn anything() -> impl Strategy<Value = Value> {
    let names = vec![
        "type",
        "const",
        "enum",
        "minimum",
        "multipleOf",
        "maxLength",
        "pattern",
        "required",
        "dependentRequired",
        "$ref",
        "$id",
        "$anchor",
        "$dynamicRef",
        "$defs",
        "properties",
        "patternProperties",
        "items",
        "prefixItems",
        "allOf",
        "not",
        "if",
        "uniqueItems",
        "minContains",
        "$schema",
        "title",
        "examples",
        "a",
    ];
    let leaf = prop_oneof![
        body(),
        any::<f64>().prop_filter_map("finite", serde_json::Number::from_f64).prop_map(Value::from),
        "[a-z0-9]{0,8}".prop_map(Value::from),
        select(vec!["#", "#/$defs/a", "string", "https://json-schema.org/draft/2020-12/schema"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let member = (select(names.clone()), inner.clone());
        prop_oneof![
            1 => vec(inner, 0..4).prop_map(Value::from),
            3 => vec(member, 0..5).prop_map(object),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics(schema in anything(), body in anything(), bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(schema) = Schema::compile(&schema) {
            let verdict = schema.check(body.to_string().as_bytes());
            prop_assert_eq!(schema.check_value(&body, 0).is_ok(), verdict.is_ok());
            prop_assert!(schema.check(&bytes).err().is_none_or(|faults| !faults.is_empty()));
            prop_assert!(schema.example().is_none_or(|x| x.to_string().len() < 100_000));
        }
    }

    #[test]
    fn bytes_are_taken_as_other_readers_take_them(bytes in "[\\[\\]{}:,\"a0-9eE+. \\\\-]{0,16}") {
        let schema = compile(&json!(true));
        let other = serde_json::from_str::<Value>(&bytes);
        let is_taken = schema.check(bytes.as_bytes()).is_ok();
        // Names that come twice are the only difference.
        prop_assert!(is_taken == other.is_ok() || bytes.matches(':').count() > 1, "{}", bytes);
    }
}
