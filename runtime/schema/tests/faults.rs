//! What is said about bodies that do not match.

use expect_test::{Expect, expect};
use samovar_schema::{BODY_DEPTH_MAX, BODY_MEMORY_MAX, FAULTS_MAX, Schema, Side, error_body};
use serde_json::{Value, json};

fn compile(schema: &Value) -> Schema {
    Schema::compile(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// Each body, and its faults below it.
fn check(schema: &Value, bodies: &[&str], expected: &Expect) {
    let schema = compile(schema);
    let mut text = String::new();
    for body in bodies {
        text.push_str(&format!("{}\n", body.trim()));
        for fault in schema.check(body.as_bytes()).err().unwrap_or_default() {
            let (pointer, keyword) = (fault.pointer, fault.schema_pointer);
            text.push_str(&format!("  {pointer:?} {} ({keyword})\n", fault.reason));
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn faults_have_their_place_and_a_reason() {
    let schema = json!({
        "type": "object",
        "required": ["image", "size"],
        "properties": {
            "image": {"type": "string", "pattern": "^[A-Za-z0-9+/]*=*$", "minLength": 4},
            "size": {"type": "integer", "minimum": 16, "maximum": 4096, "multipleOf": 16},
            "mode": {"enum": ["fit", "fill"]},
            "tags": {"items": {"type": "string"}, "uniqueItems": true, "maxItems": 3},
            "a/b~c": {"const": null},
        },
        "additionalProperties": false,
        "propertyNames": {"maxLength": 8},
    });
    check(
        &schema,
        &[
            r#"{"image": "aGk=", "size": 32}"#,
            "{}",
            r#"[]"#,
            r#"{"image": "?", "size": 17.5}"#,
            r#"{"image": 1, "size": 5000, "mode": "crop"}"#,
            r#"{"image": "aGk=", "size": 32, "tags": ["a", 1, "a", "b"]}"#,
            r#"{"image": "aGk=", "size": 32, "a/b~c": 0, "b": 1, "much-too-long": 1}"#,
        ],
        &expect![[r#"
            {"image": "aGk=", "size": 32}
            {}
              "" `image` is missing (/required)
              "" `size` is missing (/required)
            []
              "" is an array, must be an object (/type)
            {"image": "?", "size": 17.5}
              "/image" has 1 characters, must have at least 4 (/properties/image/minLength)
              "/image" must match `^[A-Za-z0-9+/]*=*$` (/properties/image/pattern)
              "/size" is the number 17.5, must be an integer (/properties/size/type)
              "/size" is 17.5, must be a multiple of 16 (/properties/size/multipleOf)
            {"image": 1, "size": 5000, "mode": "crop"}
              "/image" is a number, must be a string (/properties/image/type)
              "/mode" must be one of "fit", "fill" (/properties/mode/enum)
              "/size" is 5000, must be a multiple of 16 (/properties/size/multipleOf)
              "/size" is 5000, must be at most 4096 (/properties/size/maximum)
            {"image": "aGk=", "size": 32, "tags": ["a", 1, "a", "b"]}
              "/tags" has 4 items, must have at most 3 (/properties/tags/maxItems)
              "/tags/1" is a number, must be a string (/properties/tags/items/type)
              "/tags" items 0 and 2 are equal, all must differ (/properties/tags/uniqueItems)
            {"image": "aGk=", "size": 32, "a/b~c": 0, "b": 1, "much-too-long": 1}
              "/a~1b~0c" must be null (/properties/a~1b~0c/const)
              "/b" is not allowed here (/additionalProperties)
              "" `much-too-long` is not a name that is allowed (/propertyNames)
              "/much-too-long" is not allowed here (/additionalProperties)
        "#]],
    );
}

#[test]
fn of_alternatives_the_one_that_fits_explains_itself() {
    let schema = json!({
        "properties": {
            "optional": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
            "shape": {"oneOf": [
                {"type": "object", "required": ["radius"]},
                {"type": "object", "required": ["width"]},
            ]},
            "named": {"anyOf": [{"$ref": "#/$defs/name"}, {"type": "boolean"}]},
            "not": {"not": {"type": "string"}},
            "if": {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": false},
            "few": {"contains": {"type": "integer"}, "maxContains": 1},
        },
        "$defs": {"name": {"type": "string", "maxLength": 3}},
        "unevaluatedProperties": {"type": "number"},
        "dependentRequired": {"optional": ["shape"]},
    });
    check(
        &schema,
        &[
            r#"{"optional": -1, "shape": {"radius": 1}}"#,
            r#"{"optional": "x", "shape": {"radius": 1, "width": 1}}"#,
            r#"{"optional": null}"#,
            r#"{"shape": {}}"#,
            r#"{"named": "long"}"#,
            r#"{"not": "", "if": {"a": 1}}"#,
            r#"{"if": {}, "few": []}"#,
            r#"{"few": [1, 2], "other": true}"#,
            r#"{"other": true}"#,
        ],
        &expect![[r#"
            {"optional": -1, "shape": {"radius": 1}}
              "/optional" is -1, must be at least 0 (/properties/optional/anyOf/0/minimum)
            {"optional": "x", "shape": {"radius": 1, "width": 1}}
              "/optional" is a string, must be null or an integer (/properties/optional/anyOf)
              "/shape" matches alternatives 0 and 1, must match one (/properties/shape/oneOf)
            {"optional": null}
              "" `shape` is missing, which `optional` needs (/dependentRequired)
            {"shape": {}}
              "/shape" matches none of the 2 alternatives (/properties/shape/oneOf)
            {"named": "long"}
              "/named" has 4 characters, must have at most 3 (/$defs/name/maxLength)
            {"not": "", "if": {"a": 1}}
              "/if" `b` is missing (/properties/if/then/required)
              "/not" matches what it must not match (/properties/not/not)
            {"if": {}, "few": []}
              "/few" has 0 items of the kind it must have 1 of (/properties/few/contains)
              "/if" is not allowed here (/properties/if/else)
            {"few": [1, 2], "other": true}
              "/few" has 2 items of the kind it must have at most 1 of (/properties/few/maxContains)
            {"other": true}
              "/other" is a boolean, must be a number (/unevaluatedProperties/type)
        "#]],
    );
}

#[test]
fn bodies_that_are_not_json_are_refused_with_line_and_column() {
    check(
        &json!(true),
        &[
            "",
            " \n",
            "{\n  \"a\": tru\n}",
            "[1, 2",
            "[1] 2",
            r#"{"a": 1, "a": 2}"#,
            "1e999",
            r#""\ud800""#,
            "\u{feff}1",
            "NaN",
        ],
        &expect![[r#"

              "" is empty, must be JSON ()

              "" is empty, must be JSON ()
            {
              "a": tru
            }
              "" is not JSON: expected ident at line 3 column 0 ()
            [1, 2
              "" is not JSON: EOF while parsing a list at line 1 column 5 ()
            [1] 2
              "" is not JSON: trailing characters at line 1 column 5 ()
            {"a": 1, "a": 2}
              "" the name `a` comes twice at line 1 column 12 ()
            1e999
              "" is not JSON: number out of range at line 1 column 5 ()
            "\ud800"
              "" is not JSON: unexpected end of hex escape at line 1 column 8 ()
            ﻿1
              "" is not JSON: expected value at line 1 column 1 ()
            NaN
              "" is not JSON: expected value at line 1 column 1 ()
        "#]],
    );
    let faults = compile(&json!(true)).check(b"\"\xff\"").unwrap_err();
    assert_eq!(faults[0].reason, "is not JSON: invalid unicode code point at line 1 column 2");
}

#[test]
fn deep_bodies_are_refused_without_going_into_them() {
    let schema = compile(&json!({"items": {"$ref": "#"}}));
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(schema.check(nested(BODY_DEPTH_MAX).as_bytes()), Ok(()));
    for levels in [BODY_DEPTH_MAX + 1, 1_000_000] {
        let faults = schema.check(nested(levels).as_bytes()).unwrap_err();
        assert!(faults[0].reason.starts_with("is nested deeper than 128 levels at line 1"));
    }
    let objects = r#"{"a":"#.repeat(BODY_DEPTH_MAX + 1) + "1" + &"}".repeat(BODY_DEPTH_MAX + 1);
    assert!(schema.check(objects.as_bytes()).unwrap_err()[0].reason.starts_with("is nested"));
    let mut value = json!(1);
    for _ in 0..BODY_DEPTH_MAX {
        value = json!([value]);
    }
    assert_eq!(schema.check_value(&value, 300), Ok(()));
    let faults = schema.check_value(&json!([value]), 300).unwrap_err();
    assert_eq!(faults[0].reason, "is nested deeper than 128 levels");
}

#[test]
fn bodies_that_take_too_much_memory_are_refused() {
    let schema = compile(&json!(true));
    let list = |item: &str, count: usize| format!("[{}{item}]", format!("{item},").repeat(count));
    assert_eq!(schema.check(list("0", 2_000_000).as_bytes()), Ok(()));
    for (item, count) in [("0", 3_000_000), (r#"{"":0}"#, 200_000), ("{}", 3_000_000)] {
        let faults = schema.check(list(item, count).as_bytes()).unwrap_err();
        let reason = format!("takes more than {BODY_MEMORY_MAX} bytes when read at line 1");
        assert!(faults[0].reason.starts_with(&reason), "{faults:?}");
    }
    let long = vec![b' '; samovar_schema::BODY_BYTES_MAX + 1];
    let reason = &schema.check(&long).unwrap_err()[0].reason;
    assert_eq!(reason, "has 33554433 bytes; bodies with a schema have at most 33554432");
}

#[test]
fn faults_are_few_and_short_whatever_the_body_is() {
    let schema = compile(&json!({
        "properties": {"list": {"items": {"type": "string"}}},
        "additionalProperties": {"type": "null"},
    }));
    let items = vec![json!(1); 1000];
    let faults = schema.check(json!({"list": items}).to_string().as_bytes()).unwrap_err();
    assert_eq!(faults.len(), FAULTS_MAX);
    assert_eq!(faults[9].pointer, "/list/9");

    let long = "x".repeat(1_000_000);
    let body = json!({"a": long, &long: 1, format!("{long}`"): {"a": {"b": &long}}}).to_string();
    for fault in schema.check(body.as_bytes()).unwrap_err() {
        assert!(fault.reason.chars().count() <= 100, "{}", fault.reason.len());
        assert!(fault.pointer.len() <= 2048, "{}", fault.pointer.len());
    }
    let twice = format!("{{\"{long}\": 1, \"{long}\": 2}}");
    assert!(schema.check(twice.as_bytes()).unwrap_err()[0].reason.chars().count() <= 100);
}

#[test]
fn the_answer_names_the_side_and_the_first_fault() {
    let schema = compile(&json!({"properties": {"a": {"type": "string"}}}));
    let faults = schema.check(br#"{"a": 1}"#).unwrap_err();
    let body = error_body(Side::Input, &faults);
    let expected = json!({"error": {
        "code": "input-schema",
        "message":
            "the request's body does not match the input schema: /a: is a number, must be a string",
        "faults": [{
            "pointer": "/a",
            "reason": "is a number, must be a string",
            "schema_pointer": "/properties/a/type",
        }],
    }});
    assert_eq!(body, expected);
    assert_eq!((Side::Input.status(), Side::Output.status()), (422, 502));
    assert_eq!(error_body(Side::Output, &[])["error"]["code"], "output-schema");
}
