//! The same verdicts as another implementation, on random schemas and bodies; and no panic on
//! anything.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use samovar_schema::{FAULTS_MAX, Schema, SchemaError};
use serde_json::{Map, Value, json};

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

/// A keyword that has no schemas in it.
fn plain_keyword() -> impl Strategy<Value = (&'static str, Value)> {
    let types = vec!["null", "boolean", "integer", "number", "string", "array", "object"];
    let number = select(vec![json!(-1), json!(0), json!(1), json!(1.5), json!(2)]);
    let above_zero = select(vec![json!(1), json!(0.5), json!(0.1), json!(2), json!(3)]);
    let count = select(vec![json!(0), json!(1), json!(2), json!(2.0)]);
    let names = btree_map("[abc]", Just(()), 0..3)
        .prop_map(|names| Value::from_iter(names.into_keys().map(Value::from)));
    let needs =
        btree_map("[abc]", names.clone(), 0..3).prop_map(|map| Value::from(Map::from_iter(map)));
    let bounds = vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    let counts = vec![
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "minContains",
        "maxContains",
    ];
    let patterns = vec![json!("a"), json!("^a"), json!("^b*$"), json!("[^a]"), json!("")];
    prop_oneof![
        select(types).prop_map(|name| ("type", json!(name))),
        Just(("type", json!(["integer", "string", "null"]))),
        body().prop_map(|value| ("const", value)),
        vec(body(), 1..4).prop_map(|options| ("enum", options.into())),
        (select(bounds), number),
        above_zero.prop_map(|of| ("multipleOf", of)),
        (select(counts), count),
        select(patterns).prop_map(|pattern| ("pattern", pattern)),
        any::<bool>().prop_map(|is_unique| ("uniqueItems", is_unique.into())),
        names.prop_map(|names| ("required", names)),
        needs.prop_map(|needs| ("dependentRequired", needs)),
        select(vec!["#/$defs/a", "#/$defs/b", "#", "#name"])
            .prop_map(|target| ("$ref", target.into())),
    ]
}

fn keyword(inner: BoxedStrategy<Value>) -> impl Strategy<Value = (&'static str, Value)> {
    let single = vec![
        "additionalProperties",
        "propertyNames",
        "items",
        "contains",
        "not",
        "if",
        "then",
        "else",
        "unevaluatedItems",
        "unevaluatedProperties",
    ];
    let maps = vec!["properties", "patternProperties", "dependentSchemas"];
    let map = btree_map("[abc]", inner.clone(), 1..3).prop_map(|map| Map::from_iter(map).into());
    let lists = vec!["allOf", "anyOf", "oneOf", "prefixItems"];
    prop_oneof![
        3 => plain_keyword(),
        2 => (select(single), inner.clone()),
        2 => (select(maps), map),
        2 => (select(lists), vec(inner, 1..3).prop_map(Value::from)),
    ]
}

fn subschema() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        4 => vec(plain_keyword(), 0..3).prop_map(object),
        1 => any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| vec(keyword(inner), 0..4).prop_map(object)).boxed()
}

fn schema() -> impl Strategy<Value = Value> {
    let named = subschema().prop_map(|mut schema| {
        match &mut schema {
            Value::Object(map) => drop(map.insert("$anchor".to_owned(), json!("name"))),
            _ => schema = json!({ "$anchor": "name" }),
        }
        schema
    });
    (vec(keyword(subschema()), 0..4), subschema(), named).prop_map(|(keywords, a, b)| {
        let mut schema = object(keywords);
        schema["$defs"] = json!({ "a": a, "b": b });
        schema
    })
}

fn other(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(false).build(schema).expect("ours took it")
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
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn verdicts_are_those_of_the_other(schema in schema(), bodies in vec(body(), 8)) {
        let ours = match Schema::compile(&schema) {
            Ok(ours) => ours,
            // Whose loops the other follows once, and ends.
            Err(SchemaError::Loop { .. }) => return Ok(()),
            Err(error) => panic!("{schema}: {error}"),
        };
        let other = other(&schema);
        let moved = json!({ "$ref": "#/place", "place": ours.moved("/place") });
        let moved = Schema::compile(&moved).unwrap();
        for body in bodies {
            let text = body.to_string();
            let verdict = ours.check(text.as_bytes());
            let expected = other.is_valid(&body);
            prop_assert_eq!(verdict.is_ok(), expected, "{} {} {:?}", schema, body, verdict);
            prop_assert_eq!(moved.check(text.as_bytes()).is_ok(), expected, "moved: {}", schema);
            let faults = verdict.err().unwrap_or_default();
            prop_assert!(faults.len() <= FAULTS_MAX);
            for fault in faults {
                prop_assert!(body.pointer(&fault.pointer).is_some(), "{:?}", fault);
                prop_assert!(schema.pointer(&fault.schema_pointer).is_some(), "{:?}", fault);
            }
        }
    }

    #[test]
    fn what_the_meta_schema_refuses_is_refused(schema in anything()) {
        if !jsonschema::draft202012::meta::is_valid(&schema) {
            prop_assert!(Schema::compile(&schema).is_err(), "{}", schema);
        }
        let mut old = schema;
        if let Value::Object(members) = &mut old {
            members.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        }
        // Beside a reference keywords may have any value, which is ignored.
        if !old.to_string().contains("$ref") && !jsonschema::draft7::meta::is_valid(&old) {
            prop_assert!(Schema::compile(&old).is_err(), "{}", old);
        }
    }

    #[test]
    fn nothing_panics(schema in anything(), body in anything(), bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(schema) = Schema::compile(&schema) {
            let _ = schema.check(&bytes);
            let _ = schema.check(body.to_string().as_bytes());
            let _ = schema.check_value(&body, 0);
            let _ = schema.example();
        }
    }
}
