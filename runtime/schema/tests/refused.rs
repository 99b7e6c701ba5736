//! Schemas that are refused, and what is said about them.

use expect_test::{Expect, expect};
use samovar_schema::{
    PATTERNS_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SUBSCHEMAS_MAX, Schema, SchemaError,
};
use serde_json::{Map, Value, json};

fn check(schemas: &[Value], expected: &Expect) {
    let mut text = String::new();
    for schema in schemas {
        let error = Schema::compile(schema).expect_err(&schema.to_string());
        let lines = error.to_string().replace("; ", ";\n    ").replace(" → ", "\n    → ");
        text.push_str(&format!("{lines}\n"));
    }
    expected.assert_eq(&text);
}

#[test]
fn what_is_no_schema_is_refused() {
    check(
        &[json!(null), json!([]), json!("string"), json!(1)],
        &expect![[r#"
        a schema is an object or a boolean, this is null
        a schema is an object or a boolean, this is an array
        a schema is an object or a boolean, this is a string
        a schema is an object or a boolean, this is a number
    "#]],
    );
}

#[test]
fn keywords_with_wrong_values_are_refused_by_their_place() {
    check(
        &[
            json!({"type": "text"}),
            json!({"type": ["string", "string"]}),
            json!({"properties": {"a/b": {"minimum": "1"}}}),
            json!({"required": ["a", "a"]}),
            json!({"allOf": []}),
            json!({"items": [true]}),
            json!({"items": 7}),
            json!({"maxLength": -1}),
            json!({"multipleOf": 0}),
            json!({"enum": "a"}),
            json!({"$defs": {"unused": {"title": 1}}}),
            json!({"$id": "http://a b/"}),
            json!({"$anchor": "1"}),
            json!({"$schema": "http://json-schema.org/draft-03/schema#"}),
            json!({"$schema": "http://example.com/mine"}),
            json!({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}),
        ],
        &expect![[r#"
            /type: "text" is not a type
            /type: names a type twice
            /properties/a~1b/minimum: must be a number
            /required: must be a list of different names
            /allOf: must be a list of schemas, not empty
            /items: must be an object or a boolean, is an array
            /items: must be an object or a boolean, is a number
            /maxLength: must be a whole number, not below zero
            /multipleOf: must be above zero
            /enum: must be an array
            /$defs/unused/title: must be a string
            /$id: must be a URI, or one relative to another
            /$anchor: must start with a letter, and have only letters, digits, `-`, `_`, `.`
            `$schema` is `http://json-schema.org/draft-03/schema#`;
                known are draft-04, draft-06, draft-07, 2019-09 and 2020-12
            `$schema` is `http://example.com/mine`;
                known are draft-04, draft-06, draft-07, 2019-09 and 2020-12
            /items/$schema: must be the version of the whole schema
        "#]],
    );
}

#[test]
fn references_lead_to_schemas_inside_the_document() {
    check(
        &[
            json!({"$ref": "https://example.com/other.json"}),
            json!({"properties": {"a": {"$ref": "file:///etc/passwd"}}}),
            json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
            json!({"$ref": "//169.254.169.254/latest"}),
            json!({"$ref": "#/$defs/missing"}),
            json!({"$ref": "#missing"}),
            json!({"$ref": "#/enum/0", "enum": [{}]}),
            json!({"$ref": "#/title", "title": "a"}),
            json!({"$ref": 1}),
            json!({"$ref": "#%ff"}),
            json!({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}),
            json!({"$defs": {"a": {"$id": "x"}, "b": {"$id": "x"}}}),
        ],
        &expect![[r#"
            /$ref: `https://example.com/other.json` is outside of this schema;
                only references inside the document are possible
            /properties/a/$ref: `file:///etc/passwd` is outside of this schema;
                only references inside the document are possible
            /$ref: `https://json-schema.org/draft/2020-12/schema` is outside of this schema;
                only references inside the document are possible
            /$ref: `//169.254.169.254/latest` is outside of this schema;
                only references inside the document are possible
            /$ref: there is no schema at `#/$defs/missing`
            /$ref: there is no schema at `#missing`
            /$ref: there is no schema at `#/enum/0`
            /$ref: there is no schema at `#/title`
            /$ref: must be a string
            /$ref: there is no schema at `#%ff`
            /$defs/a: `x` names another schema too
            /$defs/a: `schema:///x` names another schema too
        "#]],
    );
}

#[test]
fn loops_that_check_nothing_are_refused() {
    let mut ring = Map::new();
    for step in 0..50 {
        let next = (step + 1) % 50;
        ring.insert(step.to_string(), json!({"$ref": format!("#/$defs/{next}")}));
    }
    check(
        &[
            json!({"$ref": "#"}),
            json!({"$ref": "#/$defs/a", "$defs": {
                "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"},
            }}),
            json!({"$ref": "#/$defs/a", "$defs": {
                "a": {"anyOf": [{"type": "null"}, {"not": {"$ref": "#/$defs/a"}}]},
            }}),
            json!({"dependentSchemas": {"a": {"$ref": "#"}}}),
            json!({"if": true, "then": {"$dynamicRef": "#x"}, "$dynamicAnchor": "x"}),
            json!({"$defs": ring}),
        ],
        &expect![[r#"
            schemas refer to each other in a loop that checks nothing: #
                → #
            schemas refer to each other in a loop that checks nothing: #/$defs/a
                → #/$defs/b
                → #/$defs/a
            schemas refer to each other in a loop that checks nothing: #/$defs/a
                → #/$defs/a/anyOf/1
                → #/$defs/a/anyOf/1/not
                → #/$defs/a
            schemas refer to each other in a loop that checks nothing: #
                → #/dependentSchemas/a
                → #
            schemas refer to each other in a loop that checks nothing: #
                → #/then
                → #
            schemas refer to each other in a loop that checks nothing: #/$defs/0
                → #/$defs/1
                → #/$defs/2
                → #/$defs/3
                → #/$defs/4
                → #/$defs/5
                → …
                → #/$defs/0
        "#]],
    );
}

#[test]
fn patterns_are_matched_in_linear_time_or_not_at_all() {
    check(
        &[
            json!({"pattern": "("}),
            json!({"pattern": r"^(a)\1$"}),
            json!({"pattern": "^(?!a)"}),
            json!({"pattern": "(((a{99}){99}){99}){99}"}),
            json!({"patternProperties": {"[": {}}}),
        ],
        &expect![[r#"
            /pattern: `(` is not a regular expression that can be used here;
                look-around and back-references cannot be matched in bounded time
            /pattern: `^(a)\1$` is not a regular expression that can be used here;
                look-around and back-references cannot be matched in bounded time
            /pattern: `^(?!a)` is not a regular expression that can be used here;
                look-around and back-references cannot be matched in bounded time
            /pattern: the pattern `(((a{99}){99}){99}){99}` needs more than 4194304 bytes
            /patternProperties/[: `[` is not a regular expression that can be used here;
                look-around and back-references cannot be matched in bounded time
        "#]],
    );
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({ "not": inner }))
}

fn many(count: usize, part: impl Fn(usize) -> Value) -> Value {
    json!({ "allOf": (0..count).map(part).collect::<Vec<_>>() })
}

#[test]
fn huge_schemas_are_refused_and_those_below_the_limits_are_not() {
    assert_eq!(Schema::compile(&nested(SCHEMA_DEPTH_MAX + 1)).unwrap_err(), SchemaError::TooDeep);
    assert!(Schema::compile(&nested(SCHEMA_DEPTH_MAX)).is_ok());

    let many_subschemas = |count| many(count, |_| json!({}));
    let error = Schema::compile(&many_subschemas(SUBSCHEMAS_MAX)).unwrap_err();
    assert_eq!(error, SchemaError::TooManySubschemas);
    assert!(Schema::compile(&many_subschemas(SUBSCHEMAS_MAX - 1)).is_ok());

    let long = |bytes| json!({ "title": "x".repeat(bytes) });
    let error = Schema::compile(&long(SCHEMA_BYTES_MAX)).unwrap_err();
    assert!(matches!(error, SchemaError::TooLarge { .. }), "{error}");
    assert!(Schema::compile(&long(SCHEMA_BYTES_MAX - 20)).is_ok());

    let many_patterns = |count| many(count, |index| json!({ "pattern": index.to_string() }));
    let error = Schema::compile(&many_patterns(PATTERNS_MAX + 1)).unwrap_err();
    assert!(matches!(error, SchemaError::TooManyPatterns { .. }), "{error}");
    assert!(Schema::compile(&many_patterns(PATTERNS_MAX)).is_ok());
    let large = many(20, |index| json!({ "pattern": format!("({index}a{{999}}b{{999}}){{20}}") }));
    let error = Schema::compile(&large).unwrap_err();
    assert!(matches!(error, SchemaError::TooManyPatterns { .. }), "{error}");
}

#[test]
fn what_is_said_about_a_schema_is_short() {
    let long = "x".repeat(100_000);
    let schemas = [
        json!({"$schema": long}),
        json!({"$ref": format!("http://{long}")}),
        json!({"properties": {&long: 1}}),
        json!({"pattern": format!("({long}")}),
        json!({"type": long}),
    ];
    for schema in schemas {
        let text = Schema::compile(&schema).unwrap_err().to_string();
        assert!(text.chars().count() < 300, "{text}");
    }
}
