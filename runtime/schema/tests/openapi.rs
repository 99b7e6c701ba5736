//! The OpenAPI document: its structure, and that schemas mean the same inside of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use expect_test::expect;
use samovar_schema::{Described, Schema, openapi};
use serde_json::{Value, json};

fn compile(schema: &Value) -> Schema {
    Schema::compile(schema).unwrap()
}

fn described<'a>(input: Option<&'a Schema>, output: Option<&'a Schema>) -> Described<'a> {
    Described {
        name: "thumbs",
        title: Some("Thumbnails"),
        description: Some("Makes pictures smaller."),
        version: "3",
        server_url: "http://localhost:8080",
        route: "/pictures/",
        endpoint: Some("/api/predict"),
        input,
        output,
        max_batch_size: Some(8),
    }
}

/// Every `$ref` of a document, wherever it is.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                found.push(target.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        _ => {}
    }
}

/// What the specification asks of every document, by hand.
fn assert_sound(document: &Value) {
    assert_eq!(document["openapi"], "3.1.1");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    assert!(document["servers"][0]["url"].is_string());
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/'), "{path}");
        let parameters = item["parameters"].as_array().cloned().unwrap_or_default();
        assert_eq!(path.matches('{').count(), parameters.len(), "each has a parameter: {path}");
        for parameter in parameters {
            assert!(path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())));
            assert_eq!((&parameter["in"], &parameter["required"]), (&json!("path"), &json!(true)));
        }
        for method in ["get", "post"] {
            let Some(operation) = item.get(method) else { continue };
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(status.parse::<u16>().is_ok(), "{status}");
                assert!(response["description"].is_string(), "{response}");
            }
        }
    }
    let mut targets = Vec::new();
    references(document, &mut targets);
    assert!(!targets.is_empty());
    for target in targets {
        let pointer = target.strip_prefix('#').expect("inside of the document");
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().unwrap();
        assert!(document.pointer(&pointer).is_some(), "{target}");
    }
}

#[test]
fn the_document_says_where_and_what_to_send() {
    let input = compile(&json!({"type": "object", "required": ["w"], "properties": {
        "w": {"type": "integer", "minimum": 1},
    }}));
    let document = openapi(&described(Some(&input), None));
    assert_sound(&document);
    let operation = &document["paths"]["/pictures/api/predict"]["post"];
    expect![[r##"
        {
          "description": "A request is one item. Up to 8 requests are served together.",
          "operationId": "post",
          "requestBody": {
            "content": {
              "application/json": {
                "example": {
                  "w": 1
                },
                "schema": {
                  "$ref": "#/components/schemas/Input"
                }
              }
            },
            "required": true
          },
          "responses": {
            "200": {
              "content": {
                "*/*": {}
              },
              "description": "The answer"
            },
            "422": {
              "$ref": "#/components/responses/Error",
              "description": "The body does not match the input schema; `faults` says where and why"
            },
            "502": {
              "$ref": "#/components/responses/Error",
              "description": "The deployment failed"
            },
            "503": {
              "$ref": "#/components/responses/Error",
              "description": "All replicas are busy and the queue is full, or replicas do not start"
            },
            "504": {
              "$ref": "#/components/responses/Error",
              "description": "The request waited or ran for too long"
            },
            "508": {
              "$ref": "#/components/responses/Error",
              "description": "The request is part of a chain of calls that waits for itself"
            }
          },
          "summary": "Calls Thumbnails"
        }"##]]
    .assert_eq(&format!("{operation:#}"));
}

#[test]
fn without_an_endpoint_any_path_is_described() {
    let all = Described { endpoint: None, max_batch_size: None, ..described(None, None) };
    let document = openapi(&all);
    assert_sound(&document);
    let item = &document["paths"]["/pictures/{path}"];
    assert!(item["get"]["responses"].get("422").is_none());
    assert!(item["get"].get("requestBody").is_none() && item["post"].get("requestBody").is_some());
    let odd = openapi(&Described { route: "/a{b}", endpoint: Some("c"), ..all });
    assert_sound(&odd);
    assert!(odd["paths"].get("/a%7Bb%7D/c").is_some(), "braces are no parameters: {odd}");
    let root = openapi(&Described { route: "/", endpoint: Some("/"), ..all });
    assert!(root["paths"].get("/").is_some(), "{root}");
}

/// The schema at a place of the document, compiled with the whole document around it.
fn inside(document: &Value, name: &str) -> Schema {
    let mut whole = document.clone();
    whole["$ref"] = format!("#/components/schemas/{name}").into();
    compile(&whole)
}

#[test]
fn references_mean_the_same_inside_of_the_document() {
    // A pointer, one with escapes, an anchor, the root, a name by `$id`, a dynamic one, two.
    let schema = json!({
        "$id": "https://example.com/input",
        "$dynamicAnchor": "node",
        "type": "object",
        "properties": {
            "pointer": {"$ref": "#/$defs/Small"},
            "escaped": {"$ref": "#/$defs/a~1b%25%20%C3%A4"},
            "anchor": {"$ref": "#tiny"},
            "root": {"$ref": "#"},
            "id": {"$ref": "part/list"},
            "dynamic": {"$dynamicRef": "#node"},
            "both": {"$ref": "#/$defs/Small", "$dynamicRef": "#tiny"},
            "$ref": {"const": "a name, not a reference"},
            "data": {"const": {"$ref": "#/nowhere"}},
        },
        "additionalProperties": false,
        "$defs": {
            "Small": {"type": "integer", "maximum": 9},
            "a/b% ä": {"type": "boolean"},
            "Tiny": {"$anchor": "tiny", "type": "integer", "maximum": 3},
            "List": {"$id": "part/list", "items": {"$ref": "#/$defs/Own"},
                "$defs": {"Own": {"type": "string"}}},
        },
    });
    let own = compile(&schema);
    // A second schema with the same names inside must not be mixed up with the first.
    let output = compile(&json!({"$anchor": "tiny", "$defs": {"Small": {"type": "null"}},
        "properties": {"pointer": {"$ref": "#/$defs/Small"}}}));
    let document = openapi(&described(Some(&own), Some(&output)));
    let input = inside(&document, "Input");
    let bodies = [
        (json!({"pointer": 9, "escaped": true, "anchor": 3, "id": ["a"], "both": 2}), true),
        (json!({"root": {"dynamic": {"root": {"anchor": 1}}}}), true),
        (json!({"pointer": 10}), false),
        (json!({"escaped": 1}), false),
        (json!({"anchor": 4}), false),
        (json!({"root": {"x": 1}}), false),
        (json!({"id": [1]}), false),
        (json!({"dynamic": {"anchor": 4}}), false),
        (json!({"both": 4}), false),
        (json!({"both": "4"}), false),
        (json!({"data": {"$ref": "#/nowhere"}, "$ref": "a name, not a reference"}), true),
        (json!({"data": {"$ref": "#/components/schemas/Input/nowhere"}}), false),
    ];
    for (body, expected) in bodies {
        assert_eq!(own.check_value(&body, 0).is_ok(), expected, "{body}");
        assert_eq!(input.check_value(&body, 0).is_ok(), expected, "inside: {body}");
    }
    let output = inside(&document, "Output");
    assert!(output.check_value(&json!({"pointer": null}), 0).is_ok());
    assert!(output.check_value(&json!({"pointer": 1}), 0).is_err());
    let mut targets = Vec::new();
    references(&document["components"]["schemas"]["Input"]["$defs"], &mut targets);
    assert_eq!(targets, ["#/components/schemas/Input/$defs/List/$defs/Own"]);
}

#[test]
fn older_drafts_keep_their_version_and_their_meaning() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"pair": {"items": [{"type": "string"}], "additionalItems": false}},
        "$ref": "#/definitions/pair", "type": "ignored beside a reference",
    });
    let own = compile(&schema);
    let document = openapi(&described(Some(&own), None));
    assert_sound(&document);
    let input = &document["components"]["schemas"]["Input"];
    assert_eq!(input["$schema"], "http://json-schema.org/draft-07/schema#");
    assert!(own.check(br#"["a"]"#).is_ok() && own.check(br#"["a", 1]"#).is_err());
}

#[test]
fn examples_come_with_the_request() {
    let recursive = compile(&json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "examples": ["root"]},
        "children": {"type": "array", "items": {"$ref": "#"}},
    }}));
    let document = openapi(&described(Some(&recursive), None));
    let request = &document["paths"]["/pictures/api/predict"]["post"]["requestBody"];
    let example = &request["content"]["application/json"]["example"];
    assert_eq!(example["children"][0]["name"], "root");
    assert_eq!(recursive.check_value(example, 0), Ok(()));
    let nothing = compile(&json!(false));
    let document = openapi(&described(Some(&nothing), None));
    let request = &document["paths"]["/pictures/api/predict"]["post"]["requestBody"];
    assert!(request["content"]["application/json"].get("example").is_none());
}
